"""Convolution and linear layers on crossbars: windows in, OU reads, codes out."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.layout import CrossbarMatrix
from bitpim.crossbar.pieces import ReadCounts
from bitpim.crossbar.replication import read_by_copies
from bitpim.digital.bounds import outside, wrapped
from bitpim.digital.requantize import RequantizeSteps, steps_of
from bitpim.digital.windows import elements_met, window_of
from bitpim.threads import share_out
from bitpim_kernels.requantize import requantize_rows
from bitpim_kernels.windows import gather_rows
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["CrossbarLayer"]

Codes = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

_WORK_BYTES = 32 << 20
"""What the windows and the sums of samples read together may take."""


class CrossbarLayer:
    """One layer with its matrices, ready for batches.

    `n_copies` of all matrices share the positions of a sample; `skips` tells whether inputs decide
    on their reads.
    """

    def __init__(
        self,
        layer: LayerRecord,
        quantization: Quantization,
        matrices: Sequence[CrossbarMatrix],
        fidelity: Literal["bit", "integer"],
        *,
        saturate: bool,
        n_copies: int = 1,
        skips: bool = False,
    ) -> None:
        assert layer.weight is not None and layer.weight_quantization is not None
        self.layer, self.matrices, self.saturate = layer, matrices, saturate
        self.fidelity, self.n_copies, self.skips = fidelity, n_copies, skips
        self._window = window_of(layer.geometry, layer.input_shapes[0])
        self.n_positions = self._window.rows * self._window.cols
        self._dtype = code_dtype(quantization)
        self._constants = _constants(layer, int(quantization.zero_point[0]))
        self._steps = _checked_steps(layer, len(self._constants))
        low, high = self._steps.bounds.less(self._constants)
        self._sum_steps = self._steps.kernel_steps._replace(low=low, high=high)
        self._added = wrapped(self._constants)

    def run(self, inputs: Codes) -> tuple[Codes, ReadCounts]:
        """Return output codes (N, *output_shape) of input codes, and what happened."""
        images = _channels_last(inputs, self._dtype)
        n_samples, n_outputs = len(images), self.layer.output_shape[0]
        out = np.empty((n_samples * self.n_positions, n_outputs), code_dtype(self.layer.output))
        counts = [
            self._read(images[first : first + step], out[first * self.n_positions :])
            for step in [self._samples_at_once()]
            for first in range(0, n_samples, step)
        ]
        shape = (n_samples, *self.layer.output_shape[1:], n_outputs)
        codes = out.reshape(shape)
        if codes.ndim == 4:
            codes = codes.transpose(0, 3, 1, 2)
        return codes, ReadCounts.in_turn(counts)

    def windows(self, images: Codes, group: int) -> Codes:
        """Return the windows of channels-last images as rows, for one conv group."""
        n_positions = len(images) * self.n_positions
        depth = images.shape[3] // len(self.matrices)
        channels = (group * depth, (group + 1) * depth)
        rows = np.empty((n_positions, depth * self._window.n_taps), images.dtype)

        def gather(start: int, stop: int) -> None:
            pad = self.layer.pad_code
            gather_rows(images, channels, self._window, pad, start, rows[start:stop])

        share_out(n_positions, gather)
        return rows

    def window(self, inputs: Codes, group: int, position: int) -> Codes:
        """Return the inputs of one position of the first sample, as a conv group's rows."""
        row: Codes = self.windows(_channels_last(inputs[:1], self._dtype), group)[position]
        return row

    def elements(self, group: int, position: int) -> Ints:
        """Return the element of the input that each row of a conv group takes, -1 for padding."""
        depth = self._window.channels // len(self.matrices)
        channels, taps = np.divmod(np.arange(depth * self._window.n_taps), self._window.n_taps)
        return elements_met(self._window, position, channels + group * depth, taps)

    def partial_sums(self, inputs: Codes) -> tuple[Ints, int]:
        """Return how often each partial sum occurs over all conv groups, and the least one."""
        images = _channels_last(inputs, self._dtype)
        step = self._samples_at_once()
        total, least = np.zeros(0, np.int64), 0
        for first in range(0, len(images), step):
            for group, matrix in enumerate(self.matrices):
                seen, at = matrix.partial_sums(self.windows(images[first : first + step], group))
                total, least = _tallied(total, least, seen, at)
        return total, least

    def _read(self, images: Codes, out: Codes) -> ReadCounts:
        """Read all conv groups for some samples; write their codes to the front of `out`."""
        of_groups, first = [], 0
        for group, matrix in enumerate(self.matrices):
            x, how = self.windows(images, group), (len(images), self.fidelity, self.n_copies)
            sums, counts = read_by_copies(matrix, x, *how, skips=self.skips)
            of_groups.append(counts)
            self._requantize(sums, first, out[: len(sums)])
            first += sums.shape[1]
        return ReadCounts.side_by_side(of_groups)

    def _requantize(self, sums: Ints, first: int, out: Codes) -> None:
        constants, steps = self._added[first : first + sums.shape[1]], self._sum_steps

        def requantize(start: int, stop: int) -> None:
            fault = np.zeros(3, np.int64)
            part = sums[start:stop]
            requantize_rows(part, constants, steps, first, self.saturate, fault, out[start:stop])
            if fault[0]:
                channel = int(fault[1])
                found = int(fault[2]) + int(self._constants[channel])
                raise outside(self.layer, self._steps.bounds, found, channel)

        share_out(len(sums), requantize)

    def _samples_at_once(self) -> int:
        taps = self._window.n_taps * self._window.channels
        groups = len(self.matrices)
        per_position = taps // groups * self._dtype.itemsize + self.layer.output_shape[0] * 8
        return max(1, _WORK_BYTES // max(1, per_position * self.n_positions))


def _constants(layer: LayerRecord, input_zero: int) -> npt.NDArray[np.object_]:
    """Return what is added to a product of raw input codes: the bias and the zero point's share.

    Python integers, since int64 does not hold all of them.
    """
    assert layer.weight is not None and layer.weight_quantization is not None
    codes = layer.weight.read().reshape(layer.weight.shape[0], -1)
    totals = codes.sum(axis=1, dtype=np.int64)
    totals = totals - codes.shape[1] * layer.weight_quantization.zero_point
    bias = np.zeros(len(codes), np.int64) if layer.bias is None else layer.bias.read()
    constants: npt.NDArray[np.object_] = bias.astype(object) - input_zero * totals.astype(object)
    return constants


def _checked_steps(layer: LayerRecord, n: int) -> RequantizeSteps:
    """Return the requantize step; what a lossy converter can make of a sum has no closer bound."""
    reach = np.full(n, (1 << 62), np.int64)
    return steps_of(layer, n, -reach, reach)


def _channels_last(codes: Codes, dtype: np.dtype[Any]) -> Codes:
    images = codes.transpose(0, 2, 3, 1) if codes.ndim == 4 else codes[:, None, None, :]
    return np.ascontiguousarray(images, dtype)


def _tallied(total: Ints, least: int, seen: Ints, at: int) -> tuple[Ints, int]:
    """Return two tallies of numbers as one; each begins at its own least number."""
    start = min(least, at)
    joined = np.zeros(max(least + len(total), at + len(seen)) - start, np.int64)
    joined[least - start : least - start + len(total)] += total
    joined[at - start : at - start + len(seen)] += seen
    return joined, start
