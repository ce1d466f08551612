"""Rewrites of what is left of batch norms and constants: weight * x + bias per channel."""

import logging
import math
from dataclasses import replace

import numpy as np

from bitpim_traces.exporter.drafts import Draft
from bitpim_traces.exporter.rewriting import Graph
from bitpim_traces.records import Geometry

__all__ = ["express_affine", "fold_affine", "push_affine"]

_log = logging.getLogger(__name__)


def fold_affine(graph: Graph, index: int) -> Draft | int:
    """Fold batch norm (or constants) into the convolution, linear or affine that alone feeds it."""
    draft = graph.drafts[index]
    source = graph.source(draft)
    if draft.kind != "affine":
        return draft
    assert draft.weight is not None and draft.bias is not None
    if (draft.weight == 1.0).all() and not draft.bias.any():
        return draft.inputs[0]
    if source is None or graph.n_users(draft.inputs[0]) != 1:
        return draft
    if source.kind not in ("conv2d", "linear", "affine"):
        return draft
    assert source.weight is not None
    factor = draft.weight.reshape(-1, *([1] * (source.weight.ndim - 1)))
    bias = draft.bias if source.bias is None else source.bias * draft.weight + draft.bias
    graph.drafts[draft.inputs[0]] = replace(source, weight=source.weight * factor, bias=bias)
    return draft.inputs[0]


def push_affine(graph: Graph, index: int) -> Draft | int:
    """Fold what is left of batch norms into the one linear layer or convolution that reads it.

    A padded convolution takes a factor, but no offset: its padding is 0 behind the batch norm.
    """
    draft = graph.drafts[index]
    if draft.kind != "affine" or graph.n_users(index) != 1 or index == graph.output:
        return draft
    (at,) = graph.readers(index)
    reader = graph.drafts[at]
    if reader.kind not in ("conv2d", "linear"):
        return draft
    assert draft.weight is not None and draft.bias is not None and reader.weight is not None
    padded = reader.geometry is not None and any(reader.geometry.padding)
    if padded and draft.bias.any():
        return draft
    weight, n_groups = reader.weight, reader.geometry.groups if reader.geometry else 1
    ends = (1,) * (weight.ndim - 2)
    per_output = [
        np.repeat(values.reshape(n_groups, -1), len(weight) // n_groups, axis=0)
        for values in (draft.weight, draft.bias)
    ]
    factor, offset = (values.reshape(*values.shape, *ends) for values in per_output)
    bias = (weight * offset).reshape(len(weight), -1).sum(axis=1)
    bias = bias if reader.bias is None else reader.bias + bias
    folded = bias if reader.bias is not None or draft.bias.any() else None
    graph.drafts[at] = replace(reader, weight=weight * factor, bias=folded)
    return draft.inputs[0]


def express_affine(graph: Graph, index: int) -> Draft | int:
    """Turn what is left of batch norms into depthwise convolutions of one pixel."""
    draft = graph.drafts[index]
    if draft.kind != "affine":
        return draft
    assert draft.weight is not None
    _log.info("%s: not foldable, becomes a depthwise 1 x 1 convolution", draft.where)
    n_channels, *rest = draft.shape
    shape, source = draft.shape, draft.inputs[0]
    if len(shape) != 3:
        shape = (n_channels, math.prod(rest), 1)
        before = Draft("reshape", draft.inputs, shape, draft.path, "reshape")
        source = graph.add(before)
    convolved = replace(
        draft,
        kind="conv2d",
        inputs=(source,),
        shape=shape,
        weight=draft.weight.reshape(n_channels, 1, 1, 1),
        geometry=Geometry(kernel=(1, 1), groups=n_channels),
    )
    if shape == draft.shape:
        return convolved
    inner = graph.add(convolved)
    return Draft("reshape", (inner,), draft.shape, draft.path, "reshape")
