"""Ranges and float references of a network, observed in PyTorch batch by batch."""

import tempfile
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.forward import torch_forward
from bitpim_traces.exporter.graph import evaluating, placement
from bitpim_traces.exporter.raised import told
from bitpim_traces.network import FloatNetwork
from bitpim_traces.quantize import Observer, Settings
from bitpim_traces.records import NETWORK_INPUT

__all__ = [
    "Answers",
    "Progress",
    "Source",
    "batch_of",
    "check_against_module",
    "logits_of",
    "observe_ranges",
    "references_of",
]

FloatArray = npt.NDArray[np.float32]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, samples done, samples in all."""

Answers = dict[tuple[int, int], FloatArray]
"""Outputs of the last layer, by the first and the end of the samples that ran together."""

AGREEMENT = 1e-4
"""Largest difference between network and module, over the largest output of the module."""
AGREEMENT_LAYERS = 32
"""Layers with weights, up to which it holds; the roundings of more add up."""
_DEFECT = 0.01
"""A difference above it is not of rounding."""

_BATCH_VALUES = 1 << 24
"""Values of the largest layer that a batch may hold: 64 MiB of float32."""
_MEMORY_BYTES = 1 << 28
"""References beyond this rest in a temporary file."""


class Source(Protocol):
    """Samples as a network wants them, read piece by piece."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all samples, the sample axis first."""

    def read(self, start: int, stop: int) -> FloatArray:
        """Yield samples `start:stop` as float32."""


