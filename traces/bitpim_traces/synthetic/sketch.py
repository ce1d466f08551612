"""Layers of a synthetic network in the making, and how large their weights are drawn.

A gain is what `Sketch.weight` is given. With 1, values keep their mean square through a convolution
and its relu (He); other layers behind a convolution need other gains.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bitpim_traces.network import FloatLayer, infer_shape
from bitpim_traces.records import NETWORK_INPUT, Geometry, Params

__all__ = ["HARDSWISH_GAIN", "LINEAR_GAIN", "RESIDUAL_GAIN", "Outline", "Sketch"]

Shape = tuple[int, ...]

RESIDUAL_GAIN = 0.5
"""Share of a block's last convolution: sums of many blocks then keep their size."""

LINEAR_GAIN = math.sqrt(0.5)
"""Keeps the mean square where no activation follows."""

HARDSWISH_GAIN = 1.07
"""Where hardswish follows, which takes more of small values than of large ones: a mean square of 1
shrinks by 8 %, a large one grows by 14 %.
"""


@dataclass(slots=True)
class Sketch:
    """Layers in the making."""

    rng: np.random.Generator
    input_shape: tuple[int, int, int]
    layers: list[FloatLayer] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)

    def last(self) -> int:
        """Index of the layer appended last; NETWORK_INPUT before any."""
        return len(self.layers) - 1

    def shape(self, index: int | None = None) -> Shape:
        """Shape of a layer's output without samples; of the last layer when None."""
        index = self.last() if index is None else index
        return self.input_shape if index == NETWORK_INPUT else self.shapes[index]

    def append(self, layer: FloatLayer) -> int:
        """Append a layer and yield its index."""
        self.shapes.append(
            infer_shape(layer, list(map(self.shape, layer.inputs)), len(self.layers))
        )
        self.layers.append(layer)
        return self.last()

    def weight(self, shape: tuple[int, ...], gain: float) -> npt.NDArray[np.float32]:
        """Draw a weight whose outputs, after a relu, have `gain` times the size of its inputs."""
        fan_in = int(np.prod(shape[1:]))
        weight = self.rng.standard_normal(shape, dtype=np.float32)
        weight *= np.float32(gain * math.sqrt(2.0 / fan_in))
        return weight

    def bias(self, n_out: int) -> npt.NDArray[np.float32]:
        """Draw a small bias."""
        return self.rng.standard_normal(n_out, dtype=np.float32) * np.float32(0.05)

    def scales(self, n_out: int) -> npt.NDArray[np.float32]:
        """Draw scales of channels, about 1."""
        return 1 + self.rng.standard_normal(n_out, dtype=np.float32) * np.float32(0.1)

    def conv(
        self,
        name: str,
        channels: tuple[int, int],
        conv_kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        activation: str = "relu",
        source: int | None = None,
        gain: float | None = None,
        offset: float | None = 0.0,
    ) -> int:
        """Append a convolution padded by half its window.

        Without a gain it is 1, and RESIDUAL_GAIN where no activation follows. Its bias is about
        `offset`; there is none where that is None.
        """
        shape = (channels[1], channels[0] // groups, conv_kernel, conv_kernel)
        if gain is None:
            gain = 1.0 if activation != "none" else RESIDUAL_GAIN
        half = (conv_kernel - 1) // 2
        return self.append(
            FloatLayer(
                name,
                "conv2d",
                (self.last() if source is None else source,),
                Geometry((conv_kernel,) * 2, (stride,) * 2, (half,) * 4, groups=groups),
                self.weight(shape, gain),
                None if offset is None else self.bias(channels[1]) + np.float32(offset),
                activation,
            )
        )

    def linear(
        self, name: str, n_in: int, n_out: int, activation: str = "relu", gain: float | None = None
    ) -> int:
        """Append a linear layer; without a gain it keeps the mean square."""
        if gain is None:
            gain = 1.0 if activation != "none" else LINEAR_GAIN
        weight, bias = self.weight((n_out, n_in), gain), self.bias(n_out)
        return self.append(
            FloatLayer(
                name, "linear", (self.last(),), weight=weight, bias=bias, activation=activation
            )
        )

    def affine(self, name: str, activation: str) -> int:
        """Append a scale and a bias a channel: a batch norm that nothing before it takes up."""
        n = self.shape()[0]
        window = Geometry((1, 1), groups=n)
        weight, bias = self.scales(n).reshape(n, 1, 1, 1), self.bias(n)
        return self.append(
            FloatLayer(name, "conv2d", (self.last(),), window, weight, bias, activation)
        )

    def pool(self, name: str, kind: str, window: int, stride: int, padding: int = 0) -> int:
        """Append a square pooling."""
        geometry = Geometry((window, window), (stride, stride), (padding,) * 4)
        return self.append(FloatLayer(name, kind, (self.last(),), geometry))

    def global_pool(self, name: str) -> int:
        """Append the mean of each channel."""
        _, height, width = self.shape()
        return self.append(
            FloatLayer(name, "avg_pool2d", (self.last(),), Geometry((height, width)))
        )

    def flatten(self) -> int:
        """Append a flatten."""
        return self.append(FloatLayer("flatten", "flatten", (self.last(),)))

    def add(self, name: str, sources: tuple[int, int], activation: str = "relu") -> int:
        """Append a residual add."""
        return self.append(FloatLayer(name, "add", sources, activation=activation))

    def function(self, name: str, function: str) -> int:
        """Append a function of one number, as a layer of its own."""
        return self.append(FloatLayer(name, "activation", (self.last(),), activation=function))

    def multiply(self, name: str, sources: tuple[int, int]) -> int:
        """Append an element-wise product; axes of length 1 are repeated."""
        return self.append(FloatLayer(name, "multiply", sources))

    def concat(self, name: str, sources: tuple[int, ...]) -> int:
        """Append a concatenation of channels."""
        return self.append(FloatLayer(name, "concat", sources, params=Params(concat_axis=0)))

    def channels(self, name: str, source: int, first: int, stop: int) -> int:
        """Append a selection of some channels."""
        shape = self.shape(source)
        params = Params(
            starts=(first, *(0,) * (len(shape) - 1)),
            stops=(stop, *shape[1:]),
            steps=(1,) * len(shape),
        )
        return self.append(FloatLayer(name, "slice", (source,), params=params))

    def reshape(self, name: str, shape: Shape) -> int:
        """Append a change of shape."""
        return self.append(FloatLayer(name, "reshape", (self.last(),), params=Params(shape=shape)))

    def permute(self, name: str, axes: tuple[int, ...]) -> int:
        """Append a change of the order of axes."""
        return self.append(FloatLayer(name, "permute", (self.last(),), params=Params(axes=axes)))

    def dilate(self, name: str, step: int) -> int:
        """Append zeros between rows and columns, which then lie `step` apart."""
        return self.append(
            FloatLayer(name, "dilate", (self.last(),), params=Params(steps=(step, step)))
        )


class Outline(Sketch):
    """Layers in the making whose weights are nothing but shapes."""

    __slots__ = ()

    def weight(self, shape: tuple[int, ...], gain: float) -> npt.NDArray[np.float32]:
        """Yield zeros of a shape that take no memory."""
        return np.broadcast_to(np.float32(0), shape)

    def bias(self, n_out: int) -> npt.NDArray[np.float32]:
        """Yield zeros that take no memory."""
        return np.broadcast_to(np.float32(0), (n_out,))

    def scales(self, n_out: int) -> npt.NDArray[np.float32]:
        """Yield zeros that take no memory."""
        return self.bias(n_out)
