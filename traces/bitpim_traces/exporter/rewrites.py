"""Rewrites of drafts, one after the other, until they are the layers of a trace.

Each pass is exact in real numbers: what it folds, collapses or reorders computes the same values.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.drafts import Draft, refuse
from bitpim_traces.network import FloatLayer, FloatNetwork, fuse_activations
from bitpim_traces.records import NETWORK_INPUT, Geometry

__all__ = ["network_of"]

_log = logging.getLogger(__name__)

_CLAMPING = ("conv2d", "linear", "add")  # kinds that take a limiting activation with them


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
    graph = _Graph(list(drafts), output, input_shape)
    softmax = ""
    if output >= 0 and graph.drafts[output].kind == "softmax":
        dropped = graph.drafts[output]
        _log.info("%s: softmax at the end dropped; the trace ends in logits", dropped.where)
        graph.output = dropped.inputs[0]
        softmax = "log_softmax" if "log_softmax" in dropped.operator else "softmax"
    for rewrite in (
        _collapse_reshape,
        _merge_slices,
        _fold_pad,
        _fold_affine,
        _push_affine,
        _lift_activation,
        _express_affine,
    ):
        graph.apply(rewrite)
    if graph.output == NETWORK_INPUT:
        raise TraceDataError(f"{name}: need at least one layer, got a network that does nothing")
    return _finished(name, graph, input_shape), softmax


class _Graph:
    """Drafts under rewriting: a rewritten draft keeps its index, a removed one redirects."""

    def __init__(self, drafts: list[Draft], output: int, input_shape: tuple[int, ...]) -> None:
        self.drafts = drafts
        self.output = output
        self.input_shape = input_shape

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of a draft's output, or of the network input."""
        return self.input_shape if index == NETWORK_INPUT else self.drafts[index].shape

    def source(self, draft: Draft) -> Draft | None:
        """Yield the draft that feeds the first input, None for the network input."""
        index = draft.inputs[0]
        return None if index == NETWORK_INPUT else self.drafts[index]

    def apply(self, rewrite: "Rewrite") -> None:
        """Apply a rewrite to every live draft in execution order.

        A rewrite yields the draft's replacement, or the index to read instead of it.
        """
        for index in sorted(self.live() - {NETWORK_INPUT}):
            found = rewrite(self, index)
            if isinstance(found, Draft):
                self.drafts[index] = found
            else:
                self._redirect(index, found)

    def _redirect(self, old: int, new: int) -> None:
        for index in range(old + 1, len(self.drafts)):
            draft = self.drafts[index]
            if old in draft.inputs:
                inputs = tuple(new if i == old else i for i in draft.inputs)
                self.drafts[index] = replace(draft, inputs=inputs)
        if self.output == old:
            self.output = new

    def n_users(self, index: int) -> int:
        """Number of live readers of a draft, the network's output among them."""
        readers = sum(index in self.drafts[i].inputs for i in self.live() - {NETWORK_INPUT})
        return readers + (index == self.output)

    def live(self) -> set[int]:
        """Indices that the output depends on, the network input among them."""
        live, pending = {NETWORK_INPUT}, [self.output]
        while pending:
            index = pending.pop()
            if index not in live:
                live.add(index)
                pending.extend(self.drafts[index].inputs)
        return live


Rewrite = Callable[[_Graph, int], Draft | int]


def _collapse_reshape(graph: _Graph, index: int) -> Draft | int:
    """Read through chains of views; a reshape to the shape it came from is nothing."""
    draft = graph.drafts[index]
    if draft.kind != "reshape":
        return draft
    source = graph.source(draft)
    if source is not None and source.kind == "reshape":
        draft = replace(draft, inputs=source.inputs)
    return draft.inputs[0] if draft.shape == graph.shape(draft.inputs[0]) else draft


def _is_slice(draft: Draft | None) -> bool:
    return (
        draft is not None
        and draft.kind == "max_pool2d"
        and draft.geometry is not None
        and draft.geometry == Geometry(kernel=(1, 1), stride=draft.geometry.stride)
    )


def _merge_slices(graph: _Graph, index: int) -> Draft | int:
    """Make one layer of a slice of rows and a slice of columns."""
    draft = graph.drafts[index]
    source = graph.source(draft)
    if not _is_slice(draft) or not _is_slice(source):
        return draft
    assert source is not None and source.geometry is not None and draft.geometry is not None
    stride = (
        source.geometry.stride[0] * draft.geometry.stride[0],
        source.geometry.stride[1] * draft.geometry.stride[1],
    )
    return replace(draft, inputs=source.inputs, geometry=Geometry(kernel=(1, 1), stride=stride))


def _fold_pad(graph: _Graph, index: int) -> Draft | int:
    """Take zero padding of rows and columns into the convolution that reads it."""
    draft = graph.drafts[index]
    source = graph.source(draft)
    if draft.kind != "conv2d" or source is None or source.kind != "pad":
        return draft
    pads = source.params.integers("pads")
    if any(pads[:2]):
        return draft
    assert draft.geometry is not None
    own = draft.geometry.padding
    top, bottom, left, right = (own[i] + pads[2 + i] for i in range(4))
    geometry = replace(draft.geometry, padding=(top, bottom, left, right))
    return replace(draft, inputs=source.inputs, geometry=geometry)


