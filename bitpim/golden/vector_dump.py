"""A dump of somebody's own design, as a folder, an archive, a program trace or one text.

What a dump says of itself is looked at before anything in it is: one of another program, tile,
machine or trace is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bitpim.errors import ConfigError, TraceDataError
from bitpim.golden.layer_shares import LAYER_ENTRIES, layer_arrays
from bitpim.golden.stepper import Stepper
from bitpim.golden.vector_heads import (
    head_of,
    need_archived_head,
    need_head,
    need_text_head,
    read_head,
)
from bitpim.golden.vector_words import crc_of
from bitpim.golden.vectors import (
    ARCHIVE,
    MANIFEST,
    MOST_STATES,
    PROGRAM,
    SUFFIXES,
)
from bitpim_traces.array_files import read_archive
from bitpim_traces.faults import shown
from bitpim_traces.open_file import read_whole
from bitpim_traces.program_trace.reader import open_program
from bitpim_traces.program_trace.records import ProgramTrace

__all__ = ["WHOLE", "Dump", "Reference", "dump_of", "read_text", "reference_of", "step_of"]

WHOLE: Final = ("steps", "port", *LAYER_ENTRIES)
"""Entries that are of the whole program, not of one time."""

_MOST_BYTES: Final = 2**28
_OF_MANIFEST: Final[Mapping[str, type]] = {"after": list, "files": list}


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What a dump is held against.

    Attributes
    ----------
    program : the program trace, of which all follows
    after : steps after which a dump needs states
    is_closed : whether states after other steps are too many; a program trace has them all
    """

    program: ProgramTrace
    after: list[int]
    is_closed: bool


@dataclass(frozen=True, slots=True, eq=False)
class Dump:
    """Where the entries of a dump are.

    Attributes
    ----------
    names : of all entries
    is_whole : whether an entry that is missing is a difference
    texts : by entry, the files that hold it, each with its format
    listed : names of files that the dump says it has
    arrays : by entry; None where it has no archive
    """

    names: tuple[str, ...]
    is_whole: bool
    texts: Mapping[str, list[tuple[Path, str]]]
    listed: frozenset[str]
    arrays: Mapping[str, Any] | None

    @property
    def after(self) -> list[int]:
        """Steps after which it has states."""
        steps = (step_of(name) for name in self.names)
        return sorted({step for step in steps if step is not None and step >= 0})

    def missing(self, entry: str) -> str:
        """Return where an entry is missing, "" if nowhere."""
        if not self.is_whole:
            return ""
        held = {path.name for path, _ in self.texts.get(entry, ())}
        for name in sorted(entry + suffix for suffix in SUFFIXES.values()):
            if name in self.listed and name not in held:
                return name
        if self.arrays is not None and entry not in self.arrays:
            return f"{entry} of {ARCHIVE}" if self.texts else entry
        return "" if entry in self.names else entry


def step_of(name: str) -> int | None:
    """Return the step of an entry's name, -1 for what is of none; None where it is no entry's."""
    if name in WHOLE or name.startswith("before."):
        return -1
    step = name.partition(".")[0].removeprefix("after_")
    is_step = name.startswith("after_") and step.isdecimal() and len(step) < 12
    return int(step) if is_step and step == str(int(step)) else None


def reference_of(against: Path) -> Reference:
    """Open what a dump is held against, a folder of vectors or a program trace.

    Raises
    ------
    TraceError
        It cannot be read, or a text of the folder is not the one that was made.
    """
    if not against.is_dir():
        program = open_program(against)
        after = [] if program.expected is None else program.expected.after.tolist()
        return Reference(program, after, False)
    program = open_program(against / PROGRAM)
    manifest = _manifest(against / MANIFEST)
    need_head(manifest, program, str(against / MANIFEST))
    for file in manifest["files"]:
        path = against / file["name"]
        if crc_of(read_text(path)) != file["crc32"]:
            raise TraceDataError(
                f"{path}: need the text with CRC-32 {file['crc32']}, got another; make it again"
            )
    return Reference(program, _steps(manifest["after"], program, against / MANIFEST), True)


