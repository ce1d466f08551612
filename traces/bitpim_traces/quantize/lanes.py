"""Lane pruning: the conv kernels of least magnitude are held at zero, whole.

A lane is what one input channel gives one filter: the R x S weights of a conv kernel, in a linear
layer a single weight. Hardware that computes in lock step gains by whole lanes alone.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import LayerMask
from bitpim_traces.quantize.pruning_values import need_known, need_share, need_word, own_of

__all__ = [
    "NORMS",
    "RANKS",
    "LanePruning",
    "PrunedLanes",
    "choose_lane_masks",
    "lane_mask",
    "lane_norms",
    "lanes_to_prune",
    "pruned_lanes",
    "retained_energy",
    "weakest",
]

NORMS = ("l1", "l2")
RANKS = ("layer", "network")

_BLOCK_VALUES = 1 << 21
"""Weights of which squares in float64 are made at once."""

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LanePruning:
    """How lanes of a network are pruned by magnitude; making one checks every value.

    Attributes
    ----------
    share
        Share of the lanes that are pruned, 0 to below 1; their number is rounded to the nearest,
        half to even.
    rank
        "layer": that share of each layer. "network": that share of the lanes of all layers, ranked
        together by their norm over the mean norm of their layer.
    norm
        "l1": sum of magnitudes; "l2": root of the sum of squares.
    largest_share
        With rank "network": no layer loses more than this share of its lanes.
    skip_first
        Leave the first layer with weights as it is.
    linear
        Prune linear layers too, whose lanes are single weights.
    overrides
        Shares of their own, by the names of layers or patterns of names (`conv*`), of which the
        last that fits counts. A layer that has one is pruned whatever else is said, the first and
        linear ones too, and has no part in the ranking of the network; 0 leaves it as it is.

    Raises
    ------
    TraceDataError
        A value is out of its range.
    """

    share: float = 0.5
    rank: str = "layer"
    norm: str = "l2"
    largest_share: float = 0.9
    skip_first: bool = True
    linear: bool = False
    overrides: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        need_word("lanes", "rank", self.rank, RANKS)
        need_word("lanes", "norm", self.norm, NORMS)
        need_share("lanes", "share", self.share)
        need_share("lanes", "largest_share", self.largest_share)
        for name, share in self.overrides.items():
            need_share("lanes", f"overrides[{name!r}]", share)

    def as_plain(self) -> dict[str, Any]:
        """Yield the settings as words and numbers, for provenance; overrides in their order."""
        return {**asdict(self), "overrides": [[*own] for own in self.overrides.items()]}


@dataclass(frozen=True, slots=True)
class PrunedLanes:
    """What pruning left of one layer's weight.

    `n_groups` is the number of groups of filters that may share lanes, None where there are none.
    `retained_energy` is the share of the sum of squared weights that is left.
    """

    name: str
    n_lanes: int
    n_zero_lanes: int
    n_weights: int
    n_zero_weights: int
    n_groups: int | None
    retained_energy: float

    @property
    def sparsity(self) -> float:
        """Share of the weights that are held at zero."""
        return self.n_zero_weights / max(1, self.n_weights)

    def as_plain(self) -> dict[str, Any]:
        """Yield the report as words and numbers."""
        return asdict(self)


# --- one weight


def lane_norms(weight: Floats, norm: str = "l2") -> Floats:
    """Yield the norm of every lane.

    Shapes
    ------
    weight : (O, I, R, S) or (O, I);  norms : (O, I)
    """
    need_word("lanes", "norm", norm, NORMS)
    if weight.ndim == 2:
        return np.abs(weight)  # exact in any float, and large layers need no other
    flat = weight.reshape(*weight.shape[:2], -1).astype(np.float64)
    if norm == "l1":
        return np.asarray(np.abs(flat).sum(axis=2))
    return np.asarray(np.sqrt(np.square(flat).sum(axis=2)))


def weakest(norms: Floats, n: int) -> Bools:
    """Say which are the `n` least norms; of equal ones the first (in C order) is among them.

    Shapes
    ------
    result : that of `norms`
    """
    flat = norms.reshape(-1)
    if not 0 <= n <= flat.size:
        raise TraceDataError(f"lanes: need 0 to {flat.size} of {flat.size} lanes, got {n}")
    if n == 0:
        return np.zeros(norms.shape, bool)
    bound = np.partition(flat, n - 1)[n - 1]
    found: Bools = flat < bound
    equal = np.flatnonzero(flat == bound)
    found[equal[: n - np.count_nonzero(found)]] = True
    return found.reshape(norms.shape)


def lane_mask(pruned: Bools, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Yield the mask of a weight whose lanes are pruned or not.

    Shapes
    ------
    pruned : (O, I);  shape : (O, I, R, S) or (O, I);  result : shape
    """
    kept = (~pruned).astype(np.uint8).reshape(*pruned.shape, *[1] * (len(shape) - 2))
    return np.ascontiguousarray(np.broadcast_to(kept, shape))


