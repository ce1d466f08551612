"""What vectors say of themselves: program, array, machine, trace, layer and tile they are of.

A manifest says it, an entry of an archive, and a comment above the words of a text. Before a dump
is compared it is held against the program that it is compared with.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bitpim.errors import TraceDataError
from bitpim_traces.faults import shown
from bitpim_traces.open_file import OpenFile
from bitpim_traces.program_trace.records import ProgramTrace
from bitpim_traces.strict_text import strict_json

__all__ = [
    "ABOUT",
    "archived",
    "head_of",
    "head_text",
    "need_archived_head",
    "need_head",
    "need_text_head",
    "read_head",
]

ABOUT: Final = "about"
"""The entry of an archive that says what it is of: `head_text`, a byte each."""

_SOURCE: Final = ("machine", "preset", "trace", "trace_digest", "layer", "tile", "sample")
_KINDS: Final[Mapping[str, type]] = {
    "name": str, "array": str, "parameters": dict, "source": dict, "program_digest": str,
}  # fmt: skip
_MARKS: Final = ("// of {", "# of {")
_FIRST_LINES: Final = 8
_MOST_BYTES: Final = 2**16  # of the lines above the words of a text


def head_of(program: ProgramTrace) -> dict[str, Any]:
    """Return what vectors say of their program: format, array, where it was recorded."""
    told = program.provenance
    return {
        "format_name": "bitpim.vectors",
        "format_version": [1, 0],
        "name": program.name,
        "array": program.array,
        "parameters": dict(program.parameters),
        "source": {key: told[key] for key in _SOURCE if key in told},
        "program_digest": program.digest,
    }


def head_text(head: Mapping[str, Any]) -> str:
    """Return a head as one line of JSON, in ASCII."""
    return json.dumps(head, sort_keys=True)


def archived(head: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    """Return a head as the entry `ABOUT` of an archive."""
    return np.frombuffer(head_text(head).encode("ascii"), np.uint8)


def read_head(text: str, where: str, more: Mapping[str, type] | None = None) -> dict[str, Any]:
    """Read a head, or a manifest that has more than one.

    Raises
    ------
    TraceDataError
        It is no JSON object, of another format, or a member is missing or has another form.
    """
    try:
        found = strict_json(text)
    except ValueError as error:
        raise TraceDataError(f"{where}: need a JSON object ({error})") from error
    if not isinstance(found, dict) or found.get("format_name") != "bitpim.vectors":
        raise TraceDataError(f"{where}: need what vectors say of themselves, got another object")
    version = found.get("format_version")
    if not isinstance(version, list) or len(version) != 2 or version[0] != 1:
        raise TraceDataError(f"{where}: need format_version 1.x, got {shown(version)}")
    for key, kind in {**_KINDS, **(more or {})}.items():
        if not isinstance(found.get(key), kind):
            raise TraceDataError(f"{where}: {key} needs its form, got {shown(found.get(key))}")
    return found


def need_head(said: Mapping[str, Any], program: ProgramTrace, where: str) -> None:
    """Raise TraceDataError where a dump says that it is of another program."""
    ours = head_of(program)
    theirs, own = said["source"], ours["source"]
    apart = [
        f"{key} {shown(theirs.get(key))} instead of {shown(own.get(key))}"
        for key in dict.fromkeys([*own, *theirs])
        if theirs.get(key) != own.get(key)
    ]
    apart += [
        f"{key} {shown(said[key])} instead of {shown(ours[key])}"
        for key in ("name", "array", "parameters", "program_digest")
        if said[key] != ours[key]
    ]
    if apart:
        raise TraceDataError(f"{where}: is of another program: {apart[0]}; nothing compared")


def need_text_head(path: Path, program: ProgramTrace) -> None:
    """Raise TraceDataError where a text says above its words that it is of another program.

    One that says nothing, as simulators write them, is taken for what its name says.
    """
    try:
        first = OpenFile(str(path)).read(0, _MOST_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise TraceDataError(f"{path}: cannot be read ({error.strerror or error})") from error
    for number, line in enumerate(first.split("\n", _FIRST_LINES)[:_FIRST_LINES], 1):
        if line.startswith(_MARKS):
            where = f"{path}, line {number}"
            need_head(read_head(line[line.index("{") :], where), program, where)


def need_archived_head(arrays: dict[str, Any], program: ProgramTrace, where: Path) -> None:
    """Take what an archive says of itself out of it; raise TraceDataError if of another program."""
    about = arrays.pop(ABOUT, None)
    if about is None:
        raise TraceDataError(
            f"{where}: need an array {ABOUT!r} that says what it is of, got none; copy it from the "
            "vectors"
        )
    if about.dtype != np.uint8 or about.ndim != 1:
        raise TraceDataError(f"{where}: {ABOUT} needs uint8 (n,), got {about.dtype} {about.shape}")
    text = about.tobytes().decode("ascii", "replace")
    need_head(read_head(text, f"{where}: {ABOUT}"), program, f"{where}: {ABOUT}")
