"""Rewrites of functions that are written out by hand: one table instead of several layers."""

from dataclasses import replace

from bitpim_traces.exporter.drafts import Draft
from bitpim_traces.exporter.rewriting import Graph

__all__ = ["name_functions"]

_GATED = {"sigmoid": "silu", "hardsigmoid": "hardswish"}
"""What x times a function of x is called."""


def name_functions(graph: Graph, index: int) -> Draft | int:
    """Take x sigmoid(x) as silu, min(max(x + 3, 0), 6) / 6 as hardsigmoid, and x times that.

    What something else reads on the way stays.
    """
    draft = graph.drafts[index]
    if draft.kind == "multiply":
        for source, gate in (draft.inputs, draft.inputs[::-1]):
            found = _alone(graph, gate)
            if found is not None and found.inputs == (source,) and found.activation in _GATED:
                return _function(draft, _GATED[found.activation], source)
    if draft.kind == "affine" and _uniform(draft) == (1 / 6, 0.0):
        inner = _alone(graph, draft.inputs[0])
        limited = None if inner is None else _of_six(graph, inner)
        if limited is not None:
            return _function(draft, "hardsigmoid", limited)
        if inner is not None and inner.kind == "multiply":
            for source, gate in (inner.inputs, inner.inputs[::-1]):
                found = _alone(graph, gate)
                if found is not None and _of_six(graph, found) == source:
                    return _function(draft, "hardswish", source)
    return draft


def _function(draft: Draft, name: str, source: int) -> Draft:
    return replace(
        draft, kind="activation", inputs=(source,), activation=name, weight=None, bias=None
    )


def _alone(graph: Graph, index: int) -> Draft | None:
    """Yield a draft that one other reads; None for the network input, and for shared ones."""
    return graph.drafts[index] if index >= 0 and graph.n_users(index) == 1 else None


def _of_six(graph: Graph, draft: Draft) -> int | None:
    """Yield of what a draft is min(max(x + 3, 0), 6); None where it is something else."""
    if draft.activation != "clamp" or (draft.low, draft.high) != (0.0, 6.0):
        return None
    shifted = _alone(graph, draft.inputs[0])
    if shifted is None or shifted.kind != "affine" or _uniform(shifted) != (1.0, 3.0):
        return None
    return shifted.inputs[0]


def _uniform(draft: Draft) -> tuple[float, float] | None:
    """Yield the factor and the offset that all channels have; None where they differ."""
    if draft.weight is None or draft.bias is None:
        return None
    ends = {(float(w), float(b)) for w, b in zip(draft.weight, draft.bias, strict=True)}
    return next(iter(ends)) if len(ends) == 1 else None
