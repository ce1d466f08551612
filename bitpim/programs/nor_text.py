"""Reader of veriSIMPLER's text: cells by number, a step a line.

    Inputs: G1(M0),G3(M1)
    T0: INIT M5,M6
    T1: M6 = inv1 {M0}
    T2: M5 = nor2 {M6,M1}

The steps end with the file, or with the announced last one where a blank line follows: what stands
below it is no step, is left out, and is said to be.

Source: the files that veriSIMPLER publishes (found).
"""

import re

from bitpim.programs.nor_draft import (
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

__all__ = ["FORM", "read_text", "take_claim"]

FORM = "veriSIMPLER text"
_STEP = re.compile(r"T([0-9]+)\s*:\s*(.*)")
_GATE = re.compile(r"(\S+)\s*=\s*(\w+)\s*\{([^{}]*)\}")
_LIKE_A_STEP = re.compile(r"T\s*[0-9]+\s*:", re.IGNORECASE)
_PORT = re.compile(r"([^\s(){},=:'\"]+)\((M[0-9]+)\)")
_NUMBERS = ("row", "gates", "n_inputs", "n_outputs", "cycles", "reuse", "used")


def read_text(text: str, file: str) -> Draft:
    """Read a file of this form.

    Raises
    ------
    ProgramError
        A line is none that this form has; it names the line.
    """
    lines = list(numbered_lines(text, file))
    draft = Draft(FORM, Place(file, 1))
    first = _head(lines, draft)
    draft.need("row", "inputs", "outputs", "cycles")
    draft.inputs = _ports(draft.claims["inputs"])
    draft.outputs = _ports(draft.claims["outputs"])
    for at, (place, line) in enumerate(lines[first:], first):
        if line:
            draft.steps.append(_step(line, place))
        elif _is_end(lines, at, draft):
            break
    return draft


def take_claim(draft: Draft, key: str, value: str, place: Place) -> None:
    """Add a line ``key: value`` of a head to a draft.

    Raises
    ------
    ProgramError
        Its key is unknown or was there before, or its value is no number where it has to be one.
    """
    word = claim_of(key)
    if not word:
        raise place.fault(f"need a line of the head or a step, got {short(f'{key}: {value}')}")
    if word in draft.claims:
        raise place.fault(f"need `{key}` once, got it on line {draft.claims[word].place.line}, too")
    is_number = word in _NUMBERS
    what = f"`{key}`"
    claimed = natural(value, what, place) if is_number else name_of(value, what, place)
    draft.claims[word] = Claim(claimed, place)


def _head(lines: list[tuple[Place, str]], draft: Draft) -> int:
    """Read the head, and return which line is the first of the steps."""
    for at, (place, line) in enumerate(lines):
        key, colon, value = line.partition(":")
        if key.strip() == "Execution sequence" and colon and not value:
            return at + 1
        if line:
            take_claim(draft, key.strip(), value.strip(), place)
    raise draft.place.fault("need a line `Execution sequence:` before the steps, got none")


def _ports(claim: Claim) -> list[NamedCell]:
    """Read ``name(M0),name(M1)``."""
    ports = []
    for text in str(claim.value).split(","):
        found = _PORT.fullmatch(text.strip())
        if found is None:
            raise claim.place.fault(f"need ports as `name(M0)`, by commas, got {short(text)}")
        ports.append(
            NamedCell(name_of(found[1], "a name", claim.place), _cell(found[2], claim.place))
        )
    return ports


def _cell(text: str, place: Place) -> int:
    if not text.startswith("M"):
        raise place.fault(f"need a cell as `M0`, got {short(text)}")
    return natural(text[1:], "the number of a cell", place)


def _step(line: str, place: Place) -> DraftStep:
    found = _STEP.fullmatch(line)
    if found is None:
        raise place.fault(f"need a step as `T1: M9 = inv1 {{M0}}`, got {short(line)}")
    number, rest = natural(found[1], "the number of a step", place), found[2]
    word, _, listed = rest.partition(" ")
    if word == "INIT":
        return DraftStep(number, place, "", None, _cells(listed, place))
    gate = _GATE.fullmatch(rest)
    if gate is None:
        raise place.fault(f"need `INIT M0,M1` or `M9 = nor2 {{M0,M1}}`, got {short(rest)}")
    output = NamedCell("", _cell(gate[1], place))
    return DraftStep(number, place, gate[2], output, _cells(gate[3], place))


def _cells(listed: str, place: Place) -> tuple[NamedCell, ...]:
    if not listed.strip():
        raise place.fault("need a cell or more, got none")
    return tuple(NamedCell("", _cell(text.strip(), place)) for text in listed.split(","))


def _is_end(lines: list[tuple[Place, str]], at: int, draft: Draft) -> bool:
    """Whether the steps end at a blank line; say what is left out below it."""
    below = [(place, line) for place, line in lines[at:] if line]
    if not below:
        return True
    if not draft.steps or draft.steps[-1].number != draft.number("cycles"):
        return False
    for place, line in below:
        if _LIKE_A_STEP.match(line):
            raise place.fault(f"need no step after the announced last, got {short(line)}")
    first, last = below[0][0].line, below[-1][0].line
    draft.notes.append(
        f"lines {first} to {last} stand below the announced last step and are left out"
    )
    return True
