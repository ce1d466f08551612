"""From sums to codes: an activation searched in a table of points, then the nearest codeword."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim.digital.requantize import raise_if_outside, steps_of
from bitpim.errors import AccumulatorError
from bitpim.lookup.nearest_table import MOST_BITS, NearestTable, width_of
from bitpim_kernels.requantize import requantize_rows
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.records import LayerRecord
from bitpim_traces.value_rules import looked_up_span

__all__ = ["Encoded", "Encoding", "MatchRule"]

Codes = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


_COMPARED = ("relu", "relu6", "clamp")
"""Activations that a comparator makes, where no table of points does."""


class MatchRule(NamedTuple):
    """How the nearest is found: mode, and bits that a stage compares."""

    mode: str
    stage_bits: int


class Encoded(NamedTuple):
    """Output codes, and rows compared by searches of points and of the codebook."""

    codes: Codes
    points_compared: int
    values_compared: int


class Encoding:
    """What a layer makes of its sums, with the memories that are searched.

    Sums are limited by a comparator where the activation clips. `points` and `values` are None
    where there is no such search: without a table of points, or where the output is affine. `y` is
    the value of each point, `up` by how many places values are shifted up to be searched for, and
    `limits` what they are limited to, None where nothing is.

    Raises
    ------
    AccumulatorError
        A word would be wider than 64 bits.
    """

    def __init__(self, layer: LayerRecord, match: MatchRule, sum_bits: int) -> None:
        table, codebook = layer.product_table, layer.output.codebook
        assert table is not None
        self.layer = layer
        self.points: NearestTable | None = None
        self.values: NearestTable | None = None
        self.y: Ints | None = None
        self.up = 0
        self.limits: tuple[int, int] | None = None
        if codebook is None:
            return
        down, width = max(table.fraction_bits - codebook.fraction_bits, 0), sum_bits
        self.up = max(codebook.fraction_bits - table.fraction_bits, 0)
        if table.points is not None:
            x, y = (np.ascontiguousarray(column) for column in table.points.T)
            self.points = NearestTable(x, max(sum_bits, width_of(x)), *match)
            self.y, down, self.up, width = y, 0, 0, max(codebook.value_bits, width_of(y))
        self._need_words(sum_bits if table.points is None else 0, codebook.value_bits, down)
        width = max(width + self.up, codebook.value_bits + down)
        values = codebook.values << down
        self.values = NearestTable(values, width, *match)
        low, high = layer.clamp
        whole = (low, high) == (layer.output.code_min, layer.output.code_max)
        # beyond the ends of a codebook only the nearest by difference is the end itself
        compares = table.points is None and layer.activation in _COMPARED
        limits = compares or not whole
        self.limits = (int(values[low]), int(values[high])) if limits else None

    def _need_words(self, sum_bits: int, value_bits: int, down: int) -> None:
        """Refuse sums and values that no word holds at the finer of their fractions."""
        where = f"layer {self.layer.index} {self.layer.name!r} ({self.layer.kind})"
        if sum_bits + self.up > MOST_BITS:
            raise AccumulatorError(
                f"{where}: need words of {sum_bits + self.up} bits to search for sums at the "
                f"{self.up} further fraction bits of values, got {MOST_BITS} at most; use `--set "
                f"adder.sum_bits={max(2, MOST_BITS - self.up)}`, or values of fewer fraction bits"
            )
        if value_bits + down > MOST_BITS:
            raise AccumulatorError(
                f"{where}: need words of {value_bits + down} bits to search values at the {down} "
                f"further fraction bits of sums, got {MOST_BITS} at most; make codebooks again "
                "with `--set product_fraction_bits=N` of fewer, or fewer value_bits"
            )

    def run(self, sums: Ints) -> Encoded:
        """Return the codes of sums, (n_positions, n_outputs)."""
        if self.values is None:
            return Encoded(self._rescaled(sums), 0, 0)
        y, points_compared = sums, 0
        if self.points is not None:
            assert self.y is not None
            found = self.points.find(sums)
            y, points_compared = self.y[found.rows], found.rows_compared
        dtype = code_dtype(self.layer.output)
        rows, values_compared = self.values.encode(y, self.up, self.limits, dtype)
        return Encoded(rows, points_compared, values_compared)

    def _rescaled(self, sums: Ints) -> Codes:
        """Return affine codes of sums, by shifts; the last layer of a network has them."""
        layer, n = self.layer, sums.shape[1]
        assert layer.product_table is not None
        low, high = looked_up_span(layer, layer.product_table, [None])
        steps = steps_of(layer, n, np.broadcast_to(low, n), np.broadcast_to(high, n))
        fault, codes = np.zeros(3, np.int64), np.empty(sums.shape, code_dtype(layer.output))
        nothing = np.zeros(n, np.int64)
        requantize_rows(sums, nothing, steps.kernel_steps, 0, False, fault, codes)
        raise_if_outside(layer, steps, fault)
        return codes
