"""A network laid out on crossbars: where each layer lies, and its closed-form counts.

Counts here are those of inputs that skip nothing. What inputs of zero leave out is counted when
they are read; reads done and skipped then add up to the reads stated here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitpim.config import own_label, remedies_by_layer
from bitpim.counts import Counts
from bitpim.crossbar.accounts import OU_ACCOUNTS, Accounts
from bitpim.crossbar.layer_setup import WEIGHTED, LayerSetup
from bitpim.crossbar.layout import MatrixMapping
from bitpim.crossbar.pieces import ReadCounts
from bitpim.crossbar.replication import Stage, most_positions
from bitpim.crossbar.storage import Phases, Stored
from bitpim.digital.codes import need_affine
from bitpim.digital.layers import need_digital
from bitpim.digital.requantize import need_kind
from bitpim.errors import ConfigError
from bitpim.placement import Placements
from bitpim_traces.records import LayerRecord, Trace

__all__ = [
    "BufferPlan",
    "CrossbarPlan",
    "LayerPlan",
    "Phases",
    "WeightedPlan",
    "plan_network",
]

_SHOWN_WHERE_ASKED = ("copies", "positions", "steps", "trains", "weight_writes", "memory_arrays")
"""Columns of a plan that a machine, or its schedule, has to ask for."""


@dataclass(frozen=True, slots=True)
class BufferPlan:
    """A layer that the digital side computes: its codes are read and written.

    `rule` is ``digital`` where crossbars could have held it.
    """

    index: int
    name: str
    kind: str
    stored: Stored
    rule: str = ""

    def counts(self, n_samples: int) -> Phases:
        """Return what reading and writing codes takes."""
        return self.stored.phases(n_samples)

    def row(self) -> dict[str, Any]:
        """Return the layer's row of the plan; it has all columns."""
        row: dict[str, Any] = dict.fromkeys(_SHOWN_WHERE_ASKED, 0)
        row["memory_arrays"] = self.stored.n_arrays
        return row | {"rule": self.rule, "arrays": 0, "utilization": 0.0, "index_bits": 0}


