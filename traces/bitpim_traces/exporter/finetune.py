"""Training on with held masks: what is pruned stays zero, the rest makes up for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitpim_traces.exporter.calibrate import Progress
from bitpim_traces.exporter.coded_weights import CodedWeights, weights_of
from bitpim_traces.exporter.plain import need_plain
from bitpim_traces.exporter.prune import masked_parameters
from bitpim_traces.exporter.sources import Floats, Pixels
from bitpim_traces.exporter.training import Rule, Training, labelled, measure, measured_on, train
from bitpim_traces.masks import LayerMask
from bitpim_traces.quantize import Settings

__all__ = ["FineTuned", "HeldMasks", "accuracy_of", "finetune", "trained_on"]


@dataclass(frozen=True, slots=True)
class FineTuned:
    """Accuracy and mean cross entropy right after the masks were applied, and after training."""

    accuracy_before: float
    accuracy_after: float
    loss_before: float
    loss_after: float
    n_steps: int


class HeldMasks(Rule):
    """Masked weights have no gradient, and are zero after every step."""

    def __init__(self, module: torch.nn.Module, masks: Mapping[str, LayerMask]) -> None:
        self.held = masked_parameters(module, masks)

    def at_gradients(self) -> None:
        """Let no optimizer remember a gradient of a masked weight."""
        for parameter, pruned in self.held:
            if parameter.grad is not None:
                parameter.grad.masked_fill_(pruned, 0.0)

    def after_step(self) -> None:
        """Set masked weights to zero."""
        with torch.no_grad():
            for parameter, pruned in self.held:
                parameter.masked_fill_(pruned, 0.0)


def finetune(
    module: torch.nn.Module,
    samples: Any,
    labels: npt.NDArray[np.integer],
    masks: Mapping[str, LayerMask],
    training: Training | None = None,
    *,
    settings: Settings | None = None,
    teacher: torch.nn.Module | None = None,
    evaluation: tuple[Any, npt.NDArray[np.integer]] | None = None,
    progress: Progress | None = None,
) -> FineTuned:
    """Train a classifier on, in place, with masked weights held at zero.

    Masks go by parameter name. They are applied first, and again after every step; so whatever
    happens, no masked weight is left at anything but zero. Batch norm is trained along.

    With `settings`, weights take in every step the values that codes of these settings stand for
    (`coded_weights`), and are left there; accuracy before and after is that with these values.
    Layers go by module path in their overrides. Without, weights are real numbers. The `teacher`
    of `training.distilled` is another module, such as a copy made before pruning. `samples` are
    given as to `export`. `evaluation` is the samples and labels that accuracy is measured on;
    without it, those of training. On a CPU, the same seed and number of threads give the same
    weights.

    Raises
    ------
    TraceDataError
        Masks do not fit the module, samples or labels do not fit it, a teacher is missing, or
        training diverges.
    """
    need_plain(module)
    source, classes = labelled(samples, labels)
    measured = measured_on(source, classes, evaluation)
    coded = None if settings is None else CodedWeights(weights_of(module), settings)
    rules = [*([] if coded is None else [coded]), HeldMasks(module, masks)]
    training = training or Training()
    return trained_on(
        module, (source, classes), measured, rules, training, coded, teacher, progress=progress
    )


def trained_on(
    module: torch.nn.Module,
    taught: tuple[Floats | Pixels, torch.Tensor],
    measured: tuple[Floats | Pixels, torch.Tensor],
    rules: Sequence[Rule],
    training: Training,
    coded: CodedWeights | None = None,
    teacher: torch.nn.Module | None = None,
    *,
    doing: str = "fine-tuning",
    progress: Progress | None = None,
) -> FineTuned:
    """Train with rules, and measure before and after; weights of `coded` are left at its values."""
    for rule in rules:
        rule.after_step()
    before = _measured(module, coded, measured)
    try:
        n_steps = train(
            module, *taught, training, rules, teacher=teacher, doing=doing, progress=progress
        )
    finally:
        for rule in rules:  # a step that failed left its own
            rule.at_gradients()
            rule.after_step()
    if coded is not None:
        coded.put()
    after = measure(module, *measured)
    return FineTuned(before[0], after[0], before[1], after[1], n_steps)


def _measured(
    module: torch.nn.Module,
    coded: CodedWeights | None,
    measured: tuple[Floats | Pixels, torch.Tensor],
) -> tuple[float, float]:
    """Yield accuracy and cross entropy with coded weights, whose real ones come back."""
    if coded is None:
        return measure(module, *measured)
    coded.before_step()
    try:
        return measure(module, *measured)
    finally:
        coded.at_gradients()


def accuracy_of(module: torch.nn.Module, samples: Any, labels: npt.NDArray[np.integer]) -> float:
    """Measure the share of samples that a module in evaluation mode classifies as labelled."""
    return measure(module, *labelled(samples, labels))[0]
