"""Rewrites of what only moves values: views, orders, slices, padding, repeated axes."""

from dataclasses import replace

from bitpim_traces.exporter.drafts import Draft, refuse
from bitpim_traces.exporter.rewriting import Graph
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import Geometry, Params

__all__ = [
    "collapse_moves",
    "fold_pad",
    "lift_activation",
    "merge_slices",
    "sink_moves",
    "spread_expand",
]

_MOVES = ("reshape", "permute")
_LESS = "leave out ceil_mode, or pad less below and to the right"


def spread_expand(graph: Graph, index: int) -> Draft | int:
    """Let sums and products repeat axes of length 1; elsewhere copies are joined."""
    draft = graph.drafts[index]
    if draft.kind != "expand":
        return draft
    source = draft.inputs[0]
    if graph.shape(source) == draft.shape:
        return source
    for at in graph.readers(index):
        graph.drafts[at] = _without_expand(graph, graph.drafts[at], index)
    if not graph.n_users(index):
        return draft
    shape = list(graph.shape(source))
    for axis, n in enumerate(draft.shape):
        if shape[axis] != n:
            shape[axis] = n
            joined = replace(
                draft,
                kind="concat",
                inputs=(source,) * n,
                shape=tuple(shape),
                params=Params(concat_axis=axis),
            )
            source = graph.add(joined)
    return source


def _without_expand(graph: Graph, reader: Draft, index: int) -> Draft:
    """Let a sum or product read what the expand at `index` reads, if the others have the lengths.

    One after the other: of two inputs that are expanded alike one stays so.
    """
    if reader.kind not in ("add", "multiply"):
        return reader
    inputs = tuple(graph.drafts[index].inputs[0] if i == index else i for i in reader.inputs)
    shapes = [graph.shape(i) for i in inputs]
    repeated = tuple(max(lengths) for lengths in zip(*shapes, strict=True))
    return replace(reader, inputs=inputs) if repeated == reader.shape else reader


def collapse_moves(graph: Graph, index: int) -> Draft | int:
    """Make one of two views or orders in a row; drop those that change nothing."""
    draft = graph.drafts[index]
    if draft.kind not in _MOVES:
        return draft
    source = graph.source(draft)
    if source is not None and source.kind == draft.kind:
        if draft.kind == "permute":
            first, second = source.params.integers("axes"), draft.params.integers("axes")
            draft = replace(draft, params=Params(axes=tuple(first[axis] for axis in second)))
        draft = replace(draft, inputs=source.inputs)
    if draft.kind == "permute":
        moved = draft.params.integers("axes")
        if moved == tuple(range(len(moved))):
            return draft.inputs[0]
        before = graph.shape(draft.inputs[0])
        kept = [axis for axis in moved if before[axis] > 1]
        if kept == sorted(kept):  # only axes of length 1 move: a view
            draft = replace(draft, kind="reshape", params=Params())
    if draft.kind == "reshape" and draft.shape == graph.shape(draft.inputs[0]):
        return draft.inputs[0]
    return draft


def _is_stride(draft: Draft | None) -> bool:
    return (
        draft is not None
        and draft.kind == "max_pool2d"
        and draft.geometry is not None
        and draft.geometry == Geometry(kernel=(1, 1), stride=draft.geometry.stride)
    )


def merge_slices(graph: Graph, index: int) -> Draft:
    """Make one layer of two slices in a row."""
    draft = graph.drafts[index]
    source = graph.source(draft)
    if source is None or graph.n_users(draft.inputs[0]) != 1:
        return draft
    if draft.kind == "slice" and source.kind == "reshape":
        return _before_view(graph, draft, source)
    if draft.kind == "slice" and source.kind == "slice":
        starts, stops, steps = [], [], []
        names = ("starts", "stops", "steps")
        pairs = (zip(*(d.params.integers(n) for n in names), strict=True) for d in (source, draft))
        for outer, inner in zip(*pairs, strict=True):
            places = range(*outer)[slice(*inner)]
            starts.append(places[0])
            stops.append(places[-1] + 1)
            steps.append(places.step)
        params = Params(starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))
        return replace(draft, inputs=source.inputs, params=params)
    if not _is_stride(draft) or not _is_stride(source):
        return draft
    assert source.geometry is not None and draft.geometry is not None
    stride = (
        source.geometry.stride[0] * draft.geometry.stride[0],
        source.geometry.stride[1] * draft.geometry.stride[1],
    )
    return replace(draft, inputs=source.inputs, geometry=Geometry(kernel=(1, 1), stride=stride))


