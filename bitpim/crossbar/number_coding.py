"""How numbers meet crossbars: weights as numbers that cells hold, inputs as codes that are driven.

All layouts of a machine share it. A number is cut into cells by `encodings`, a driven code into
slices by `input_slices`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.encodings import StoredWeights, columns_per_weight, encode_weights
from bitpim.crossbar.input_slices import InputCoding
from bitpim.errors import MappingError
from bitpim_traces.records import LayerRecord, Quantization, Trace

__all__ = ["NumberCoding", "WeightMatrix"]

Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.integer[Any]]
Bits = int | Literal["trace"]

_MOST_BITS = 16  # of a number in cells


@dataclass(frozen=True, slots=True)
class WeightMatrix:
    """The weights of one conv group as signed numbers: weight = number - zero.

    Shapes
    ------
    numbers: (K, M) of the group, K ordered as flattened IHW
    zeros: (M,)
    """

    numbers: Numbers
    zeros: Ints
    bits: int


@dataclass(frozen=True, slots=True)
class NumberCoding:
    """The crossbars of a machine, and how weights lie in their cells and inputs are driven.

    Attributes
    ----------
    geometry : sizes of the crossbars
    encoding : one of `encodings.ENCODINGS`
    weight_bits, input_bits : of every number; "trace" takes those of a layer's codes, of a weight 2
        at least
    """

    geometry: CrossbarGeometry
    encoding: str
    weight_bits: Bits
    input_bits: Bits

    @property
    def holds_lowest(self) -> bool:
        """Whether cells hold -2^(bits - 1); pairs of magnitudes lack it."""
        return not self.encoding.startswith("differential")

    def columns_per_weight(self, layer: LayerRecord) -> int:
        """Return the bitlines that hold one weight of a layer."""
        return columns_per_weight(self._given_bits(layer), self.encoding, self.geometry.cell_bits)

    def check(self, trace: Trace, layer: LayerRecord, alike: Sequence[LayerRecord]) -> None:
        """Raise unless cells hold all weights of a layer, and its inputs can be driven.

        `alike` are the layers of this coding, it among them. Plans and runs ask it. Weights are
        read only where the encoding lacks the lowest number.

        Raises
        ------
        MappingError
            The layer does not fit, with the setting that serves all that are alike.
        """
        need, given = self._needed_bits(layer), self._given_bits(layer)
        if need > given:
            most = max(map(self._needed_bits, alike))
            raise _too_narrow(layer, self.encoding, most, given)
        bits = trace.input_quantizations(layer)[0].bits
        if self.input_bits != "trace" and bits > self.input_bits:
            most = max(trace.input_quantizations(other)[0].bits for other in alike)
            raise MappingError(
                f"{_where(layer)}: need inputs of at most {self.input_bits} bits, got {bits}; "
                f"use `--set numbers.input_bits={most}`"
            )

    def weights(self, layer: LayerRecord) -> list[WeightMatrix]:
        """Return the numbers that cells hold, conv group by conv group.

        They are the weights less their zero points where those fit, else the codes as signed
        numbers, whose zero points are then corrected digitally.

        Raises
        ------
        MappingError
            The codes have more bits than the weights, or are more than the encoding holds.
        """
        width = self._given_bits(layer)
        need = self._needed_bits(layer)
        if need > width:
            raise _too_narrow(layer, self.encoding, need, width)
        numbers, zeros = self._numbers(layer, width)
        n_groups = layer.geometry.groups if layer.geometry else 1
        parts = zip(np.split(numbers, n_groups), np.split(zeros, n_groups), strict=True)
        return [WeightMatrix(part.T, zero, width) for part, zero in parts]

    def _numbers(self, layer: LayerRecord, width: int) -> tuple[Numbers, Ints]:
        """Return what cells of so many bits are to hold, one row a filter, and its zero points."""
        assert layer.weight is not None and layer.weight_quantization is not None
        quantization = layer.weight_quantization
        small = quantization.bits <= 8
        held = np.dtype(np.int16 if small else np.int32)  # half the memory of a large layer
        codes: npt.NDArray[Any] = (
            layer.weight.read().astype(held).reshape(layer.weight.shape[0], -1)
        )
        zeros = np.broadcast_to(quantization.zero_point, codes.shape[:1]).astype(np.int64)
        low, high = self._ends(width)
        least, most = codes.min(axis=1) - zeros, codes.max(axis=1) - zeros
        half = 0 if quantization.signed else 1 << (quantization.bits - 1)
        fits = low <= least.min() and most.max() <= high
        taken = zeros if fits else np.full_like(zeros, half)
        codes -= taken.astype(held)[:, None]
        return codes, zeros - taken

    def _ends(self, width: int) -> tuple[int, int]:
        """Return the lowest and the highest number that cells of so many bits hold."""
        high = (1 << (width - 1)) - 1
        return -high - self.holds_lowest, high

    def _given_bits(self, layer: LayerRecord) -> int:
        """Return the bits that settings give a layer's weights; a signed number has 2 at least."""
        assert layer.weight_quantization is not None
        if self.weight_bits == "trace":
            return max(2, layer.weight_quantization.bits)
        return self.weight_bits

    def _needed_bits(self, layer: LayerRecord) -> int:
        """Return the bits that hold a layer's weights: those of its codes, or one more.

        One more where the encoding lacks the lowest number, and a weight is that.
        """
        assert layer.weight_quantization is not None
        bits = max(2, layer.weight_quantization.bits)
        if self.holds_lowest or self._given_bits(layer) != bits:
            return bits
        return bits + int(self._numbers(layer, bits)[0].min() < self._ends(bits)[0])

    def encoded(
        self, weights: WeightMatrix, array_rows: int, kept: npt.NDArray[np.bool_] | None = None
    ) -> StoredWeights:
        """Return weights as cells of arrays of so many rows; `kept` marks those that have one.

        Raises
        ------
        MappingError
            A weight that is left out is not its zero point.
        """
        return encode_weights(
            weights.numbers,
            weights.bits,
            self.encoding,
            self.geometry.cell_bits,
            array_rows,
            kept,
            weights.zeros,
        )

    def inputs(self, layer: LayerRecord, quantization: Quantization) -> InputCoding:
        """Return how a layer's input codes are cut into slices."""
        width = quantization.bits if self.input_bits == "trace" else self.input_bits
        return InputCoding(width, quantization.signed, quantization.bits)


def _too_narrow(layer: LayerRecord, encoding: str, need: int, given: int) -> MappingError:
    remedy = f"numbers.weight_bits={need}" if need <= _MOST_BITS else "numbers.encoding=offset"
    return MappingError(
        f"{_where(layer)}: need {need} bits for weights in encoding {encoding}, got {given}; use "
        f"`--set {remedy}`"
    )


def _where(layer: LayerRecord) -> str:
    return f"layer {layer.index} {layer.name!r} ({layer.kind})"
