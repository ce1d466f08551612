"""Training on with clustered weights: shared values learn, activations take those of codebooks."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.calibrate import Progress, batch_of
from bitpim_traces.exporter.clustered import ClusteredLayer, clustered, network_of
from bitpim_traces.exporter.coded_forward import Rounding, coded_forward
from bitpim_traces.exporter.finetune import batches_of, labelled
from bitpim_traces.exporter.forward import torch_forward
from bitpim_traces.exporter.sources import Floats, Pixels, source_of
from bitpim_traces.network import FloatNetwork
from bitpim_traces.quantize import CodebookSettings
from bitpim_traces.quantize.codebook_plan import CodebookPlan, plan_codebooks
from bitpim_traces.quantize.codebook_tree import tree_codebook
from bitpim_traces.quantize.codebooks import drawn_places
from bitpim_traces.quantize.value_counts import ValueCounts
from bitpim_traces.records import NETWORK_INPUT

__all__ = ["Retrained", "Retraining", "coded_accuracy", "retrain"]

Labels = npt.NDArray[np.integer] | None
Codes = dict[int, Rounding]

_MOMENTUM = 0.9


@dataclass(frozen=True, slots=True)
class Retraining:
    """How clustered weights are trained on; making one checks every value.

    Attributes
    ----------
    epochs
        How often all samples are seen, at most.
    delta
        Training ends after the epoch whose error is at most that of the float network and this.
    batch
        Samples of a step.
    learning_rate
        First step of Adam, as a share of the root mean square of a layer's weights; it falls along
        a half cosine to almost 0.
    reclusterings
        How often in an epoch the weights are clustered again, at even distances from its begin;
        never before the first step. 0: which weights share a value stays as it was.
    seed
        Decides the order of the samples.

    Raises
    ------
    TraceDataError
        A value is out of its range.
    """

    epochs: int = 4
    delta: float = 0.0
    batch: int = 64
    learning_rate: float = 0.002
    reclusterings: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (("epochs", 0), ("batch", 2), ("reclusterings", 0), ("seed", 0)):
            if getattr(self, name) < low:
                got = getattr(self, name)
                raise TraceDataError(f"retraining: need {name} of at least {low}, got {got}")
        for name, most in (("learning_rate", math.inf), ("delta", 1)):
            if not 0 <= getattr(self, name) < most:
                got = getattr(self, name)
                raise TraceDataError(f"retraining: need {name} from 0 to below {most}, got {got}")

    def as_plain(self) -> dict[str, Any]:
        """Yield the settings as words and numbers, for provenance."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Retrained:
    """The network of the best epoch, and what was measured; its weights are clustered values.

    `accuracies` are those with clustered weights and activations, before training and after each
    epoch; `epoch` is the best one's place in them.
    """

    network: FloatNetwork
    float_accuracy: float
    accuracies: tuple[float, ...]
    epoch: int
    n_steps: int


def retrain(
    network: FloatNetwork,
    samples: Any,
    labels: Labels,
    settings: CodebookSettings | None = None,
    retraining: Retraining | None = None,
    *,
    calibration: Any = None,
    evaluation: tuple[Any, Labels] | None = None,
    progress: Progress | None = None,
) -> Retrained:
    """Train the shared values of a classifier's clustered weights, and its biases.

    Weights are clustered as `quantize_codebooks` clusters them. In the forward pass weights are the
    shared values, and activations the nearest of codebooks that are made anew each epoch from
    `calibration` (without it, `samples`). `quantize_codebooks` with the same settings and
    calibration makes of the network that comes back just these weights and codebooks.

    `evaluation` is the samples and labels that accuracy is measured on; without it, those of
    training. On a CPU, the same seed and number of threads give the same network. Activations by
    points are those of the function itself here.

    Raises
    ------
    TraceDataError
        Samples or labels do not fit the network, a layer has no tables or no gradient, or training
        diverges.
    """
    settings, retraining = settings or CodebookSettings(), retraining or Retraining()
    source, classes = labelled(samples, labels, "retrain")
    measured = (source, classes)
    if evaluation is not None:
        like = source if isinstance(source, Pixels) else None
        measured = labelled(source_of(evaluation[0], like), evaluation[1], "retrain")
    given = source if calibration is None else source_of(calibration, source)
    for found in (source, measured[0], given):
        _need_shape(network, found)
    _need_classes(network, max(int(classes.max()), int(measured[1].max())))
    with torch.enable_grad():
        return _Run(network, settings, retraining, given, measured, progress).train(source, classes)


