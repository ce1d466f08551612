"""Signed weights in unsigned cells, and inputs in slices: how numbers lie in a crossbar.

A number of n bits is cut into digits of as many bits as a cell holds (a weight's bit-slices) or a
DAC drives (an input's slices). A signed number in two's complement keeps its sign bit in a digit of
its own, whose factor is negative.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError, MappingError

__all__ = [
    "ENCODINGS",
    "Digit",
    "Encoding",
    "StoredWeights",
    "columns_per_weight",
    "digits_of",
    "encode_weights",
]

Ints = npt.NDArray[np.int64]
Levels = npt.NDArray[np.int16]

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
_CUT_NUMBERS = 1 << 20  # weights that are cut into levels at a time


class Digit(NamedTuple):
    """Some bits of a number: the lowest one, how many, and what the digit counts for."""

    low: int
    width: int
    factor: int

    def of(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return this digit of numbers, as an unsigned number of `width` bits."""
        return (numbers >> self.low) & ((1 << self.width) - 1)


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
class StoredWeights:
    """Weights as cells, and what turns column readings back into products.

    output o = the ADC's step * sum over groups g and bit-slices t of factors[g, column] *
    reading[g, column], in whole numbers
    + sum over g of corrections[g, o] * (sum of the inputs of g's rows)
    - offsets[:, o] times the inputs, where weights were left out; column = t * n_outputs + o.

    Shapes
    ------
    cells: (rows, n_bit_slices * n_outputs) 0 to 2^cell_bits - 1; of pairs, negative down to
        -(2^cell_bits - 1)
    row_edges: (n_groups + 1,) first row of each group; a group's rows share one array
    factors: (n_groups, columns)
    corrections: (n_groups, n_outputs)
    offsets: (rows, n_outputs), or None
    """

    encoding: str
    cell_bits: int
    n_outputs: int
    cells: Levels
    row_edges: Ints
    factors: Ints
    corrections: Ints
    offsets: Ints | None = None

    @property
    def row_groups(self) -> Ints:
        """The group of each row, (rows,)."""
        return np.searchsorted(self.row_edges, np.arange(len(self.cells)), "right") - 1

    @property
    def digital(self) -> Ints:
        """What an input of 1 adds without a read, (rows, n_outputs)."""
        given: Ints = self.corrections[self.row_groups]
        return given if self.offsets is None else given - self.offsets

    @property
    def weights(self) -> Ints:
        """The weights that cells and digital side hold together, (rows, n_outputs)."""
        weights, groups = self.digital, self.row_groups
        for first in range(0, self.cells.shape[1], self.n_outputs):
            columns = slice(first, first + self.n_outputs)
            weights += self.cells[:, columns] * self.factors[groups, columns]
        return weights

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
    w = w if w.dtype in (np.int32, np.int64) else w.astype(np.int64)
    zero_points = np.zeros(w.shape[-1:], np.int64) if zeros is None else np.asarray(zeros, np.int64)
    _check_weights(w, weight_bits, encoding, kept, zero_points)
    shift = 1 << (weight_bits - 1) if encoding in ("offset", "column_flip") else 0
    stored = _cells_of(_Held(w, shift, kept), weight_bits, encoding, cell_bits, array_rows)
    constant = shift + zero_points
    if kept is None or kept.all():
        return replace(stored, corrections=stored.corrections - constant)
    if encoding == "column_flip":
        raise MappingError("encoding column_flip: need all weights kept; use offset")
    return replace(stored, offsets=kept * constant) if constant.any() else stored


@dataclass(frozen=True, slots=True)
class _Held:
    """The numbers that cells hold: weights and a shift; 0 where no cell is kept."""

    weights: npt.NDArray[np.integer]
    shift: int
    kept: npt.NDArray[np.bool_] | None

    def rows(self, rows: slice) -> npt.NDArray[np.integer]:
        numbers = self.weights[rows] + self.shift
        return numbers if self.kept is None else np.where(self.kept[rows], numbers, 0)


