"""Training on with clustered weights: shared values learn, activations take those of codebooks."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.calibrate import Progress, batch_of
from bitpim_traces.exporter.clustered import clustered, network_of
from bitpim_traces.exporter.coded_forward import Rounding, coded_forward
from bitpim_traces.exporter.forward import torch_forward
from bitpim_traces.exporter.observed_codes import chosen_samples, observed_codebooks
from bitpim_traces.exporter.retraining import Retrained, Retraining
from bitpim_traces.exporter.sources import Floats, Pixels, source_of
from bitpim_traces.exporter.training import batches_of, labelled
from bitpim_traces.network import FloatNetwork
from bitpim_traces.quantize import CodebookSettings
from bitpim_traces.quantize.codebook_plan import CodebookPlan, plan_codebooks
from bitpim_traces.quantize.codebooks import drawn_places

__all__ = ["coded_accuracy", "retrain"]

Labels = npt.NDArray[np.integer] | None
_MOMENTUM = 0.9


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
    shared values, and activations the nearest of codebooks that the network had before, seen on
    `calibration` (without it, on `samples`). Of the network and the codebooks that come back
    `quantize_codebooks`, with the same settings, makes a trace with just these values.

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
    return run.accuracy(network_of(run.plan.network, run.layers))


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
        seen = chosen_samples(calibration, places)
        self.codebooks = observed_codebooks(self.plan.network, self.plan, seen, settings)
        self.codes = {index: Rounding(book) for index, book in self.codebooks.items()}
        self.measured, self.progress = measured, progress

    def train(self, source: Floats | Pixels, classes: torch.Tensor) -> Retrained:
        """Run the epochs; yield the best of them."""
        epochs, n_samples = self.retraining.epochs, source.shape[0]
        network = self.plan.network
        wanted = _accuracy(lambda x: _last(network, x), self.measured, batch_of(network))
        best = network_of(network, self.layers)
        accuracies = [self.accuracy(best)]
        n_batches = batches_of(n_samples, self.retraining.batch)
        optimizers = self._optimizers()
        rng, epoch = np.random.default_rng(self.retraining.seed), 0
        for epoch in range(1, epochs + 1):
            if max(accuracies) >= wanted - self.retraining.delta:
                epoch -= 1
                break
            batches = np.array_split(rng.permutation(n_samples), n_batches)
            self._train_epoch(epoch - 1, source, classes, batches, optimizers)
            current = network_of(network, self.layers)
            accuracies.append(self.accuracy(current))
            if accuracies[-1] > max(accuracies[:-1]):
                best = current
        at = accuracies.index(max(accuracies))
        made = replace(self.given, layers=_as_given(self.given, best, self.plan))
        books = {self.plan.names[index]: book for index, book in self.codebooks.items()}
        return Retrained(made, books, wanted, tuple(accuracies), at, epoch * n_batches)

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
        if not self.retraining.recluster_every:
            return (adam,)
        return adam, torch.optim.SGD(shadows, rate, momentum=_MOMENTUM, dampening=_MOMENTUM)

    def _train_epoch(
        self,
        epoch: int,
        source: Floats | Pixels,
        classes: torch.Tensor,
        batches: list[npt.NDArray[np.int64]],
        optimizers: tuple[torch.optim.Optimizer, ...],
    ) -> None:
        network, n_seen = self.plan.network, 0
        n_steps = self.retraining.epochs * len(batches)
        every = self.retraining.recluster_every
        weights = {layer.index: layer.weight for layer in self.layers}
        biases = {layer.index: layer.bias for layer in self.layers if layer.bias is not None}
        for place, chosen in enumerate(batches):
            step = epoch * len(batches) + place
            if every and step and not step % every:
                for layer in self.layers:
                    layer.cluster_again()
            share = 0.5 * (1.0 + math.cos(math.pi * step / n_steps))
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self.retraining.learning_rate * share * group["scale"]
                optimizer.zero_grad(set_to_none=True)
            inputs = torch.from_numpy(chosen_samples(source, chosen).read(0, len(chosen)))
            logits = coded_forward(network, inputs, self.codes, weights, biases)
            loss = functional.cross_entropy(logits, classes[torch.from_numpy(chosen)])
            if not torch.isfinite(loss):
                raise _diverged("a finite loss", loss.item(), step, n_steps)
            torch.autograd.backward(loss)
            for layer in self.layers:
                layer.spread_gradients()
            for optimizer in optimizers:
                optimizer.step()
            for layer in self.layers:
                layer.put_weights()
            if not all(bool(layer.values.isfinite().all()) for layer in self.layers):
                raise _diverged("finite weights", "NaN or infinity", step, n_steps)
            n_seen += len(chosen)
            if self.progress is not None:
                n_samples = source.shape[0]
                done, total = epoch * n_samples + n_seen, self.retraining.epochs * n_samples
                self.progress("re-training", done, total)

    def accuracy(self, network: FloatNetwork) -> float:
        """Measure a network whose activations are rounded."""
        return _accuracy(
            lambda x: coded_forward(network, x, self.codes), self.measured, batch_of(network)
        )


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


def _diverged(need: str, got: object, step: int, n_steps: int) -> TraceDataError:
    return TraceDataError(
        f"retrain: need {need}, got {got} in step {step} of {n_steps}; lower the learning rate"
    )
