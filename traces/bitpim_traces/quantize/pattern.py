"""Pattern pruning: every 3 x 3 conv kernel keeps the weights of one of a few masks, or nothing.

The natural mask of a conv kernel holds its largest magnitudes. The most frequent natural masks of a
layer (or of the network) become its patterns, and every conv kernel is projected onto the pattern
that retains most of its energy, the sum of its squared weights. Connectivity pruning drops the conv
kernels of least energy altogether; they have the all-zero mask, which is no pattern.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import LayerMask, mask_codes, masks_from_codes

__all__ = [
    "SCOPES",
    "WINDOW",
    "LayerPruning",
    "PatternPruning",
    "PrunedLayer",
    "choose_masks",
    "dropped_kernels",
    "kernel_energy",
    "mask_histogram",
    "natural_patterns",
    "project",
    "random_masks",
    "select_patterns",
]

SCOPES = ("layer", "network")

WINDOW = (3, 3)
"""The window for which patterns are defined; layers with another one stay as they are."""

_N_POSITIONS = WINDOW[0] * WINDOW[1]

Floats = npt.NDArray[np.floating]
MaskCodes = npt.NDArray[np.uint32]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LayerPruning:
    """Pruning of one layer that differs from that of the network; None: no difference.

    `prune` False leaves the layer as it is; True prunes it even if it is the first.
    """

    kept: int | None = None
    n_patterns: int | None = None
    zero_kernel_share: float | None = None
    prune: bool | None = None


@dataclass(frozen=True, slots=True)
class PatternPruning:
    """How the 3 x 3 convolutions of a network are pruned; making one checks every value.

    Attributes
    ----------
    kept
        Weights a conv kernel keeps, 1 to 9.
    n_patterns
        Largest number of patterns; fewer where there are fewer natural masks.
    zero_kernel_share
        Share of the conv kernels of a layer that keep nothing, 0 to 1; their number is rounded to
        the nearest, half to even.
    scope
        "layer": every layer chooses patterns of its own. "network": one set for all.
    skip_first
        Leave the first convolution as it is.
    overrides
        Differences by layer name. In scope "network" `kept` and `n_patterns` cannot differ.

    Raises
    ------
    TraceDataError
        A value is out of its range.
    """

    kept: int = 4
    n_patterns: int = 8
    zero_kernel_share: float = 0.0
    scope: str = "layer"
    skip_first: bool = True
    overrides: Mapping[str, LayerPruning] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_values("pruning", self.kept, self.n_patterns, self.zero_kernel_share)
        if self.scope not in SCOPES:
            raise TraceDataError(
                f"pruning: need scope among {', '.join(SCOPES)}, got {self.scope!r}"
            )
        for name, own in self.overrides.items():
            where = f"pruning: overrides[{name!r}]"
            _check_values(where, own.kept, own.n_patterns, own.zero_kernel_share)
            if self.scope == "network" and (own.kept, own.n_patterns) != (None, None):
                raise TraceDataError(
                    f"{where}: need kept and n_patterns of the network in scope network, got its"
                    " own; use scope layer"
                )

    def of(self, name: str) -> "PatternPruning":
        """Yield what holds for a layer, without overrides."""
        own = self.overrides.get(name, LayerPruning())
        given = {f.name: getattr(own, f.name) for f in fields(own) if f.name != "prune"}
        differing = {key: value for key, value in given.items() if value is not None}
        return replace(self, overrides={}, **differing)

    def as_plain(self) -> dict[str, Any]:
        """Yield the settings as words and numbers, for provenance."""
        return {**asdict(self), "overrides": {n: asdict(o) for n, o in self.overrides.items()}}


@dataclass(frozen=True, slots=True, eq=False)
class PrunedLayer:
    """What pruning did to one layer.

    `counts` says how many conv kernels have each of `patterns`. `retained_energy` is the share of
    the sum of squared weights that is left, after both projection and connectivity pruning.
    `n_natural_masks` is the number of masks the patterns were chosen from, in the layer's scope.
    """

    name: str
    patterns: MaskCodes
    counts: npt.NDArray[np.int64]
    n_kernels: int
    n_zero_kernels: int
    n_natural_masks: int
    retained_energy: float
    sparsity: float

    def as_plain(self) -> dict[str, Any]:
        """Yield the report as words and numbers."""
        return {
            f.name: value.tolist() if isinstance(value, np.ndarray) else value
            for f in fields(self)
            for value in (getattr(self, f.name),)
        }


# --- one weight


def kernel_energy(weight: Floats) -> npt.NDArray[np.float64]:
    """Yield the energy of every conv kernel.

    Shapes
    ------
    weight : (O, I, R, S);  energy : (O, I)
    """
    energy: npt.NDArray[np.float64] = np.square(_flat(weight)).sum(axis=2)
    return energy


def natural_patterns(weight: Floats, kept: int) -> MaskCodes:
    """Yield the mask code of the `kept` largest magnitudes of every conv kernel.

    Of equal magnitudes the one at the lower position is kept.

    Shapes
    ------
    weight : (O, I, R, S);  codes : (O, I)
    """
    largest = np.argsort(-np.abs(_flat(weight)), axis=2, kind="stable")[:, :, :kept]
    mask = np.zeros(weight.shape, np.uint8)
    np.put_along_axis(mask.reshape(*weight.shape[:2], -1), largest, 1, axis=2)
    return mask_codes(mask)


def mask_histogram(codes: MaskCodes) -> tuple[MaskCodes, npt.NDArray[np.int64]]:
    """Count masks: their codes and how often each is met, the most frequent first.

    Masks met equally often stand in ascending order of their codes.
    """
    masks, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return masks[order], counts[order].astype(np.int64)


def select_patterns(codes: MaskCodes, n_patterns: int) -> MaskCodes:
    """Yield the most frequent masks, at most `n_patterns`, in ascending order of their codes."""
    masks, _ = mask_histogram(codes)
    return np.sort(masks[:n_patterns])


def project(weight: Floats, patterns: MaskCodes) -> MaskCodes:
    """Yield the pattern that retains the most energy of each conv kernel; ties: the lower code.

    A conv kernel of nothing but zeros gets the all-zero mask, and so does every one where there
    are no patterns.

    Shapes
    ------
    weight : (O, I, R, S);  patterns : (P,);  codes : (O, I)
    """
    squares = np.square(_flat(weight))
    best = np.zeros(weight.shape[:2])
    codes = np.zeros(weight.shape[:2], np.uint32)
    for pattern in np.sort(patterns):
        energy = np.zeros_like(best)
        for k in range(squares.shape[2]):  # one order of sums everywhere: ties stay ties
            if pattern >> np.uint32(k) & np.uint32(1):
                energy += squares[:, :, k]
        better = (energy > best) | ((codes == 0) & (energy == 0) & squares.any(axis=2))
        best[better], codes[better] = energy[better], pattern
    return codes


def dropped_kernels(weight: Floats, share: float) -> npt.NDArray[np.bool_]:
    """Say which conv kernels connectivity pruning drops: those of least energy.

    Of equal energies the first (by output, then input channel) is dropped.

    Shapes
    ------
    weight : (O, I, R, S);  result : (O, I)
    """
    energy = kernel_energy(weight)
    dropped = np.zeros(energy.size, bool)
    dropped[np.argsort(energy, axis=None, kind="stable")[: round(share * energy.size)]] = True
    return dropped.reshape(energy.shape)


# --- a network


def choose_masks(
    conv_weights: Mapping[str, Floats], pruning: PatternPruning | None = None
) -> tuple[dict[str, LayerMask], tuple[PrunedLayer, ...]]:
    """Choose the masks of convolutions, given all their weights in execution order.

    Only 3 x 3 windows are pruned. A conv kernel that is dropped, or has no weight but 0, has no
    vote in the choice of patterns.

    Shapes
    ------
    conv_weights : (O, I / groups, R, S) each

    Raises
    ------
    TraceDataError
        An override names no 3 x 3 convolution, there is none to prune, or a weight is not finite.
    """
    pruning = pruning or PatternPruning()
    weights = {name: conv_weights[name] for name in _pruned_names(conv_weights, pruning)}
    alive, votes = {}, {}
    for name, weight in weights.items():
        if not np.isfinite(weight).all():
            raise TraceDataError(f"pruning: layer {name!r}: need finite weights, got others")
        own = pruning.of(name)
        alive[name] = ~dropped_kernels(weight, own.zero_kernel_share)
        alive[name] &= weight.reshape(*weight.shape[:2], -1).any(axis=2)
        votes[name] = natural_patterns(weight, own.kept)[alive[name]]
    if pruning.scope == "network":
        votes = dict.fromkeys(votes, np.concatenate(list(votes.values())))
    masks, reports = {}, []
    for name, weight in weights.items():
        patterns = select_patterns(votes[name], pruning.of(name).n_patterns)
        codes = np.where(alive[name], project(weight, patterns), np.uint32(0))
        masks[name] = LayerMask(masks_from_codes(codes, WINDOW), patterns)
        reports.append(_report(name, weight, masks[name], codes, np.unique(votes[name]).size))
    return masks, tuple(reports)


def random_masks(
    shapes: Mapping[str, Shape], pruning: PatternPruning | None = None, seed: int = 0
) -> dict[str, LayerMask]:
    """Draw masks for convolutions of given weight shapes, without weights or a trace.

    Patterns are drawn evenly among all masks of `kept` positions; the conv kernels that keep
    nothing are drawn evenly too, and the rest draws among the patterns. So the number of all-zero
    kernels, and with it the sparsity 1 - (1 - z) kept / 9, is exactly what the settings say. With
    an `n_patterns` beyond the number of masks there are, the patterns are all of them.

    Shapes
    ------
    shapes : (O, I / groups, R, S) each, in execution order

    Raises
    ------
    TraceDataError
        As for `choose_masks`.
    """
    pruning = pruning or PatternPruning()
    rng = np.random.default_rng([seed, 3])
    shared = _random_patterns(rng, pruning) if pruning.scope == "network" else None
    found = {}
    blank = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
    for name in _pruned_names(blank, pruning):
        own = pruning.of(name)
        patterns = _random_patterns(rng, own) if shared is None else shared
        n_kernels = shapes[name][0] * shapes[name][1]
        codes = rng.choice(patterns, n_kernels)
        n_zero = round(own.zero_kernel_share * n_kernels)
        codes[rng.permutation(n_kernels)[:n_zero]] = 0
        found[name] = LayerMask(masks_from_codes(codes.reshape(shapes[name][:2]), WINDOW), patterns)
    return found


def _random_patterns(rng: np.random.Generator, pruning: PatternPruning) -> MaskCodes:
    every = np.arange(1 << _N_POSITIONS, dtype=np.uint32)
    fitting = every[np.bitwise_count(every) == pruning.kept]
    chosen = rng.choice(fitting, min(pruning.n_patterns, fitting.size), replace=False)
    return np.sort(chosen)


def _pruned_names(weights: Mapping[str, Floats], pruning: PatternPruning) -> list[str]:
    """Names of the convolutions to prune, in order."""
    fitting = [name for name, weight in weights.items() if weight.shape[2:] == WINDOW]
    unknown = sorted(pruning.overrides.keys() - set(fitting))
    if unknown:
        raise TraceDataError(
            f"pruning: need overrides of 3 x 3 convolutions ({', '.join(fitting[:8])}),"
            f" got {unknown[0]!r}"
        )
    first = next(iter(weights), None) if pruning.skip_first else None
    found = []
    for name in fitting:
        chosen = pruning.overrides.get(name, LayerPruning()).prune
        if chosen or (chosen is None and name != first):
            found.append(name)
    if not found:
        spared = ", the first being left as it is" if first in fitting else ""
        raise TraceDataError(
            f"pruning: need a 3 x 3 convolution to prune, got {len(fitting)}{spared}"
        )
    return found


def _report(
    name: str, weight: Floats, mask: LayerMask, codes: MaskCodes, n_natural_masks: int
) -> PrunedLayer:
    assert mask.patterns is not None
    counts = np.array([np.count_nonzero(codes == p) for p in mask.patterns], np.int64)
    energy = float(kernel_energy(weight).sum())
    left = float(kernel_energy(weight * mask.mask).sum())
    return PrunedLayer(
        name,
        mask.patterns,
        counts,
        codes.size,
        int(np.count_nonzero(codes == 0)),
        n_natural_masks,
        left / energy if energy else 1.0,
        mask.sparsity,
    )


def _flat(weight: Floats) -> npt.NDArray[np.float64]:
    """Yield the conv kernels with their positions along one axis."""
    flat: npt.NDArray[np.float64] = weight.reshape(*weight.shape[:2], -1).astype(np.float64)
    return flat


def _check_values(
    where: str, kept: int | None, n_patterns: int | None, share: float | None
) -> None:
    if kept is not None and not 1 <= kept <= _N_POSITIONS:
        raise TraceDataError(f"{where}: need kept from 1 to {_N_POSITIONS}, got {kept}")
    if n_patterns is not None and n_patterns < 1:
        raise TraceDataError(f"{where}: need n_patterns of at least 1, got {n_patterns}")
    if share is not None and not 0 <= share <= 1:
        raise TraceDataError(f"{where}: need zero_kernel_share from 0 to 1, got {share}")
