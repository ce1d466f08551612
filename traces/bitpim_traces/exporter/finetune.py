"""Training on with held masks: what is pruned stays zero, the rest makes up for it."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.calibrate import Progress
from bitpim_traces.exporter.graph import evaluating, placement
from bitpim_traces.exporter.plain import need_plain
from bitpim_traces.exporter.prune import hold_masks, masked_parameters
from bitpim_traces.exporter.sources import Floats, Pixels, source_of
from bitpim_traces.masks import LayerMask

__all__ = [
    "OPTIMIZERS",
    "FineTuned",
    "Training",
    "accuracy_of",
    "batches_of",
    "finetune",
    "labelled",
]

OPTIMIZERS = ("sgd", "adam")

_EVALUATION_BATCH = 256


@dataclass(frozen=True, slots=True)
class Training:
    """How a module is trained on; making one checks every value.

    The learning rate falls along a half cosine, from `learning_rate` to almost 0 at the end.
    `momentum` is that of sgd. The seed decides the order of the samples and what dropout drops.

    Raises
    ------
    TraceDataError
        A value is out of its range.
    """

    epochs: int = 1
    batch: int = 64
    learning_rate: float = 0.01
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise TraceDataError(
                f"training: need optimizer among {', '.join(OPTIMIZERS)}, got {self.optimizer!r}"
            )
        for name, low in (("epochs", 0), ("batch", 2), ("seed", 0)):
            if getattr(self, name) < low:
                got = getattr(self, name)
                raise TraceDataError(f"training: need {name} of at least {low}, got {got}")
        for name, most in (("learning_rate", math.inf), ("momentum", 1), ("weight_decay", 1)):
            if not 0 <= getattr(self, name) < most:
                got = getattr(self, name)
                raise TraceDataError(f"training: need {name} from 0 to below {most}, got {got}")

    def as_plain(self) -> dict[str, Any]:
        """Yield the settings as words and numbers, for provenance."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class FineTuned:
    """Accuracy and mean cross entropy right after the masks were applied, and after training."""

    accuracy_before: float
    accuracy_after: float
    loss_before: float
    loss_after: float
    n_steps: int


def finetune(
    module: torch.nn.Module,
    samples: Any,
    labels: npt.NDArray[np.integer],
    masks: Mapping[str, LayerMask],
    training: Training | None = None,
    *,
    evaluation: tuple[Any, npt.NDArray[np.integer]] | None = None,
    progress: Progress | None = None,
) -> FineTuned:
    """Train a classifier on, in place, with masked weights held at zero.

    Masks go by parameter name. They are applied first, and again after every step; so whatever
    happens, no masked weight is left at anything but zero. Batch norm is trained along. `samples`
    are given as to `export`. `evaluation` is the samples and labels that accuracy is measured on;
    without it, those of training. On a CPU, the same seed and number of threads give the same
    weights.

    Raises
    ------
    TraceDataError
        Masks do not fit the module, samples or labels do not fit it, or training diverges.
    """
    need_plain(module)
    training = training or Training()
    source, classes = labelled(samples, labels)
    measured = (source, classes)
    if evaluation is not None:
        given = evaluation[0]
        like = source if isinstance(source, Pixels) else None
        measured = labelled(source_of(given, like), evaluation[1])
    held = masked_parameters(module, masks)
    hold_masks(module, masks)
    before = _measure(module, *measured)
    n_steps = 0
    with _training_mode(module, training.seed):
        try:
            n_steps = _train(module, source, classes, held, training, progress)
        finally:
            hold_masks(module, masks)
            module.zero_grad(set_to_none=True)
    after = _measure(module, *measured)
    return FineTuned(before[0], after[0], before[1], after[1], n_steps)


def accuracy_of(module: torch.nn.Module, samples: Any, labels: npt.NDArray[np.integer]) -> float:
    """Measure the share of samples that a module in evaluation mode classifies as labelled."""
    return _measure(module, *labelled(samples, labels))[0]


def labelled(
    samples: Any, labels: npt.NDArray[np.integer] | None, what: str = "finetune"
) -> tuple[Floats | Pixels, torch.Tensor]:
    """Check samples and the class of each, and yield both.

    Raises
    ------
    TraceDataError
        There are none, or labels are no classes of them.
    """
    source = source_of(samples)
    n_samples = source.shape[0]
    if labels is None:
        raise TraceDataError(f"{what}: need an array `labels` beside the images, got none")
    if n_samples < 1 or np.shape(labels) != (n_samples,):
        raise TraceDataError(
            f"{what}: need samples with a label each, got {n_samples} samples and labels of"
            f" shape {np.shape(labels)}"
        )
    classes = np.asarray(labels)
    if classes.dtype.kind not in "iu" or classes.min() < 0:
        raise TraceDataError(
            f"{what}: need labels that are classes from 0 on, got {classes.dtype} from"
            f" {classes.min()} on"
        )
    return source, torch.from_numpy(classes.astype(np.int64))