def retained_energy(weight: Floats, mask: npt.NDArray[np.uint8]) -> float:
    """Return the share of the sum of squared weights that a mask keeps; 1 of nothing but zeros."""
    whole, left = 0.0, 0.0
    step = max(1, _BLOCK_VALUES * weight.shape[0] // max(1, weight.size))
    for start in range(0, weight.shape[0], step):
        squares = np.square(weight[start : start + step].astype(np.float64))
        whole += float(squares.sum())
        left += float(squares[mask[start : start + step] != 0].sum())
    return left / whole if whole else 1.0


def pruned_lanes(name: str, weight: Floats, mask: LayerMask) -> PrunedLanes:
    """Report what a mask leaves of a weight."""
    n_kept = int(np.count_nonzero(mask.mask))
    return PrunedLanes(
        name,
        n_lanes=math.prod(weight.shape[:2]),
        n_zero_lanes=mask.n_zero_kernels,
        n_weights=weight.size,
        n_zero_weights=weight.size - n_kept,
        n_groups=None if mask.groups is None else int(np.unique(mask.groups).size),
        retained_energy=retained_energy(weight, mask.mask),
    )


# --- a network


def choose_lane_masks(
    weights: Mapping[str, Floats], pruning: LanePruning | None = None
) -> tuple[dict[str, LayerMask], tuple[PrunedLanes, ...]]:
    """Choose the masks of layers, given the weights of all in execution order.

    Shapes
    ------
    weights : (O, I / groups, R, S) of a convolution, (O, I) of a linear layer

    Raises
    ------
    TraceDataError
        An override fits no layer, there is nothing to prune, nothing would be left of a layer, or
        a weight is not finite.
    """
    pruning = pruning or LanePruning()
    need_known(pruning.overrides, weights.keys(), "lanes", "layers with weights")
    general = lanes_to_prune(weights, pruning.skip_first, pruning.linear)
    own = {name: own_of(pruning.overrides, name) for name in weights}
    shares = {
        name: pruning.share if share is None else share
        for name, share in own.items()
        if (name in general and pruning.share > 0 if share is None else share > 0)
    }
    if not shares:
        raise TraceDataError(
            f"lanes: need a layer to prune, got none of the {len(weights)} with weights; name one"
            " with a share above 0 in overrides, or set linear, or do without skip_first"
        )
    norms = {}
    for name in shares:
        if not np.isfinite(weights[name]).all():
            raise TraceDataError(f"lanes: layer {name!r}: need finite weights, got others")
        norms[name] = lane_norms(weights[name], pruning.norm)
    ranked = [name for name in shares if pruning.rank == "network" and own[name] is None]
    numbers = {name: round(share * norms[name].size) for name, share in shares.items()}
    numbers |= _numbers_by_rank({name: norms[name] for name in ranked}, pruning)
    masks, reports = {}, []
    for name, n in numbers.items():
        if n == norms[name].size:
            raise TraceDataError(
                f"lanes: layer {name!r}: need a lane that is left, got all {n} pruned; give it a"
                " smaller share of its own"
            )
        weight = weights[name]
        masks[name] = LayerMask(lane_mask(weakest(norms[name], n), weight.shape))
        reports.append(pruned_lanes(name, weight, masks[name]))
    return masks, tuple(reports)


def lanes_to_prune(weights: Mapping[str, Floats], skip_first: bool, linear: bool) -> set[str]:
    """Name the layers that are pruned where nothing else is said of one."""
    return {
        name
        for index, (name, weight) in enumerate(weights.items())
        if (index or not skip_first) and (linear or weight.ndim > 2)
    }


def _numbers_by_rank(norms: Mapping[str, Floats], pruning: LanePruning) -> dict[str, int]:
    """Count the lanes each layer loses where all are ranked together."""
    if not norms:
        return {}
    sizes = {name: values.size for name, values in norms.items()}
    most = {name: math.floor(pruning.largest_share * size) for name, size in sizes.items()}
    candidates = []
    for name, values in norms.items():
        mean = float(values.mean(dtype=np.float64)) or 1.0
        lowest = np.sort(values, axis=None)[: most[name]]
        candidates.append(lowest.astype(np.float64) / mean)
    n = round(pruning.share * sum(sizes.values()))
    if n > sum(most.values()):
        raise TraceDataError(
            f"lanes: need {n} lanes to prune, got {sum(most.values())} that layers may lose; let"
            f" largest_share, {pruning.largest_share:g}, be larger, or the share smaller"
        )
    pruned = weakest(np.concatenate(candidates), n)
    parts = np.split(pruned, np.cumsum([c.size for c in candidates])[:-1])
    return {name: int(np.count_nonzero(p)) for name, p in zip(norms, parts, strict=True)}
