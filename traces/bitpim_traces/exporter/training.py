"""How a classifier is trained on: settings, samples in order, and the steps that all recipes share.

What a recipe does beside plain training is one or more rules: they hold weights at values of a
kind, or pull them there, before and after every step.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.calibrate import Progress
from bitpim_traces.exporter.graph import evaluating, placement
from bitpim_traces.exporter.sources import Floats, Pixels, source_of

__all__ = [
    "OPTIMIZERS",
    "Rule",
    "Training",
    "batches_of",
    "labelled",
    "measure",
    "measured_on",
    "train",
]

OPTIMIZERS = ("sgd", "adam")

_EVALUATION_BATCH = 256
_TEMPERATURE = 4.0


@dataclass(frozen=True, slots=True)
class Training:
    """How a module is trained on; making one checks every value.

    The learning rate falls along a half cosine, from `learning_rate` to almost 0 at the end.
    `momentum` is that of sgd. With `mirror`, half of the images are seen left to right; with
    `shift`, each is moved by up to so many pixels along both axes, zeros coming in. `distilled` is
    the share of the loss that asks for the answers of the network as it was before, softened by a
    temperature of 4 (Hinton et al., "Distilling the knowledge in a neural network", 2015); the rest
    asks for the labels. The seed decides the order of the samples, what dropout drops, and which
    images move how far.

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
    mirror: bool = False
    shift: int = 0
    distilled: float = 0.0

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise TraceDataError(
                f"training: need optimizer among {', '.join(OPTIMIZERS)}, got {self.optimizer!r}"
            )
        for name, low in (("epochs", 0), ("batch", 2), ("seed", 0), ("shift", 0)):
            if getattr(self, name) < low:
                got = getattr(self, name)
                raise TraceDataError(f"training: need {name} of at least {low}, got {got}")
        for name, most in (("learning_rate", math.inf), ("momentum", 1), ("weight_decay", 1)):
            if not 0 <= getattr(self, name) < most:
                got = getattr(self, name)
                raise TraceDataError(f"training: need {name} from 0 to below {most}, got {got}")
        if not 0 <= self.distilled <= 1:
            raise TraceDataError(f"training: need distilled from 0 to 1, got {self.distilled}")

    def as_plain(self) -> dict[str, Any]:
        """Yield the settings as words and numbers, for provenance."""
        plain = asdict(self)
        for name in ("mirror", "shift", "distilled"):
            if not plain[name]:
                del plain[name]  # what is not chosen leaves the digests of older traces alone
        return plain


class Rule:
    """What a recipe does in a step of training; this one does nothing."""

    def before_step(self) -> None:
        """Put the weights where the forward pass is to see them."""

    def at_gradients(self) -> None:
        """Change gradients and weights between the backward pass and the optimizer's step."""

    def after_step(self) -> None:
        """Put the weights where they must be after the optimizer moved them."""

    def after_epoch(self, epoch: int) -> None:
        """Do what is done once an epoch; the first is 0."""


def train(
    module: torch.nn.Module,
    source: Floats | Pixels,
    classes: torch.Tensor,
    training: Training,
    rules: Sequence[Rule] = (),
    *,
    teacher: torch.nn.Module | None = None,
    falling: bool = True,
    doing: str = "fine-tuning",
    progress: Progress | None = None,
) -> int:
    """Run the epochs, in place; yield the number of steps.

    With `distilled`, the `teacher` has to be given. Unless it is `falling`, the learning rate stays
    what it is. Rules take their turns in order. On a CPU, the same seed and number of threads give
    the same weights. No gradient is left behind, and modes are as they were.

    Raises
    ------
    TraceDataError
        Samples do not fit the module, it has nothing to train, or training diverges.
    """
    if (training.mirror or training.shift) and len(source.shape) != 4:
        raise TraceDataError(
            f"training: need images N x C x H x W to mirror or shift, got {list(source.shape)}"
        )
    if training.shift >= min(source.shape[2:], default=training.shift + 1):
        raise TraceDataError(
            f"training: need a shift below the {min(source.shape[2:])} pixels of an image, got"
            f" {training.shift}"
        )
    if training.distilled and teacher is None:
        raise TraceDataError("training: need a teacher to be distilled from, got none")
    with _training_mode(module, training.seed):
        try:
            return _run(module, source, classes, training, rules, teacher, falling, doing, progress)
        finally:
            module.zero_grad(set_to_none=True)