def _before_view(graph: Graph, draft: Draft, view: Draft) -> Draft:
    """Let a slice go before a view that only drops axes of length 1, so that slices meet."""
    before = graph.shape(view.inputs[0])
    kept: list[int] = []
    for axis, n in enumerate(before):
        if len(kept) < len(view.shape) and n == view.shape[len(kept)]:
            kept.append(axis)
        elif n != 1:
            return draft
    if len(kept) != len(view.shape) or len(kept) == len(before):
        return draft
    ends = {
        name: [fill] * len(before) for name, fill in (("starts", 0), ("stops", 1), ("steps", 1))
    }
    shape = [1] * len(before)
    for place, axis in enumerate(kept):
        shape[axis] = draft.shape[place]
        for name, numbers in ends.items():
            numbers[axis] = draft.params.integers(name)[place]
    params = Params({name: tuple(numbers) for name, numbers in ends.items()})
    at = draft.inputs[0]
    graph.drafts[at] = replace(draft, inputs=view.inputs, shape=tuple(shape), params=params)
    graph.drafts[at] = merge_slices(graph, at)
    return replace(view, inputs=draft.inputs, shape=draft.shape)


def fold_pad(graph: Graph, index: int) -> Draft | int:
    """Take padding of rows and columns into the convolution or pooling that reads it."""
    draft = graph.drafts[index]
    source = graph.source(draft)
    if draft.kind == "low_pad" and (
        index == graph.output
        or any(graph.drafts[i].kind != "max_pool2d" for i in graph.readers(index))
    ):
        need = "padding with -inf in front of max pooling only"
        raise refuse(draft.where, need, "another reader of it", "pad with a number")
    folds = {"conv2d": "pad", "max_pool2d": "low_pad"}
    if source is None or folds.get(draft.kind) != source.kind:
        return draft
    pads = source.params.integers("pads")
    if any(pads[:2]):
        if source.kind == "low_pad":
            raise refuse(source.where, "padding with -inf of rows and columns", f"pads {pads}")
        return draft
    assert draft.geometry is not None
    own = draft.geometry.padding
    top, bottom, left, right = (own[i] + pads[2 + i] for i in range(4))
    geometry = replace(draft.geometry, padding=(top, bottom, left, right))
    if geometry.output_size(*graph.shape(source.inputs[0])[1:]) != draft.shape[1:]:
        got = "ceil_mode, and a last window that starts in that padding"
        raise refuse(draft.where, "windows that start before padding with -inf ends", got, _LESS)
    return replace(draft, inputs=source.inputs, geometry=geometry)


def sink_moves(graph: Graph, index: int) -> Draft:
    """Let a batch norm or a function go before the view or order it follows.

    Then it can be folded into what feeds that, and views in a row collapse.
    """
    draft = graph.drafts[index]
    move = graph.source(draft)
    if move is None or move.kind not in _MOVES or graph.n_users(draft.inputs[0]) != 1:
        return draft
    before = graph.shape(move.inputs[0])
    by_channel = draft.kind == "affine" or any(t.ndim > 1 for t in draft.tensors.values())
    if draft.kind == "affine" and draft.weight is not None and draft.bias is not None:
        uniform = (draft.weight == draft.weight[0]).all() and (draft.bias == draft.bias[0]).all()
        if uniform:
            by_channel = False
            n = before[0]
            draft = replace(draft, weight=draft.weight[:1].repeat(n), bias=draft.bias[:1].repeat(n))
    elif draft.kind != "activation":
        return draft
    if by_channel and not _keeps_channels(move, before):
        return graph.drafts[index]
    at = draft.inputs[0]
    graph.drafts[at] = replace(draft, inputs=move.inputs, shape=before)
    graph.drafts[at] = sink_moves(graph, at)
    return replace(move, inputs=draft.inputs)


def _keeps_channels(move: Draft, before: tuple[int, ...]) -> bool:
    """Tell whether a move keeps the first axis where it is."""
    if move.kind == "permute":
        return move.params.integers("axes")[0] == 0
    return move.shape[0] == before[0]


def lift_activation(graph: Graph, index: int) -> Draft | int:
    """Let an activation that limits go before the max pooling it follows, where it can be fused.

    Both are monotone, so the order does not matter; before it, the codes waste no range.
    """
    draft = graph.drafts[index]
    pool = graph.source(draft)
    if draft.activation != "clamp" or pool is None or pool.kind != "max_pool2d":
        return draft
    producer = graph.source(pool)
    if producer is None or producer.kind not in OPERATORS or not OPERATORS[producer.kind].fuses:
        return draft
    if graph.n_users(draft.inputs[0]) != 1 or graph.n_users(pool.inputs[0]) != 1:
        return draft
    graph.drafts[draft.inputs[0]] = replace(draft, inputs=pool.inputs, shape=producer.shape)
    return replace(pool, inputs=draft.inputs)
