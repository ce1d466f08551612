"""Neurons that add or encode, recorded: from pairs of codes to operands, a sum and its code."""

import numpy as np

from bitpim.digital.windows import elements_met, window_counts, window_of
from bitpim.lookup import stepped_rna as rna
from bitpim.lookup.encoding import Encoding
from bitpim.lookup.neurons import (
    Ints,
    Place,
    constants_with,
    elements_seen,
    firsts_of,
    parameters_with,
    position_of,
    wires,
)
from bitpim.lookup.operand_words import digit_of
from bitpim.lookup.rna_mapping import RnaRule
from bitpim.lookup.rna_plan import RnaLayerPlan
from bitpim.lookup.stepped_rna import SteppedRna
from bitpim.recorded import Recording
from bitpim_traces.records import LayerRecord

__all__ = ["SummedNeuron"]

Taps = tuple[Ints, Ints]
"""Rows of the product table, and which element of all inputs each takes; -1 is padding."""


class SummedNeuron:
    """A neuron of a layer with a table of products."""

    def __init__(self, layer: LayerRecord, plan: RnaLayerPlan, rule: RnaRule) -> None:
        assert layer.product_table is not None
        self._layer = layer
        self._weights = None if layer.weight is None else layer.weight.read()
        self._bias = None if layer.bias is None else layer.bias.read().astype(np.int64)
        encoding = Encoding(layer, rule.match, rule.sums.sum_bits)
        points, values = encoding.points, encoding.values
        counted = plan.most.operands // plan.neurons
        own = {
            "n_operands": max(1, counted if self._weights is not None else plan.taps),
            "up": encoding.up,
        }
        made = {"products": layer.product_table.products}
        if points is not None and encoding.y is not None:
            own["point_bits"] = points.width
            made["points"] = np.stack([points.values, encoding.y], axis=1)
        if values is not None:
            own["value_bits"] = values.width
            made["values"] = values.values
        if encoding.limits is not None:
            made["limits"] = np.array(encoding.limits)
        self.parameters = parameters_with(rule, plan.cost, **own)
        self.constants = constants_with(**made)

    def elements(self, place: Place) -> Ints:
        """Return the elements that the neuron counts or adds."""
        return self._taps(place)[1]

    def run(self, recording: Recording, array: SteppedRna, place: Place, codes: Ints) -> int:
        """Take all steps of the neuron, given the codes it takes; return its sum."""
        rows, _ = self._taps(place)
        if self._weights is not None:
            _count(recording, rows, codes)
            _add(recording, array, None if self._bias is None else int(self._bias[place[0]]))
        else:
            recording.mark("find_code" if self._layer.kind == "concat" else "add_products")
            for row, code in zip(rows.tolist(), codes.tolist(), strict=True):
                step = rna.VALUE if self._layer.kind == "concat" else rna.TERM
                recording.step(step, row, port=wires(array, code))
            if self._layer.kind != "concat":
                _join(recording, array)
        return _encode(recording, array)

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
        return np.arange(len(shapes)), np.array(elements, np.int64) + firsts_of(layer)

    def _counted(self, place: Place) -> Taps:
        layer, channel = self._layer, place[0]
        assert self._weights is not None
        n_groups = 1 if layer.geometry is None else layer.geometry.groups
        window = window_of(layer.geometry, layer.input_shapes[0])
        depth = window.channels // n_groups
        group = channel // (len(self._weights) // n_groups)
        taps, channels = np.divmod(np.arange(depth * window.n_taps), depth)
        position = position_of(layer, place)
        elements = elements_met(window, position, channels + group * depth, taps)
        rows = np.moveaxis(self._weights[channel : channel + 1], 1, -1).reshape(-1)
        return rows.astype(np.int64), elements

    def _averaged(self, place: Place) -> Taps:
        """Return the shares of a mean that its window's elements have."""
        layer = self._layer
        assert layer.geometry is not None
        elements = elements_seen(layer, place)
        counts = window_counts(layer.geometry, layer.input_shapes[0]).reshape(-1)
        share = int(counts[position_of(layer, place)]) - 1
        return np.full(len(elements), share), elements

    def _joined(self, place: Place) -> Taps:
        """Return the one input that an element of the output comes from, and where it is."""
        axis, shapes = self._layer.params.integer("concat_axis"), self._layer.input_shapes
        ends = np.cumsum([shape[axis] for shape in shapes])
        which = int(np.searchsorted(ends, place[axis], "right"))
        before = int(ends[which - 1]) if which else 0
        at = tuple(k - before if i == axis else k for i, k in enumerate(place))
        first = int(firsts_of(self._layer)[which])
        return np.array([which]), np.array([int(np.ravel_multi_index(at, shapes[which])) + first])


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
        recording.step(rna.OPERAND_IN, port=wires(array, bias))
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