def _train(
    module: torch.nn.Module,
    source: Floats | Pixels,
    classes: torch.Tensor,
    held: list[tuple[torch.nn.Parameter, torch.Tensor]],
    training: Training,
    progress: Progress | None,
) -> int:
    """Run the epochs; yield the number of steps."""
    n_samples = source.shape[0]
    n_batches = batches_of(n_samples, training.batch)
    n_steps = training.epochs * n_batches
    optimizer = _optimizer(module, training)
    rng = np.random.default_rng(training.seed)
    step = 0
    for epoch in range(training.epochs):
        n_seen = 0
        for chosen in np.array_split(rng.permutation(n_samples), n_batches):
            for group in optimizer.param_groups:
                share = 0.5 * (1.0 + math.cos(math.pi * step / n_steps))
                group["lr"] = training.learning_rate * share
            optimizer.zero_grad(set_to_none=True)
            loss = _loss(module, source, classes, chosen)
            if not torch.isfinite(loss):
                raise TraceDataError(
                    f"finetune: need a finite loss, got {loss.item()} in step {step} of {n_steps};"
                    " lower the learning rate"
                )
            torch.autograd.backward(loss)
            for parameter, pruned in held:
                if parameter.grad is not None:
                    parameter.grad.masked_fill_(pruned, 0.0)
            optimizer.step()
            with torch.no_grad():
                for parameter, pruned in held:
                    parameter.masked_fill_(pruned, 0.0)
            step, n_seen = step + 1, n_seen + len(chosen)
            if progress is not None:
                progress("fine-tuning", epoch * n_samples + n_seen, training.epochs * n_samples)
    return step


def batches_of(n_samples: int, batch: int) -> int:
    """Number of even batches of two and more: batch norm cannot learn from one sample."""
    return max(1, min(-(-n_samples // batch), n_samples // 2))


def _optimizer(module: torch.nn.Module, training: Training) -> torch.optim.Optimizer:
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise TraceDataError(f"finetune: need parameters to train in {type(module).__name__}")
    rate, decay = training.learning_rate, training.weight_decay
    if training.optimizer == "adam":
        return torch.optim.Adam(parameters, rate, weight_decay=decay)
    return torch.optim.SGD(parameters, rate, momentum=training.momentum, weight_decay=decay)


def _loss(
    module: torch.nn.Module,
    source: Floats | Pixels,
    classes: torch.Tensor,
    chosen: npt.NDArray[np.int64],
) -> torch.Tensor:
    logits = _logits(module, _taken(source, chosen), classes)
    targets = classes[torch.from_numpy(chosen)].to(logits.device)
    return functional.cross_entropy(logits, targets)


def _logits(
    module: torch.nn.Module, values: npt.NDArray[np.float32], classes: torch.Tensor
) -> torch.Tensor:
    """Run a batch; the output has to be a score a class."""
    device, dtype = placement(module)
    output: Any = module(torch.from_numpy(values).to(device=device, dtype=dtype))
    shape = list(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    highest = int(classes.max())
    if not isinstance(output, torch.Tensor) or output.ndim != 2 or output.shape[1] <= highest:
        raise TraceDataError(
            f"finetune: need logits N x classes from {type(module).__name__}, for classes up to"
            f" {highest}, got {shape}"
        )
    return output


def _taken(source: Floats | Pixels, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Yield chosen samples as the module wants them."""
    if isinstance(source, Pixels):
        return replace(source, images=source.images[chosen]).normalized(0, len(chosen))
    return Floats(source.values[chosen]).normalized(0, len(chosen))


def _measure(
    module: torch.nn.Module, source: Floats | Pixels, classes: torch.Tensor
) -> tuple[float, float]:
    """Yield accuracy and mean cross entropy."""
    n_samples = source.shape[0]
    n_right, total = 0, 0.0
    with evaluating(module), torch.no_grad():
        for start in range(0, n_samples, _EVALUATION_BATCH):
            stop = min(start + _EVALUATION_BATCH, n_samples)
            logits = _logits(module, source.normalized(start, stop), classes).cpu()
            wanted = classes[start:stop]
            n_right += int((logits.argmax(1) == wanted).sum())
            total += float(functional.cross_entropy(logits.double(), wanted, reduction="sum"))
    return n_right / n_samples, total / n_samples


@contextlib.contextmanager
def _training_mode(module: torch.nn.Module, seed: int) -> Iterator[None]:
    """Hold a module in training mode, with random numbers of its own; then give all back."""
    device, _ = placement(module)
    modes = [(part, part.training) for part in module.modules()]
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.enable_grad():
        torch.manual_seed(seed)
        try:
            module.train()
            yield
        finally:
            for part, training in modes:
                part.training = training