def dump_of(mine: Path, program: ProgramTrace) -> Dump:
    """Open a dump and see that it is of a program, as far as it says.

    Raises
    ------
    ConfigError
        Its name does not say what it holds.
    TraceError
        It cannot be read, breaks its format, or is of another program.
    """
    if mine.is_dir():
        return _folder(mine, program)
    if mine.suffix == ".npz":
        arrays = _archive(mine, program)
        return _checked(Dump(tuple(arrays), True, {}, frozenset(), arrays), program, mine)
    if mine.suffix == ".h5":
        theirs = open_program(mine)
        need_head({**head_of(theirs), "program_digest": program.digest}, program, str(mine))
        arrays = _of_program(theirs)
        return _checked(Dump(tuple(arrays), True, {}, frozenset(), arrays), program, mine)
    for form, suffix in SUFFIXES.items():
        if mine.name.endswith(suffix):
            need_text_head(mine, program)
            name = mine.name.removesuffix(suffix)
            dump = Dump((name,), False, {name: [(mine, form)]}, frozenset(), None)
            return _checked(dump, program, mine)
    raise ConfigError(
        f"{mine}: need a folder of vectors, an .npz, an .h5, or a text named as there with "
        f"{', '.join(SUFFIXES.values())}"
    )


def _folder(mine: Path, program: ProgramTrace) -> Dump:
    manifest = _manifest(mine / MANIFEST)
    need_head(manifest, program, str(mine / MANIFEST))
    _steps(manifest["after"], program, mine / MANIFEST)
    texts: dict[str, list[tuple[Path, str]]] = {}
    for file in sorted(mine.iterdir()):
        if file.name in (MANIFEST, PROGRAM, ARCHIVE):
            continue
        form = next((form for form, end in SUFFIXES.items() if file.name.endswith(end)), None)
        if form is None:
            raise TraceDataError(f"{file}: need files of vectors here, got another")
        need_text_head(file, program)
        texts.setdefault(file.name.removesuffix(SUFFIXES[form]), []).append((file, form))
    archive = mine / ARCHIVE
    arrays = _archive(archive, program) if archive.exists() else None
    names = (*dict.fromkeys([*texts, *(arrays or {})]),)
    listed = frozenset(file["name"] for file in manifest["files"])
    return _checked(Dump(names, True, texts, listed, arrays), program, mine)


def _archive(path: Path, program: ProgramTrace) -> dict[str, Any]:
    arrays = read_archive(str(path), most_bytes=_MOST_BYTES)
    need_archived_head(arrays, program, path)
    return arrays


def _checked(dump: Dump, program: ProgramTrace, where: Path) -> Dump:
    _steps(dump.after, program, where)
    return dump


def _manifest(path: Path) -> dict[str, Any]:
    try:
        text = read_whole(str(path), _MOST_BYTES).decode("utf-8")
    except OSError as error:
        raise TraceDataError(f"{path}: need a manifest ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise TraceDataError(f"{path}: need a JSON object ({error})") from error
    found = read_head(text, str(path), _OF_MANIFEST)
    for file in found["files"]:
        if not isinstance(file, dict) or not _is_listed(file):
            raise TraceDataError(f"{path}: files need a name and a crc32 each, got {shown(file)}")
    return found


def _is_listed(file: Mapping[str, Any]) -> bool:
    name, crc = file.get("name"), file.get("crc32")
    is_plain = isinstance(name, str) and Path(name).name == name and name.isprintable()
    return is_plain and isinstance(crc, str)


def _steps(after: Any, program: ProgramTrace, where: Path) -> list[int]:
    good = isinstance(after, list) and all(type(n) is int for n in after)
    if not good or len(after) > MOST_STATES or after != sorted(set(after)):
        raise TraceDataError(f"{where}: need at most {MOST_STATES} rising steps with states")
    if after and not 0 <= after[0] <= after[-1] < program.n_steps:
        raise TraceDataError(
            f"{where}: need states after steps 0 to {program.n_steps - 1}, got {after[-1]}"
        )
    return list(after)


def _of_program(program: ProgramTrace) -> dict[str, Any]:
    """Return the entries that a program trace has, states after steps as it tells them."""
    arrays: dict[str, Any] = {"steps": program.steps.read()}
    if program.port is not None:
        arrays["port"] = program.port.read()
    arrays |= layer_arrays(program)
    at = Stepper(program)
    arrays |= {f"before.{form.name}": at.view(form.name).copy() for form in at.states}
    if program.expected is not None:
        for index, step in enumerate(program.expected.after.tolist()):
            for name, tensor in program.expected.state.items():
                arrays[f"after_{step}.{name}"] = tensor.read(index, index + 1)[0]
    return arrays


def read_text(path: Path) -> str:
    """Read a text of words.

    Raises
    ------
    TraceDataError
        It cannot be read, is too large, or is not UTF-8.
    """
    try:
        return read_whole(str(path), _MOST_BYTES).decode("utf-8")
    except OSError as error:
        raise TraceDataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise TraceDataError(f"{path}: need UTF-8 text, got other bytes") from error
