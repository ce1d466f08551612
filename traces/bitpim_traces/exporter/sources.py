"""Samples on their way into a trace: floats as a module wants them, or pixels to be normalized.

Both are read piece by piece, and so are the codes made from them: a whole test set never rests in
memory as floats.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.raised import told
from bitpim_traces.file_bounds import MAX_AXES
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.numbers.affine import choose_quantization, code_dtype, encode, up_to_float32
from bitpim_traces.quantize import Settings
from bitpim_traces.records import NETWORK_INPUT, Quantization, Samples, TensorRecord, axes_of

__all__ = ["Floats", "Pixels", "fold_normalization", "samples_record", "source_of"]

FloatArray = npt.NDArray[np.float32]

_LEVELS = np.arange(256, dtype=np.float64) / 255.0


@dataclass(frozen=True, slots=True, eq=False)
class Floats:
    """Samples that a module takes as they are.

    Shapes
    ------
    values : (n_samples, C, H, W) or (n_samples, C), any real dtype, in memory or mapped
    """

    values: npt.NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all samples."""
        return self.values.shape

    def read(self, start: int, stop: int) -> FloatArray:
        """Yield samples `start:stop` as float32, as the network and the module want them."""
        return np.array(self.values[start:stop], dtype=np.float32, order="C")

    def normalized(self, start: int, stop: int) -> FloatArray:
        """Yield samples `start:stop` as the module wants them."""
        return self.read(start, stop)

    def quantization(self, observed: tuple[float, float], settings: Settings) -> Quantization:
        """Choose the input quantization from the range observed."""
        return choose_quantization(
            *observed,
            bits=settings.activation_bits_of("input"),
            scheme=settings.activation_scheme,
            where="network input",
        )

    def encode(self, start: int, stop: int, quantization: Quantization) -> npt.NDArray[Any]:
        """Yield the codes of samples `start:stop`."""
        return encode(self.read(start, stop), quantization)


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Images of bytes that a module wants as (pixel / 255 - mean) / std, per channel.

    With `fold`, the pixel itself is the input code (scale 1/255, zero point 0) and mean and std go
    into the weights of the first layer. That is exact, but only where the first layer does not pad:
    a padded 0 lies at the mean, which is no pixel.

    Shapes
    ------
    images : (n_samples, C, H, W), uint8
    mean, std : (C,)
    """

    images: npt.NDArray[np.uint8]
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)
    fold: bool = False

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            got = f"{self.images.dtype} of shape {self.images.shape}"
            raise TraceDataError(f"samples: need uint8 images N x C x H x W, got {got}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.images.shape[1]):
                raise TraceDataError(
                    f"samples: need {name} for {self.images.shape[1]} channels, or one number for"
                    f" all, got {len(values)} numbers"
                )
        if min(self.std) <= 0:
            raise TraceDataError(f"samples: need std above 0, got {list(self.std)}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all samples."""
        return self.images.shape

    def per_channel(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Yield mean and std, one number a channel."""
        n_channels = self.images.shape[1]
        mean = np.broadcast_to(np.asarray(self.mean, np.float64), (n_channels,))
        return mean, np.broadcast_to(np.asarray(self.std, np.float64), (n_channels,))

    def read(self, start: int, stop: int) -> FloatArray:
        """Yield samples `start:stop` as the network wants them: normalized unless folded."""
        if self.fold:
            return _LEVELS.astype(np.float32)[self.images[start:stop]]
        return self.normalized(start, stop)

    def normalized(self, start: int, stop: int) -> FloatArray:
        """Yield samples `start:stop` as the module wants them."""
        return _looked_up(self._real().astype(np.float32), self.images[start:stop])

    def quantization(self, observed: tuple[float, float], settings: Settings) -> Quantization:
        """Choose the input quantization: every pixel value that can occur is within its range."""
        bits = settings.activation_bits_of("input")
        if not self.fold:
            real = self._real()
            return choose_quantization(
                float(real.min()),
                float(real.max()),
                bits=bits,
                scheme=settings.activation_scheme,
                where="network input",
            )
        if bits != 8:
            raise TraceDataError(
                f"network input: need 8 bits where pixels are the codes, got {bits};"
                ' set overrides={"input": LayerBits(activation_bits=8)} or leave fold out'
            )
        scale = np.array([up_to_float32(1.0 / 255.0)])
        return Quantization(8, False, scale, np.zeros(1, np.int64))

    def encode(self, start: int, stop: int, quantization: Quantization) -> npt.NDArray[Any]:
        """Yield the codes of samples `start:stop`."""
        if self.fold:
            return np.ascontiguousarray(self.images[start:stop])
        return _looked_up(encode(self._real(), quantization), self.images[start:stop])

    def _real(self) -> npt.NDArray[np.float64]:
        """Real value by channel and pixel."""
        mean, std = self.per_channel()
        return (_LEVELS - mean[:, None]) / std[:, None]


def source_of(samples: Any, like: Floats | Pixels | None = None) -> Floats | Pixels:
    """Wrap arrays and tensors; uint8 images are normalized `like` other pixels."""
    if isinstance(samples, (Floats, Pixels)):
        return samples
    values = np.asanyarray(_array_of(samples) if isinstance(samples, torch.Tensor) else samples)
    if values.dtype == np.uint8:
        if isinstance(like, Pixels):
            return replace(like, images=values)
        raise TraceDataError(
            "samples: need floats as the module takes them, got uint8;"
            " wrap images in Pixels(images, mean, std)"
        )
    if values.dtype.kind != "f" or not 2 <= values.ndim <= MAX_AXES:
        raise TraceDataError(
            "samples: need floats N x C, N x C x L, N x C x H x W or the like, got"
            f" {values.dtype} {values.shape}"
        )
    return Floats(values)


def _array_of(samples: torch.Tensor) -> npt.NDArray[Any]:
    remedy = "give an array, or samples.to_dense() or samples.dequantize()"
    with told("samples", "a plain tensor of numbers", remedy):
        plain = samples.detach().cpu()
        array: npt.NDArray[Any]
        array = (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
        return array


def samples_record(
    source: Floats | Pixels,
    quantization: Quantization,
    labels: npt.NDArray[np.integer] | None,
    dataset: str,
) -> Samples:
    """Make the samples of a trace; codes are computed when they are read."""
    n_samples = source.shape[0]
    if labels is not None and np.shape(labels) != (n_samples,):
        raise TraceDataError(
            f"labels: need one label for each of {n_samples} samples, got shape {np.shape(labels)}"
        )
    codes = TensorRecord(
        shape=tuple(int(n) for n in source.shape),
        dtype=code_dtype(quantization),
        axes=axes_of(len(source.shape)),
        units="code",
        role="codes",
        load=lambda start, stop: source.encode(start, stop, quantization),
    )
    recorded = None
    if labels is not None:
        classes = np.asarray(labels).astype(np.int32)
        recorded = TensorRecord.of(classes, axes="N", role="labels", units="1")
    return Samples(codes, quantization, recorded, dataset)


def fold_normalization(network: FloatNetwork, pixels: Pixels) -> FloatNetwork:
    """Take mean and std into the layers that read the input, which then is pixel / 255.

    Raises
    ------
    TraceDataError
        A layer that reads the input pads, or is neither a convolution nor flatten and linear.
    """
    first = {i for i, layer in enumerate(network.layers) if NETWORK_INPUT in layer.inputs}
    flat = {i for i in first if network.layers[i].kind == "flatten"}
    readers = {i for i, x in enumerate(network.layers) if flat & set(x.inputs)} | (first - flat)
    layers = list(network.layers)
    for index in sorted(readers):
        layer = layers[index]
        after = {"flatten"} if set(layer.inputs) <= flat else set()
        foldable = layer.kind == ("linear" if after else "conv2d")
        if not foldable or (layer.geometry is not None and any(layer.geometry.padding)):
            padding = "" if layer.geometry is None else f" with padding {layer.geometry.padding}"
            raise TraceDataError(
                f"layer {layer.name}: need an unpadded conv2d, or flatten and linear, to fold the"
                f" normalization into, got {layer.kind}{padding}; leave fold out, 8-bit affine"
                " codes of normalized pixels lose little"
            )
        layers[index] = _folded(layer, pixels, network.input_shape)
    return FloatNetwork(network.name, tuple(layers), network.input_shape)


def _folded(layer: FloatLayer, pixels: Pixels, input_shape: tuple[int, ...]) -> FloatLayer:
    assert layer.weight is not None
    mean, std = pixels.per_channel()
    weight = layer.weight.astype(np.float64)
    n_outputs = weight.shape[0]
    if layer.kind == "linear":
        weight = weight.reshape(n_outputs, len(mean), -1)
        channels = np.broadcast_to(np.arange(len(mean)), weight.shape[:2])
    else:
        assert layer.geometry is not None
        per_group = weight.shape[1]
        group = np.arange(n_outputs) // (n_outputs // layer.geometry.groups)
        channels = group[:, None] * per_group + np.arange(per_group)
    factor = (1.0 / std)[channels].reshape(*channels.shape, *([1] * (weight.ndim - 2)))
    offset = mean[channels].reshape(factor.shape)
    weight = weight * factor
    bias = np.zeros(n_outputs) if layer.bias is None else layer.bias.astype(np.float64)
    bias = bias - (weight * offset).reshape(n_outputs, -1).sum(axis=1)
    return replace(
        layer,
        weight=weight.reshape(layer.weight.shape).astype(np.float32),
        bias=bias.astype(np.float32),
    )


def _looked_up(table: npt.NDArray[Any], images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """Yield table[channel, pixel] for every pixel."""
    found = np.empty(images.shape, dtype=table.dtype)
    for channel in range(images.shape[1]):
        np.take(table[channel], images[:, channel], out=found[:, channel])
    return found