def batch_of(network: FloatNetwork) -> int:
    """Number of samples whose largest layer stays within the memory of a batch."""
    largest = max(int(np.prod(shape)) for shape in (network.input_shape, *network.shapes()))
    return max(1, min(256, _BATCH_VALUES // largest))


def check_against_module(
    network: FloatNetwork,
    module: torch.nn.Module,
    inputs: FloatArray,
    module_inputs: FloatArray | None = None,
    softmax: str = "",
) -> float:
    """Compare the network with the module it was read from; yield the relative difference.

    `module_inputs` are the same samples as the module wants them, where that differs. `softmax`
    names the final softmax that the network leaves out.

    Raises
    ------
    TraceDataError
        They differ by more than AGREEMENT of the module's largest output; networks of more than
        AGREEMENT_LAYERS layers with weights, whose float32 sums round that often, by more in
        proportion.
    """
    given = torch.from_numpy(inputs if module_inputs is None else module_inputs)
    expected = _output_of(module, given)
    found = torch_forward(network, torch.from_numpy(inputs))[len(network.layers) - 1]
    if softmax:
        found = getattr(torch, softmax)(found, 1)
    expected = _as(found, expected)
    if not (bool(expected.isfinite().all()) and bool(found.isfinite().all())):
        raise TraceDataError(
            f"network {network.name}: need finite outputs of the module, got NaN or infinity; check"
            " its weights, and its functions at the values it gives them"
        )
    largest = float(expected.abs().max())
    difference = float((found.double() - expected).abs().max()) / (largest or 1.0)
    n_layers = sum(layer.weight is not None for layer in network.layers)
    most = AGREEMENT * max(1.0, n_layers / AGREEMENT_LAYERS)
    if not difference <= most:
        again = _as(found, _output_of(module, given))
        if not torch.equal(again, expected):
            remedy = "the module is not deterministic in evaluation: make it so, and export again"
        elif len(given) > 2 and not _alone(module, given, expected):
            remedy = "what it gives for a sample depends on how many there are: make it independent"
        elif difference <= _DEFECT:
            remedy = "float32 rounds its sums too differently: scale large weights or inputs down"
        else:
            remedy = "the exporter has read it wrongly: report it as a defect, with the module"
        raise TraceDataError(
            f"network {network.name}: need outputs within {most:g} of the module's, got a relative"
            f" difference of {difference:g}; {remedy}"
        )
    return difference


def _as(found: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """Yield a module's output in the shape of the network's."""
    if output.numel() != found.numel() or output.shape[:1] != found.shape[:1]:
        raise TraceDataError(
            f"(root): need an output of shape {list(found.shape)}, got {list(output.shape)}; make"
            " the module keep the batch as first axis"
        )
    return output.detach().cpu().double().reshape(found.shape)


def _alone(module: torch.nn.Module, given: torch.Tensor, expected: torch.Tensor) -> bool:
    """Say whether two samples give the same by themselves as among the others, nearly."""
    two = _as(expected[:2], _output_of(module, given[:2]))
    return bool(torch.allclose(two, expected[:2], rtol=1e-3, atol=1e-5))


def _output_of(module: torch.nn.Module, given: torch.Tensor) -> torch.Tensor:
    """Run a module in evaluation; of several outputs the first counts."""
    device, dtype = placement(module)
    need = f"a module that runs on samples of shape {list(given.shape)}"
    remedy = "make it take any number of samples, as it takes the two that it is exported with"
    with told(type(module).__name__, need, remedy), evaluating(module), torch.no_grad():
        found: Any = module(given.to(device=device, dtype=dtype, copy=True))
    while not isinstance(found, torch.Tensor):
        found = next(iter(found.values() if isinstance(found, dict) else found))
    return found


def observe_ranges(
    network: FloatNetwork,
    source: Source,
    settings: Settings,
    progress: Progress | None = None,
    answers: Answers | None = None,
) -> dict[int, tuple[float, float]]:
    """Observe the range of the input and of every layer's output over all samples of a source.

    What the last layer gives is put into `answers`, where it is given.
    """
    n_samples = source.shape[0]
    if not n_samples:
        raise TraceDataError(f"network {network.name}: need at least one sample to calibrate with")
    last = len(network.layers) - 1
    names = {NETWORK_INPUT: "input"} | {i: x.name for i, x in enumerate(network.layers)}
    observers = {
        index: Observer(
            settings.calibration,
            percentile=settings.percentile,
            bits=settings.activation_bits_of(name, is_output=index == last),
        )
        for index, name in names.items()
    }

    def observe(index: int, values: torch.Tensor) -> None:
        observers[index].update(values.numpy())

    batch = batch_of(network)
    for start in range(0, n_samples, batch):
        stop = min(start + batch, n_samples)
        inputs = torch.from_numpy(source.read(start, stop))
        observe(NETWORK_INPUT, inputs)
        found = torch_forward(network, inputs, () if answers is None else (last,), observe)
        if answers is not None:
            answers[start, stop] = found[last].numpy()
        if progress is not None:
            progress("calibrating", stop, n_samples)
    return {index: observer.range() for index, observer in observers.items()}


def references_of(
    network: FloatNetwork, source: Source, n_samples: int, progress: Progress | None = None
) -> dict[int, FloatArray]:
    """Compute the float outputs of every layer for the first samples.

    What would not fit well in memory rests in a temporary file without a name.
    """
    n_samples = min(n_samples, source.shape[0])
    shapes = network.shapes()
    n_bytes = 4 * n_samples * sum(int(np.prod(shape)) for shape in shapes)
    found = {}
    for index, shape in enumerate(shapes):
        if n_bytes <= _MEMORY_BYTES:
            found[index] = np.empty((n_samples, *shape), dtype=np.float32)
        else:
            with tempfile.TemporaryFile() as file:
                whole = (n_samples, *shape)
                found[index] = np.memmap(file, dtype=np.float32, mode="w+", shape=whole)
    batch = batch_of(network)
    for start in range(0, n_samples, batch):
        stop = min(start + batch, n_samples)
        inputs = torch.from_numpy(source.read(start, stop))
        for index, values in torch_forward(network, inputs, range(len(shapes))).items():
            found[index][start:stop] = values.numpy()
        if progress is not None:
            progress("computing float references", stop, n_samples)
    return found


def logits_of(
    network: FloatNetwork,
    source: Source,
    progress: Progress | None = None,
    answers: Answers | None = None,
) -> FloatArray:
    """Compute the float outputs of the last layer for all samples.

    `answers` are those of a run over the first of these samples; where it took the same samples
    together, so that sums round alike, they are not computed again.
    """
    known = answers or {}
    n_samples = source.shape[0]
    found = np.empty((n_samples, *network.shapes()[-1]), dtype=np.float32)
    batch = batch_of(network)
    for start in range(0, n_samples, batch):
        stop = min(start + batch, n_samples)
        values = known.get((start, stop))
        if values is None:
            (output,) = torch_forward(network, torch.from_numpy(source.read(start, stop))).values()
            values = output.numpy()
        found[start:stop] = values
        if progress is not None:
            progress("computing float outputs", stop, n_samples)
    return found
