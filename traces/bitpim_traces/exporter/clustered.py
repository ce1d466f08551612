"""Weights of a float network as the shared values of codebooks, while they are trained.

Which value each weight has is held; the gradient of a value is the sum of those of its weights. A
float shadow of every weight is trained along. When weights are clustered again, each gets the value
nearest to its shadow. The value 0 stays 0.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from bitpim_traces.codebook import Codebook
from bitpim_traces.errors import TraceDataError
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.numbers.affine import decode, encode
from bitpim_traces.quantize import CodebookSettings
from bitpim_traces.quantize.codebook_tree import tree_codebook
from bitpim_traces.quantize.value_counts import ValueCounts
from bitpim_traces.records import Quantization

__all__ = ["ClusteredLayer", "clustered", "network_of", "weight_codebook"]

Floats = npt.NDArray[np.float32]


def weight_codebook(weight: Floats, depth: int, value_bits: int, where: str) -> Codebook:
    """Cluster a layer's weights as `quantize_codebooks` does."""
    counts = ValueCounts(where, value_bits=value_bits)
    counts.update(weight)
    return tree_codebook(counts.counted(), depth=depth, value_bits=value_bits)


class ClusteredLayer:
    """A layer's shared values, which weight has which, and the shadows.

    `weight` is what the network is run with, a leaf whose gradient is spread by `spread_gradients`;
    `values`, `shadow` and `bias` are what an optimizer moves.
    """

    def __init__(self, index: int, layer: FloatLayer, depth: int, value_bits: int) -> None:
        assert layer.weight is not None
        self.index = index
        self.where = f"layer {index} {layer.name!r} weight"
        self.depth, self.value_bits = depth, value_bits
        given = layer.weight.astype(np.float32)
        self.rms = float(np.sqrt(np.mean(np.square(given, dtype=np.float64))))
        self.shadow = torch.from_numpy(given.copy())
        self.bias = None
        if layer.bias is not None:
            self.bias = torch.from_numpy(layer.bias.astype(np.float32)).requires_grad_(True)
        self.weight = torch.empty_like(self.shadow).requires_grad_(True)
        codebook = weight_codebook(given, depth, value_bits, self.where)
        codes = encode(given, Quantization.of_codebook(codebook)).astype(np.int64)
        real = (codebook.values * codebook.scale).astype(np.float32)
        self.codes, self.values = torch.from_numpy(codes.ravel()), torch.from_numpy(real)
        self.zero_code = codebook.zero_code
        self._offsets = self.values - self._means()
        self.put_weights()

    def _means(self) -> torch.Tensor:
        """Yield the mean of the shadows of each value; the value where there are none."""
        n_values = self.values.numel()
        counts = torch.bincount(self.codes, minlength=n_values)
        sums = torch.bincount(self.codes, weights=self.shadow.ravel().double(), minlength=n_values)
        return torch.where(counts > 0, (sums / counts.clamp(min=1)).float(), self.values)

    def put_weights(self) -> None:
        """Give every weight the value it shares."""
        with torch.no_grad():
            self.weight.copy_(self.values[self.codes].reshape(self.weight.shape))

    def spread_gradients(self) -> None:
        """Give the values the sums of their weights' gradients, and the shadows the weights' own.

        Value 0 has none. Those of the shadows are scaled to a root mean square of 1.
        """
        gradient = self.weight.grad
        assert gradient is not None
        n_values = self.values.numel()
        sums = torch.bincount(self.codes, weights=gradient.ravel().double(), minlength=n_values)
        sums[self.zero_code] = 0
        self.values.grad = sums.float()
        rms = gradient.square().mean().sqrt()
        self.shadow.grad = gradient / rms if rms > 0 else gradient
        self.weight.grad = None

    def cluster_again(self) -> None:
        """Let the shadows follow their values, and give each weight the value nearest to its own.

        A value's shadows, as a whole, lie as far from it as when they were clustered last.
        """
        moves = self.values - self._means() - self._offsets
        moves[self.zero_code] = 0  # it learned nothing
        shadow = self.shadow.ravel()
        shadow += moves[self.codes]
        rising, order = self.values.sort(stable=True)
        self.codes = order[torch.bucketize(shadow, (rising[1:] + rising[:-1]) / 2)]
        self._offsets = self.values - self._means()
        self.put_weights()

    def settled(self, layer: FloatLayer) -> FloatLayer:
        """Yield the layer with its weights at values that a codebook can hold."""
        found = self.weight.detach().numpy()
        if not np.isfinite(found).all():
            raise TraceDataError(f"{self.where}: need finite values, got NaN or infinity")
        codebook = weight_codebook(found, self.depth, self.value_bits, self.where)
        quantization = Quantization.of_codebook(codebook)
        bias = None if self.bias is None else self.bias.detach().numpy().copy()
        return replace(layer, weight=decode(encode(found, quantization), quantization), bias=bias)


def clustered(network: FloatNetwork, settings: CodebookSettings) -> list[ClusteredLayer]:
    """Cluster the weights of all layers that have any.

    Raises
    ------
    TraceDataError
        No layer has weights, or a weight is not finite.
    """
    found = [
        ClusteredLayer(index, layer, settings.weight_depth_of(layer.name), settings.value_bits)
        for index, layer in enumerate(network.layers)
        if layer.weight is not None
    ]
    if not found:
        raise TraceDataError(f"retrain: need layers with weights in network {network.name}")
    return found


def network_of(network: FloatNetwork, layers: Sequence[ClusteredLayer]) -> FloatNetwork:
    """Yield the network with the shared values as its weights."""
    by_index = {layer.index: layer for layer in layers}
    made = tuple(
        by_index[index].settled(layer) if index in by_index else layer
        for index, layer in enumerate(network.layers)
    )
    return FloatNetwork(network.name, made, network.input_shape)
