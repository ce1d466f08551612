"""Which channels of a network have to go together: what writes a channel, and what reads it.

A channel that is removed is one that no filter writes and no weight reads. An add joins the
channels it sums, a product those it multiplies, and depthwise filters the channel before and behind
them; windows, moves and functions carry channels on. Channels of the network's input and outputs
stay, and so do those that constants meet.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import NETWORK_INPUT

__all__ = ["ChannelGraph", "channel_graph"]

Ints = npt.NDArray[np.int64]
Shape = tuple[int, ...]

_NOTHING, _FIXED, _FIRST = 0, 1, 2
"""Numbers that are no channel's: a padded zero, and what must stay."""


@dataclass(frozen=True, slots=True, eq=False)
class ChannelGraph:
    """Sets of channels that go together, numbered in the order in which they are first written.

    Attributes
    ----------
    n_sets : number of sets that may be removed
    written : by the name of a layer with weights, the set that each of its filters writes
    read : by name, the set that each of its weights' input channels reads, a row a conv group
    n_positions : by name, positions of its output, for each of which a weight is multiplied

    Sets that must stay are -1.

    Shapes
    ------
    written : (M,);  read : (conv groups, I / groups)
    """

    n_sets: int
    written: dict[str, Ints]
    read: dict[str, Ints]
    n_positions: dict[str, int]


def channel_graph(network: FloatNetwork) -> ChannelGraph:
    """Find the sets of channels of a network that go together."""
    joined = _Joined()
    elements: dict[int, Ints] = {NETWORK_INPUT: np.full(network.input_shape, _FIXED)}
    shapes = network.shapes()
    written, read, n_positions = {}, {}, {}
    for index, layer in enumerate(network.layers):
        inputs = [elements[i] for i in layer.inputs]
        if layer.weight is None:
            elements[index] = _carried(layer, inputs, shapes[index], joined)
            continue
        channels = _channels(inputs[0], joined)
        groups = 1 if layer.geometry is None else layer.geometry.groups
        by_group = channels.reshape(groups, -1)
        filters = _filters(layer.weight.shape, by_group, joined)
        written[layer.name], read[layer.name] = filters, by_group
        n_positions[layer.name] = math.prod(shapes[index][1:])
        own = filters.reshape(-1, *[1] * (len(shapes[index]) - 1))
        elements[index] = np.broadcast_to(own, shapes[index])
    are_read = {i for layer in network.layers for i in layer.inputs}
    for index in range(len(network.layers)):
        if index not in are_read:
            joined.join(elements[index], _FIXED)
    number = joined.numbers()
    return ChannelGraph(
        int(number.max(initial=-1)) + 1,
        {name: number[ids] for name, ids in written.items()},
        {name: number[ids] for name, ids in read.items()},
        n_positions,
    )


class _Joined:
    """Channels by number, of which some go together."""

    def __init__(self) -> None:
        self._parents = [_NOTHING, _FIXED]

    def new(self, n: int) -> Ints:
        first = len(self._parents)
        self._parents += range(first, first + n)
        return np.arange(first, first + n)

    def find(self, channel: int) -> int:
        while self._parents[channel] != channel:
            self._parents[channel] = self._parents[self._parents[channel]]
            channel = self._parents[channel]
        return channel

    def join(self, one: Ints, other: Ints | int) -> None:
        """Join channels pair by pair; nothing joins nothing."""
        for a, b in _pairs(one, other):
            if _NOTHING in (a, b):
                continue
            low, high = sorted((self.find(a), self.find(b)))
            self._parents[high] = low

    def numbers(self) -> Ints:
        """Yield the set of every channel, by its number; -1 where it must stay."""
        found = np.full(len(self._parents), -1, np.int64)
        roots: dict[int, int] = {}
        for channel in range(_FIRST, len(self._parents)):
            root = self.find(channel)
            if root != _FIXED:
                found[channel] = roots.setdefault(root, len(roots))
        return found


def _pairs(one: Ints, other: Ints | int) -> Iterator[tuple[int, int]]:
    """Yield the pairs that stand at one place, each once."""
    a, b = np.broadcast_arrays(one, other)
    both = np.stack([a.ravel(), b.ravel()])
    new = np.ones(both.shape[1], bool)
    new[1:] = (both[:, 1:] != both[:, :-1]).any(axis=0)  # most stand beside their like
    yield from {(int(x), int(y)) for x, y in both[:, new].T}


def _channels(elements: Ints, joined: _Joined) -> Ints:
    """Yield the number of each channel; what lies in one channel goes together."""
    flat = elements.reshape(elements.shape[0], -1)
    highest: Ints = flat.max(axis=1)
    joined.join(flat, highest[:, None])
    return highest


def _filters(shape: Shape, by_group: Ints, joined: _Joined) -> Ints:
    """Yield the number of what each filter writes: depthwise ones carry their channel on."""
    if by_group.shape[0] > 1 and shape[1] == 1:
        return np.repeat(by_group[:, 0], shape[0] // by_group.shape[0])
    return joined.new(shape[0])


def _carried(layer: FloatLayer, inputs: list[Ints], shape: Shape, joined: _Joined) -> Ints:
    """Yield the channels behind a layer without weights."""
    operator = OPERATORS[layer.kind]
    if operator.fixed:
        return np.full(shape, _FIXED)
    if layer.kind == "activation":
        return inputs[0]
    if layer.kind in ("add", "multiply"):
        found = np.broadcast_to(inputs[0], shape)
        for other in inputs[1:]:
            joined.join(found, other)
            found = np.maximum(found, other)
        return found
    if layer.kind in ("avg_pool2d", "resize_bilinear"):
        return np.broadcast_to(_channels(inputs[0], joined)[:, None, None], shape)
    moved = operator.forward(layer, [x[None].astype(np.float32) for x in inputs])
    channels: Ints = moved[0].astype(np.int64)
    return channels
