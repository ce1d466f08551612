"""Convolution and linear layers on crossbars: windows in, OU reads, codes out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.pieces import ReadCounts
from bitpim.crossbar.readout import InputCoding
from bitpim.digital.requantize import RequantizeSteps, code_dtype, raise_if_outside, steps_of
from bitpim.digital.windows import window_of
from bitpim.errors import MappingError
from bitpim.threads import share_out
from bitpim_kernels.requantize import requantize_rows
from bitpim_kernels.windows import gather_rows
from bitpim_traces.records import LayerRecord, Quantization

__all__ = [
    "CrossbarLayer",
    "Reader",
    "StoredNumbers",
    "input_coding",
    "weight_numbers",
    "weight_width",
]

Codes = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

_WORK_BYTES = 32 << 20
"""What the windows and the sums of samples read together may take."""


class Reader(Protocol):
    """A matrix on crossbars, as `arrays` offers it."""

    @property
    def is_lossless(self) -> bool:
        """Whether no read can lose anything."""
        ...

    def read(
        self, x: Codes, n_samples: int, fidelity: Literal["bit", "integer"] = "bit"
    ) -> tuple[Ints, ReadCounts]:
        """Return inputs times weights as the crossbars read them, and what that took."""
        ...

    def partial_sums(self, x: Codes) -> tuple[Ints, int]:
        """Return how often each partial sum occurs, and the least one."""
        ...


@dataclass(frozen=True, slots=True)
class StoredNumbers:
    """The weights of one conv group as crossbars hold them: weight = number - zero.

    Shapes
    ------
    numbers: (K, M) int32 of the group, K ordered as flattened IHW
    zeros: (M,)
    """

    numbers: npt.NDArray[np.int32]
    zeros: Ints
    bits: int


def weight_width(layer: LayerRecord, bits: int | str) -> int:
    """Return the bits of a layer's weights in cells.

    Raises
    ------
    MappingError
        The codes have more bits than the machine's weights.
    """
    assert layer.weight_quantization is not None
    code_bits = layer.weight_quantization.bits
    width = code_bits if bits == "trace" else int(bits)
    if code_bits > width:
        raise MappingError(
            f"{_where(layer)}: need weights of at most {width} bits, got {code_bits}; set "
            "numbers.weight_bits"
        )
    return width


def weight_numbers(layer: LayerRecord, bits: int | str, *, lowest: bool) -> list[StoredNumbers]:
    """Return the numbers that cells hold, group by group.

    They are the weights less their zero points where those fit, else the codes as signed numbers,
    whose zero points are then corrected digitally. `lowest` says whether an encoding holds
    -2^(bits - 1).

    Raises
    ------
    MappingError
        The codes have more bits than the machine's weights, or are more than the encoding holds.
    """
    assert layer.weight is not None
    quantization = layer.weight_quantization
    assert quantization is not None
    width = weight_width(layer, bits)
    n_groups = layer.geometry.groups if layer.geometry else 1
    codes = layer.weight.read().astype(np.int32).reshape(layer.weight.shape[0], -1)
    zeros = np.broadcast_to(quantization.zero_point, codes.shape[:1]).astype(np.int64)
    high = (1 << (width - 1)) - 1
    low = -high - 1 if lowest else -high
    least, most = codes.min(axis=1) - zeros, codes.max(axis=1) - zeros
    half = 0 if quantization.signed else 1 << (quantization.bits - 1)
    fits = low <= least.min() and most.max() <= high
    taken = zeros if fits else np.full_like(zeros, half)
    codes -= taken.astype(np.int32)[:, None]
    zeros = zeros - taken
    if codes.min() < low or codes.max() > high:
        raise MappingError(
            f"{_where(layer)}: need weights within {low}..{high}, what the encoding holds in "
            f"{width} bits, got {codes.min()}..{codes.max()}; set numbers.weight_bits or "
            "numbers.encoding"
        )
    return [
        StoredNumbers(part.T, zero, width)
        for part, zero in zip(np.split(codes, n_groups), np.split(zeros, n_groups), strict=True)
    ]


def input_coding(layer: LayerRecord, quantization: Quantization, bits: int | str) -> InputCoding:
    """Return how a layer's input codes are cut into slices.

    Raises
    ------
    MappingError
        The codes have more bits than the machine's inputs.
    """
    width = quantization.bits if bits == "trace" else int(bits)
    if quantization.bits > width:
        raise MappingError(
            f"{_where(layer)}: need inputs of at most {width} bits, got {quantization.bits}; set "
            "numbers.input_bits"
        )
    return InputCoding(width, quantization.signed, quantization.bits)


def _where(layer: LayerRecord) -> str:
    return f"layer {layer.index} {layer.name!r} ({layer.kind})"


class CrossbarLayer:
    """One layer with its matrices, ready for batches."""

    def __init__(
        self,
        layer: LayerRecord,
        quantization: Quantization,
        readers: Sequence[Reader],
        fidelity: Literal["bit", "integer"],
        *,
        saturate: bool,
    ) -> None:
        assert layer.weight is not None and layer.weight_quantization is not None
        self.layer, self.readers, self.saturate = layer, readers, saturate
        self.fidelity = fidelity
        self._window = window_of(layer.geometry, layer.input_shapes[0])
        self.n_positions = self._window.rows * self._window.cols
        self._dtype = code_dtype(quantization)
        self._constants = _constants(layer, int(quantization.zero_point[0]))
        self._steps = _checked_steps(layer, self._constants)

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
        depth = images.shape[3] // len(self.readers)
        channels = (group * depth, (group + 1) * depth)
        rows = np.empty((n_positions, depth * self._window.n_taps), images.dtype)

        def gather(start: int, stop: int) -> None:
            pad = self.layer.pad_code
            gather_rows(images, channels, self._window, pad, start, rows[start:stop])

        share_out(n_positions, gather)
        return rows

    def partial_sums(self, inputs: Codes) -> tuple[Ints, int]:
        """Return how often each partial sum occurs over all conv groups, and the least one."""
        images = _channels_last(inputs, self._dtype)
        step = self._samples_at_once()
        total, least = np.zeros(0, np.int64), 0
        for first in range(0, len(images), step):
            for group, reader in enumerate(self.readers):
                seen, at = reader.partial_sums(self.windows(images[first : first + step], group))
                total, least = _tallied(total, least, seen, at)
        return total, least

    def _read(self, images: Codes, out: Codes) -> ReadCounts:
        """Read all conv groups for some samples; write their codes to the front of `out`."""
        of_groups, first = [], 0
        for group, reader in enumerate(self.readers):
            sums, counts = reader.read(self.windows(images, group), len(images), self.fidelity)
            of_groups.append(counts)
            self._requantize(sums, first, out[: len(sums)])
            first += sums.shape[1]
        return ReadCounts.side_by_side(of_groups)

    def _requantize(self, sums: Ints, first: int, out: Codes) -> None:
        constants = self._constants[first : first + sums.shape[1]]
        steps = self._steps.kernel_steps

        def requantize(start: int, stop: int) -> None:
            fault = np.zeros(3, np.int64)
            part = sums[start:stop]
            requantize_rows(part, constants, steps, first, self.saturate, fault, out[start:stop])
            raise_if_outside(self.layer, self._steps, fault)

        share_out(len(sums), requantize)

    def _samples_at_once(self) -> int:
        taps = self._window.n_taps * self._window.channels
        groups = len(self.readers)
        per_position = taps // groups * self._dtype.itemsize + self.layer.output_shape[0] * 8
        return max(1, _WORK_BYTES // max(1, per_position * self.n_positions))


def _constants(layer: LayerRecord, input_zero: int) -> Ints:
    """Return what is added to a product of raw input codes: the bias and the zero point's share."""
    assert layer.weight is not None and layer.weight_quantization is not None
    codes = layer.weight.read().reshape(layer.weight.shape[0], -1)
    totals = codes.sum(axis=1, dtype=np.int64)
    totals = totals - codes.shape[1] * layer.weight_quantization.zero_point
    bias = np.zeros(len(codes), np.int64) if layer.bias is None else layer.bias.read()
    constants: Ints = bias.astype(np.int64) - input_zero * totals
    return constants


def _checked_steps(layer: LayerRecord, constants: Ints) -> RequantizeSteps:
    """Return the requantize step; what a lossy converter can make of a sum has no closer bound."""
    reach = np.full(len(constants), (1 << 62), np.int64)
    return steps_of(layer, len(constants), -reach, reach)


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
