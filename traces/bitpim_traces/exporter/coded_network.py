"""Training a float network in sight of all its codes: those of weights and of activations.

Batch norms are folded already, so layers and their outputs are just those of the trace to come.
Every output takes in the forward pass the value of its code, in the ranges observed before; its
gradient passes where the range was not left. Weights and biases are trained as `coded_weights`
says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.calibrate import Progress
from bitpim_traces.exporter.coded_forward import Rounded, coded_forward
from bitpim_traces.exporter.coded_weights import CodedWeights
from bitpim_traces.exporter.finetune import FineTuned, HeldMasks, trained_on
from bitpim_traces.exporter.sources import Floats, Pixels
from bitpim_traces.exporter.training import Training, labelled, measured_on
from bitpim_traces.masks import LayerMask
from bitpim_traces.modes import (
    FIXED_POINT_HALF_AWAY,
    FLOAT_SCALE_HALF_EVEN,
    HALF_UP_SHIFT,
    TRUNCATE_SHIFT,
)
from bitpim_traces.network import FloatNetwork
from bitpim_traces.numbers.affine import encode
from bitpim_traces.quantize import Settings, quantize_network
from bitpim_traces.quantize.layers import Ranges
from bitpim_traces.records import (
    NETWORK_INPUT,
    Quantization,
    Samples,
    TensorRecord,
    Trace,
    axes_of,
)

__all__ = ["AffineRounding", "CodedNetwork", "train_on_codes"]


@dataclass(frozen=True, slots=True, eq=False)
class CodedNetwork:
    """The trained network, whose weights are values of codes, and accuracies on codes."""

    network: FloatNetwork
    measured: FineTuned


def train_on_codes(
    network: FloatNetwork,
    samples: Any,
    labels: npt.NDArray[np.integer] | None,
    ranges: Ranges,
    settings: Settings | None = None,
    training: Training | None = None,
    *,
    quantization: Quantization | None = None,
    masks: Mapping[str, LayerMask] | None = None,
    evaluation: tuple[Any, npt.NDArray[np.integer]] | None = None,
    progress: Progress | None = None,
) -> CodedNetwork:
    """Train weights and biases of a classifier on the codes that `quantize_network` will choose.

    `ranges` are those that `quantize_network` is given, then as now, and `quantization` that of the
    samples, if it is not chosen by their range; `masks`, by layer name, are held. `samples` are as
    the network takes them, Pixels with their normalization. `evaluation` is the samples and labels
    that accuracy on codes is measured on; without it, those of training. On a CPU, the same seed
    and number of threads give the same network.

    Raises
    ------
    TraceDataError
        A layer has no gradient, samples or labels do not fit, a setting or mask names no layer, or
        training diverges.
    """
    settings = settings or Settings()
    source, classes = labelled(samples, labels)
    measured = measured_on(source, classes, evaluation)
    trace = _trace(network, ranges, settings, quantization)
    module = _Module(network, _roundings(trace, settings))
    scales = {x.name: float(trace.input_quantizations(x)[0].scale[0]) for x in trace.layers}
    biases = {
        network.layers[i].name: (bias, scales[network.layers[i].name])
        for i, bias in module.biases.items()
    }
    coded = CodedWeights(module.by_layer, settings, biases)
    by_parameter = {module.name_of(layer): mask for layer, mask in (masks or {}).items()}
    found = trained_on(
        module,
        (_as_read(source), classes),
        (_as_read(measured[0]), measured[1]),
        [coded, HeldMasks(module, by_parameter)],
        training or Training(),
        coded,
        doing="fine-tuning on codes",
        progress=progress,
    )
    return CodedNetwork(module.network_of(), found)


class AffineRounding:
    """Rounds real values to those of affine codes; beyond the range there is no gradient.

    Codes of samples and tables are rounded half to even; with a requantize mode as it rounds.
    """

    def __init__(self, quantization: Quantization, mode: str | None = None) -> None:
        self.rounded: Rounded = torch.round if mode is None else _ROUNDED[mode]
        self.scale = float(quantization.scale[0])
        zero = int(quantization.zero_point[0])
        self.low, self.high = quantization.code_min - zero, quantization.code_max - zero

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Yield the values; the gradient is that of `x`, clipped to the range."""
        inside = (x / self.scale).clamp(self.low, self.high)
        return (inside + (self.rounded(inside) - inside).detach()) * self.scale


