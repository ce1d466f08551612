"""What a trace holds, as frozen values: no h5py, no torch, no machine.

A `Trace` is a quantized network as a directed acyclic graph of `LayerRecord`, plus samples. All
numbers were decided before the file was written: a machine reads codes, it never makes them.
Large tensors are `TensorRecord`: they know shape and dtype, and are read when asked.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from bitpim_traces.codebook import Codebook, ProductTable
from bitpim_traces.errors import TraceDataError
from bitpim_traces.modes import REQUANTIZE_MODES, Mode, mode_named

__all__ = [
    "CLIPS",
    "CLUSTER_BOUNDARIES",
    "CLUSTER_IMPORTANCES",
    "MAX_CLUSTERS",
    "MIN_CLUSTERS",
    "NETWORK_INPUT",
    "REQUANTIZE_MODES",
    "Clusters",
    "Geometry",
    "LayerRecord",
    "Limits",
    "Params",
    "Quantization",
    "Requantize",
    "Samples",
    "TensorRecord",
    "Trace",
    "axes_of",
]

NETWORK_INPUT = -1
"""Index that stands for the network input wherever a layer names its inputs."""

CLIPS = ("none", "relu", "relu6", "clamp")
"""Activations that only narrow the clamp of a layer; all others are functions, by table."""

CLUSTER_IMPORTANCES = ("magnitude", "layer_relative", "activation_aware")
"""What weights may be ranked by before they are put into clusters."""

CLUSTER_BOUNDARIES = ("equal_count", "equal_importance", "kmeans")
"""Where one cluster may end and the next begin."""

MIN_CLUSTERS, MAX_CLUSTERS = 2, 8
"""Clusters that a layer may have."""

_AXES = ("N", "NC", "NCL", "NCHW", "NCDHW", "NABCDE")


def axes_of(n_axes: int) -> str:
    """Name the axes of a batch of activations, the sample axis among them."""
    return _AXES[n_axes - 1]


class Limits(NamedTuple):
    """What values a tensor may hold: `lowest` to `highest`, called `what`; `where` names it."""

    where: str
    what: str
    lowest: int
    highest: int

    def check(self, values: npt.NDArray[Any], first: int = 0) -> None:
        """Raise TraceDataError at the first value beyond; `first` is the place of the first row.

        A dtype that holds no other value is not looked at.
        """
        if values.dtype.kind not in "iu":
            raise TraceDataError(
                f"{self.where}: need integers, {self.what} {self.lowest}..{self.highest}, got "
                f"{values.dtype}; make the trace again"
            )
        held = np.iinfo(values.dtype)
        if not values.size or (self.lowest <= held.min and held.max <= self.highest):
            return
        if self.lowest <= int(values.min()) and int(values.max()) <= self.highest:
            return
        wrong = np.argwhere((values < self.lowest) | (values > self.highest))[0].tolist()
        got, place = int(values[tuple(wrong)]), (wrong[0] + first, *wrong[1:])
        raise TraceDataError(
            f"{self.where}: need {self.what} {self.lowest}..{self.highest}, got {got} at {place}; "
            "make the trace again, or list all faults with `bitpim trace check --deep`"
        )


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A tensor of plain integers or floats, perhaps still in the file.

    `read(start, stop)` yields elements `start:stop` of the first axis; `read()` yields all. Values
    beyond `limits` are an error when they are read; `load` yields them as they are.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str  # one letter an axis, as in "OIHW"
    units: str  # "code", "1", ...
    role: str
    load: Callable[[int, int], npt.NDArray[Any]]
    limits: Limits | None = field(default=None, compare=False)

    @classmethod
    def of(
        cls, values: npt.NDArray[Any], *, axes: str, role: str, units: str = "code"
    ) -> "TensorRecord":
        """Wrap an array that is in memory."""
        array = np.ascontiguousarray(values)
        return cls(
            array.shape, array.dtype, axes, units, role, lambda start, stop: array[start:stop]
        )

    def read(self, start: int = 0, stop: int | None = None) -> npt.NDArray[Any]:
        """Yield elements `start:stop` of the first axis as an array (a scalar's shape is ()).

        Raises
        ------
        TraceDataError
            A value lies beyond the limits.
        """
        values = self.load(start, self.shape[0] if stop is None else stop)
        self.check(values, start)
        return values

    def check(self, values: npt.NDArray[Any], first: int = 0) -> None:
        """Raise TraceDataError where values, from row `first` on, lie beyond the limits."""
        if self.limits is not None:
            self.limits.check(values, first)


@dataclass(frozen=True, slots=True)
class Quantization:
    """How codes stand for real numbers: real = scale * (code - zero_point).

    `scale` (float64) and `zero_point` (int64) have shape (1,) per tensor, or (n_channels,) per
    channel along `axis`. `bits` is 1 to 16, of accumulators that nobody reads up to 64; signed
    codes are two's complement. `binary` ones are -1 and 1 alone, of 2 bits and signed: files have
    them in one bit.

    With a `codebook` it is not affine: code c stands for `codebook.values[c]`, 0 .. n_codes - 1 are
    all the codes there are, `scale` is that of values, and `zero_point` the code of 0.
    """

    bits: int
    signed: bool
    scale: npt.NDArray[np.float64]
    zero_point: npt.NDArray[np.int64]
    axis: int | None = None  # None: per tensor
    binary: bool = False
    codebook: Codebook | None = None

    @classmethod
    def of_codebook(cls, codebook: Codebook) -> Self:
        """Make that of a codebook."""
        scale, zero = np.array([codebook.scale]), np.array([codebook.zero_code], np.int64)
        return cls(codebook.bits, False, scale, zero, codebook=codebook)

    @property
    def code_min(self) -> int:
        """Smallest code of this width."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def code_max(self) -> int:
        """Largest code of this width, or of the codebook."""
        if self.codebook is not None:
            return self.codebook.n_codes - 1
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    def limited(self, tensor: TensorRecord, where: str) -> TensorRecord:
        """Yield the tensor with the codes of this width as its limits; `where` names it."""
        if tensor.dtype.kind not in "iu" or not 1 <= self.bits <= 16:
            return tensor  # the rules refuse it
        what = f"{'signed' if self.signed else 'unsigned'} {self.bits}-bit codes"
        if self.codebook is not None:
            what = "codes of the codebook"
        return replace(tensor, limits=Limits(where, what, self.code_min, self.code_max))


class Params(dict[str, int | str | tuple[int, ...]]):
    """What only one kind of layer has, by the names in the record of its operator."""

    def integer(self, name: str) -> int:
        """Return a number."""
        value = self.get(name)
        if not isinstance(value, int):
            raise TraceDataError(f"params: need a number {name}, got {value!r}; set it")
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        """Return several numbers."""
        value = self.get(name)
        if not isinstance(value, tuple):
            raise TraceDataError(f"params: need numbers {name}, got {value!r}; set them")
        return value


@dataclass(frozen=True, slots=True)
class Geometry:
    """Window of a convolution or pooling; (vertical, horizontal) pairs.

    `padding` is (top, bottom, left, right). With `ceil_mode` the last window may start inside
    the image or its padding and reach beyond it, as in PyTorch.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    ceil_mode: bool = False
    count_include_pad: bool = False  # average pooling only

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Number of window positions (vertical, horizontal) over an image of that size."""
        top, bottom, left, right = self.padding
        out = []
        for axis, (size, before, after) in enumerate(((height, top, bottom), (width, left, right))):
            reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
            span = size + before + after - reach
            stride = self.stride[axis]
            n = -(-span // stride) + 1 if self.ceil_mode else span // stride + 1
            if self.ceil_mode and (n - 1) * stride >= size + before:
                n -= 1  # a window that would start in the trailing padding is dropped
            out.append(n if span >= 0 or (self.ceil_mode and n > 0) else 0)
        return out[0], out[1]


@dataclass(frozen=True, slots=True)
class Requantize:
    """The step from an exact accumulator to an output code; FORMAT.md has the exact rules.

    `mode` is one of REQUANTIZE_MODES. Integer modes carry `multiplier` (int32, non-negative) and
    `shift` (int32); the float mode carries `scale` (float32). One entry, or one per output channel
    (conv2d, linear), per input (add, concat), or per number of elements in the window minus one
    (avg_pool2d). `add` in fixed_point_half_away carries the output step in `output_multiplier`,
    `output_shift` and the common `left_shift`.
    """

    mode: str
    multiplier: npt.NDArray[np.int32] | None = None
    shift: npt.NDArray[np.int32] | None = None
    scale: npt.NDArray[np.float32] | None = None
    output_multiplier: int = 0
    output_shift: int = 0
    left_shift: int = 0

    @property
    def rule(self) -> Mode:
        """The record of its mode; TraceDataError where there is none."""
        return mode_named(self.mode)


@dataclass(frozen=True, slots=True)
class Clusters:
    """The cluster of every weight of a layer, and the rule that made them.

    `index` (uint8, shape of the weight) is 0 for the most important weights and `count` - 1 for the
    least, those at the zero point among them. `importance` is one of CLUSTER_IMPORTANCES,
    `boundaries` one of CLUSTER_BOUNDARIES.
    """

    index: TensorRecord
    count: int
    importance: str
    boundaries: str


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """One operator of the network, with everything a machine needs to run it.

    Fields that a kind does not use are None or empty. `clamp` is (lowest, highest) output code
    after the zero point was added: the code range of `output`, narrowed by relu, relu6 or clamp.
    `table` (a function): output code by (input code - code_min), or one such row a channel.
    `params` and `tensors` are what the record of its operator lists beside these.
    `product_table` is what a layer of codebooks adds up; it has no `requantize` then, but where its
    output is affine. `pad_code` is the code a padded input position holds (zero point; code_min for
    max pooling).
    """

    index: int
    name: str
    kind: str
    inputs: tuple[int, ...]
    input_shapes: tuple[tuple[int, ...], ...]  # without the batch axis
    output_shape: tuple[int, ...]
    output: Quantization
    geometry: Geometry | None = None
    activation: str = "none"
    clamp: tuple[int, int] = (0, 0)
    requantize: Requantize | None = None
    product_table: ProductTable | None = None
    accumulator_bits: int = 32
    pad_code: int = 0
    weight: TensorRecord | None = None  # codes, OIHW or OI
    weight_quantization: Quantization | None = None
    bias: TensorRecord | None = None  # int32 or int64 codes at scale input * weight, or of products
    clusters: Clusters | None = None  # of the weights
    weight_float: TensorRecord | None = None
    bias_float: TensorRecord | None = None
    table: TensorRecord | None = None
    params: Params = field(default_factory=Params)
    tensors: Mapping[str, TensorRecord] = field(default_factory=dict)
    output_float: TensorRecord | None = None  # reference for the first samples
    extra: Mapping[str, TensorRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        coded = {"weight": self.weight_quantization, "table": self.output}
        for name, quantization in coded.items():
            tensor: TensorRecord | None = getattr(self, name)
            if tensor is not None and quantization is not None:
                limited = quantization.limited(tensor, f"layer {self.index} {self.name!r} {name}")
                object.__setattr__(self, name, limited)
        if self.clusters is not None:
            limits = Limits(
                f"layer {self.index} {self.name!r} clusters", "clusters", 0, self.clusters.count - 1
            )
            index = replace(self.clusters.index, limits=limits)
            object.__setattr__(self, "clusters", replace(self.clusters, index=index))
        if "values" in self.tensors:
            where = f"layer {self.index} {self.name!r} values"
            values = self.output.limited(self.tensors["values"], where)
            object.__setattr__(self, "tensors", {**self.tensors, "values": values})


@dataclass(frozen=True, slots=True)
class Samples:
    """Inputs of the network as codes, with labels where they are known."""

    codes: TensorRecord  # NCHW, NC, ...
    quantization: Quantization
    labels: TensorRecord | None = None  # int32, (n_samples,)
    dataset: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "codes", self.quantization.limited(self.codes, "samples"))


class Closing(Protocol):
    """What a trace was read from."""

    def close(self) -> None:
        """Let go of it."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A whole network with its samples; `layers` are in execution order.

    One that was read from a file holds it open until `close`, or until it is no longer used; it may
    stand in a ``with`` statement.
    """

    name: str
    layers: tuple[LayerRecord, ...]
    samples: Samples
    provenance: Mapping[str, Any]
    digest: str = ""  # of the file's content; names the trace in results
    file: Closing | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        labels = self.samples.labels
        if labels is not None and labels.dtype.kind in "iu" and self.layers:
            shape = self.layers[-1].output_shape
            highest = shape[0] - 1 if len(shape) == 1 else np.iinfo(np.int32).max
            limits = Limits("labels", "classes, or -1 for unknown,", -1, int(highest))
            samples = replace(self.samples, labels=replace(labels, limits=limits))
            object.__setattr__(self, "samples", samples)

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self.samples.codes.shape[0]

    @property
    def codebooks(self) -> Iterator[tuple[str, Codebook]]:
        """The codebooks of the network, each with what it is of; of one with affine codes none."""
        if self.samples.quantization.codebook is not None:
            yield "samples", self.samples.quantization.codebook
        for layer in self.layers:
            where = f"layer {layer.index} {layer.name!r}"
            weight = layer.weight_quantization
            if weight is not None and weight.codebook is not None:
                yield f"{where} weight", weight.codebook
            if layer.output.codebook is not None:
                yield where, layer.output.codebook

    def close(self) -> None:
        """Let go of the file; large tensors can no longer be read, from copies neither."""
        if self.file is not None:
            self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def quantization_of(self, index: int) -> Quantization:
        """Quantization of a layer's output, or of the network input for NETWORK_INPUT."""
        return self.samples.quantization if index == NETWORK_INPUT else self.layers[index].output

    def shape_of(self, index: int) -> tuple[int, ...]:
        """Shape without batch of a layer's output, or of the network input."""
        if index == NETWORK_INPUT:
            return self.samples.codes.shape[1:]
        return self.layers[index].output_shape

    def input_quantizations(self, layer: LayerRecord) -> tuple[Quantization, ...]:
        """Quantization of each input of a layer."""
        return tuple(self.quantization_of(i) for i in layer.inputs)
