"""The record of an operator: all that a trace, and whoever makes or checks one, knows of a kind.

Schema, rules, builder, float forward and FORMAT.md's tables are made from these records. Machines
and the referee have their own code for each kind they support, and share its name only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from bitpim_traces.records import CLIPS, Geometry, Params
from bitpim_traces.schema_forms import Attribute, Dataset

__all__ = [
    "FUSED",
    "WINDOW",
    "Accumulated",
    "Described",
    "FloatArray",
    "Operator",
    "RealLayer",
    "Shape",
    "Shaped",
    "Unfit",
]

FloatArray = npt.NDArray[np.float32]
Shape = tuple[int, ...]

FUSED = CLIPS
"""Activations that only narrow the clamp of a layer."""


class Shaped(Protocol):
    """A tensor of which only the shape is asked."""

    @property
    def shape(self) -> Shape:
        """Its extents."""


class Described(Protocol):
    """What a layer of a trace and a layer of a float network have in common."""

    @property
    def kind(self) -> str:
        """Name of its operator."""

    @property
    def geometry(self) -> Geometry | None:
        """Its window, if it has one."""

    @property
    def weight(self) -> Shaped | None:
        """Its weight, codes or real numbers, if it has one."""

    @property
    def bias(self) -> Shaped | None:
        """Its bias, if it has one."""

    @property
    def params(self) -> Params:
        """What only its kind has."""

    @property
    def tensors(self) -> Mapping[str, Shaped]:
        """Tensors that only its kind has."""

    @property
    def activation(self) -> str:
        """The activation, fused or alone."""


class RealLayer(Described, Protocol):
    """A layer of a float network."""

    @property
    def weight(self) -> FloatArray | None:
        """Real weights."""

    @property
    def bias(self) -> FloatArray | None:
        """Real bias."""

    @property
    def tensors(self) -> Mapping[str, FloatArray]:
        """Real numbers of its own."""


WINDOW = (
    Attribute("kernel", "ints", "R, S: window height and width", length=2),
    Attribute("stride", "ints", "vertical, horizontal", length=2),
    Attribute("padding", "ints", "top, bottom, left, right", length=4),
    Attribute("dilation", "ints", "vertical, horizontal", length=2),
    Attribute("groups", "int", "groups of channels; 1 for pooling"),
    Attribute("ceil_mode", "flag", "output size rounds up; 0 for conv2d"),
    Attribute("count_include_pad", "flag", "padding counts; 0 but for avg_pool2d"),
)
"""What a `Geometry` is in a file."""


class Unfit(Exception):  # noqa: N818  (carries a fault)
    """A member of a layer does not fit the others: what was needed, and what was got."""

    def __init__(self, member: str, need: str, got: object) -> None:
        super().__init__(member, need, got)
        self.member, self.need, self.got = member, need, got


@dataclass(frozen=True, slots=True)
class Accumulated:
    """What one accumulator of an operator's own holds.

    Attributes
    ----------
    reach : yields its least and greatest value in a layer from those of (code - zero point) of
        each input
    unit : yields the real number that 1 stands for from the scales of the inputs
    """

    reach: Callable[[Described, Sequence[tuple[int, int]]], tuple[int, int]]
    unit: Callable[[Described, Sequence[float]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One kind of layer.

    Attributes
    ----------
    kind : its name in files
    since : the minor version of the format that it came with
    computes : FORMAT.md's words for what stands before the requantize step
    shape : works out the output shape from those of the inputs, without the sample axis, or raises
        Unfit; inputs have the rank that the record says
    forward : runs a float layer on a batch, its activation apart
    fewest, most : number of inputs; `most` None is any
    rank, inputs_are : axes of the inputs, None for any; what else they have to be, in words
    window : whether its layers have one: the attributes WINDOW, a `Geometry` in memory
    params, datasets : members of its layers beside those that all have
    activations : what may be fused into it
    tables : whether it may compute any function else by a table of codes
    requantize : whether its layers have a requantize step
    sums : what one entry of that step scales: `products` with weights, a `window` of codes, `terms`
        that are added, single `codes`, or what is `accumulated` in a way of its own
    accumulated : that way
    fixed : its input gives it the number of samples alone, and its values are in the trace
    keeps_codes : its output codes mean what those of its inputs mean, and are never clamped
    pads_with : the input's code that padded positions hold, where it pads
    fuses : an activation that alone reads it becomes its own
    product_rows : what a row of a product table is, of layers whose inputs have codebooks; none if
        they cannot have such inputs
    readers : by the names of PyTorch's operators, what makes a draft of a call to one; such a
        reader knows the call (`exporter.calls`), and nothing of PyTorch
    """

    kind: str
    computes: str
    shape: Callable[[Described, Sequence[Shape]], Shape]
    forward: Callable[[RealLayer, Sequence[FloatArray]], FloatArray]
    since: int = 0
    fewest: int = 1
    most: int | None = 1
    rank: int | None = None
    inputs_are: str = ""
    window: bool = False
    params: tuple[Attribute, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    activations: tuple[str, ...] = ("none",)
    tables: bool = False
    requantize: Literal["must", "may", "none"] = "none"
    sums: Literal["products", "window", "terms", "codes", "accumulated"] = "codes"
    accumulated: Accumulated | None = None
    fixed: bool = False
    keeps_codes: bool = False
    pads_with: Literal["zero point", "lowest code"] | None = None
    fuses: bool = False
    product_rows: Literal["weight codes", "elements", "inputs"] | None = None
    readers: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)

    @property
    def has_weight(self) -> bool:
        """Whether its layers have weights, and a quantization of these."""
        return self.sums == "products"

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """What its layers have in a file, beside what all have."""
        return (*(WINDOW if self.window else ()), *self.params)

    @property
    def arity(self) -> str:
        """How many inputs, in words."""
        if self.most is None:
            return f"{self.fewest} or more"
        if self.fewest == self.most:
            return f"exactly {self.most}"
        return f"{self.fewest} to {self.most}"

    def takes(self, n_inputs: int) -> bool:
        """Tell whether it may have so many inputs."""
        return n_inputs >= self.fewest and (self.most is None or n_inputs <= self.most)

    def output_shape(self, layer: Described, inputs: Sequence[Shape]) -> Shape:
        """Work out the output shape from those of the inputs, without the sample axis.

        Raises
        ------
        Unfit
            The layer does not fit its inputs.
        """
        words = {
            1: "an input with one axis (flatten it first)",
            3: "an input with channels, rows and columns",
        }
        if self.rank is not None and any(len(shape) != self.rank for shape in inputs):
            raise Unfit("@inputs", words[self.rank], inputs[0])
        self._check_params(layer.params)
        return self.shape(layer, inputs)

    def is_table(self, activation: str) -> bool:
        """Tell whether a layer with that activation looks its codes up."""
        return self.tables and activation not in self.activations

    def _check_params(self, params: Params) -> None:
        for attribute in self.params:
            value = params.get(attribute.name)
            fault = "a value" if value is None else attribute.fault_of(value)
            if fault:
                got = "nothing" if value is None else value
                raise Unfit(f"@{attribute.name}", fault, got)
        for name in set(params) - {attribute.name for attribute in self.params}:
            raise Unfit(f"@{name}", f"only what {self.kind} has", "another member")

    def n_entries(self, layer: Described, n_inputs: int) -> tuple[int, ...]:
        """Return how many entries the requantize step of a layer may have."""
        if self.sums == "products" and layer.weight is not None:
            return (1, layer.weight.shape[0])
        if self.sums == "window" and layer.geometry is not None:
            return (layer.geometry.kernel[0] * layer.geometry.kernel[1],)
        return (1,) if self.sums == "accumulated" else (n_inputs,)
