"""How layers of codebooks come to RNAs: what each neuron does, and whether its tables fit."""

import math
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from bitpim.config import own_label, remedies_by_layer, settings_by_layer
from bitpim.digital.layers import need_digital
from bitpim.digital.windows import window_counts
from bitpim.errors import AccumulatorError, MappingError
from bitpim.lookup.encoding import Encoding, MatchRule
from bitpim.lookup.nearest_table import MOST_BITS, NearestTable
from bitpim.lookup.rna_plan import Activity, RnaLayerPlan, RnaPlan, Search, slowest, with_loads
from bitpim.lookup.rna_settings import RnaSettings
from bitpim.lookup.table_sums import SumRule, counted_groups
from bitpim.programs.nor_sums import csa_levels
from bitpim_traces.numbers.accumulator import bits_needed
from bitpim_traces.records import NETWORK_INPUT, LayerRecord, Trace
from bitpim_traces.value_rules import looked_up_span

__all__ = ["RnaRule", "plan_rna_network", "rules_by_layer"]

_OWN = ("conv2d", "linear", "avg_pool2d", "add", "concat")
"""Kinds of layers that may have settings of their own."""


class RnaRule(NamedTuple):
    """What settings make of a layer: how it adds, and how it finds the nearest."""

    sums: SumRule
    match: MatchRule


def rules_by_layer(settings: RnaSettings, trace: Trace) -> tuple[RnaRule, ...]:
    """Return the rule of each layer.

    Raises
    ------
    ConfigError
        Settings by layer fit no layer, or change nothing.
    """
    return tuple(rule_of(its) for its in settings_by_layer(settings, trace.layers, _OWN))


def rule_of(settings: RnaSettings) -> RnaRule:
    """Return what the settings of one layer say."""
    counters, adder, match = settings.counters, settings.adder, settings.match
    limited = counters.bits if counters.overflow == "saturate" else None
    sums = SumRule(adder.digits, limited, adder.sum_bits)
    return RnaRule(sums, MatchRule(match.mode, match.stage_bits))


def plan_rna_network(trace: Trace, settings: RnaSettings) -> RnaPlan:
    """Lay a network of codebooks out on RNAs.

    Raises
    ------
    MappingError
        Codes are affine, a kind has no place here, or tables do not fit an RNA.
    AccumulatorError
        A sum could leave the width of sums, or a counter that may not saturate its width.
    ConfigError
        Settings by layer fit no layer, do not go together, or change nothing.
    """
    _need_codebooks(trace)
    layers = []
    by_layer = settings_by_layer(settings, trace.layers, _OWN)
    encoded = False
    for layer, its in zip(trace.layers, by_layer, strict=True):
        with remedies_by_layer(its):
            planned = _Planner(trace, layer, its).plan(reads_input=not encoded)
        encoded = encoded or planned.inputs is not None
        layers.append(planned)
    columns = settings.neurons.crossbar_columns
    return with_loads(layers, columns=columns, n_rnas=settings.chip.n_rnas)


def _need_codebooks(trace: Trace) -> None:
    """Refuse affine codes, but for outputs that no layer reads."""
    read = {i for layer in trace.layers for i in layer.inputs}
    tensors = [("samples", trace.samples.quantization)] * (NETWORK_INPUT in read)
    for layer in trace.layers:
        where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
        if layer.weight_quantization is not None:
            tensors.append((f"{where} weight", layer.weight_quantization))
        if layer.index in read:
            tensors.append((where, layer.output))
    for where, quantization in tensors:
        if quantization.codebook is None:
            raise MappingError(
                f"{trace.name}: {where}: need a codebook, as a machine of lookup tables does, got "
                f"affine codes of {quantization.bits} bits; make codebooks with `bitpim trace "
                "codebooks TRACE -o TABLES`"
            )


