"""Signed weights in unsigned cells, and inputs in slices: how numbers lie in a crossbar.

A number of n bits is cut into digits of as many bits as a cell holds (a weight's bit-slices) or a
DAC drives (an input's slices). A signed number in two's complement keeps its sign bit in a digit of
its own, whose factor is negative.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError, MappingError

__all__ = [
    "COLUMNS_AT_ONCE",
    "ENCODINGS",
    "Digit",
    "Encoding",
    "StoredWeights",
    "columns_per_weight",
    "digits_of",
    "encode_weights",
]

Ints = npt.NDArray[np.int64]
Levels = npt.NDArray[np.integer[Any]]
Indices = npt.NDArray[np.integer[Any]]
Rows = slice | Indices

Encoding = Literal[
    "offset", "differential", "differential_paired", "twos_complement", "column_flip"
]
ENCODINGS: Final[tuple[str, ...]] = get_args(Encoding)
"""offset: w + 2^(n-1) in the cells, 2^(n-1) times the inputs' sum subtracted digitally (ISAAC).
differential: positive and negative magnitudes in columns of their own, both converted (PRIME).
differential_paired: the same in pairs of bitlines whose currents are subtracted before conversion.
twos_complement: the bits of w; the sign bit has a column of its own with a negative factor.
column_flip: offset; per array, a column whose cells sum to more than half is stored complemented.
"""

_MAX_BITS = 16
_ALL_ROWS = slice(None)
_OUTPUTS_AT_ONCE = 128  # whose weights are put together from cells
COLUMNS_AT_ONCE = 256
"""Columns whose cells are made at a time, where all are looked at."""


class Digit(NamedTuple):
    """Some bits of a number: the lowest one, how many, and what the digit counts for."""

    low: int
    width: int
    factor: int

    def of(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return this digit of numbers, as an unsigned number of `width` bits."""
        digit: npt.NDArray[Any] = numbers >> self.low
        digit &= (1 << self.width) - 1
        return digit


def digits_of(n_bits: int, digit_bits: int, *, signed: bool) -> tuple[Digit, ...]:
    """Return how a number of `n_bits` is cut, least significant digit first.

    Raises
    ------
    ConfigError
        A width is not 1 to 16.
    """
    for what, got in (("number", n_bits), ("digit", digit_bits)):
        if not 1 <= got <= _MAX_BITS:
            raise ConfigError(f"digits_of: need a {what} of 1 to {_MAX_BITS} bits, got {got}")
    magnitude = n_bits - 1 if signed else n_bits
    digits = [
        Digit(low, min(digit_bits, magnitude - low), 1 << low)
        for low in range(0, magnitude, digit_bits)
    ]
    if signed:
        digits.append(Digit(magnitude, 1, -(1 << magnitude)))
    return tuple(digits)


