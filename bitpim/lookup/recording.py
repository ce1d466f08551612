"""Layers of an RNA machine recorded: a tile is one neuron, from its pairs of codes to its code."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bitpim.digital.windows import elements_met, window_counts, window_of
from bitpim.errors import ConfigError, LayoutError
from bitpim.lookup import stepped_rna as rna
from bitpim.lookup.encoding import Encoding
from bitpim.lookup.operand_words import digit_of
from bitpim.lookup.rna_mapping import RnaRule
from bitpim.lookup.rna_plan import RnaLayerPlan
from bitpim.lookup.stepped_rna import SteppedRna
from bitpim.recorded import RecordedTile, Recording, TileName, TileNames, need_tile
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["RnaRecorder"]

Codes = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Place = tuple[int, ...]
Taps = tuple[Ints, Ints]
"""Rows of the product table, and which element of all inputs each takes; -1 is padding."""

_WIDE: Final = 62  # bits of a counter that no layer fills
_WHOLE: Final = (-(1 << 63), (1 << 63) - 1)
_ADDED: Final = ("avg_pool2d", "add", "concat")
_AXES: Final = {3: ("channel", "y", "x"), 1: ("output",)}


class RnaRecorder:
    """A layer on RNAs, neuron by neuron.

    Tiles are the elements of the output in their order, the last axis first.

    Raises
    ------
    ConfigError
        The layer has no products: its neurons neither add nor encode.
    """

    def __init__(
        self,
        layer: LayerRecord,
        quantizations: Sequence[Quantization],
        plan: RnaLayerPlan,
        rule: RnaRule,
    ) -> None:
        self._where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
        if layer.product_table is None:
            raise ConfigError(
                f"{self._where}: need a layer whose neurons add or encode to record one, got one "
                "that moves codes, looks them up or picks the largest; record a layer beside it"
            )
        self._layer, self._plan = layer, plan
        self._products = layer.product_table.products
        self._dtypes = [code_dtype(quantization) for quantization in quantizations]
        sizes = [int(np.prod(shape)) for shape in layer.input_shapes]
        self._firsts = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
        self._weights = None if layer.weight is None else layer.weight.read()
        self._bias = None if layer.bias is None else layer.bias.read().astype(np.int64)
        encoding = Encoding(layer, rule.match, rule.sums.sum_bits)
        self._parameters = self._made_of(rule, encoding)
        self._constants = self._made_with(encoding)

    def _made_of(self, rule: RnaRule, encoding: Encoding) -> dict[str, int | str]:
        plan, (digits, counter_bits, sum_bits) = self._plan, rule.sums
        points, values = encoding.points, encoding.values
        counted = plan.most.operands // plan.neurons
        return {
            "counter_bits": _WIDE if counter_bits is None else counter_bits,
            "digits": digits,
            "n_operands": max(1, counted if self._weights is not None else plan.taps),
            "sum_bits": sum_bits,
            "cost": plan.cost,
            "match": rule.match.mode,
            "stage_bits": rule.match.stage_bits,
            "point_bits": sum_bits if points is None else points.width,
            "value_bits": sum_bits if values is None else values.width,
            "up": encoding.up,
        }

    def _made_with(self, encoding: Encoding) -> dict[str, Ints]:
        points = np.empty((0, 2), np.int64)
        if encoding.points is not None and encoding.y is not None:
            points = np.stack([encoding.points.values, encoding.y], axis=1)
        values = encoding.values
        made = {
            "products": self._products,
            "points": points,
            "values": np.empty(0, np.int64) if values is None else values.values,
            "limits": np.array(encoding.limits or _WHOLE, np.int64),
        }
        return {name: np.ascontiguousarray(table, np.int64) for name, table in made.items()}

    def tiles(self) -> Sequence[TileName]:
        """Return the names of all tiles of one sample, made as they are asked for."""
        return TileNames(int(np.prod(self._layer.output_shape)), self._name)

    def _name(self, tile: int) -> TileName:
        place = _place(tile, self._layer.output_shape)
        axes = _AXES.get(len(place), tuple(f"axis {k}" for k in range(len(place))))
        where = ", ".join(f"{axis} {k}" for axis, k in zip(axes, place, strict=True))
        return TileName(tile, f"neuron of {where}")

    def record(self, tile: int, inputs: Sequence[Codes], *, after: str = "end") -> RecordedTile:
        """Run one neuron for one sample literally, and write down all that happens.

        Raises
        ------
        ConfigError
            There is no such tile, or `after` is none of `recorded.AFTER`.
        LayoutError
            The inputs are not those of one sample of the layer.
        """
        names = self.tiles()
        need_tile(self._where, tile, len(names))
        place = _place(tile, self._layer.output_shape)
        given = self._checked(inputs)
        rows, elements = self._taps(place)
        codes = np.where(elements < 0, self._layer.pad_code, given[np.maximum(elements, 0)])
        array = SteppedRna(self._parameters, self._constants)
        recording = Recording(array, array.made_of, array.made_with, after=after)
        if self._weights is not None:
            _count(recording, rows, codes)
            _add(recording, array, None if self._bias is None else int(self._bias[place[0]]))
        else:
            recording.mark("find_code" if self._layer.kind == "concat" else "add_products")
            for row, code in zip(rows.tolist(), codes.tolist(), strict=True):
                step = rna.VALUE if self._layer.kind == "concat" else rna.TERM
                recording.step(step, row, port=_wires(array, code))
            if self._layer.kind != "concat":
                _join(recording, array)
        total = _encode(recording, array)
        return RecordedTile(
            recording.finish(names[tile].told),
            np.array([total], np.int64),
            np.array([(0, *place)], np.int64),
            is_whole=True,
            seen=np.unique(elements[elements >= 0]),
        )

    def _checked(self, inputs: Sequence[Codes]) -> Ints:
        """Return the codes of all inputs of one sample, one after the other."""
        need = [(1, *shape) for shape in self._layer.input_shapes]
        got = [codes.shape for codes in inputs]
        if got != need:
            raise LayoutError(f"{self._where}: need the inputs {need} of one sample, got {got}")
        flat = [c.astype(d).reshape(-1) for c, d in zip(inputs, self._dtypes, strict=True)]
        return np.concatenate(flat).astype(np.int64)

    def _taps(self, place: Place) -> Taps:
        """Return what one neuron counts or adds: rows of the product table, and elements."""
        layer = self._layer
        if self._weights is not None:
            return self._counted(place)
        if layer.kind == "avg_pool2d":
            return self._averaged(place)
        if layer.kind == "concat":
            return self._joined(place)
        shapes = layer.input_shapes
        at = [tuple(0 if n == 1 else k for k, n in zip(place, s, strict=True)) for s in shapes]
        elements = [int(np.ravel_multi_index(k, s)) for k, s in zip(at, shapes, strict=True)]
        return np.arange(len(shapes)), np.array(elements, np.int64) + self._firsts

    def _counted(self, place: Place) -> Taps:
        layer, channel = self._layer, place[0]
        assert self._weights is not None
        n_groups = 1 if layer.geometry is None else layer.geometry.groups
        window = window_of(layer.geometry, layer.input_shapes[0])
        depth = window.channels // n_groups
        group = channel // (len(self._weights) // n_groups)
        taps, channels = np.divmod(np.arange(depth * window.n_taps), depth)
        elements = elements_met(window, self._position(place), channels + group * depth, taps)
        rows = np.moveaxis(self._weights[channel : channel + 1], 1, -1).reshape(-1)
        return rows.astype(np.int64), elements

    def _averaged(self, place: Place) -> Taps:
        """Return the elements that a window sees: beside the image there are none."""
        geometry, shape = self._layer.geometry, self._layer.input_shapes[0]
        assert geometry is not None
        window, position = window_of(geometry, shape), self._position(place)
        taps = np.arange(window.n_taps)
        met = elements_met(window, position, np.full_like(taps, place[0]), taps)
        elements = met[met >= 0]
        share = int(window_counts(geometry, shape).reshape(-1)[position]) - 1
        return np.full(len(elements), share), elements

    def _joined(self, place: Place) -> Taps:
        """Return the one input that an element of the output comes from, and where it is."""
        axis, shapes = self._layer.params.integer("concat_axis"), self._layer.input_shapes
        ends = np.cumsum([shape[axis] for shape in shapes])
        which = int(np.searchsorted(ends, place[axis], "right"))
        before = int(ends[which - 1]) if which else 0
        at = tuple(k - before if i == axis else k for i, k in enumerate(place))
        element = int(np.ravel_multi_index(at, shapes[which])) + int(self._firsts[which])
        return np.array([which]), np.array([element])

    def _position(self, place: Place) -> int:
        shape = self._layer.output_shape
        return int(np.ravel_multi_index(place[1:], shape[1:])) if len(shape) == 3 else 0


def _wires(array: SteppedRna, number: int) -> Ints:
    row = np.zeros(array.port.shape, np.int64)
    row[0] = number
    return row


def _count(recording: Recording, rows: Ints, codes: Ints) -> None:
    """Count the pairs of a neuron: in each cycle a tap of every weight code that has one left."""
    order = np.argsort(rows, kind="stable")
    lengths = np.bincount(rows)
    turn = np.empty_like(rows)
    starts = np.cumsum(lengths) - lengths
    turn[order] = np.arange(len(rows)) - starts[rows[order]]
    port = np.full((int(lengths.max()), *recording.array.port.shape), -1, np.int64)
    port[turn, rows] = codes
    recording.mark("count_pairs")
    recording.steps(np.array([(rna.COUNT, -1, -1, -1, 0)] * len(port), np.int32), port)


def _add(recording: Recording, array: SteppedRna, bias: int | None) -> None:
    """List the operands of a neuron, and add them."""
    recording.mark("add_products")
    if bias is not None:
        recording.step(rna.OPERAND_IN, port=_wires(array, bias))
    counters, is_signed = array.view("counters"), array.made_of["digits"] == "signed"
    steps: list[tuple[int, ...]] = []
    for weight, code in zip(*np.nonzero(counters), strict=True):
        steps.append((rna.READ_PRODUCT, int(weight), int(code), -1, 0))
        count = int(counters[weight, code])
        steps += [
            (rna.OPERAND, place, -1, -1, 0)
            for place in range(count.bit_length() + 1)
            if digit_of(count, place, signed=is_signed)
        ]
    recording.steps(np.array(steps, np.int32))
    _join(recording, array)


def _join(recording: Recording, array: SteppedRna) -> None:
    """Add all operands, level by level, and the last two."""
    while array.n_listed > 2:
        recording.step(rna.LEVEL)
    recording.step(rna.ADD_LAST)


def _encode(recording: Recording, array: SteppedRna) -> int:
    """Search for what the neuron hands on, give it out, and return its sum."""
    for points, seek, stage, settle, mark in (
        (True, rna.SEEK_POINT, rna.STAGE_POINT, rna.SETTLE_POINT, "find_point"),
        (False, rna.SEEK_CODE, rna.STAGE_CODE, rna.SETTLE_CODE, "find_code"),
    ):
        if n_stages := array.n_stages(points=points):
            recording.mark(mark)
            recording.step(seek)
            for number in range(n_stages):
                recording.step(stage, number)
            recording.step(settle)
    recording.mark("give")
    total = recording.step(rna.GIVE_SUM)
    assert total is not None
    if array.n_stages(points=False):
        recording.step(rna.GIVE_CODE)
    return int(total[0])


def _place(tile: int, shape: tuple[int, ...]) -> Place:
    return tuple(int(at) for at in np.unravel_index(tile, shape))
