"""A dump of somebody's own design held against the vectors of a program trace."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from bitpim.errors import ConfigError, MismatchError, TraceDataError
from bitpim.golden.stepper import Stepper
from bitpim.golden.vector_words import (
    Words,
    number_words,
    port_words,
    read_words,
    state_words,
    step_words,
)
from bitpim.golden.vectors import (
    MANIFEST,
    PROGRAM,
    SUFFIXES,
    Entry,
    entries_of,
    layer_sums,
)
from bitpim_traces.array_files import read_archive
from bitpim_traces.faults import shown
from bitpim_traces.open_file import read_whole
from bitpim_traces.program_trace.reader import open_program
from bitpim_traces.program_trace.records import ProgramTrace
from bitpim_traces.strict_text import strict_json

__all__ = ["Checked", "check_vectors"]

_MOST_BYTES: Final = 2**28
_MOST_STATES: Final = 10_000
_AXES: Final[Mapping[str, str]] = {"steps": "step", "port": "port row", "sums": "sum"}


@dataclass(frozen=True, slots=True)
class Checked:
    """What a comparison showed: entries compared, and the first that differs, in words."""

    n_entries: int
    n_words: int
    difference: str

    def require_equal(self) -> None:
        """Raise MismatchError where something differs."""
        if self.difference:
            raise MismatchError(self.difference)


def check_vectors(mine: Path, against: Path) -> Checked:
    """Compare a folder, an .npz or one text of words with vectors, or with a program trace.

    A text is named as in a folder of vectors: ``after_12.rows.hex``.

    Raises
    ------
    ConfigError
        There is no such file, or its name does not say what it holds.
    TraceDataError
        A file breaks its format, or the dump says that it is of another program.
    """
    program = open_program(against / PROGRAM if against.is_dir() else against)
    dump = _dump_of(mine, program)
    at = Stepper(program)
    known = {form.name for form in at.states}
    wanted, n_words, n_entries = dump.after, 0, 0
    if dump.is_whole:
        wanted = sorted({*wanted, *_needed_steps(against, program)})
    for name in dump.names:
        if _step_of(name) is None or (name.partition(".")[2] or name) not in (*known, *_AXES):
            return Checked(0, 0, f"{mine}: {name!r:.60} is no entry of {program.name}")
    first: _Difference | None = None
    for entry in entries_of(program, wanted):
        if first is not None and entry.step > first.step:
            break
        if entry.name not in dump.names:
            if dump.is_whole:
                return Checked(n_entries, n_words, f"{mine}: {entry.name} is missing")
            continue
        found = _compared(dump, entry, at)
        if found is not None and (first is None or found.step < first.step):
            first = found
        n_entries, n_words = n_entries + 1, n_words + len(entry.words.values)
    return Checked(n_entries, n_words, "" if first is None else f"{mine}: {first.told}")


def _needed_steps(against: Path, program: ProgramTrace) -> list[int]:
    """Return the steps after which what is compared with has states."""
    if against.is_dir():
        after = _manifest(against / MANIFEST).get("after")
        _need_steps(after, program, against / MANIFEST)
        assert isinstance(after, list)
        return after
    return [] if program.expected is None else program.expected.after.tolist()


@dataclass(frozen=True, slots=True)
class _Difference:
    """Where an entry differs, and the step at which that shows; sums show at the end."""

    step: int
    told: str


@dataclass(frozen=True, slots=True)
class _Dump:
    """Where the entries of a dump are; `is_whole` where none may be missing."""

    names: tuple[str, ...]
    after: list[int]
    is_whole: bool
    texts: Mapping[str, list[tuple[Path, str]]]
    arrays: Mapping[str, Any]


def _dump_of(mine: Path, program: ProgramTrace) -> _Dump:
    if mine.is_dir():
        return _folder(mine, program)
    if mine.suffix == ".npz":
        try:
            read_whole(str(mine), _MOST_BYTES)
        except OSError as error:
            raise ConfigError(f"{mine}: need a file ({error.strerror or error})") from error
        arrays = read_archive(str(mine), most_bytes=_MOST_BYTES)
        return _Dump(tuple(arrays), _after_of(arrays, program, mine), True, {}, arrays)
    if mine.suffix == ".h5":
        arrays = _of_program(open_program(mine))
        return _Dump(tuple(arrays), _after_of(arrays, program, mine), True, {}, arrays)
    for form, suffix in SUFFIXES.items():
        if mine.name.endswith(suffix):
            name = mine.name.removesuffix(suffix)
            after, texts = _after_of([name], program, mine), {name: [(mine, form)]}
            return _Dump((name,), after, False, texts, {})
    raise ConfigError(
        f"{mine}: need a folder of vectors, an .npz, an .h5, or a text named as there with "
        f"{', '.join(SUFFIXES.values())}"
    )


def _folder(mine: Path, program: ProgramTrace) -> _Dump:
    manifest = _manifest(mine / MANIFEST)
    digest = manifest.get("program_digest")
    if digest != program.digest:
        source, ours = manifest.get("source"), program.provenance
        apart = [
            f"{key} {shown(source[key])} instead of {shown(ours.get(key))}"
            for key in ("trace", "trace_digest", "machine", "preset", "layer", "tile", "sample")
            if isinstance(source, dict) and key in source and source[key] != ours.get(key)
        ]
        said = ", ".join(apart) or f"of {shown(manifest.get('name'))}, not of {program.name}"
        raise TraceDataError(f"{mine / MANIFEST}: is of another program: {said}; nothing compared")
    texts: dict[str, list[tuple[Path, str]]] = {}
    for file in sorted(mine.iterdir()):
        if file.name in (MANIFEST, PROGRAM, "vectors.npz"):
            continue
        form = next((form for form, end in SUFFIXES.items() if file.name.endswith(end)), None)
        if form is None:
            raise TraceDataError(f"{file}: need files of vectors here, got another")
        texts.setdefault(file.name.removesuffix(SUFFIXES[form]), []).append((file, form))
    arrays = (
        read_archive(str(mine / "vectors.npz"), most_bytes=_MOST_BYTES)
        if (mine / "vectors.npz").exists()
        else {}
    )
    after = manifest.get("after")
    _need_steps(after, program, mine / MANIFEST)
    assert isinstance(after, list)
    return _Dump((*dict.fromkeys([*texts, *arrays]),), after, True, texts, arrays)


def _manifest(path: Path) -> dict[str, Any]:
    try:
        found = strict_json(read_whole(str(path), _MOST_BYTES).decode("utf-8"))
    except OSError as error:
        raise TraceDataError(f"{path}: need a manifest ({error.strerror or error})") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise TraceDataError(f"{path}: need a JSON object ({error})") from error
    if not isinstance(found, dict) or found.get("format_name") != "bitpim.vectors":
        raise TraceDataError(f"{path}: need the manifest of a folder of vectors, got another file")
    return found


def _need_steps(after: Any, program: ProgramTrace, where: Path) -> None:
    good = isinstance(after, list) and all(type(n) is int for n in after)
    if not good or len(after) > _MOST_STATES or after != sorted(set(after)):
        raise TraceDataError(f"{where}: need rising numbers of steps in `after`")
    if after and not 0 <= after[0] <= after[-1] < program.n_steps:
        raise TraceDataError(
            f"{where}: need steps 0 to {program.n_steps - 1} in `after`, got {after[-1]}"
        )


def _after_of(names: Iterable[str], program: ProgramTrace, where: Path) -> list[int]:
    steps = sorted({step for name in names if (step := _step_of(name)) is not None and step >= 0})
    _need_steps(steps, program, where)
    return steps


def _step_of(name: str) -> int | None:
    """Return the step of an entry's name, -1 for what holds before; None where it is none."""
    if name in _AXES or name.startswith("before."):
        return -1
    step = name.partition(".")[0].removeprefix("after_")
    is_step = name.startswith("after_") and step.isdecimal() and len(step) < 12
    return int(step) if is_step and step == str(int(step)) else None


