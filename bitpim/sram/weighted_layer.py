"""A convolution or linear layer as a rule sees it: sizes, settings, and its codes in lanes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.sram.lane_codes import LaneCodes
from bitpim.sram.settings import CacheSettings
from bitpim.sram.transposed import ConvShape
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["WeightedLayer"]


@dataclass(frozen=True, slots=True)
class WeightedLayer:
    """One layer with weights; a linear layer is a convolution of a 1-pixel image."""

    record: LayerRecord
    shape: ConvShape
    inputs: LaneCodes
    weights: LaneCodes
    settings: CacheSettings

    @classmethod
    def of(
        cls, layer: LayerRecord, quantization: Quantization, settings: CacheSettings
    ) -> "WeightedLayer":
        """See a layer whose input has this quantization."""
        assert layer.weight is not None and layer.weight_quantization is not None
        shape = ConvShape(
            in_channels=layer.weight.shape[1],
            n_taps=int(np.prod(layer.weight.shape[2:], dtype=np.int64)),
            out_channels=layer.weight.shape[0],
            groups=layer.geometry.groups if layer.geometry else 1,
            n_positions=int(np.prod(layer.output_shape[1:], dtype=np.int64)),
        )
        inputs, weights = LaneCodes.of(quantization), LaneCodes.of(layer.weight_quantization)
        return cls(layer, shape, inputs, weights, settings)

    @property
    def where(self) -> str:
        """The layer, to begin an error message with."""
        return f"layer {self.record.index} {self.record.name!r} ({self.record.kind})"

    @property
    def zeros(self) -> npt.NDArray[np.int64]:
        """Zero point of each filter's weights, (M,), as lanes hold it."""
        return np.broadcast_to(self.weights.zero_point, (self.shape.out_channels,))

    def codes(self) -> npt.NDArray[Any]:
        """Read the weights from the trace, as lanes hold them: unsigned (M, n_entries)."""
        assert self.record.weight is not None
        codes = self.weights.encode(self.record.weight.read())
        return codes.reshape(self.shape.out_channels, -1)

    def kept(self) -> npt.NDArray[np.bool_]:
        """Read which weights are away from the zero point; (M, n_entries)."""
        codes = self.codes()
        return np.asarray(codes != self.zeros.astype(codes.dtype)[:, None])

    def kept_channels(self) -> npt.NDArray[np.bool_]:
        """Read which conv kernels are not wholly at the zero point; (M, channels of a conv group).

        A weight of a linear layer, or of a convolution of one tap, is a conv kernel.
        """
        kept = self.kept()
        return kept.reshape(kept.shape[0], self.shape.in_channels, -1).any(axis=2)

    def conv_group_of(self, filters: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the conv group of filters."""
        return filters // (self.shape.out_channels // self.shape.groups)
