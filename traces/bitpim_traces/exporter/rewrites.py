"""Rewrites of drafts, one after the other, until they are the layers of a trace.

Each pass is exact in real numbers: what it folds, collapses or reorders computes the same values.
"""

import logging
from collections.abc import Sequence

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.drafts import Draft
from bitpim_traces.exporter.finished import finished
from bitpim_traces.exporter.folding import express_affine, fold_affine, push_affine
from bitpim_traces.exporter.moving import (
    collapse_moves,
    fold_pad,
    lift_activation,
    merge_slices,
    sink_moves,
    spread_expand,
)
from bitpim_traces.exporter.naming import name_functions
from bitpim_traces.exporter.rewriting import Graph
from bitpim_traces.network import FloatNetwork
from bitpim_traces.records import NETWORK_INPUT

__all__ = ["network_of"]

_log = logging.getLogger(__name__)

_PASSES = (
    spread_expand,
    collapse_moves,
    merge_slices,
    fold_pad,
    sink_moves,
    collapse_moves,
    name_functions,
    fold_affine,
    push_affine,
    lift_activation,
    express_affine,
    collapse_moves,
)


def network_of(
    name: str, drafts: Sequence[Draft], output: int, input_shape: tuple[int, ...]
) -> tuple[FloatNetwork, str]:
    """Rewrite drafts into a float network; `output` is the draft that the network returns.

    Beside it stands the name of the final softmax that was dropped, or "".

    Raises
    ------
    TraceDataError
        An operator that no pass could fold, collapse or drop.
    """
    graph = Graph(list(drafts), output, input_shape)
    softmax = ""
    if output >= 0 and graph.drafts[output].kind == "softmax":
        dropped = graph.drafts[output]
        _log.info("%s: softmax at the end dropped; the trace ends in logits", dropped.where)
        graph.output = dropped.inputs[0]
        softmax = "log_softmax" if "log_softmax" in dropped.operator else "softmax"
    for rewrite in _PASSES:
        graph.apply(rewrite)
    if graph.output == NETWORK_INPUT:
        raise TraceDataError(f"{name}: need at least one layer, got a network that does nothing")
    return finished(name, graph, input_shape), softmax
