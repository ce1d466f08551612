"""How numbers meet crossbars: weights as numbers that cells hold, inputs as codes that are driven.

All layouts of a machine share it. A number is cut into cells by `encodings`, a driven code into
slices by `input_slices`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.encodings import StoredWeights, columns_per_weight, encode_weights
from bitpim.crossbar.input_slices import InputCoding
from bitpim.errors import MappingError
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["NumberCoding", "WeightMatrix"]

Ints = npt.NDArray[np.int64]
Bits = int | Literal["trace"]


@dataclass(frozen=True, slots=True)
class WeightMatrix:
    """The weights of one conv group as signed numbers: weight = number - zero.

    Shapes
    ------
    numbers: (K, M) int32 of the group, K ordered as flattened IHW
    zeros: (M,)
    """

    numbers: npt.NDArray[np.int32]
    zeros: Ints
    bits: int


@dataclass(frozen=True, slots=True)
class NumberCoding:
    """The crossbars of a machine, and how weights lie in their cells and inputs are driven.

    Attributes
    ----------
    geometry : sizes of the crossbars
    encoding : one of `encodings.ENCODINGS`
    weight_bits, input_bits : of every number; "trace" takes those of a layer's codes
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
        """Return the bitlines that hold one weight of a layer.

        Raises
        ------
        MappingError
            The codes have more bits than the weights.
        """
        return columns_per_weight(self._width(layer), self.encoding, self.geometry.cell_bits)

    def weights(self, layer: LayerRecord) -> list[WeightMatrix]:
        """Return the numbers that cells hold, conv group by conv group.

        They are the weights less their zero points where those fit, else the codes as signed
        numbers, whose zero points are then corrected digitally.

        Raises
        ------
        MappingError
            The codes have more bits than the weights, or are more than the encoding holds.
        """
        assert layer.weight is not None
        quantization = layer.weight_quantization
        assert quantization is not None
        width = self._width(layer)
        n_groups = layer.geometry.groups if layer.geometry else 1
        codes = layer.weight.read().astype(np.int32).reshape(layer.weight.shape[0], -1)
        zeros = np.broadcast_to(quantization.zero_point, codes.shape[:1]).astype(np.int64)
        high = (1 << (width - 1)) - 1
        low = -high - self.holds_lowest
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
        parts = zip(np.split(codes, n_groups), np.split(zeros, n_groups), strict=True)
        return [WeightMatrix(part.T, zero, width) for part, zero in parts]

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
        """Return how a layer's input codes are cut into slices.

        Raises
        ------
        MappingError
            The codes have more bits than what is driven.
        """
        width = quantization.bits if self.input_bits == "trace" else self.input_bits
        if quantization.bits > width:
            raise MappingError(
                f"{_where(layer)}: need inputs of at most {width} bits, got {quantization.bits}; "
                "set numbers.input_bits"
            )
        return InputCoding(width, quantization.signed, quantization.bits)

    def _width(self, layer: LayerRecord) -> int:
        """Return the bits of a layer's weights in cells."""
        assert layer.weight_quantization is not None
        code_bits = layer.weight_quantization.bits
        width = code_bits if self.weight_bits == "trace" else self.weight_bits
        if code_bits > width:
            raise MappingError(
                f"{_where(layer)}: need weights of at most {width} bits, got {code_bits}; set "
                "numbers.weight_bits"
            )
        return width


def _where(layer: LayerRecord) -> str:
    return f"layer {layer.index} {layer.name!r} ({layer.kind})"
