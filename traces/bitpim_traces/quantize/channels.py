"""Channel pruning: whole channels are removed, by what they weigh against what they cost.

A channel is worth the filter that writes it and the weights of the next layer that read it, each
norm over the mean of its layer, and costs the multiply-accumulates and the parameters that go with
it, each over the mean of all channels. The quotient ranks the channels of all layers together:
the criteria of channel pruning by weight dependency (Yan et al., CPMC, 2020); their weighing here
is our own. Channels that an add joins are ranked, and go, as one.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import LayerMask
from bitpim_traces.quantize.channel_graph import ChannelGraph
from bitpim_traces.quantize.lanes import NORMS, PrunedLanes, lane_norms, pruned_lanes
from bitpim_traces.quantize.pruning_values import need_known, need_share, need_word, own_of

__all__ = [
    "ChannelPruning",
    "channel_importance",
    "choose_channel_masks",
    "removed_channels",
    "weakest_channels",
]

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ChannelPruning:
    """How channels of a network are removed; making one checks every value.

    Attributes
    ----------
    share
        Share of the channels that are removed, of those that may be (channels that go together
        count once), 0 to below 1; their number is rounded to the nearest, half to even.
    norm
        "l1" or "l2" of a filter, and of the weights that read a channel.
    filters, readers
        Weight of the filter's own norm, and of the readers', in what a channel is worth; at least
        one is above 0.
    macs, parameters
        Weight of the multiply-accumulates and of the parameters in what it costs; with 0 and 0 all
        cost the same.
    largest_share
        No layer loses more than this share of its filters.
    skip_first
        Keep the filters of the first layer with weights, and what goes together with them.
    overrides
        By the names of layers or patterns of names, of which the last that fits counts: that
        layer's own largest share; 0 keeps all its filters, and what goes together with them.

    Raises
    ------
    TraceDataError
        A value is out of its range.
    """

    share: float = 0.3
    norm: str = "l1"
    filters: float = 1.0
    readers: float = 1.0
    macs: float = 1.0
    parameters: float = 1.0
    largest_share: float = 0.9
    skip_first: bool = True
    overrides: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        need_word("channels", "norm", self.norm, NORMS)
        need_share("channels", "share", self.share)
        need_share("channels", "largest_share", self.largest_share)
        for key in ("filters", "readers", "macs", "parameters"):
            weight = getattr(self, key)
            if not (math.isfinite(weight) and weight >= 0):
                raise TraceDataError(f"channels: need {key} of at least 0, got {weight}")
        if self.filters + self.readers == 0:
            raise TraceDataError("channels: need filters or readers above 0, got 0 for both")
        for name, share in self.overrides.items():
            need_share("channels", f"overrides[{name!r}]", share)

    def as_plain(self) -> dict[str, Any]:
        """Yield the settings as words and numbers, for provenance; overrides in their order."""
        return {**asdict(self), "overrides": [[*own] for own in self.overrides.items()]}


def choose_channel_masks(
    weights: Mapping[str, Floats], graph: ChannelGraph, pruning: ChannelPruning | None = None
) -> tuple[dict[str, LayerMask], tuple[PrunedLanes, ...], dict[str, Bools]]:
    """Choose the masks of layers, given the weights of all and what goes together.

    The mask of a layer drops the filters of channels that are removed, and what reads removed
    channels. Beside masks and reports the filters that are removed are said, by layer: they have
    no bias either, so that their channels are real 0.

    Shapes
    ------
    weights : (O, I / groups, R, S) of a convolution, (O, I) of a linear layer
    filters that are removed : (O,)

    Raises
    ------
    TraceDataError
        An override fits no layer, too few channels may be removed, or a weight is not finite.
    """
    pruning = pruning or ChannelPruning()
    need_known(pruning.overrides, weights.keys(), "channels", "layers with weights")
    for name, weight in weights.items():
        if not np.isfinite(weight).all():
            raise TraceDataError(f"channels: layer {name!r}: need finite weights, got others")
    removed = weakest_channels(
        channel_importance(weights, graph, pruning), graph, _most_filters(graph, pruning), pruning
    )
    masks, reports, filters = {}, [], {}
    for name, weight in weights.items():
        rows, columns = removed_channels(graph, name, removed)
        if rows.any() or columns.any():
            kept = ~(rows[:, None] | np.repeat(columns, len(rows) // len(columns), axis=0))
            kept = kept.reshape(*kept.shape, *[1] * (weight.ndim - 2))
            filters[name] = rows
            masks[name] = LayerMask(np.broadcast_to(kept, weight.shape).astype(np.uint8))
            reports.append(pruned_lanes(name, weight, masks[name]))
    return masks, tuple(reports), filters


def channel_importance(
    weights: Mapping[str, Floats], graph: ChannelGraph, pruning: ChannelPruning
) -> Doubles:
    """Yield what each set of channels is worth over what it costs.

    Shapes
    ------
    weights : as for `choose_channel_masks`;  importance : (n_sets,)
    """
    worth, macs, parameters = (np.zeros(graph.n_sets) for _ in range(3))
    for name, weight in weights.items():
        written, read = graph.written[name], graph.read[name]
        squares = lane_norms(weight, pruning.norm).astype(np.float64)
        squares = np.square(squares) if pruning.norm == "l2" else squares
        by_group = squares.reshape(len(read), -1, squares.shape[1])
        filters, readers = squares.sum(axis=1), by_group.sum(axis=1)
        if pruning.norm == "l2":
            filters, readers = np.sqrt(filters), np.sqrt(readers)
        n_lane = math.prod(weight.shape[2:])
        n_reading = n_lane * (weight.shape[0] // len(read))
        for sets, norms, factor, n_weights in (
            (written, filters, pruning.filters, n_lane * weight.shape[1]),
            (read.ravel(), readers.ravel(), pruning.readers, n_reading),
        ):
            mean = float(norms.mean()) or 1.0
            may = sets >= 0
            np.add.at(worth, sets[may], factor * norms[may] / mean)
            np.add.at(parameters, sets[may], n_weights)
            np.add.at(macs, sets[may], n_weights * graph.n_positions[name])
    cost = _over_mean(macs) * pruning.macs + _over_mean(parameters) * pruning.parameters
    return worth if not cost.any() else worth / cost


def weakest_channels(
    importance: Floats, graph: ChannelGraph, most: Mapping[str, int], pruning: ChannelPruning
) -> Bools:
    """Say which sets of channels are removed: those of least importance that layers may lose.

    `most` is how many filters a layer may lose, by name; a set that touches one of 0 is not in the
    ranking. Of equal sets the first is removed.

    Shapes
    ------
    importance, result : (n_sets,)

    Raises
    ------
    TraceDataError
        Layers may not lose so many.
    """
    parts = {
        name: np.bincount(sets[sets >= 0], minlength=graph.n_sets)
        for name, sets in graph.written.items()
    }
    may = np.ones(graph.n_sets, bool)
    for name, counts in parts.items():
        may &= (counts == 0) | (most[name] > 0)
    n = round(pruning.share * int(np.count_nonzero(may)))
    removed = np.zeros(graph.n_sets, bool)
    layers_of = [[(name, int(c[k])) for name, c in parts.items() if c[k]] for k in range(may.size)]
    left = dict(most)
    for k in np.argsort(importance, kind="stable").tolist():
        if n and may[k] and all(left[name] >= count for name, count in layers_of[k]):
            for name, count in layers_of[k]:
                left[name] -= count
            removed[k], n = True, n - 1
    if n or not removed.any():
        got = f"{int(removed.sum())} that layers may lose of {int(np.count_nonzero(may))}"
        raise TraceDataError(
            f"channels: need {max(1, int(removed.sum()) + n)} channels to remove, got {got}; let"
            " the share be another, largest_share larger, or do without skip_first"
        )
    return removed


def removed_channels(graph: ChannelGraph, name: str, removed: Bools) -> tuple[Bools, Bools]:
    """Say which filters of a layer write removed channels, and which of its inputs are removed.

    Shapes
    ------
    removed : (n_sets,);  result : (M,), (conv groups, I / groups)
    """
    with_staying: Bools = np.append(removed, np.zeros(1, bool))  # a set of -1 stays
    return with_staying[graph.written[name]], with_staying[graph.read[name]]


def _most_filters(graph: ChannelGraph, pruning: ChannelPruning) -> dict[str, int]:
    """Count the filters that each layer may lose."""
    most = {}
    for index, (name, sets) in enumerate(graph.written.items()):
        own = own_of(pruning.overrides, name)
        general = 0.0 if index == 0 and pruning.skip_first else pruning.largest_share
        most[name] = math.floor((general if own is None else own) * sets.size)
    return most


def _over_mean(values: Doubles) -> Doubles:
    mean = float(values.mean()) if values.size else 0.0
    return values / mean if mean else values