def _cells_of(
    held: _Held, weight_bits: int, encoding: str, cell_bits: int, array_rows: int
) -> StoredWeights:
    if encoding.startswith("differential"):
        return _differential(held, weight_bits, encoding, cell_bits)
    digits = digits_of(weight_bits, cell_bits, signed=encoding == "twos_complement")
    plain = _plain(held, encoding, cell_bits, digits)
    return _flipped(plain, digits, array_rows) if encoding == "column_flip" else plain


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


def _cut(held: _Held, digits: tuple[Digit, ...], signs: tuple[int, ...]) -> Levels:
    """Return the levels of all columns: for each sign, the digits of the magnitudes it takes.

    Some rows at a time, so that no number but the levels is held for all weights.
    """
    n_rows, n_outputs = held.weights.shape
    cells = np.empty((n_rows, len(signs) * len(digits) * n_outputs), np.int16)
    step = max(1, _CUT_NUMBERS // n_outputs)
    for first in range(0, n_rows, step):
        rows = slice(first, first + step)
        numbers = held.rows(rows)
        column = 0
        for sign in signs:
            part = numbers if len(signs) == 1 else np.maximum(sign * numbers, 0)
            for digit in digits:
                cells[rows, column : column + n_outputs] = digit.of(part)
                column += n_outputs
    return cells


def _plain(held: _Held, encoding: str, cell_bits: int, digits: tuple[Digit, ...]) -> StoredWeights:
    return _stored(encoding, cell_bits, _cut(held, digits, (1,)), digits, (1,))


def _differential(held: _Held, weight_bits: int, encoding: str, cell_bits: int) -> StoredWeights:
    digits = digits_of(weight_bits - 1, cell_bits, signed=False)
    cells = _cut(held, digits, (1, -1))
    if encoding == "differential":
        return _stored(encoding, cell_bits, cells, digits, (1, -1))
    half = cells.shape[1] // 2
    return _stored(encoding, cell_bits, cells[:, :half] - cells[:, half:], digits, (1,))


def _stored(
    encoding: str,
    cell_bits: int,
    cells: Levels,
    digits: tuple[Digit, ...],
    signs: tuple[int, ...],
) -> StoredWeights:
    n_rows, n_columns = cells.shape
    n_outputs = n_columns // (len(digits) * len(signs))
    factors = [sign * digit.factor for sign in signs for digit in digits]
    return StoredWeights(
        encoding,
        cell_bits,
        n_outputs,
        cells,
        np.array([0, n_rows], np.int64),
        np.repeat(np.array([factors], np.int64), n_outputs, axis=1),
        np.zeros((1, n_outputs), np.int64),
    )


def _flipped(plain: StoredWeights, digits: tuple[Digit, ...], array_rows: int) -> StoredWeights:
    """Complement, array by array, the columns that sum to more than half of what they could.

    sum(g x) = (2^b - 1) sum(x) - sum((2^b - 1 - g) x), so no column of n rows ever reads more than
    n (2^b - 1) / 2: 192 for 128 rows of 2-bit cells, which 8 bits hold where 384 took 9.
    """
    n_rows, n_outputs = len(plain.cells), plain.n_outputs
    edges = np.array([*range(0, n_rows, array_rows), n_rows], np.int64)
    n_groups = len(edges) - 1
    tops = np.repeat([(1 << digit.width) - 1 for digit in digits], n_outputs)
    factors = np.repeat(plain.factors, n_groups, axis=0)
    corrections = np.zeros((n_groups, n_outputs), np.int64)
    for g in range(n_groups):
        rows = plain.cells[edges[g] : edges[g + 1]]
        flip = 2 * rows.sum(axis=0, dtype=np.int64) > len(rows) * tops
        rows[:, flip] = tops[flip] - rows[:, flip]
        regained = np.where(flip, factors[g] * tops, 0)
        corrections[g] = regained.reshape(len(digits), n_outputs).sum(axis=0)
        factors[g, flip] *= -1
    return replace(plain, row_edges=edges, factors=factors, corrections=corrections)


def columns_per_weight(weight_bits: int, encoding: str, cell_bits: int) -> int:
    """Return the columns that hold one weight; of differential_paired, the pairs of bitlines."""
    signed_magnitude = encoding.startswith("differential")
    digits = digits_of(
        weight_bits - signed_magnitude, cell_bits, signed=encoding == "twos_complement"
    )
    return len(digits) * (2 if encoding == "differential" else 1)