def _half_up(x: torch.Tensor) -> torch.Tensor:
    return (x + 0.5).floor()


def _half_away(x: torch.Tensor) -> torch.Tensor:
    return x.sign() * (x.abs() + 0.5).floor()


_ROUNDED: dict[str, Rounded] = {
    FLOAT_SCALE_HALF_EVEN.name: torch.round,
    FIXED_POINT_HALF_AWAY.name: _half_away,
    HALF_UP_SHIFT.name: _half_up,
    TRUNCATE_SHIFT.name: torch.floor,
}
"""How each requantize mode rounds a sum, in units of the output's scale; zero point apart."""


def _trace(
    network: FloatNetwork, ranges: Ranges, settings: Settings, quantization: Quantization | None
) -> Trace:
    """Quantize the network as it is: activations have the codes that they will have."""
    sample: Any = np.zeros((1, *network.input_shape), np.float32)
    if quantization is not None:
        codes = TensorRecord.of(
            encode(sample, quantization), axes=axes_of(sample.ndim), role="codes"
        )
        sample = Samples(codes, quantization)
    return quantize_network(
        network, ranges, sample, settings=replace(settings, reference_samples=0)
    )


def _roundings(trace: Trace, settings: Settings) -> dict[int, AffineRounding]:
    """Make what rounds the input and every output."""
    found = {}
    for index, layer in enumerate(trace.layers):
        if layer.requantize is not None or layer.kind == "avg_pool2d":  # some divide as they are
            found[index] = AffineRounding(layer.output, settings.requantize)
        elif layer.table is not None or "values" in layer.tensors:
            found[index] = AffineRounding(layer.output)  # others keep the codes they read
    return {NETWORK_INPUT: AffineRounding(trace.samples.quantization), **found}


def _as_read(source: Floats | Pixels) -> Floats | Pixels:
    """Yield samples that, normalized, are as the network takes them: folded pixels are / 255."""
    if isinstance(source, Pixels) and source.fold:
        return replace(source, mean=(0.0,), std=(1.0,), fold=False)
    return source


class _Module(torch.nn.Module):
    """A float network with its weights and biases as parameters."""

    def __init__(self, network: FloatNetwork, roundings: Mapping[int, AffineRounding]) -> None:
        super().__init__()
        self.network, self.roundings = network, roundings
        self.by_layer: dict[str, torch.nn.Parameter] = {}
        self.weights: dict[int, torch.nn.Parameter] = {}
        self.biases: dict[int, torch.nn.Parameter] = {}
        for index, layer in enumerate(network.layers):
            if layer.weight is None:
                continue
            self.weights[index] = _parameter(layer.weight)
            self.by_layer[layer.name] = self.weights[index]
            self.register_parameter(f"weight_{index}", self.weights[index])
            if layer.bias is not None:
                self.biases[index] = _parameter(layer.bias)
                self.register_parameter(f"bias_{index}", self.biases[index])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Yield the scores on codes."""
        return coded_forward(self.network, x, self.roundings, self.weights, self.biases)

    def name_of(self, layer: str) -> str:
        """Name the parameter that is a layer's weight."""
        for index, one in enumerate(self.network.layers):
            if one.name == layer and index in self.weights:
                return f"weight_{index}"
        raise TraceDataError(
            f"masks: need layers with weights of network {self.network.name}, got {layer!r}"
        )

    def network_of(self) -> FloatNetwork:
        """Yield the network with the parameters as they are."""
        layers = [
            replace(layer, weight=_array(self.weights[i]), bias=_array(self.biases.get(i)))
            if i in self.weights
            else layer
            for i, layer in enumerate(self.network.layers)
        ]
        return FloatNetwork(self.network.name, tuple(layers), self.network.input_shape)


def _parameter(values: npt.NDArray[np.float32]) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.from_numpy(np.array(values, np.float32)))


def _array(values: torch.Tensor | None) -> npt.NDArray[np.float32] | None:
    return None if values is None else values.detach().numpy().copy()