def coded_accuracy(
    network: FloatNetwork,
    samples: Any,
    labels: Labels,
    settings: CodebookSettings | None = None,
    *,
    calibration: Any = None,
) -> float:
    """Measure a network whose weights and activations are clustered, in float32 and in PyTorch.

    It is right as often as the trace that `quantize_codebooks` makes of the same settings and
    calibration, but for sums that are as good as midway between two values.
    """
    source, classes = labelled(samples, labels, "coded accuracy")
    given = source if calibration is None else source_of(calibration, source)
    settings = settings or CodebookSettings()
    for found in (source, given):
        _need_shape(network, found)
    _need_classes(network, int(classes.max()))
    run = _Run(network, settings, Retraining(), given, (source, classes), None)
    codes = _observed(run.plan.network, run.plan, run.calibration, settings)
    return run.accuracy(network_of(run.plan.network, run.layers), codes)


def _need_shape(network: FloatNetwork, source: Floats | Pixels) -> None:
    if tuple(source.shape[1:]) != network.input_shape or not source.shape[0]:
        raise TraceDataError(
            f"retrain: need samples of shape {list(network.input_shape)}, got"
            f" {source.shape[0]} of {list(source.shape[1:])}"
        )


def _need_classes(network: FloatNetwork, highest: int) -> None:
    shape = network.shapes()[-1]
    if len(shape) != 1 or shape[0] <= highest:
        raise TraceDataError(
            f"retrain: need an output of one score a class, for classes up to {highest}, got"
            f" {list(shape)} from network {network.name}"
        )


