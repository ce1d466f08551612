"""One call of an exported graph, with its arguments by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitpim_traces.exporter.drafts import Draft, refuse

__all__ = ["Call", "Value", "as_float64", "pair"]


@dataclass(frozen=True, slots=True)
class Value:
    """The output of a draft, as an argument of the next operator; `shape` is without batch."""

    index: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the graph: arguments by their schema's names, tensors of constants in place."""

    operator: str
    arguments: Mapping[str, Any]
    shape: tuple[int, ...]  # of the (first) output, without batch
    path: str
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

    def constant(self, name: str) -> npt.NDArray[np.float64] | None:
        """Yield the argument that must be constant, as float64."""
        value = self.arguments.get(name)
        if isinstance(value, Value):
            raise refuse(self.where, f"a constant {name}", f"{name} computed from the input")
        return None if value is None else as_float64(value)

    def draft(self, kind: str, *inputs: Value, **fields: Any) -> Draft:
        """Yield a draft that stands for this call."""
        return Draft(
            kind=kind,
            inputs=tuple(value.index for value in inputs),
            shape=self.shape,
            path=self.path,
            operator=self.operator,
            owned=self.owned,
            **fields,
        )


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