@dataclass(frozen=True, slots=True)
class _Held:
    """The numbers that cells hold, and how each is cut into columns.

    Shapes
    ------
    numbers: (n_outputs, rows) integers, to which `shift` is added
    kept: of that shape, False where no cell is kept and the level is 0; None where all are
    """

    numbers: npt.NDArray[np.integer]
    shift: int
    kept: npt.NDArray[np.bool_] | None
    digits: tuple[Digit, ...]
    signs: tuple[int, ...]
    """(1,): the digits of the number; (1, -1): those of its magnitude where it has that sign; (0,):
    the second less the first."""

    @property
    def n_parts(self) -> int:
        """Columns of one output."""
        return len(self.signs) * len(self.digits)

    def digit(self, part: int) -> Digit:
        """Return what a column of each output holds."""
        return self.digits[part % len(self.digits)]

    def levels(self, part: int, outputs: Indices, rows: Rows) -> Levels:
        """Return the levels of a column of some outputs, (outputs, rows)."""
        narrow = self.numbers.dtype == np.int8 and self.shift < 1 << 14
        kind = np.dtype(np.int16 if narrow else np.int32)
        numbers: npt.NDArray[Any] = self.numbers[outputs][:, rows].astype(kind)
        if self.shift:
            numbers += self.shift
        if self.kept is not None:
            numbers *= self.kept[outputs][:, rows]
        digit, sign = self.digit(part), self.signs[part // len(self.digits)]
        if self.signs == (1,):
            return digit.of(numbers)
        if sign:
            return digit.of(np.maximum(sign * numbers, 0))
        levels: Levels = digit.of(np.maximum(numbers, 0)) - digit.of(np.maximum(-numbers, 0))
        return levels


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """Weights as cells, and what turns column readings back into products.

    output o = the ADC's step * sum over groups g and bit-slices t of factors[g, column] *
    reading[g, column], in whole numbers
    + sum over g of corrections[g, o] * (sum of the inputs of g's rows)
    - offsets[:, o] times the inputs, where weights were left out; column = t * n_outputs + o.

    Cells are made when they are asked for: a large layer has several bytes of them for each weight.

    Shapes
    ------
    row_edges: (n_groups + 1,) first row of each group; a group's rows share one array
    factors: (n_groups, columns)
    corrections: (n_groups, n_outputs)
    offsets: (rows, n_outputs), or None
    flips: (n_groups, columns) which are stored complemented, or None
    """

    encoding: str
    cell_bits: int
    held: _Held
    row_edges: Ints
    factors: Ints
    corrections: Ints
    offsets: Ints | None = None
    flips: npt.NDArray[np.bool_] | None = None

    @property
    def n_rows(self) -> int:
        """Rows of the matrix."""
        return int(self.held.numbers.shape[1])

    @property
    def n_outputs(self) -> int:
        """Outputs, each with a column for each of its bit-slices."""
        return int(self.held.numbers.shape[0])

    @property
    def n_columns(self) -> int:
        """Columns of all outputs."""
        return self.n_outputs * self.held.n_parts

    @property
    def cells(self) -> Levels:
        """All cells, (rows, columns), 0 to 2^cell_bits - 1; of pairs, negative down to its inverse.

        `columns` gives some of them; this is for matrices that are not large.
        """
        return self.columns(np.arange(self.n_columns)).T

    def columns(self, columns: Indices, rows: Rows = _ALL_ROWS) -> Levels:
        """Return the cells of some columns, and in these of some rows: (columns, rows)."""
        n_here = len(range(self.n_rows)[rows]) if isinstance(rows, slice) else len(rows)
        kind = np.int8 if self.cell_bits < 8 else np.int16
        levels = np.empty((len(columns), n_here), kind)
        parts = columns // self.n_outputs
        for part in np.unique(parts):
            chosen = np.flatnonzero(parts == part)
            outputs = columns[chosen] % self.n_outputs
            levels[chosen] = self.held.levels(int(part), outputs, rows)
        if self.flips is not None:
            flipped = self.flips[:, columns][self.row_groups[rows]].T
            levels = np.where(
                flipped, self._tops(parts).astype(kind)[:, np.newaxis] - levels, levels
            )
        return levels

    def blocks(self, n_at_once: int) -> Iterator[tuple[int, Levels]]:
        """Yield all columns, some at a time: the number of the first, and (columns, rows)."""
        for first in range(0, self.n_columns, n_at_once):
            yield first, self.columns(np.arange(first, min(first + n_at_once, self.n_columns)))

    def _tops(self, parts: Indices) -> Ints:
        """Return the highest level of columns."""
        tops = [(1 << self.held.digit(part).width) - 1 for part in range(self.held.n_parts)]
        return np.array(tops, np.int64)[parts]

    @property
    def row_groups(self) -> Ints:
        """The group of each row, (rows,)."""
        return np.searchsorted(self.row_edges, np.arange(self.n_rows), "right") - 1

    @property
    def digital(self) -> Ints | None:
        """What an input of 1 adds without a read, (rows, n_outputs); None where that is nothing."""
        if self.offsets is None and not self.corrections.any():
            return None
        given: Ints = self.corrections[self.row_groups]
        return given if self.offsets is None else given - self.offsets

    @property
    def weights(self) -> npt.NDArray[np.int32]:
        """The weights that cells and digital side hold together, (rows, n_outputs)."""
        weights = np.empty((self.n_outputs, self.n_rows), np.int32)
        groups = self.row_groups
        for first in range(0, self.n_outputs, _OUTPUTS_AT_ONCE):
            outputs = np.arange(first, min(first + _OUTPUTS_AT_ONCE, self.n_outputs))
            total = self.corrections[:, outputs][groups].T
            if self.offsets is not None:
                total = total - self.offsets[:, outputs].T
            for part in range(self.held.n_parts):
                columns = part * self.n_outputs + outputs
                total = total + self.columns(columns) * self.factors[:, columns][groups].T
            weights[outputs] = total
        return weights.T

    @property
    def paired(self) -> bool:
        """Whether a column is a pair of bitlines, so that cells are signed."""
        return self.encoding == "differential_paired"


def encode_weights(
    weights: npt.NDArray[np.integer],
    weight_bits: int,
    encoding: str,
    cell_bits: int,
    array_rows: int,
    kept: npt.NDArray[np.bool_] | None = None,
    zeros: npt.NDArray[np.integer] | None = None,
) -> StoredWeights:
    """Return signed weights as cells; what a weight counts for is its distance from its zero point.

    Cells hold the weights as they are; zero points are taken off digitally, as the offset of an
    encoding is. `kept` marks the weights that have a cell; the others, which must equal their zero
    point, store level 0 and take no part in a correction.

    Shapes
    ------
    weights: (rows, n_outputs) integers within -2^(weight_bits - 1) .. 2^(weight_bits - 1) - 1;
        differential encodings do not hold the lowest
    kept: (rows, n_outputs)
    zeros: (n_outputs,) zero points; all 0 unless given

    Raises
    ------
    ConfigError
        The encoding is unknown or a width is out of range.
    MappingError
        A weight does not fit, or one that is left out is not its zero point.
    """
    if encoding not in ENCODINGS:
        raise ConfigError(f"encoding: need one of {', '.join(ENCODINGS)}, got {encoding!r}")
    if not 2 <= weight_bits <= _MAX_BITS or not 1 <= cell_bits <= 8:
        raise ConfigError(
            f"encoding {encoding}: need 2 to {_MAX_BITS} weight bits and 1 to 8 cell bits, got "
            f"{weight_bits} and {cell_bits}"
        )
    if array_rows < 1:
        raise ConfigError(f"encoding {encoding}: need arrays of 1 row or more, got {array_rows}")
    w = np.asarray(weights)
    zero_points = np.zeros(w.shape[-1:], np.int64) if zeros is None else np.asarray(zeros, np.int64)
    _check_weights(w, weight_bits, encoding, kept, zero_points)
    shift = 1 << (weight_bits - 1) if encoding in ("offset", "column_flip") else 0
    stored = _stored(w, shift, kept, weight_bits, encoding, cell_bits)
    if encoding == "column_flip":
        stored = _flipped(stored, array_rows)
    constant = shift + zero_points
    if kept is None or kept.all():
        return replace(stored, corrections=stored.corrections - constant)
    if encoding == "column_flip":
        raise MappingError("encoding column_flip: need all weights kept; use offset")
    return replace(stored, offsets=kept * constant) if constant.any() else stored


def _check_weights(
    w: Ints,
    weight_bits: int,
    encoding: str,
    kept: npt.NDArray[np.bool_] | None,
    zero_points: Ints,
) -> None:
    if w.ndim != 2 or w.size == 0 or (kept is not None and kept.shape != w.shape):
        raise MappingError(
            f"encoding {encoding}: need weights (rows, outputs) and a mask of that shape, got "
            f"{w.shape} and {None if kept is None else kept.shape}"
        )
    high = (1 << (weight_bits - 1)) - 1
    low = -high if encoding.startswith("differential") else -high - 1
    if w.min() < low or w.max() > high:
        raise MappingError(
            f"encoding {encoding}: need weights within {low}..{high} for {weight_bits} bits, got "
            f"{w.min()}..{w.max()}; give more weight bits"
        )
    if zero_points.shape != w.shape[1:]:
        raise MappingError(
            f"encoding {encoding}: need {w.shape[1]} zero points, one an output, got shape "
            f"{zero_points.shape}"
        )
    lost = np.zeros(0, np.bool_) if kept is None else (w != zero_points) & ~kept
    if lost.any():
        row, output = np.argwhere(lost)[0]
        raise MappingError(
            f"encoding {encoding}: need weights left out to be {zero_points[output]}, got "
            f"{w[row, output]} at row {row}, output {output}; the mask disagrees with the weights"
        )


def _stored(
    w: npt.NDArray[np.integer],
    shift: int,
    kept: npt.NDArray[np.bool_] | None,
    weight_bits: int,
    encoding: str,
    cell_bits: int,
) -> StoredWeights:
    """Return weights as cells of one group of rows, nothing corrected."""
    by_sign = encoding.startswith("differential")
    digits = digits_of(weight_bits - by_sign, cell_bits, signed=encoding == "twos_complement")
    signs = {"differential": (1, -1), "differential_paired": (0,)}.get(encoding, (1,))
    fits = w.min() >= -128 and w.max() < 128
    numbers: npt.NDArray[Any] = np.ascontiguousarray(w.T.astype(np.int8 if fits else np.int32))
    held = _Held(numbers, shift, None if kept is None else kept.T, digits, signs)
    factors = [(sign or 1) * digit.factor for sign in signs for digit in digits]
    n_outputs, n_rows = numbers.shape
    return StoredWeights(
        encoding,
        cell_bits,
        held,
        np.array([0, n_rows], np.int64),
        np.repeat(np.array([factors], np.int64), n_outputs, axis=1),
        np.zeros((1, n_outputs), np.int64),
    )


def _flipped(plain: StoredWeights, array_rows: int) -> StoredWeights:
    """Complement, array by array, the columns that sum to more than half of what they could.

    sum(g x) = (2^b - 1) sum(x) - sum((2^b - 1 - g) x), so no column of n rows ever reads more than
    n (2^b - 1) / 2: 192 for 128 rows of 2-bit cells, which 8 bits hold where 384 took 9.
    """
    edges = np.array([*range(0, plain.n_rows, array_rows), plain.n_rows], np.int64)
    tops = plain._tops(np.arange(plain.n_columns) // plain.n_outputs)
    flips = np.empty((len(edges) - 1, plain.n_columns), np.bool_)
    for first, levels in plain.blocks(COLUMNS_AT_ONCE):
        here = slice(first, first + len(levels))
        sums = np.add.reduceat(levels, edges[:-1], axis=1, dtype=np.int64)
        could = np.diff(edges)[:, np.newaxis] * tops[here]
        flips[:, here] = could < 2 * sums.T
    factors = np.repeat(plain.factors, len(flips), axis=0)
    regained = np.where(flips, factors * tops, 0)
    corrections = regained.reshape(len(flips), -1, plain.n_outputs).sum(axis=1)
    factors[flips] *= -1
    return replace(plain, row_edges=edges, factors=factors, corrections=corrections, flips=flips)


def columns_per_weight(weight_bits: int, encoding: str, cell_bits: int) -> int:
    """Return the columns that hold one weight; of differential_paired, the pairs of bitlines."""
    signed_magnitude = encoding.startswith("differential")
    digits = digits_of(
        weight_bits - signed_magnitude, cell_bits, signed=encoding == "twos_complement"
    )
    return len(digits) * (2 if encoding == "differential" else 1)