def _of_program(program: ProgramTrace) -> dict[str, Any]:
    """Return the entries that a program trace has, states after steps as it tells them."""
    arrays: dict[str, Any] = {"steps": program.steps.read()}
    if program.port is not None:
        arrays["port"] = program.port.read()
    if (sums := layer_sums(program)) is not None:
        arrays["sums"] = sums[:, -1]
    at = Stepper(program)
    arrays |= {f"before.{form.name}": at.view(form.name).copy() for form in at.states}
    if program.expected is not None:
        for index, step in enumerate(program.expected.after.tolist()):
            for name, tensor in program.expected.state.items():
                arrays[f"after_{step}.{name}"] = tensor.read(index, index + 1)[0]
    return arrays


def _compared(dump: _Dump, entry: Entry, at: Stepper) -> _Difference | None:
    """Return the first difference of an entry; every form that the dump has it in."""
    if entry.name in dump.arrays:
        values = dump.arrays[entry.name]
        if values.shape != entry.values.shape or values.dtype != entry.values.dtype:
            told = (
                f"{entry.name}: need {entry.values.dtype} of shape {entry.values.shape}, got "
                f"{values.dtype} of shape {values.shape}"
            )
            return _Difference(entry.step, told)
        if not np.array_equal(values, entry.values):
            words = _words_like(entry, values, at)
            return _first(entry, words, at)
    for path, form in dump.texts.get(entry.name, ()):
        try:
            text = read_whole(str(path), _MOST_BYTES).decode("utf-8")
        except OSError as error:
            raise TraceDataError(f"{path}: cannot be read ({error.strerror or error})") from error
        except UnicodeDecodeError as error:
            raise TraceDataError(f"{path}: need UTF-8 text, got other bytes") from error
        n = len(entry.words.values)
        found = read_words(text, form, entry.words.bits, n, str(path))
        if (differs := _first(entry, found, at)) is not None:
            return _Difference(differs.step, f"{path.name}: {differs.told}")
    return None