@dataclass(frozen=True, slots=True)
class WeightedPlan:
    """A convolution or linear layer, one mapping for each conv group.

    `cells_of_crossbar` is what one crossbar has; positions are those of one sample, which
    `n_copies` of all crossbars share.
    """

    index: int
    name: str
    kind: str
    stored: Stored
    maps: tuple[MatrixMapping, ...]
    n_positions: int
    n_slices: int
    adc_width: str
    cells_of_crossbar: int
    n_copies: int = 1

    @property
    def n_crossbars(self) -> int:
        """Crossbars of all conv groups, and all copies."""
        return self.n_copies * sum(part.n_crossbars for part in self.maps)

    @property
    def weight_writes(self) -> int:
        """Cells written before the first sample: those that hold weights, in all copies."""
        return self.n_copies * sum(part.used_cells for part in self.maps)

    @property
    def stage(self) -> Stage:
        """What the layer takes with one copy."""
        one = self._unskipped(1, self.n_slices)
        return Stage(self.n_positions, int(one.cycles[0]), self.n_crossbars // self.n_copies)

    @property
    def index_bits(self) -> int:
        """Index bits of all conv groups."""
        return sum(part.index_bits for part in self.maps)

    @property
    def utilization(self) -> float:
        """Share of the cells of its crossbars that hold weights."""
        return self.weight_writes / max(1, self.n_crossbars * self.cells_of_crossbar)

    def unskipped(self, n_samples: int) -> ReadCounts:
        """Return the reads of inputs that skip nothing; all copies read at once."""
        whole = self._unskipped(n_samples, self.n_positions * self.n_slices)
        if self.n_copies == 1:
            return whole
        busiest = most_positions(self.n_positions, self.n_copies)
        return ReadCounts(whole.events, self._unskipped(n_samples, busiest * self.n_slices).cycles)

    def _unskipped(self, n_samples: int, n_times: int) -> ReadCounts:
        """Return the reads of so many slices of one position, for each sample."""
        parts = (part.pieces.unskipped(n_samples, n_times, self.adc_width) for part in self.maps)
        return ReadCounts.side_by_side(list(parts))

    def counts(self, n_samples: int) -> Phases:
        """Return reads of inputs that skip nothing, and buffer accesses."""
        return self.phases(n_samples, self.unskipped(n_samples))

    def phases(self, n_samples: int, reads: ReadCounts) -> Phases:
        """Return reads, with what happens whatever the inputs, and buffer accesses."""
        fixed = sum((part.position_events for part in self.maps), start=Counts())
        events = reads.events + fixed * (n_samples * self.n_positions)
        read = {"cycles": int(reads.cycles.sum()), **events.to_dict()}
        return {"read": read} | self.stored.phases(n_samples)

    def row(self) -> dict[str, Any]:
        """Return the layer's row of the plan; it has all columns."""
        return {
            "rule": self.maps[0].rule,
            "arrays": self.n_crossbars,
            "copies": self.n_copies,
            "utilization": self.utilization,
            "positions": self.n_positions,
            "steps": self.n_slices,
            "trains": most_positions(self.n_positions, self.n_copies),
            "index_bits": self.index_bits,
            "weight_writes": self.weight_writes,
            "memory_arrays": self.stored.n_arrays,
        }


LayerPlan = BufferPlan | WeightedPlan


@dataclass(frozen=True, slots=True)
class CrossbarPlan:
    """All layers of a network; crossbars are never shared between layers.

    `skips` says whether reads are left out for some inputs; `own_settings` what each layer has of
    its own, in words, where some layer has any. With `pipelined` layers work at the same time, each
    on a sample of its own. `columns` are those to show of the ones that are not always shown.
    """

    layers: tuple[LayerPlan, ...]
    skips: bool = False
    own_settings: tuple[str, ...] = ()
    accounts: Accounts = OU_ACCOUNTS
    pipelined: bool = False
    columns: tuple[str, ...] = ()

    def table(self) -> list[dict[str, Any]]:
        """Return one row a layer; reads and cycles of one sample that skips nothing.

        With `own_settings` where some layer has any.
        """
        rows = [self._row(layer) for layer in self.layers]
        if any(self.own_settings):
            for row, own in zip(rows, self.own_settings, strict=True):
                row["own_settings"] = own
        return rows

    def _row(self, layer: LayerPlan) -> dict[str, Any]:
        """Return the row of a layer, with the columns that are shown, in their order."""
        counts, row = layer.counts(1), layer.row()
        reads: Mapping[str, int] = counts.get("read", {})
        row[self.accounts.reads] = reads.get(self.accounts.read_event, 0)
        first = ("rule", "arrays", "copies", "utilization", "positions", "steps", "trains")
        order = (*first, self.accounts.reads, "index_bits", "weight_writes", "memory_arrays")
        shown = [key for key in order if key not in _SHOWN_WHERE_ASKED or key in self.columns]
        return {
            "index": layer.index,
            "name": layer.name,
            "kind": layer.kind,
            **{key: row[key] for key in shown},
            "cycles": {phase: events["cycles"] for phase, events in counts.items()},
        }

    def totals(self) -> dict[str, Any]:
        """Return crossbars, reads and index bits of all layers; of a pipeline also its cycles.

        `interval_cycles` from one sample to the next, `latency_cycles` of one through all layers.
        """
        rows = self.table()
        added = ("weight_writes", "memory_arrays")
        keys = ("arrays", self.accounts.reads, "index_bits", *(k for k in added if k in rows[0]))
        pace = {"interval_cycles": self.interval_cycles, "latency_cycles": self.latency_cycles}
        return {key: sum(row[key] for row in rows) for key in keys} | (
            pace if self.pipelined else {}
        )

    @property
    def latency_cycles(self) -> int:
        """Cycles of one sample through all layers, one after the other."""
        return sum(_cycles(layer) for layer in self.layers)

    @property
    def interval_cycles(self) -> int:
        """Cycles from one sample to the next: of the slowest layer in a pipeline, else of all."""
        each = [_cycles(layer) for layer in self.layers]
        return max(each, default=0) if self.pipelined else sum(each)

    @property
    def assumes(self) -> str:
        """Return what the table says of a sample: of its zeros, and how often one comes."""
        said = ["that skips nothing"] if self.skips else []
        said += [self.accounts.assumes] if self.accounts.assumes else []
        if self.pipelined:
            said.append(f"in a pipeline that takes one every {self.interval_cycles:,}")
        return " ".join(said)

    def counts(self, index: int, n_samples: int) -> Phases:
        """Return the counts of inputs that skip nothing."""
        return self.layers[index].counts(n_samples)

    @property
    def n_memory_arrays(self) -> int:
        """Arrays that hold the outputs of all layers, where arrays do."""
        return sum(layer.stored.n_arrays for layer in self.layers)

    @property
    def n_crossbars(self) -> int:
        """Crossbars of all layers and their copies."""
        return sum(p.n_crossbars for p in self.layers if isinstance(p, WeightedPlan))

    def placements(self, index: int) -> list[Placements]:
        """Return what lies where, for each conv group of a layer.

        Raises
        ------
        ConfigError
            The layer has no weights.
        """
        layer = self.layers[index]
        if not isinstance(layer, WeightedPlan):
            some = any(isinstance(other, WeightedPlan) for other in self.layers)
            raise ConfigError(
                f"layer {index} {layer.name!r} ({layer.kind}): need a layer with weights to show "
                f"placements, got one {'left digital' if layer.rule else 'without'}; "
                f"{'name another' if some else 'no other has any: leave the plot out'}"
            )
        return [part.placements() for part in layer.maps]


def plan_network(
    trace: Trace, setups: Sequence[LayerSetup], accounts: Accounts = OU_ACCOUNTS
) -> CrossbarPlan:
    """Lay a network out, each layer by its setup, with one copy of its crossbars.

    Raises
    ------
    MappingError
        A layer does not fit the crossbars, or has codes wider than the numbers of its coding.
    """
    need_affine(trace)
    pairs = list(zip(trace.layers, setups, strict=True))
    on_crossbars = [pair for pair in pairs if pair[0].weight is not None and not pair[1].is_digital]
    for layer, setup in on_crossbars:
        alike = [other for other, its in on_crossbars if its.coding == setup.coding]
        with remedies_by_layer(setup.settings):
            setup.coding.check(trace, layer, alike)
    layers = tuple(_planned(trace, layer, setup, accounts) for layer, setup in pairs)
    skips = any(setup.layout.skips_unless is not None for _, setup in on_crossbars)
    own = tuple(own_label(setup.settings) for setup in setups)
    columns = accounts.columns
    return CrossbarPlan(layers, skips, own if any(own) else (), accounts, columns=columns)


def _planned(trace: Trace, layer: LayerRecord, setup: LayerSetup, accounts: Accounts) -> LayerPlan:
    with remedies_by_layer(setup.settings):
        return _plan_layer(trace, layer, setup, accounts)


def _plan_layer(
    trace: Trace, layer: LayerRecord, setup: LayerSetup, accounts: Accounts
) -> LayerPlan:
    quantizations = trace.input_quantizations(layer)
    stored = accounts.storage(layer, quantizations)
    if layer.weight is None or setup.is_digital:
        need_digital(layer)
        rule = "" if layer.weight is None else "digital"
        return BufferPlan(layer.index, layer.name, layer.kind, stored, rule)
    need_kind(layer, WEIGHTED)
    coding, geometry = setup.coding, setup.coding.geometry
    maps = setup.layout.lay(layer, coding)
    slices = coding.inputs(layer, quantizations[0]).digits(geometry.dac_bits)
    return WeightedPlan(
        layer.index,
        layer.name,
        layer.kind,
        stored,
        maps,
        int(np.prod(layer.output_shape[1:], dtype=np.int64)),
        len(slices),
        setup.adc.width,
        geometry.rows * geometry.columns,
    )


def _cycles(layer: LayerPlan) -> int:
    """Return the cycles of one sample, over all phases."""
    return sum(events["cycles"] for events in layer.counts(1).values())
