"""Drafts that the rewrites left become the layers of a float network."""

import math

import numpy as np
import numpy.typing as npt

from bitpim_traces.exporter.drafts import Draft, refuse
from bitpim_traces.exporter.rewriting import Graph
from bitpim_traces.network import FloatLayer, FloatNetwork, fuse_activations
from bitpim_traces.records import NETWORK_INPUT, Params

__all__ = ["finished"]


def finished(name: str, graph: Graph, input_shape: tuple[int, ...]) -> FloatNetwork:
    """Drop what the output does not need, name the layers and number them anew."""
    live = graph.order()
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
    short = "flatten" if draft.kind == "reshape" and len(draft.shape) == 1 else operator
    base = draft.path if draft.owned and draft.path else f"{draft.path}.{short}".lstrip(".")
    name, n = base, 2
    while name in taken:
        name, n = f"{base}_{n}", n + 1
    taken.add(name)
    return name


def _layer(draft: Draft, name: str, inputs: tuple[int, ...], graph: Graph) -> FloatLayer:
    """Make the float layer of a draft that the passes left."""
    if draft.kind == "softmax":
        remedy = "a trace may end in a softmax, which is dropped; elsewhere it has no place"
        raise refuse(draft.where, "a softmax at the very end", "one inside the network", remedy)
    kind, params = draft.kind, draft.params
    if kind == "reshape":
        flat = draft.shape == (math.prod(graph.shape(draft.inputs[0])),)
        kind = "flatten" if flat else "reshape"
        params = Params() if flat else Params(shape=draft.shape)
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
        params=params,
        tensors={key: _checked(values, draft.where) for key, values in draft.tensors.items()},
    )


def _named_activation(draft: Draft) -> tuple[str, tuple[float, float] | None]:
    if draft.activation != "clamp":
        return draft.activation, None
    if draft.low == 0.0 and draft.high in (6.0, math.inf):
        return ("relu" if draft.high == math.inf else "relu6"), None
    return "clamp", (draft.low, draft.high)


def _float32(values: npt.NDArray[np.float64] | None, where: str) -> npt.NDArray[np.float32] | None:
    return None if values is None else _checked(values, where)


def _checked(values: npt.NDArray[np.floating], where: str) -> npt.NDArray[np.float32]:
    if not np.isfinite(values).all():
        raise refuse(where, "finite weights", "NaN or infinity", "check the weights given")
    return np.ascontiguousarray(values, dtype=np.float32)