def _fold_affine(graph: _Graph, index: int) -> Draft | int:
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


def _push_affine(graph: _Graph, index: int) -> Draft | int:
    """Fold what is left of batch norms into the one linear layer or convolution that reads it.

    A padded convolution takes a factor, but no offset: its padding is 0 behind the batch norm.
    """
    draft = graph.drafts[index]
    if draft.kind != "affine" or graph.n_users(index) != 1 or index == graph.output:
        return draft
    (at,) = (i for i in graph.live() if i >= 0 and index in graph.drafts[i].inputs)
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


def _lift_activation(graph: _Graph, index: int) -> Draft | int:
    """Let an activation that limits go before the max pooling it follows, where it can be fused.

    Both are monotone, so the order does not matter; before it, the codes waste no range.
    """
    draft = graph.drafts[index]
    pool = graph.source(draft)
    if draft.activation != "clamp" or pool is None or pool.kind != "max_pool2d":
        return draft
    producer = graph.source(pool)
    if producer is None or producer.kind not in _CLAMPING:
        return draft
    if graph.n_users(draft.inputs[0]) != 1 or graph.n_users(pool.inputs[0]) != 1:
        return draft
    graph.drafts[draft.inputs[0]] = replace(draft, inputs=pool.inputs, shape=producer.shape)
    return replace(pool, inputs=draft.inputs)


def _express_affine(graph: _Graph, index: int) -> Draft | int:
    """Turn what is left of batch norms into depthwise convolutions of one pixel."""
    draft = graph.drafts[index]
    if draft.kind != "affine":
        return draft
    if len(draft.shape) != 3:
        need = "a convolution or linear layer just before it, read by nothing else, to fold it into"
        got = f"an input of N x {list(draft.shape)} from elsewhere"
        raise refuse(draft.where, need, got, "move it behind a linear layer")
    assert draft.weight is not None
    _log.info("%s: not foldable, becomes a depthwise 1 x 1 convolution", draft.where)
    n_channels = draft.shape[0]
    return replace(
        draft,
        kind="conv2d",
        weight=draft.weight.reshape(n_channels, 1, 1, 1),
        geometry=Geometry(kernel=(1, 1), groups=n_channels),
    )


def _finished(name: str, graph: _Graph, input_shape: tuple[int, ...]) -> FloatNetwork:
    """Drop what the output does not need, name the layers and number them anew."""
    live = sorted(index for index in graph.live() if index >= 0)
    numbers = {NETWORK_INPUT: NETWORK_INPUT} | {index: n for n, index in enumerate(live)}
    layers: list[FloatLayer] = []
    taken: set[str] = set()
    for index in live:
        draft = graph.drafts[index]
        inputs = tuple(numbers[i] for i in draft.inputs)
        layers.append(_layer(draft, _unique(draft, taken), inputs, graph))
    network = FloatNetwork(name, tuple(layers), input_shape)
    for index, shape in zip(live, network.shapes(), strict=True):
        draft = graph.drafts[index]
        if shape != draft.shape:
            raise refuse(draft.where, f"an output of N x {list(draft.shape)}", f"{list(shape)}")
    return fuse_activations(network)


def _unique(draft: Draft, taken: set[str]) -> str:
    """Name a layer by the path of its module, and by the operator where a container called it."""
    operator = draft.operator.removeprefix("aten.").split(".")[0].strip("_")
    short = "flatten" if draft.kind == "reshape" else operator
    base = draft.path if draft.owned and draft.path else f"{draft.path}.{short}".lstrip(".")
    name, n = base, 2
    while name in taken:
        name, n = f"{base}_{n}", n + 1
    taken.add(name)
    return name


def _layer(draft: Draft, name: str, inputs: tuple[int, ...], graph: _Graph) -> FloatLayer:
    """Make the float layer of a draft that the passes left."""
    if draft.kind == "softmax":
        remedy = "a trace may end in a softmax, which is dropped; elsewhere it has no place"
        raise refuse(draft.where, "a softmax at the very end", "one inside the network", remedy)
    kind = draft.kind
    if kind == "reshape":
        shape = graph.shape(draft.inputs[0])
        if draft.shape != (math.prod(shape),):
            got = f"N x {list(shape)} to N x {list(draft.shape)}"
            raise refuse(draft.where, "a view that flattens all but the batch", got)
        kind = "flatten"
    activation, clamp = _named_activation(draft)
    return FloatLayer(
        name=name,
        kind=kind,
        inputs=inputs,
        geometry=draft.geometry,
        weight=_float32(draft.weight, draft.where),
        bias=_float32(draft.bias, draft.where),
        activation=activation,
        clamp=clamp,
        params=draft.params,
    )


def _named_activation(draft: Draft) -> tuple[str, tuple[float, float] | None]:
    if draft.activation != "clamp":
        return draft.activation, None
    if draft.low == 0.0 and draft.high in (6.0, math.inf):
        return ("relu" if draft.high == math.inf else "relu6"), None
    return "clamp", (draft.low, draft.high)


def _float32(values: npt.NDArray[np.float64] | None, where: str) -> npt.NDArray[np.float32] | None:
    if values is None:
        return None
    if not np.isfinite(values).all():
        raise refuse(where, "finite weights", "NaN or infinity", "check the weights given")
    return np.ascontiguousarray(values, dtype=np.float32)