class _Planner:
    """One layer, its settings, and what they make of RNAs."""

    def __init__(self, trace: Trace, layer: LayerRecord, settings: RnaSettings) -> None:
        self.trace, self.layer, self.settings = trace, layer, settings
        self.rule = rule_of(settings)
        self.quantizations = trace.input_quantizations(layer)
        self.where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
        self.neurons = int(np.prod(layer.output_shape, dtype=np.int64))
        own = math.ceil(self.neurons * (1 - Fraction(str(settings.neurons.shared))))
        self.rnas = max(1, min(settings.chip.n_rnas, own))

    def plan(self, *, reads_input: bool) -> RnaLayerPlan:
        """Return the plan; the first layer that reads the network's input encodes it."""
        layer = self.layer
        inputs = None
        if reads_input and NETWORK_INPUT in layer.inputs:
            inputs = self._input_search(), int(np.prod(self.trace.shape_of(NETWORK_INPUT)))
        plan = self._planned()
        common = {
            "code_bits": layer.output.bits,
            "cost": self.settings.adder.cost,
            "batch": self.settings.mapping.batch_size,
            "own_settings": own_label(self.settings),
            "inputs": inputs,
        }
        return RnaLayerPlan(**{**common, **plan})  # type: ignore[arg-type]

    def _planned(self) -> dict[str, object]:
        layer = self.layer
        name = {"index": layer.index, "name": layer.name, "kind": layer.kind}
        moved = {**name, "neurons": self.neurons}
        if layer.product_table is None:
            need_digital(layer)
            if layer.requantize is not None:
                raise MappingError(
                    f"{self.where}: need a product table, got a requantize step; make codebooks "
                    "with `bitpim trace codebooks TRACE -o TABLES`"
                )
            if layer.kind == "max_pool2d" and _selects(layer):
                return moved
            if layer.kind == "max_pool2d":
                return {**moved, "rnas": self.rnas, **self._pooled()}
            if layer.table is not None:
                return {**moved, "rnas": self.rnas, **self._tabled()}
            return moved
        found = {**moved, "rnas": self.rnas, "sum_bits": self.rule.sums.sum_bits}
        self._need_fit()
        encoding = Encoding(layer, self.rule.match, self.rule.sums.sum_bits)
        points, values = _search(encoding.points), _search(encoding.values)
        table = layer.product_table.products.size * layer.product_table.bits
        bits = table + sum(search.table_bits for search in (points, values) if search is not None)
        if layer.product_table.points is not None:  # y beside each x
            bits += len(layer.product_table.points) * encoding.values.width  # type: ignore[union-attr]
        self._need_rows(points, values)
        found |= {"points": points, "values": values, "table_bits": bits}
        found |= self._counted(table) if layer.weight is not None else self._added(table)
        most = found["most"]
        assert isinstance(most, Activity)
        searched = [0 if s is None else self.neurons * s.rows * s.stages for s in (points, values)]
        return found | {"most": most._replace(points=searched[0], values=searched[1])}

    def _counted(self, table_bits: int) -> dict[str, object]:
        """Plan a layer whose pairs are counted."""
        layer, counters = self.layer, self.settings.counters
        groups = counted_groups(layer, self.rule.sums)
        lengths = np.concatenate([group.group_lengths for group in groups])
        longest, most = int(lengths.max()), (1 << counters.bits) - 1
        if counters.overflow == "wide" and longest > most:
            raise AccumulatorError(
                f"{self.where}: need counters of {longest.bit_length()} bits for {longest} taps of "
                f"one weight code, got counters.bits={counters.bits}, which are wide and may not "
                f"saturate; use `--set counters.bits={longest.bit_length()}`, or `--set "
                "counters.overflow=saturate`"
            )
        assert layer.product_table is not None
        taps, bias = groups[0].n_taps, int(layer.bias is not None)
        n_pairs = layer.product_table.products.size
        digits = longest.bit_length()
        operands = min(taps, n_pairs * digits) + bias
        self._need_crossbar(table_bits, operands)
        n_positions = self.neurons // layer.output_shape[0]
        levels = csa_levels(operands)
        rounds = -(-self.neurons // self.rnas)
        return {
            "rule": "count",
            "taps": taps,
            "count_cycles": slowest(np.tile(lengths, n_positions)[None], self.rnas),
            "counter_cycles": int(lengths.sum()) * n_positions,
            "most": Activity(
                self.neurons * min(taps, n_pairs),
                self.neurons * operands,
                self.neurons * max(operands - 2, 0),
                self.neurons * levels,
                rounds * levels,
            ),
        }

    def _added(self, table_bits: int) -> dict[str, object]:
        """Plan a layer whose terms are added, or only encoded."""
        layer = self.layer
        if layer.kind == "concat":
            return {"rule": "encode", "most": Activity(reads=self.neurons)}
        if layer.kind == "add":
            terms = np.full(self.neurons, len(layer.inputs))
        else:
            terms = np.repeat(self._elements(), layer.output_shape[0])
        most = int(terms.max())
        self._need_crossbar(table_bits, most)
        levels = np.array([csa_levels(n) for n in range(most + 1)])[terms]
        total = int(terms.sum())
        adders = int(np.maximum(terms - 2, 0).sum())
        of_rounds = slowest(levels[None], self.rnas)
        activity = Activity(total, total, adders, int(levels.sum()), of_rounds)
        return {"rule": "add", "taps": most, "most": activity}

    def _elements(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return the elements of the image that each window sees, (n_positions,)."""
        geometry = self.layer.geometry
        assert geometry is not None
        inside = replace(geometry, count_include_pad=False)
        return window_counts(inside, self.layer.input_shapes[0]).reshape(-1)

    def _pooled(self) -> dict[str, object]:
        """Plan a max pooling: a neuron's candidates are searched for the largest value."""
        codebook = self.quantizations[0].codebook
        assert codebook is not None
        elements = self._elements()
        stage_bits = min(self.rule.match.stage_bits, codebook.value_bits)
        search = Search(
            int(elements.max()), codebook.value_bits, -(-codebook.value_bits // stage_bits)
        )
        self._need_rows(search)
        compared = int(elements.sum()) * self.layer.output_shape[0] * search.stages
        return {"rule": "search", "values": search, "most": Activity(values=compared)}

    def _tabled(self) -> dict[str, object]:
        assert self.layer.table is not None
        n_codes = self.layer.table.shape[-1]
        bits = n_codes * self.layer.output.bits
        self._need_crossbar(bits, 0)
        return {"rule": "table", "table_bits": bits, "most": Activity(reads=self.neurons)}

    def _input_search(self) -> Search:
        codebook = self.trace.samples.quantization.codebook
        assert codebook is not None
        match = self.rule.match
        made = NearestTable(codebook.values, codebook.value_bits, *match)
        return Search(made.n_rows, made.width, made.n_stages)

    def _need_fit(self) -> None:
        layer, bits = self.layer, self.rule.sums.sum_bits
        assert layer.product_table is not None
        span = looked_up_span(layer, layer.product_table, [None] * len(self.quantizations))
        need = bits_needed(span)
        if need > bits:
            wider = f"`--set adder.sum_bits={need}`, or " if need <= MOST_BITS else ""
            raise AccumulatorError(
                f"{self.where}: need sums of {need} bits, got adder.sum_bits={bits}; use {wider}"
                "codebooks of fewer value bits"
            )

    def _need_crossbar(self, table_bits: int, operands: int) -> None:
        neurons = self.settings.neurons
        held = neurons.crossbar_rows * neurons.crossbar_columns
        need = table_bits + operands * self.rule.sums.sum_bits
        if need > held:
            rows = -(-need // neurons.crossbar_columns)
            raise MappingError(
                f"{self.where}: need {need} cells of an RNA's crossbar for products and {operands} "
                f"operands, got {held}; use `--set neurons.crossbar_rows={rows}`, or smaller "
                "codebooks"
            )

    def _need_rows(self, *searches: Search | None) -> None:
        held = self.settings.neurons.cam_rows
        for search in searches:
            if search is not None and search.rows > held:
                raise MappingError(
                    f"{self.where}: need {search.rows} rows to search, got neurons.cam_rows={held};"
                    f" use `--set neurons.cam_rows={search.rows}`, or a smaller codebook"
                )


def _selects(layer: LayerRecord) -> bool:
    """Tell whether a pooling has windows of one element: it only moves codes."""
    return layer.geometry is not None and layer.geometry.kernel == (1, 1)


def _search(table: NearestTable | None) -> Search | None:
    return None if table is None else Search(table.n_rows, table.width, table.n_stages)
