"""Training in sight of codes: in every step weights are what their codes will stand for.

The forward and the backward pass see coded weights; the gradient goes to the real weights behind
them as if there were no rounding (straight-through: Bengio et al., "Estimating or propagating
gradients through stochastic neurons", 2013). Scales go by output channel, so that batch norm may
be folded into the weights: codes stay the same.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.training import Rule
from bitpim_traces.numbers.affine import decode
from bitpim_traces.quantize import Settings
from bitpim_traces.quantize.layers import codes_of
from bitpim_traces.records import Quantization

__all__ = ["CodedWeights", "coded_values", "weights_of"]

Floats = npt.NDArray[np.float32]

_WEIGHTED = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Linear)


def coded_values(weight: Floats, settings: Settings, name: str) -> Floats:
    """Yield what the codes of a layer's weight stand for, as `export` chooses them.

    Shapes
    ------
    weight : (O, ...)
    """
    return decode(*_coded(weight, settings, name))


def weights_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Look up the weights of convolutions and linear layers, by the path of the layer.

    Raises
    ------
    TraceDataError
        There are none.
    """
    found = {
        path: part.weight
        for path, part in module.named_modules()
        if isinstance(part, _WEIGHTED) and "weight" in part._parameters
    }
    if not found:
        raise TraceDataError(
            f"finetune: need layers with weights to train on codes of, got none in"
            f" {type(module).__name__}"
        )
    return found


class CodedWeights(Rule):
    """Holds weights, given by layer name, at coded values while a step runs.

    With `biases` (each with the scale of its layer's input) these are held at theirs, too: whole
    numbers of input scale times weight scale.

    Raises
    ------
    TraceDataError
        Scales are not by channel.
    """

    def __init__(
        self,
        weights: Mapping[str, torch.Tensor],
        settings: Settings,
        biases: Mapping[str, tuple[torch.Tensor, float]] | None = None,
    ) -> None:
        if not settings.per_channel:
            raise TraceDataError(
                "finetune: need per_channel to train on codes, got one scale a tensor: batch norm"
                " would change the codes when it is folded in"
            )
        self.settings = settings
        self.weights, self.biases = weights, biases or {}
        self._held = [*weights.values(), *(bias for bias, _ in self.biases.values())]
        self._real: list[torch.Tensor] = []

    def put(self) -> None:
        """Give every weight its coded value, and biases that are held theirs."""
        with torch.no_grad():
            for path, weight in self.weights.items():
                codes, quantization = _coded(_array(weight), self.settings, path)
                values = torch.from_numpy(decode(codes, quantization))
                weight.copy_(values.reshape(weight.shape))
                if path in self.biases:
                    bias, scale = self.biases[path]
                    unit = scale * quantization.scale
                    whole = np.rint(_array(bias).astype(np.float64) / unit) * unit
                    bias.copy_(torch.from_numpy(whole))

    def before_step(self) -> None:
        """Let the step see coded values; the real ones are put aside."""
        self._real = [one.detach().clone() for one in self._held]
        self.put()

    def at_gradients(self) -> None:
        """Bring the real values back, for the optimizer to move."""
        with torch.no_grad():
            for one, real in zip(self._held, self._real, strict=bool(self._real)):
                one.copy_(real)
        self._real = []


def _array(values: torch.Tensor) -> Floats:
    found: Floats = values.detach().cpu().float().numpy()
    return found


def _coded(
    weight: Floats, settings: Settings, name: str
) -> tuple[npt.NDArray[np.integer], Quantization]:
    return codes_of(name, weight, settings, None, f"finetune: layer {name!r}")