class _Run:
    """One training, from the clustering to the best network."""

    def __init__(
        self,
        network: FloatNetwork,
        settings: CodebookSettings,
        retraining: Retraining,
        calibration: Floats | Pixels,
        measured: tuple[Floats | Pixels, torch.Tensor],
        progress: Progress | None,
    ) -> None:
        self.given, self.settings, self.retraining = network, settings, retraining
        self.plan: CodebookPlan = plan_codebooks(network, settings)
        self.layers = clustered(self.plan.network, settings)
        places = drawn_places(calibration.shape[0], settings)
        self.calibration = _chosen(calibration, places)
        self.measured, self.progress = measured, progress

    def train(self, source: Floats | Pixels, classes: torch.Tensor) -> Retrained:
        """Run the epochs; yield the best of them."""
        epochs, n_samples = self.retraining.epochs, source.shape[0]
        network = self.plan.network
        wanted = _accuracy(lambda x: _last(network, x), self.measured, batch_of(network))
        current, codes = self._settled()
        best, accuracies = current, [self.accuracy(current, codes)]
        n_batches = batches_of(n_samples, self.retraining.batch)
        optimizers = self._optimizers()
        rng, epoch = np.random.default_rng(self.retraining.seed), 0
        for epoch in range(1, epochs + 1):
            if max(accuracies) >= wanted - self.retraining.delta:
                epoch -= 1
                break
            batches = np.array_split(rng.permutation(n_samples), n_batches)
            self._train_epoch(epoch - 1, source, classes, batches, codes, optimizers)
            current, codes = self._settled()
            accuracies.append(self.accuracy(current, codes))
            if accuracies[-1] > max(accuracies[:-1]):
                best = current
        at = accuracies.index(max(accuracies))
        made = replace(self.given, layers=_as_given(self.given, best, self.plan))
        return Retrained(made, wanted, tuple(accuracies), at, epoch * n_batches)

    def _optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        """Make what moves values and biases, and what moves shadows.

        A shadow takes steps in proportion to its gradient: those with next to none stay.
        """
        rate = self.retraining.learning_rate
        values, shadows = [], []
        for layer in self.layers:
            moved = [layer.values, *([] if layer.bias is None else [layer.bias])]
            values.append({"params": moved, "scale": layer.rms})
            shadows.append({"params": [layer.shadow], "scale": layer.rms})
        adam = torch.optim.Adam(values, rate)
        if not self.retraining.reclusterings:
            return (adam,)
        return adam, torch.optim.SGD(shadows, rate, momentum=_MOMENTUM, dampening=_MOMENTUM)

    def _train_epoch(
        self,
        epoch: int,
        source: Floats | Pixels,
        classes: torch.Tensor,
        batches: list[npt.NDArray[np.int64]],
        codes: Codes,
        optimizers: tuple[torch.optim.Optimizer, ...],
    ) -> None:
        network, n_seen = self.plan.network, 0
        n_steps = self.retraining.epochs * len(batches)
        n_again = self.retraining.reclusterings
        again = {k * len(batches) // n_again for k in range(n_again)}
        weights = {layer.index: layer.weight for layer in self.layers}
        biases = {layer.index: layer.bias for layer in self.layers if layer.bias is not None}
        for place, chosen in enumerate(batches):
            step = epoch * len(batches) + place
            if step and place in again:
                for layer in self.layers:
                    layer.cluster_again()
            share = 0.5 * (1.0 + math.cos(math.pi * step / n_steps))
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self.retraining.learning_rate * share * group["scale"]
                optimizer.zero_grad(set_to_none=True)
            inputs = torch.from_numpy(_chosen(source, chosen).read(0, len(chosen)))
            logits = coded_forward(network, inputs, codes, weights, biases)
            loss = functional.cross_entropy(logits, classes[torch.from_numpy(chosen)])
            if not torch.isfinite(loss):
                raise TraceDataError(
                    f"retrain: need a finite loss, got {loss.item()} in step {step} of {n_steps};"
                    " lower the learning rate"
                )
            torch.autograd.backward(loss)
            for layer in self.layers:
                layer.spread_gradients()
            for optimizer in optimizers:
                optimizer.step()
            for layer in self.layers:
                layer.put_weights()
            n_seen += len(chosen)
            if self.progress is not None:
                n_samples = source.shape[0]
                done, total = epoch * n_samples + n_seen, self.retraining.epochs * n_samples
                self.progress("re-training", done, total)

    def _settled(self) -> tuple[FloatNetwork, Codes]:
        """Yield the network as it would go into a trace, and what its activations are rounded to."""
        network = network_of(self.plan.network, self.layers)
        return network, _observed(network, self.plan, self.calibration, self.settings)

    def accuracy(self, network: FloatNetwork, codes: Codes) -> float:
        """Measure a network whose activations are rounded.
"""
        return _accuracy(
            lambda x: coded_forward(network, x, codes), self.measured, batch_of(network)
        )


def _observed(
    network: FloatNetwork,
    plan: CodebookPlan,
    source: Floats | Pixels,
    settings: CodebookSettings,
) -> Codes:
    """Cluster what the float network gives, as `quantize_codebooks` does."""
    names = {index: network.layers[index].name for index in plan.own if index != NETWORK_INPUT}
    by_reader = {reader: index for index, reader in plan.joined.items()}
    names = {i: network.layers[by_reader.get(i, i)].name for i in names} | {NETWORK_INPUT: "input"}
    counts = {
        index: ValueCounts(f"{name} output", value_bits=settings.value_bits)
        for index, name in names.items()
    }

    def observe(index: int, values: torch.Tensor) -> None:
        if index in counts:
            counts[index].update(values.numpy())

    batch = batch_of(network)
    for start in range(0, source.shape[0], batch):
        inputs = torch.from_numpy(source.read(start, min(start + batch, source.shape[0])))
        observe(NETWORK_INPUT, inputs)
        torch_forward(network, inputs, (), observe)
    return {
        index: Rounding(
            tree_codebook(
                counted.counted(),
                depth=settings.output_depth_of(names[index]),
                value_bits=settings.value_bits,
            )
        )
        for index, counted in counts.items()
    }


def _as_given(given: FloatNetwork, trained: FloatNetwork, plan: CodebookPlan) -> tuple[Any, ...]:
    """Put trained weights into the layers of the network that was given."""
    found = {
        before: layer
        for before, layer in zip(plan.given, trained.layers, strict=True)
        if layer.weight is not None
    }
    return tuple(
        replace(layer, weight=found[index].weight, bias=found[index].bias)
        if index in found
        else layer
        for index, layer in enumerate(given.layers)
    )


def _last(network: FloatNetwork, inputs: torch.Tensor) -> torch.Tensor:
    (found,) = torch_forward(network, inputs).values()
    return found


def _accuracy(
    forward: Callable[[torch.Tensor], torch.Tensor],
    measured: tuple[Floats | Pixels, torch.Tensor],
    batch: int,
) -> float:
    source, classes = measured
    n_samples, n_right = source.shape[0], 0
    with torch.no_grad():
        for start in range(0, n_samples, batch):
            stop = min(start + batch, n_samples)
            found = forward(torch.from_numpy(source.read(start, stop))).argmax(1)
            n_right += int((found == classes[start:stop]).sum())
    return n_right / n_samples


def _chosen(source: Floats | Pixels, places: npt.NDArray[np.integer]) -> Floats | Pixels:
    if isinstance(source, Pixels):
        return replace(source, images=source.images[places])
    return Floats(source.values[places])
