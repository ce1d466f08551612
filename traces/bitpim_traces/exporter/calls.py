"""One call of an exported graph, with its arguments by name."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitpim_traces.exporter.drafts import Draft, refuse
from bitpim_traces.records import NETWORK_INPUT, Params

__all__ = ["Call", "Found", "Reader", "Value", "as_float64", "pair"]

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """The output of a draft, as an argument of the next operator; `shape` is without batch."""

    index: int
    shape: Shape


Found = Draft | Value | list[Value]
"""What a call is read as: a draft, a value that is there already, or several of them."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the graph: arguments by their schema's names, tensors of constants in place.

    What takes several drafts is made of some beside, one after the other, and one that is the
    operator itself.
    """

    operator: str
    arguments: Mapping[str, Any]
    shape: Shape  # of the (first) output, without batch
    path: str
    append: Callable[[Draft], int]  # adds a draft to the graph and yields its index
    owned: bool = False  # the module at `path` is one of PyTorch's layers, not a container

    @property
    def where(self) -> str:
        """Module path and operator, as messages name them."""
        return f"{self.path or '(root)'}: {self.operator}"

    def image(self, name: str = "input") -> Value:
        """Yield the argument that must be a batch of images (channels, rows, columns)."""
        value = self.value(name)
        if len(value.shape) != 3:
            raise refuse(self.where, "an N x C x H x W input", f"shape N x {list(value.shape)}")
        return value

    def value(self, name: str = "input") -> Value:
        """Yield the argument that must depend on the network's input."""
        value = self.arguments[name]
        if not isinstance(value, Value):
            raise refuse(self.where, f"{name} computed from the network input", "a constant")
        return value

    def first(self) -> Value:
        """Yield the argument that operators of one input call self, or input."""
        return self.value("self" if "self" in self.arguments else "input")

    def constant(self, name: str) -> npt.NDArray[np.float64] | None:
        """Yield the argument that must be constant, as float64."""
        value = self.arguments.get(name)
        if isinstance(value, Value):
            raise refuse(self.where, f"a constant {name}", f"{name} computed from the input")
        return None if value is None else as_float64(value)

    def axis(self, value: Value, axis: Any) -> int:
        """Yield an axis of a value without its batch, from PyTorch's number of it."""
        found = int(axis) % (len(value.shape) + 1)
        if found == 0:
            raise refuse(self.where, "an axis other than the batch", "axis 0")
        return found - 1

    def draft(self, kind: str, *inputs: Value, shape: Shape | None = None, **fields: Any) -> Draft:
        """Yield a draft that stands for this call."""
        return Draft(
            kind=kind,
            inputs=tuple(value.index for value in inputs),
            shape=self.shape if shape is None else shape,
            path=self.path,
            operator=self.operator,
            owned=self.owned,
            **fields,
        )

    def put(self, draft: Draft) -> Value:
        """Add a draft to the graph and yield its value."""
        return Value(self.append(draft), draft.shape)

    def beside(self, kind: str, *inputs: Value, shape: Shape, **fields: Any) -> Value:
        """Add a draft beside the one that stands for the call; it is named after its kind."""
        indices = tuple(value.index for value in inputs)
        return self.put(Draft(kind, indices, shape, self.path, kind, **fields))

    def reshaped(self, value: Value, shape: Sequence[int]) -> Value:
        """Yield a value in another shape."""
        to = tuple(int(n) for n in shape)
        return value if to == value.shape else self.beside("reshape", value, shape=to)

    def permuted(self, value: Value, axes: Sequence[int]) -> Value:
        """Yield a value with its axes in another order."""
        to = tuple(value.shape[axis] for axis in axes)
        if tuple(axes) == tuple(range(len(axes))):
            return value
        return self.beside("permute", value, shape=to, params=Params(axes=tuple(axes)))

    def as_image(self, value: Value) -> Value:
        """Yield a value of one or two axes as rows of height 1: (C, L) is (C, 1, L)."""
        channels, *rest = value.shape
        return self.reshaped(value, (channels, 1, math.prod(rest)))

    def fixed(self, array: npt.NDArray[np.float64]) -> Value:
        """Add values that do not depend on the input, without the batch axis."""
        shape = tuple(array.shape)
        source = Value(NETWORK_INPUT, ())
        values = {"values": np.ascontiguousarray(array, np.float32)}
        return self.beside("constant", source, shape=shape, tensors=values)

    def of_one_sample(self, constant: Any, rank: int) -> npt.NDArray[np.float64]:
        """Yield a constant that is alike for all samples, with `rank` axes and no batch axis."""
        array = as_float64(constant)
        array = array.reshape((1,) * (rank + 1 - array.ndim) + array.shape)
        if array.ndim != rank + 1 or not np.array_equal(
            array, np.broadcast_to(array[:1], array.shape), equal_nan=True
        ):
            got = f"a constant of shape {list(array.shape)} that differs by sample"
            raise refuse(self.where, "constants that are alike for all samples", got)
        one: npt.NDArray[np.float64] = array[0]
        return one


Reader = Callable[[Call], Found]


def as_float64(value: Any) -> npt.NDArray[np.float64]:
    """Yield a tensor or number as a float64 array."""
    if isinstance(value, torch.Tensor):
        return np.asarray(value.detach().cpu().to(torch.float64).numpy())
    return np.asarray(value, dtype=np.float64)


def pair(values: Any, default: tuple[int, int] = (1, 1)) -> tuple[int, int]:
    """Yield (vertical, horizontal) from what PyTorch writes as a number or a list of one or two."""
    if isinstance(values, int):
        return values, values
    listed = [int(v) for v in values or ()]
    if not listed:
        return default
    return listed[0], listed[-1]