def _words_like(entry: Entry, values: Any, at: Stepper) -> list[int]:
    if entry.name == "steps":
        return list(step_words(values).values)
    if entry.name == "sums":
        return list(number_words(values).values)
    if entry.name == "port":
        return list(port_words(at.port, values).values)
    form = next(form for form in at.states if form.name == entry.name.partition(".")[2])
    return list(state_words(form, values).values)


def _first(entry: Entry, found: list[int], at: Stepper) -> _Difference | None:
    expected: Words = entry.words
    for number, (want, got) in enumerate(zip(expected.values, found, strict=False)):
        if want != got:
            wrong = want ^ got
            bit = (wrong & -wrong).bit_length() - 1
            told = (
                f"{_place(entry, number, bit, at)} is {got >> bit & 1}, expected {want >> bit & 1} "
                f"({wrong.bit_count()} bits of that word differ)"
            )
            return _Difference(_step_of_word(entry, number, at), told)
    if len(found) != len(expected.values):
        told = f"{entry.name}: need {len(expected.values)} words, got {len(found)}"
        return _Difference(entry.step, told)
    return None


def _step_of_word(entry: Entry, number: int, at: Stepper) -> int:
    """Return the step at which a word shows."""
    if entry.name == "steps":
        return number
    if entry.name == "sums":
        return at.n_steps
    return at.step_of_port_row(number) if entry.name == "port" else entry.step


def _place(entry: Entry, number: int, bit: int, at: Stepper) -> str:
    sums = layer_sums(at.program) if entry.name == "sums" else None
    if sums is not None:
        sample, *coordinate = (int(n) for n in sums[number, :-1])
        layer = at.program.provenance.get("layer")
        return (
            f"layer {layer}, sample {sample}, coordinate {tuple(coordinate)}, bit {bit} of the sum"
        )
    if entry.name == "port":
        return f"step {at.step_of_port_row(number)}: port row {number}, bit {bit}"
    if entry.name in _AXES:
        return f"{_AXES[entry.name]} {number}, bit {bit}"
    form = next(form for form in at.states if form.name == entry.name.partition(".")[2])
    when = "before the first step" if entry.step < 0 else f"after step {entry.step}"
    outer = form.sizes[:-1] if form.is_packed else form.sizes
    place = np.unravel_index(number, outer) if outer else ()
    parts = []
    for axis, index in zip(form.axes, (int(n) for n in place), strict=False):
        name = f" ({at.names[index]})" if axis == "row" and index in at.names else ""
        parts.append(f"{axis} {index}{name}")
    parts.append(f"{form.axes[-1] if form.is_packed else 'bit'} {bit}")
    return f"{when}: {form.name}, {', '.join(parts)}"
