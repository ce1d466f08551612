"""Seeded networks with the shapes of well-known ones, made without PyTorch.

Weights are random, scaled after He so that values neither die out nor explode; images are random
with the low-frequency look of photographs. The same name, seed and numpy make the same trace.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import LayerMask, with_masks
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.provenance import make_provenance
from bitpim_traces.quantize.assemble import quantize_network
from bitpim_traces.quantize.observers import calibrate
from bitpim_traces.quantize.pattern import PatternPruning, prune_network
from bitpim_traces.quantize.settings import Settings
from bitpim_traces.records import NETWORK_INPUT, Geometry, Params, Trace

__all__ = [
    "NAMES",
    "synthetic_float_network",
    "synthetic_images",
    "synthetic_network",
    "weightless_network",
]

_N_CALIBRATION = 4
"""Images of their own that ranges are observed on, beside the samples."""

_RESIDUAL_GAIN = 0.5
"""Share of a block's last convolution: sums of many blocks then keep their size."""


@dataclass(slots=True)
class _Sketch:
    """Layers in the making."""

    rng: np.random.Generator
    layers: list[FloatLayer]
    input_shape: tuple[int, int, int]

    def last(self) -> int:
        """Index of the layer appended last; NETWORK_INPUT before any."""
        return len(self.layers) - 1

    def append(self, layer: FloatLayer) -> int:
        """Append a layer and yield its index."""
        self.layers.append(layer)
        return self.last()

    def weight(self, shape: tuple[int, ...], gain: float) -> npt.NDArray[np.float32]:
        """Draw a weight whose outputs have about `gain` times the size of its inputs."""
        fan_in = int(np.prod(shape[1:]))
        weight = self.rng.standard_normal(shape, dtype=np.float32)
        weight *= np.float32(gain * math.sqrt(2.0 / fan_in))
        return weight

    def bias(self, n_out: int) -> npt.NDArray[np.float32]:
        """Draw a small bias."""
        return self.rng.standard_normal(n_out, dtype=np.float32) * np.float32(0.05)

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
    ) -> int:
        """Append a convolution padded by half its window."""
        shape = (channels[1], channels[0] // groups, conv_kernel, conv_kernel)
        gain = 1.0 if activation != "none" else _RESIDUAL_GAIN
        half = (conv_kernel - 1) // 2
        return self.append(
            FloatLayer(
                name,
                "conv2d",
                (self.last() if source is None else source,),
                Geometry((conv_kernel,) * 2, (stride,) * 2, (half,) * 4, groups=groups),
                self.weight(shape, gain),
                self.bias(channels[1]),
                activation,
            )
        )

    def linear(self, name: str, n_in: int, n_out: int, activation: str = "relu") -> int:
        """Append a linear layer."""
        gain = 1.0 if activation != "none" else math.sqrt(0.5)
        weight, bias = self.weight((n_out, n_in), gain), self.bias(n_out)
        return self.append(
            FloatLayer(
                name, "linear", (self.last(),), weight=weight, bias=bias, activation=activation
            )
        )

    def pool(self, name: str, kind: str, window: int, stride: int, padding: int = 0) -> int:
        """Append a square pooling."""
        geometry = Geometry((window, window), (stride, stride), (padding,) * 4)
        return self.append(FloatLayer(name, kind, (self.last(),), geometry))

    def flatten(self) -> int:
        """Append a flatten."""
        return self.append(FloatLayer("flatten", "flatten", (self.last(),)))

    def add(self, name: str, sources: tuple[int, int], activation: str = "relu") -> int:
        """Append a residual add."""
        return self.append(FloatLayer(name, "add", sources, activation=activation))


class _Outline(_Sketch):
    """Layers in the making whose weights are nothing but shapes."""

    __slots__ = ()

    def weight(self, shape: tuple[int, ...], gain: float) -> npt.NDArray[np.float32]:
        """Yield zeros of a shape that take no memory."""
        return np.broadcast_to(np.float32(0), shape)

    def bias(self, n_out: int) -> npt.NDArray[np.float32]:
        """Yield zeros that take no memory."""
        return np.broadcast_to(np.float32(0), (n_out,))


def _alexnet(sketch: _Sketch, n_classes: int) -> None:
    """One tower, as in torchvision, at 224 pixels."""
    sketch.append(
        FloatLayer(
            "conv1",
            "conv2d",
            (NETWORK_INPUT,),
            Geometry((11, 11), (4, 4), (2, 2, 2, 2)),
            sketch.weight((64, 3, 11, 11), 1.0),
            sketch.bias(64),
            "relu",
        )
    )
    sketch.pool("pool1", "max_pool2d", 3, 2)
    sketch.conv("conv2", (64, 192), 5)
    sketch.pool("pool2", "max_pool2d", 3, 2)
    for name, channels in (("conv3", (192, 384)), ("conv4", (384, 256)), ("conv5", (256, 256))):
        sketch.conv(name, channels, 3)
    sketch.pool("pool5", "max_pool2d", 3, 2)
    sketch.flatten()
    sketch.linear("fc6", 9216, 4096)
    sketch.linear("fc7", 4096, 4096)
    sketch.linear("fc8", 4096, n_classes, "none")


def _vgg16(sketch: _Sketch, n_classes: int) -> None:
    n_in = 3
    for stage, widths in enumerate(((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)):
        for position, n_out in enumerate(widths):
            sketch.conv(f"conv{stage + 1}_{position + 1}", (n_in, n_out), 3)
            n_in = n_out
        sketch.pool(f"pool{stage + 1}", "max_pool2d", 2, 2)
    side = sketch.input_shape[1] // 32
    sketch.flatten()
    if side > 1:
        sketch.linear("fc6", 512 * side * side, 4096)
        sketch.linear("fc7", 4096, 4096)
        sketch.linear("fc8", 4096, n_classes, "none")
    else:
        sketch.linear("fc", 512, n_classes, "none")


def _basic_block(sketch: _Sketch, name: str, n_in: int, n_out: int, shortcut: str) -> None:
    source, stride = sketch.last(), 1 if n_in == n_out else 2
    sketch.conv(f"{name}.conv1", (n_in, n_out), 3, stride=stride)
    main = sketch.conv(f"{name}.conv2", (n_out, n_out), 3, activation="none")
    if n_in != n_out and shortcut == "conv":
        source = sketch.conv(
            f"{name}.shortcut", (n_in, n_out), 1, stride=2, activation="none", source=source
        )
    elif n_in != n_out:
        # shortcut A: every other pixel, then channels of zeros on both sides
        every_other = Geometry((1, 1), (2, 2))
        source = sketch.append(FloatLayer(f"{name}.slice", "max_pool2d", (source,), every_other))
        front = (n_out - n_in) // 2
        channels = Params(pads=(front, n_out - n_in - front, 0, 0, 0, 0))
        source = sketch.append(FloatLayer(f"{name}.pad", "pad", (source,), params=channels))
    sketch.add(f"{name}.add", (main, source))


def _resnet18(sketch: _Sketch, n_classes: int) -> None:
    sketch.conv("conv1", (3, 64), 7, stride=2)
    sketch.pool("pool1", "max_pool2d", 3, 2, padding=1)
    _residual_stages(sketch, (64, 128, 256, 512), 2, 64, "conv")
    side = sketch.input_shape[1] // 32
    sketch.pool("pool", "avg_pool2d", side, side)
    sketch.flatten()
    sketch.linear("fc", 512, n_classes, "none")


def _resnet20(sketch: _Sketch, n_classes: int) -> None:
    sketch.conv("conv1", (3, 16), 3)
    _residual_stages(sketch, (16, 32, 64), 3, 16, "pad")
    sketch.pool("pool", "avg_pool2d", sketch.input_shape[1] // 4, 1)
    sketch.flatten()
    sketch.linear("fc", 64, n_classes, "none")


def _residual_stages(
    sketch: _Sketch, widths: Sequence[int], n_blocks: int, n_in: int, shortcut: str
) -> None:
    for stage, n_out in enumerate(widths):
        for block in range(n_blocks):
            _basic_block(sketch, f"layer{stage + 1}.{block}", n_in, n_out, shortcut)
            n_in = n_out


def _lenet5(sketch: _Sketch, n_classes: int) -> None:
    """Caffe's LeNet: 20 and 50 conv kernels, no padding."""
    for position, channels in enumerate(((1, 20), (20, 50)), start=1):
        shape = (channels[1], channels[0], 5, 5)
        sketch.append(
            FloatLayer(
                f"conv{position}",
                "conv2d",
                (sketch.last(),),
                Geometry((5, 5)),
                sketch.weight(shape, 1.0),
                sketch.bias(channels[1]),
            )
        )
        sketch.pool(f"pool{position}", "max_pool2d", 2, 2)
    sketch.flatten()
    sketch.linear("fc1", 800, 500)
    sketch.linear("fc2", 500, n_classes, "none")


def _mobilenet(sketch: _Sketch, n_classes: int) -> None:
    """A small MobileNetV2: inverted residuals with depthwise convolutions and relu6."""
    sketch.conv("conv1", (3, 16), 3, stride=2, activation="relu6")
    n_in = 16
    for block, (n_out, stride) in enumerate(((16, 1), (24, 2), (24, 1), (32, 2), (32, 1))):
        source, wide = sketch.last(), 4 * n_in
        name = f"block{block + 1}"
        sketch.conv(f"{name}.expand", (n_in, wide), 1, activation="relu6")
        sketch.conv(
            f"{name}.depthwise", (wide, wide), 3, stride=stride, groups=wide, activation="relu6"
        )
        sketch.conv(f"{name}.reduce", (wide, n_out), 1, activation="none")
        if stride == 1 and n_in == n_out:
            sketch.add(f"{name}.add", (sketch.last(), source), "none")
        n_in = n_out
    sketch.conv("conv2", (32, 128), 1, activation="relu6")
    sketch.pool("pool", "avg_pool2d", sketch.input_shape[1] // 8, 1)
    sketch.flatten()
    sketch.linear("fc", 128, n_classes, "none")


def _tiny(sketch: _Sketch, n_classes: int) -> None:
    """Every layer kind once, in a few thousand multiply-accumulates."""
    first = sketch.conv("conv1", (3, 4), 3)
    left = sketch.conv("conv2", (4, 4), 3, activation="none")
    both = sketch.add("add", (left, first))
    right = sketch.conv("conv3", (4, 5), 1, source=both)
    sketch.append(FloatLayer("concat", "concat", (both, right), params=Params(concat_axis=0)))
    sketch.pool("pool1", "max_pool2d", 2, 2)
    sketch.append(
        FloatLayer("pad", "pad", (sketch.last(),), params=Params(pads=(0, 0, 0, 1, 1, 0)))
    )
    sketch.conv("depthwise", (9, 9), 3, stride=2, groups=9, activation="none")
    sketch.append(FloatLayer("tanh", "activation", (sketch.last(),), activation="tanh"))
    sketch.pool("pool2", "avg_pool2d", 2, 2)
    sketch.flatten()
    side = (sketch.input_shape[1] // 2 + 2) // 2 // 2
    sketch.linear("fc", 9 * side * side, n_classes, "none")


_MAKERS: dict[str, tuple[Callable[[_Sketch, int], None], tuple[int, int, int], int]] = {
    "alexnet": (_alexnet, (3, 224, 224), 1000),
    "vgg16": (_vgg16, (3, 224, 224), 1000),
    "vgg16_cifar": (_vgg16, (3, 32, 32), 10),
    "resnet18": (_resnet18, (3, 224, 224), 1000),
    "resnet20": (_resnet20, (3, 32, 32), 10),
    "lenet5": (_lenet5, (1, 28, 28), 10),
    "mobilenet": (_mobilenet, (3, 32, 32), 10),
    "tiny": (_tiny, (3, 8, 8), 5),
}
NAMES = tuple(_MAKERS)
"""Networks `synthetic_network` can make."""


def synthetic_float_network(name: str, seed: int = 0) -> FloatNetwork:
    """Make a float network with random weights.

    Raises
    ------
    TraceDataError
        The name is unknown.
    """
    return _made(name, _Sketch, seed)


def weightless_network(name: str) -> FloatNetwork:
    """Make the layers of a synthetic network, at once: its weights are zeros without memory.

    Shapes and windows are all there, so that masks may be drawn and layers laid out.

    Raises
    ------
    TraceDataError
        The name is unknown.
    """
    return _made(name, _Outline, 0)


def _made(name: str, kind: type[_Sketch], seed: int) -> FloatNetwork:
    if name not in _MAKERS:
        raise TraceDataError(
            f"synthetic network: need a name among {', '.join(NAMES)}, got {name!r}"
        )
    make, input_shape, n_classes = _MAKERS[name]
    sketch = kind(np.random.default_rng([seed, 1]), [], input_shape)
    make(sketch, n_classes)
    return FloatNetwork(name, tuple(sketch.layers), input_shape)


def _pruned(
    network: FloatNetwork, pruning: PatternPruning
) -> tuple[FloatNetwork, dict[str, LayerMask]]:
    """Prune a network; what is left of a weight is enlarged to its old energy, so values last."""
    pruned, masks, reports = prune_network(network, pruning)
    gains = {r.name: 1.0 / math.sqrt(r.retained_energy) for r in reports if r.retained_energy}
    layers = [
        replace(layer, weight=layer.weight * np.float32(gains[layer.name]))
        if layer.name in gains and layer.weight is not None
        else layer
        for layer in pruned.layers
    ]
    return FloatNetwork(network.name, tuple(layers), network.input_shape), masks


def synthetic_images(
    n_images: int, shape: tuple[int, ...], seed: int = 0
) -> npt.NDArray[np.float32]:
    """Make images of mean 0 and deviation 1 whose spectrum falls as that of photographs does.

    Shapes
    ------
    shape : (C, H, W);  result : (n_images, C, H, W)
    """
    rng = np.random.default_rng([seed, 2])
    channels, height, width = shape
    rows = np.fft.fftfreq(height)[:, None] * height
    columns = np.fft.rfftfreq(width) * width
    # amplitude falls as 1 / frequency in natural images
    amplitude = 1.0 / np.maximum(np.hypot(rows, columns), 1.0)
    images = np.empty((n_images, *shape), dtype=np.float32)
    for image in images:
        # channels share most of their content, as the colours of a photograph do
        noise = rng.standard_normal((channels + 1, height, width))
        noise = 0.4 * noise[1:] + 0.9 * noise[:1]
        smooth = np.fft.irfft2(np.fft.rfft2(noise) * amplitude, s=(height, width))
        spread = smooth.std()
        image[...] = (smooth - smooth.mean()) / (spread if spread > 0 else 1.0)
    return images


def synthetic_network(
    name: str,
    seed: int = 0,
    *,
    n_samples: int = 1,
    settings: Settings | None = None,
    pruning: PatternPruning | None = None,
) -> Trace:
    """Make a quantized network with random weights and random images.

    Labels are the float network's own answers, so top-1 agreement can be read as accuracy. With
    `pruning` the 3 x 3 convolutions are pruned and the trace carries their masks; the weights left
    are enlarged to the energy of all, so that values neither die out nor explode.

    Raises
    ------
    TraceDataError
        The name is unknown, n_samples is below 1, or there is nothing to prune.
    """
    if n_samples < 1:
        raise TraceDataError(f"synthetic network: need at least 1 sample, got {n_samples}")
    settings = settings or Settings()
    network, masks = synthetic_float_network(name, seed), dict[str, LayerMask]()
    parameters: dict[str, object] = {"name": name, "n_samples": n_samples}
    if pruning is not None:
        network, masks = _pruned(network, pruning)
        parameters["prune"] = pruning.as_plain()
    images = synthetic_images(n_samples + _N_CALIBRATION, network.input_shape, seed)
    ranges = calibrate(network, images, settings, batch=2)
    samples = images[:n_samples]
    answers = network.outputs(samples, batch=2)[len(network.layers) - 1]
    trace = quantize_network(
        network,
        ranges,
        samples,
        labels=answers.reshape(n_samples, -1).argmax(axis=1),
        settings=settings,
        provenance=make_provenance("synthetic_network", parameters, seed=seed),
        dataset="synthetic",
    )
    return with_masks(trace, masks)
