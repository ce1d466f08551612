"""Pruning by ADMM: training and projection take turns, so that weights move where masks will be.

Beside its loss a network minimizes rho / 2 |W - Z + U|^2, where Z is the weight of a structured set
nearest to W + U and U adds up what W and Z still differ by (Zhang et al., "A systematic DNN weight
pruning framework using alternating direction method of multipliers", ECCV 2018). After the last
turn W itself is projected: the masks then are hard, and `finetune` holds them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.calibrate import Progress
from bitpim_traces.exporter.plain import need_plain
from bitpim_traces.exporter.prune import hold_masks
from bitpim_traces.exporter.training import Rule, Training, batches_of, labelled, train
from bitpim_traces.masks import LayerMask
from bitpim_traces.quantize.admm_settings import AdmmPruning
from bitpim_traces.quantize.pattern import WINDOW
from bitpim_traces.quantize.projections import group_mask, natural_set, pattern_mask

__all__ = ["AdmmModule", "admm_prune"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class AdmmModule:
    """What ADMM chose: masks by parameter name; and how it came there.

    `residuals` are |W - Z| / |W| over all pruned weights at each projection, by round.
    """

    masks: dict[str, LayerMask]
    settings: AdmmPruning
    residuals: tuple[float, ...]
    n_steps: int


def admm_prune(
    module: torch.nn.Module,
    samples: Any,
    labels: npt.NDArray[np.integer],
    pruning: AdmmPruning | None = None,
    training: Training | None = None,
    *,
    progress: Progress | None = None,
) -> AdmmModule:
    """Train a classifier in place until its convolutions are nearly pruned, and prune them.

    `samples` are given as to `export`. The learning rate stays what it is: were it to fall, nothing
    would follow the last pulls. The masks fit `finetune`, which trains on while they hold,
    and `export`. On a CPU, the same seed and number of threads give the same weights.

    Raises
    ------
    TraceDataError
        There is nothing to prune, a share leaves nothing of a layer, samples or labels do not fit
        the module, or training diverges.
    """
    need_plain(module)
    pruning, training = pruning or AdmmPruning(), training or Training()
    source, classes = labelled(samples, labels, "admm")
    split = {
        path: _Split(f"{path}.weight".lstrip("."), part, pruning, share)
        for path, part, share in _pruned(module, pruning)
    }
    n_steps = training.epochs * batches_of(source.shape[0], training.batch)
    if n_steps < pruning.rounds:
        raise TraceDataError(
            f"admm: need a step for each of {pruning.rounds} rounds, got {n_steps}; train for more"
            " epochs, or set fewer rounds"
        )
    pull = _Pull(list(split.values()), pruning, n_steps)
    more: dict[str, Any] = {"doing": "pruning by ADMM", "progress": progress}
    train(module, source, classes, training, [pull], falling=False, **more)
    masks = {one.name: one.mask_of(one.weight()) for one in split.values()}
    hold_masks(module, masks)
    return AdmmModule(masks, pruning, tuple(pull.residuals), n_steps)


def _pruned(
    module: torch.nn.Module, pruning: AdmmPruning
) -> list[tuple[str, torch.nn.Conv2d, float]]:
    """Convolutions that are pruned, by path, with the share of each."""
    every = [
        (path, part)
        for path, part in module.named_modules()
        if isinstance(part, torch.nn.Conv2d) and "weight" in part._parameters
    ]
    fitting = [(path, part) for path, part in every if _fits(part, pruning.kind)]
    unknown = pruning.shares.keys() - {path for path, _ in fitting}
    if unknown:
        raise TraceDataError(
            f"admm: need shares of convolutions that kind {pruning.kind} prunes"
            f" ({', '.join(path for path, _ in fitting[:8])}), got {min(unknown)!r}"
        )
    first = every[0][0] if every and pruning.skip_first else None
    found = []
    for path, part in fitting:
        share = pruning.shares.get(path, pruning.share)
        chosen = share > 0
        if path not in pruning.shares:
            chosen = path != first and (share > 0 or pruning.kind == "pattern")
        if chosen:
            found.append((path, part, share))
    if not found:
        raise TraceDataError(
            f"admm: need a convolution that kind {pruning.kind} prunes, got {len(fitting)}"
            f" of {len(every)} that fit, the first left as it is or the share 0"
        )
    return found


def _fits(part: torch.nn.Conv2d, kind: str) -> bool:
    """Tell whether a kind fits: what runs over all filters would mix groups of a convolution."""
    if kind == "pattern":
        return tuple(part.kernel_size) == WINDOW
    return part.groups == 1 or kind in ("filter", "lane")


class _Split:
    """One weight, and the Z and U that go with it."""

    def __init__(
        self, name: str, part: torch.nn.Conv2d, pruning: AdmmPruning, share: float
    ) -> None:
        self.name, self.parameter = name, part.weight
        self.kind, self.share = pruning.kind, share
        given = self.weight()
        self.patterns = None
        if pruning.kind == "pattern":
            self.patterns = natural_set(given, pruning.kept, pruning.n_patterns)
        self.dual = torch.zeros_like(part.weight)
        self.target = self._projected(part.weight.detach())

    def weight(self) -> Floats:
        """Yield the weight as it is now."""
        found = self.parameter.detach().cpu().double().numpy()
        if not np.isfinite(found).all():
            raise TraceDataError(
                f"admm: {self.name!r}: need finite weights, got others; lower the learning rate"
            )
        return found

    def mask_of(self, weight: Floats) -> LayerMask:
        """Yield what the nearest weight of the set keeps."""
        if self.patterns is not None:
            return LayerMask(pattern_mask(weight, self.patterns, self.share), self.patterns)
        return LayerMask(group_mask(weight, self.kind, self.share))

    def _projected(self, values: torch.Tensor) -> torch.Tensor:
        mask = self.mask_of(values.cpu().double().numpy()).mask
        return values * torch.from_numpy(mask.copy()).to(values)

    def turn(self) -> tuple[float, float]:
        """Project, and add up the difference; yield |W - Z|^2 and |W|^2."""
        weight = self.parameter.detach()
        self.weight()  # finite
        self.target = self._projected(weight + self.dual)
        apart = weight - self.target
        self.dual += apart
        return float(apart.double().square().sum()), float(weight.double().square().sum())


class _Pull(Rule):
    """Adds the gradient of the pull, and projects after every so many steps."""

    def __init__(self, split: list[_Split], pruning: AdmmPruning, n_steps: int) -> None:
        self.split, self.pruning, self.n_steps = split, pruning, n_steps
        self.step, self.residuals = 0, list[float]()

    def at_gradients(self) -> None:
        """Add rho (W - Z + U)."""
        rho = self.pruning.rho_of(len(self.residuals))
        for one in self.split:
            with torch.no_grad():
                pull = (one.parameter - one.target + one.dual) * rho
            gradient = one.parameter.grad
            one.parameter.grad = pull if gradient is None else gradient + pull

    def after_step(self) -> None:
        """Project where a round ends."""
        self.step += 1
        if self.step * self.pruning.rounds // self.n_steps == len(self.residuals):
            return
        sums = [one.turn() for one in self.split]
        apart, whole = (sum(values) for values in zip(*sums, strict=True))
        self.residuals.append((apart / whole) ** 0.5 if whole else 0.0)
        rho = [self.pruning.rho_of(len(self.residuals) + k) for k in (-1, 0)]
        for one in self.split:
            one.dual *= rho[0] / rho[1]  # U is in units of 1 / rho
