"""Test vectors of a program trace: a folder of words for memories of test benches, and a manifest.

Every folder has the program trace itself (`program.h5`), from which all else follows.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from bitpim.errors import ConfigError, TraceDataError
from bitpim.golden.layer_shares import layer_arrays
from bitpim.golden.stepper import Stepper
from bitpim.golden.vector_heads import ABOUT, archived, head_of, head_text
from bitpim.golden.vector_words import (
    TEXT_FORMATS,
    Words,
    crc_of,
    layer_words,
    port_words,
    state_words,
    step_words,
)
from bitpim_traces.program_trace.records import ProgramTrace
from bitpim_traces.program_trace.writer import write_program

__all__ = [
    "ARCHIVE",
    "FORMATS",
    "MANIFEST",
    "MOST_STATES",
    "PROGRAM",
    "SUFFIXES",
    "Entry",
    "after_steps",
    "entries_of",
    "make_vectors",
    "need_new_folder",
]

FORMATS: Final = (*TEXT_FORMATS, "npz")
MANIFEST: Final = "manifest.json"
PROGRAM: Final = "program.h5"
ARCHIVE: Final = "vectors.npz"
SUFFIXES: Final[Mapping[str, str]] = {"readmemh": ".hex", "readmemb": ".bin", "csv": ".csv"}
MOST_STATES: Final = 10_000
"""After which states are written, or compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One thing that a design takes or must show.

    Attributes
    ----------
    name : "steps", "port", "inputs", "sums", "before.rows", "after_12.rows"
    step : the step after which it holds, -1 for what holds before or throughout
    words : as words
    values : as numbers
    """

    name: str
    step: int
    words: Words
    values: Any


def after_steps(program: ProgramTrace, text: str | None) -> list[int]:
    """Read after which steps states are wanted: "end", "marks", "every", or numbers by commas.

    Those that the program trace expects where nothing is said.

    Raises
    ------
    ConfigError
        Anything else, a step that there is not, or very many.
    """
    n = program.n_steps
    if text is None:
        found = [] if program.expected is None else program.expected.after.tolist()
    elif text in ("end", "marks", "every"):
        marks = [step - 1 for step, _ in program.marks if step]
        found = {"end": [n - 1], "marks": [*marks, n - 1], "every": list(range(n))}[text]
    else:
        words = text.split(",")
        if not all(word.strip().isdecimal() and len(word) < 12 for word in words):
            raise ConfigError(f"after: need end, marks, every or steps by commas, got {text!r:.60}")
        found = [int(word) for word in words]
    found = sorted({step for step in found if step >= 0})
    if found and found[-1] >= n:
        raise ConfigError(f"after: need steps 0 to {n - 1} of {program.name}, got {found[-1]}")
    if len(found) > MOST_STATES:
        raise ConfigError(
            f"after: need at most {MOST_STATES} states, got {len(found)}; name fewer steps"
        )
    return found


def entries_of(program: ProgramTrace, after: Sequence[int]) -> Iterator[Entry]:
    """Yield all entries of a program in the order of its steps.

    Raises
    ------
    TraceDataError
        What the program trace expects does not come of its steps.
    """
    at = Stepper(program)
    steps = program.steps.read()
    yield Entry("steps", -1, step_words(steps), steps)
    if program.port is not None:
        rows = program.port.read()
        yield Entry("port", -1, port_words(at.port, rows), rows)
    for name, values in layer_arrays(program).items():
        yield Entry(name, -1, layer_words(values), values)
    yield from _states(at, "before", -1)
    for step in after:
        found = at.run_to(step + 1)
        if found is not None:
            raise TraceDataError(f"{program.name}: {found}; replay it first")
        yield from _states(at, f"after_{step}", step)


def _states(at: Stepper, prefix: str, step: int) -> Iterator[Entry]:
    for form in at.states:
        values = at.view(form.name).copy()
        yield Entry(f"{prefix}.{form.name}", step, state_words(form, values), values)


def need_new_folder(folder: Path) -> None:
    """Raise ConfigError where no folder of vectors can be made."""
    if folder.exists() or folder.is_symlink():
        raise ConfigError(f"{folder}: exists; choose another name")
    if not folder.parent.is_dir():
        raise ConfigError(f"{folder}: need a folder to make it in, got none")


def make_vectors(
    program: ProgramTrace,
    folder: Path,
    *,
    formats: Sequence[str] = ("readmemh",),
    after: Sequence[int] = (),
) -> dict[str, Any]:
    """Write the vectors of a program into a new folder; return its manifest.

    Raises
    ------
    ConfigError
        A format is unknown, or the folder exists.
    TraceError
        It cannot be written; nothing is left behind.
    """
    for form in formats:
        if form not in FORMATS:
            raise ConfigError(f"format: need {', '.join(FORMATS)}, got {form!r:.40}")
    need_new_folder(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".vectors-") as unfinished:
        made = Path(unfinished) / "vectors"
        made.mkdir()
        head = {**head_of(program), "program_digest": write_program(program, made / PROGRAM)}
        files: list[dict[str, Any]] = []
        arrays: dict[str, Any] = {ABOUT: archived(head)}
        for entry in entries_of(program, after):
            arrays[entry.name] = entry.values
            files += [_write(made, entry, head, form) for form in formats if form != "npz"]
        if "npz" in formats:
            np.savez_compressed(made / ARCHIVE, **arrays)
        manifest = {**head, "after": list(after), "files": files}
        text = json.dumps(manifest, indent=1, sort_keys=True)
        (made / MANIFEST).write_text(text + "\n", "utf-8")
        made.rename(folder)
    return manifest


def _write(folder: Path, entry: Entry, head: Mapping[str, Any], form: str) -> dict[str, Any]:
    name = entry.name + SUFFIXES[form]
    text = entry.words.text(form, entry.name, head_text(head))
    (folder / name).write_text(text, "utf-8")
    return {
        "name": name,
        "entry": entry.name,
        "format": form,
        "bits": entry.words.bits,
        "words": len(entry.words.values),
        "crc32": crc_of(text),
    }
