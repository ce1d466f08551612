"""A dump of somebody's own design held against the vectors of a program trace."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitpim.errors import MismatchError
from bitpim.golden.layer_shares import LAYER_ENTRIES, PLACES, layer_arrays
from bitpim.golden.stepper import Stepper
from bitpim.golden.vector_dump import (
    WHOLE,
    Dump,
    Reference,
    dump_of,
    read_text,
    reference_of,
    step_of,
)
from bitpim.golden.vector_words import (
    Words,
    layer_words,
    port_words,
    read_words,
    state_words,
    step_words,
)
from bitpim.golden.vectors import Entry, entries_of

__all__ = ["Checked", "check_vectors"]


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
    """Compare a folder, an .npz, a program trace or one text of words with vectors.

    Against a folder of vectors all its entries are compared, and no other may be there; against a
    program trace the states that it has, and all that the dump has beside them. A text is named as
    in a folder of vectors, ``after_12.rows.hex``, and compared by itself.

    Raises
    ------
    ConfigError
        The name of the dump does not say what it holds.
    TraceError
        A file cannot be read or breaks its format, the vectors are damaged, or the dump says that
        it is of another program.
    """
    reference = reference_of(against)
    program = reference.program
    dump = dump_of(mine, program)
    at = Stepper(program)
    if (unknown := _unknown(dump, reference, at)) is not None:
        return Checked(0, 0, f"{mine}: {unknown!r:.60} is no entry of what it is compared with")
    wanted = sorted({*dump.after, *(reference.after if dump.is_whole else ())})
    n_entries = n_words = 0
    first: _Difference | None = None
    for entry in entries_of(program, wanted):
        if first is not None and entry.step > first.step:
            break
        if where := dump.missing(entry.name):
            return Checked(n_entries, n_words, f"{mine}: {where} is missing")
        if entry.name in dump.names:
            found = _compared(dump, entry, at)
            if found is not None and (first is None or found.step < first.step):
                first = found
            n_entries, n_words = n_entries + 1, n_words + len(entry.words.values)
    return Checked(n_entries, n_words, "" if first is None else f"{mine}: {first.told}")


def _unknown(dump: Dump, reference: Reference, at: Stepper) -> str | None:
    """Return an entry of a dump that is none of what it is compared with; None if all are."""
    program = reference.program
    states = {form.name for form in at.states}
    whole = {"steps", *(() if program.port is None else ("port",))}
    whole |= layer_arrays(program).keys()
    for name in dump.names:
        step = step_of(name)
        is_known = name in whole or (name not in WHOLE and name.partition(".")[2] in states)
        is_late = reference.is_closed and step not in (-1, *reference.after)
        if step is None or not is_known or is_late:
            return name
    return None


@dataclass(frozen=True, slots=True)
class _Difference:
    """Where an entry differs, and the step at which that shows; sums show at the end."""

    step: int
    told: str


def _compared(dump: Dump, entry: Entry, at: Stepper) -> _Difference | None:
    """Return the first difference of an entry, in any form that the dump has it in."""
    values = (dump.arrays or {}).get(entry.name)
    if values is not None:
        if (values.shape, values.dtype) != (entry.values.shape, entry.values.dtype):
            told = (
                f"{entry.name}: need {entry.values.dtype} of shape {entry.values.shape}, got "
                f"{values.dtype} of shape {values.shape}"
            )
            return _Difference(entry.step, told)
        if not np.array_equal(values, entry.values):
            return _first(entry, _words_like(entry, values, at), at)
    for path, form in dump.texts.get(entry.name, ()):
        n = len(entry.words.values)
        found = read_words(read_text(path), form, entry.words.bits, n, str(path))
        if (differs := _first(entry, found, at)) is not None:
            return _Difference(differs.step, f"{path.name}: {differs.told}")
    return None


def _words_like(entry: Entry, values: Any, at: Stepper) -> list[int]:
    if entry.name == "steps":
        return list(step_words(values).values)
    if entry.name in LAYER_ENTRIES:
        return list(layer_words(values).values)
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
    if entry.name in ("sums", "outputs"):
        return at.n_steps
    return at.step_of_port_row(number) if entry.name == "port" else entry.step


def _place(entry: Entry, number: int, bit: int, at: Stepper) -> str:
    if entry.name in PLACES:
        return _place_in_layer(entry.name, number, bit, at)
    if entry.name == "port":
        return f"step {at.step_of_port_row(number)}: port row {number}, bit {bit}"
    if entry.name in WHOLE:
        return f"{entry.name.removesuffix('s').replace('_', ' ')} {number}, bit {bit}"
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


def _place_in_layer(name: str, number: int, bit: int, at: Stepper) -> str:
    places = layer_arrays(at.program)[PLACES[name]][number].tolist()
    which = f"input {places.pop(0)}, " if name == "inputs" else ""
    sample, *coordinate = places
    layer = at.program.provenance.get("layer")
    of = {"inputs": "code", "sums": "sum", "outputs": "output"}[name]
    return (
        f"layer {layer}, {which}sample {sample}, coordinate {tuple(coordinate)}, bit {bit} of the "
        f"{of}"
    )
