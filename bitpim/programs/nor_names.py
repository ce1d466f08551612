"""Readers of SIMPLER's forms, where each cell comes with the net that it holds: JSON, and what the
tool prints.

    "T0": "Initialization(Ron){'INIT_CYCLE(5)','INIT_CYCLE(6)'}"
    "T3": "new_n14_(7)=nor2{new_n13_(8),new_n8_(9)}"
    "T6": "Initialization(Ron){new_n13_(8)}"

Names are followed: an input of a gate, a cell that is set and an output must be what its cell holds
then. Two things are convention, not text. The tool starts with all cells set that are no input, and
early versions write no T0; later ones write one that lists as many cells as there are nets, from
the first that is no input, whatever the row has. Either stands for all of them, and is said to.

Source: SIMPLER MAGIC's files and the code that writes them (found).
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bitpim.programs.nor_draft import (
    MAX_CELLS,
    Claim,
    Draft,
    DraftStep,
    NamedCell,
    Place,
    claim_of,
    name_of,
    natural,
    numbered_lines,
    short,
)
from bitpim.programs.nor_text import take_claim
from bitpim_traces.strict_text import strict_json

__all__ = ["JSON_FORM", "PRINTED_FORM", "check_names", "read_json", "read_printed"]

JSON_FORM = "SIMPLER JSON"
PRINTED_FORM = "SIMPLER text"

_UNNAMED = "INIT_CYCLE"
_NAMED = re.compile(r"([^\s{},='\"]+)\(([0-9]+)\)")
_KEY = re.compile(r"(?:T|[Cc]ycle ?)([0-9]+)")
_LISTED = re.compile(r"\{([^{}]*)\}")
_INIT = re.compile(r"Initialization\(Ron\)\s*(\{.*)")
_GATE = re.compile(r"([^={}]+)=\s*(\w+)\s*(\{.*)")
_JSON_KEY = re.compile(r'"([^"\\]*)"\s*:')
_TEXTS = ("name", "inputs", "outputs")
_NO_STEP = ("cycle 0", "cycle 0")


def read_json(text: str, file: str) -> Draft:
    """Read the JSON form.

    Raises
    ------
    ProgramError
        Not JSON, a key is unknown, or a value is none that this form has; it names the key.
    """
    place = Place(file, 1)
    try:
        found = strict_json(text)
    except json.JSONDecodeError as error:
        at = Place(file, error.lineno)
        raise at.fault(f"need JSON: {error.msg}, column {error.colno}") from error
    except ValueError as error:
        raise place.fault(f"need JSON: {error}") from error
    if not isinstance(found, dict):
        raise place.fault(f"need a JSON object, got {type(found).__name__}")
    sequence = found.pop("Execution sequence", None)
    if not isinstance(sequence, dict):
        raise place.fault("need an object `Execution sequence` of steps, got none")
    draft, lines = Draft(JSON_FORM, place), _lines_of_keys(text)
    for key, value in found.items():
        _json_claim(draft, key, value, Place(file, lines.get(key, 1), key))
    for key, value in sequence.items():
        at = Place(file, lines.get(key, 1), key)
        if not isinstance(value, str):
            raise at.fault(f"need a step as text, got {short(repr(value))}")
        if (key, value) != _NO_STEP:
            draft.steps.append(_step(key, value, at))
    draft.steps.sort(key=lambda step: step.number)  # early versions write them in any order
    return _completed(draft)


def read_printed(text: str, file: str) -> Draft:
    """Read what the tool prints.

    Raises
    ------
    ProgramError
        A line is none that this form has; it names the line.
    """
    draft = Draft(PRINTED_FORM, Place(file, 1))
    has_begun = has_ended = False
    shown_inputs: list[tuple[Place, str]] = []
    for place, line in _told_lines(text, file):
        key, _, value = (part.strip() for part in line.partition(":"))
        if key.lower() in ("execution sequence", "execution sequence + mapping"):
            if has_begun or value != "{":
                raise place.fault(f"need the steps once, after {{, got {short(line)}")
            has_begun = True
        elif line == "}" and has_begun and not has_ended:
            has_ended = True
        elif has_begun and not has_ended:
            if key == "T0" and value.endswith("=INPUT"):
                shown_inputs.append((place, value.removesuffix("=INPUT")))
            else:
                draft.steps.append(_step(key, value, place))
        else:
            take_claim(draft, key, value, place)
    if not has_ended:
        raise draft.place.fault("need steps between { and }, got no end; the file may be cut short")
    _completed(draft)
    for place, shown in shown_inputs:
        if _named(shown, place) not in draft.inputs:
            raise place.fault(f"need one of the inputs, got {short(shown)}")
    return draft


def check_names(draft: Draft) -> None:
    """Follow which net each cell holds.

    Raises
    ------
    ProgramError
        A step reads, sets or names a net that its cell does not hold, or writes one for the second
        time.
    """
    holds = {port.cell: port.name for port in draft.inputs}
    known = set(holds.values())
    for step in draft.steps:
        for read in step.cells:
            _need_held(read, holds, step.place, is_init=not step.gate)
        if step.output is None:
            for cell in step.cells:
                holds.pop(cell.cell, None)
            continue
        name = step.output.name
        if name in known or name == _UNNAMED:
            raise step.place.fault(f"need a net of its own, got {short(name)} for the second time")
        known.add(name)
        holds[step.output.cell] = name
    for port in draft.outputs:
        _need_held(port, holds, draft.claims["outputs"].place, is_init=False)


def _need_held(cell: NamedCell, holds: Mapping[int, str], place: Place, *, is_init: bool) -> None:
    held = holds.get(cell.cell)
    if cell.name != held and not (is_init and held is None and cell.name == _UNNAMED):
        got = "none" if held is None else short(held)
        raise place.fault(
            f"need the net that cell {cell.cell} holds, {got}, got {short(cell.name)}"
        )


def _told_lines(text: str, file: str) -> Iterator[tuple[Place, str]]:
    """Yield the lines that say something: neither blank, nor a rule of backslashes, nor a title."""
    for place, line in numbered_lines(text, file):
        if line and not line.startswith("\\\\") and line != "RESULTS AND STATISTICS:":
            yield place, line


def _json_claim(draft: Draft, key: str, value: Any, place: Place) -> None:
    word = claim_of(key)
    if not word:
        raise place.fault(f"need a key of SIMPLER's files, got {short(key)}")
    if word in draft.claims:
        raise place.fault("need it once, got it in two spellings")
    is_right = isinstance(value, str) if word in _TEXTS else type(value) is int and value >= 0
    if not is_right:
        need = "a text" if word in _TEXTS else "a number"
        raise place.fault(f"need {need}, got {short(repr(value))}")
    draft.claims[word] = Claim(value if type(value) is int else name_of(value, key, place), place)


def _lines_of_keys(text: str) -> dict[str, int]:
    """Return the line of each key, as it first stands in the text."""
    lines: dict[str, int] = {}
    line, at = 1, 0
    for found in _JSON_KEY.finditer(text):
        line += text.count("\n", at, found.start())
        at = found.start()
        lines.setdefault(found[1], line)
    return lines


def _completed(draft: Draft) -> Draft:
    """Read the ports, and put the first initialisation as the convention has it."""
    draft.need("row", "inputs", "outputs", "cycles")
    for word, ports in (("inputs", draft.inputs), ("outputs", draft.outputs)):
        claim = draft.claims[word]
        ports += _list(str(claim.value), claim.place)
    taken = {port.cell for port in draft.inputs}
    row = min(draft.number("row"), MAX_CELLS)  # more is refused with the rest of the head
    free = tuple(NamedCell(_UNNAMED, cell) for cell in range(row) if cell not in taken)
    first = draft.steps[0] if draft.steps else None
    if not free:
        return draft
    if first is None or first.number != 0:
        said = "the file has no first initialisation: by convention"
        place = first.place if first else draft.place
        draft.steps.insert(0, DraftStep(0, place, "", None, free))
    elif not first.gate and first.cells != free and _is_of_nets(first.cells, len(taken)):
        said = f"T0 lists {len(first.cells)} cells, one a net: it stands for"
        draft.steps[0] = DraftStep(0, first.place, "", None, free)
    else:
        return draft
    draft.notes.append(f"{said} all {len(free)} cells that are no input, set at the start")
    return draft


def _is_of_nets(cells: tuple[NamedCell, ...], n_inputs: int) -> bool:
    """Whether a list is that of all nets: unnamed, one after the other from the first no input."""
    return cells == tuple(NamedCell(_UNNAMED, n_inputs + i) for i in range(len(cells)))


def _step(key: str, text: str, place: Place) -> DraftStep:
    found = _KEY.fullmatch(key)
    if found is None:
        raise place.fault(f"need a step as `T1`, got {short(key)}")
    number = natural(found[1], "the number of a step", place)
    init = _INIT.fullmatch(text)
    if init:
        return DraftStep(number, place, "", None, _list(init[1], place))
    gate = _GATE.fullmatch(text)
    if gate is None:
        raise place.fault(
            f"need `Initialization(Ron){{net(0)}}` or `net(9)=nor2{{net(0),net(1)}}`, got "
            f"{short(text)}"
        )
    output = _named(gate[1].strip(), place)
    return DraftStep(number, place, gate[2], output, _list(gate[3], place))


def _list(text: str, place: Place) -> tuple[NamedCell, ...]:
    found = _LISTED.fullmatch(text.strip())
    if found is None:
        raise place.fault(f"need a list as `{{net(0),net(1)}}`, got {short(text)}")
    if not found[1].strip():
        raise place.fault("need a cell or more, got none")
    return tuple(_named(part.strip(), place) for part in found[1].split(","))


def _named(text: str, place: Place) -> NamedCell:
    bare = text[1:-1] if len(text) > 1 and text[0] == text[-1] == "'" else text
    found = _NAMED.fullmatch(bare)
    if found is None:
        raise place.fault(f"need a net and its cell as `net(0)`, got {short(text)}")
    name = name_of(found[1], "a name", place)
    return NamedCell(name, natural(found[2], "the number of a cell", place))