def _run(
    module: torch.nn.Module,
    source: Floats | Pixels,
    classes: torch.Tensor,
    training: Training,
    rules: Sequence[Rule],
    teacher: torch.nn.Module | None,
    falling: bool,
    doing: str,
    progress: Progress | None,
) -> int:
    n_samples = source.shape[0]
    n_batches = batches_of(n_samples, training.batch)
    n_steps = training.epochs * n_batches
    optimizer = _optimizer(module, training)
    rng = np.random.default_rng(training.seed)
    moves = np.random.default_rng([training.seed, 1])
    step = 0
    for epoch in range(training.epochs):
        n_seen = 0
        for chosen in np.array_split(rng.permutation(n_samples), n_batches):
            share = 0.5 * (1.0 + math.cos(math.pi * step / n_steps)) if falling else 1.0
            for group in optimizer.param_groups:
                group["lr"] = training.learning_rate * share
            optimizer.zero_grad(set_to_none=True)
            for rule in rules:
                rule.before_step()
            values = _moved(_taken(source, chosen), training, moves)
            loss = _loss(module, teacher, training.distilled, values, classes, chosen)
            if not torch.isfinite(loss):
                raise TraceDataError(
                    f"finetune: need a finite loss, got {loss.item()} in step {step} of {n_steps};"
                    " lower the learning rate"
                )
            torch.autograd.backward(loss)
            for rule in rules:
                rule.at_gradients()
            optimizer.step()
            for rule in rules:
                rule.after_step()
            step, n_seen = step + 1, n_seen + len(chosen)
            if progress is not None:
                progress(doing, epoch * n_samples + n_seen, training.epochs * n_samples)
        for rule in rules:
            rule.after_epoch(epoch)
    return step


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


def measured_on(
    source: Floats | Pixels,
    classes: torch.Tensor,
    evaluation: tuple[Any, npt.NDArray[np.integer]] | None,
) -> tuple[Floats | Pixels, torch.Tensor]:
    """Yield what accuracy is measured on: `evaluation`, or without it the samples of training."""
    if evaluation is None:
        return source, classes
    like = source if isinstance(source, Pixels) else None
    return labelled(source_of(evaluation[0], like), evaluation[1])


def batches_of(n_samples: int, batch: int) -> int:
    """Number of even batches of two and more: batch norm cannot learn from one sample."""
    return max(1, min(-(-n_samples // batch), n_samples // 2))


def measure(
    module: torch.nn.Module, source: Floats | Pixels, classes: torch.Tensor
) -> tuple[float, float]:
    """Yield accuracy and mean cross entropy in evaluation."""
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
    teacher: torch.nn.Module | None,
    distilled: float,
    values: npt.NDArray[np.float32],
    classes: torch.Tensor,
    chosen: npt.NDArray[np.int64],
) -> torch.Tensor:
    """Yield the loss of a batch: by its labels, and by the answers of the teacher."""
    logits = _logits(module, values, classes)
    loss = functional.cross_entropy(logits, classes[torch.from_numpy(chosen)].to(logits.device))
    if not distilled or teacher is None:
        return loss
    with evaluating(teacher), torch.no_grad():
        wanted = functional.softmax(_logits(teacher, values, classes) / _TEMPERATURE, 1)
    softened = functional.cross_entropy(logits / _TEMPERATURE, wanted)
    return (1.0 - distilled) * loss + distilled * _TEMPERATURE**2 * softened


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


def _moved(
    values: npt.NDArray[np.float32], training: Training, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Mirror and shift the images of a batch as drawn."""
    if training.mirror:
        flipped = rng.integers(0, 2, len(values)).astype(bool)
        values[flipped] = values[flipped, :, :, ::-1]
    if not training.shift:
        return values
    far, (height, width) = training.shift, values.shape[2:]
    wide = np.pad(values, ((0, 0), (0, 0), (far, far), (far, far)))
    corners = rng.integers(0, 2 * far + 1, (len(values), 2))
    for place, (top, left) in enumerate(corners):
        values[place] = wide[place, :, top : top + height, left : left + width]
    return values


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
