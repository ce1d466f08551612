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
from bitpim.crossbar.layer_setup import WEIGHTED, LayerSetup
from bitpim.crossbar.layout import MatrixMapping
from bitpim.crossbar.pieces import ReadCounts
from bitpim.digital.codes import need_affine
from bitpim.digital.layers import need_digital
from bitpim.digital.requantize import need_kind
from bitpim.errors import ConfigError
from bitpim.legend import Headline
from bitpim.placement import Placements
from bitpim_traces.records import LayerRecord, Quantization, Trace

__all__ = [
    "HEADLINES",
    "BufferPlan",
    "CrossbarPlan",
    "LayerPlan",
    "Phases",
    "WeightedPlan",
    "buffer_accesses",
    "buffer_phase",
    "plan_network",
]

Phases = dict[str, dict[str, int]]

HEADLINES = (
    Headline("OU reads", ("ou_activation",)),
    Headline("left out", ("ou_skipped",), ("ou_activation", "ou_skipped"), "share"),
    Headline("rows a read", ("ou_rows",), ("ou_activation",), "ratio"),
    Headline("conversions", ("adc_conv_*",)),
    Headline("index bits read", ("index_read_bit",)),
)
"""What reads of operation units (OUs) come to."""

BUFFER_BITS = 256
"""Width of one access to the buffer that holds codes between layers."""


@dataclass(frozen=True, slots=True)
class BufferPlan:
    """A layer that the digital side computes: its codes are read and written.

    `rule` is ``digital`` where crossbars could have held it.
    """

    index: int
    name: str
    kind: str
    buffer_accesses: int
    rule: str = ""

    def counts(self, n_samples: int) -> Phases:
        """Return the accesses."""
        return buffer_phase(n_samples * self.buffer_accesses)

    def row(self) -> dict[str, Any]:
        """Return the layer's row of the plan."""
        return _row(self, self.rule, 0, 0.0, 0)


@dataclass(frozen=True, slots=True)
class WeightedPlan:
    """A convolution or linear layer, one mapping for each conv group.

    `cells_of_crossbar` is what one crossbar has; positions are those of one sample.
    """

    index: int
    name: str
    kind: str
    buffer_accesses: int
    maps: tuple[MatrixMapping, ...]
    n_positions: int
    n_slices: int
    adc_width: str
    cells_of_crossbar: int

    @property
    def n_crossbars(self) -> int:
        """Crossbars of all conv groups."""
        return sum(part.n_crossbars for part in self.maps)

    @property
    def index_bits(self) -> int:
        """Index bits of all conv groups."""
        return sum(part.index_bits for part in self.maps)

    @property
    def utilization(self) -> float:
        """Share of the cells of its crossbars that hold weights."""
        used = sum(part.used_cells for part in self.maps)
        return used / max(1, self.n_crossbars * self.cells_of_crossbar)

    def unskipped(self, n_samples: int) -> ReadCounts:
        """Return the reads of inputs that skip nothing."""
        n_times = self.n_positions * self.n_slices
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
        return {"read": read} | buffer_phase(n_samples * self.buffer_accesses)

    def row(self) -> dict[str, Any]:
        """Return the layer's row of the plan."""
        return _row(self, self.maps[0].rule, self.n_crossbars, self.utilization, self.index_bits)


LayerPlan = BufferPlan | WeightedPlan


@dataclass(frozen=True, slots=True)
class CrossbarPlan:
    """All layers of a network; crossbars are never shared between layers.

    `skips` says whether reads are left out for some inputs; `own_settings` what each layer has of
    its own, in words, where some layer has any.
    """

    layers: tuple[LayerPlan, ...]
    skips: bool = False
    own_settings: tuple[str, ...] = ()

    def table(self) -> list[dict[str, Any]]:
        """Return one row a layer; reads and cycles of one sample that skips nothing.

        With `own_settings` where some layer has any.
        """
        rows = [layer.row() for layer in self.layers]
        if any(self.own_settings):
            for row, own in zip(rows, self.own_settings, strict=True):
                row["own_settings"] = own
        return rows

    def totals(self) -> dict[str, Any]:
        """Return crossbars, reads and index bits of all layers."""
        rows = self.table()
        return {key: sum(row[key] for row in rows) for key in ("arrays", "ou_reads", "index_bits")}

    @property
    def assumes(self) -> str:
        """Return what the table says of inputs of zero, where they leave out reads."""
        return "that skips nothing" if self.skips else ""

    def counts(self, index: int, n_samples: int) -> Phases:
        """Return the counts of inputs that skip nothing."""
        return self.layers[index].counts(n_samples)

    @property
    def n_crossbars(self) -> int:
        """Crossbars of all layers."""
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


def plan_network(trace: Trace, setups: Sequence[LayerSetup]) -> CrossbarPlan:
    """Lay a network out, each layer by its setup.

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
    layers = tuple(_planned(trace, layer, setup) for layer, setup in pairs)
    skips = any(setup.layout.skips_unless is not None for _, setup in on_crossbars)
    own = tuple(own_label(setup.settings) for setup in setups)
    return CrossbarPlan(layers, skips, own if any(own) else ())


def _planned(trace: Trace, layer: LayerRecord, setup: LayerSetup) -> LayerPlan:
    with remedies_by_layer(setup.settings):
        return _plan_layer(trace, layer, setup)


def _plan_layer(trace: Trace, layer: LayerRecord, setup: LayerSetup) -> LayerPlan:
    quantizations = trace.input_quantizations(layer)
    accesses = buffer_accesses(layer, quantizations)
    if layer.weight is None or setup.is_digital:
        need_digital(layer)
        rule = "" if layer.weight is None else "digital"
        return BufferPlan(layer.index, layer.name, layer.kind, accesses, rule)
    need_kind(layer, WEIGHTED)
    coding, geometry = setup.coding, setup.coding.geometry
    maps = setup.layout.lay(layer, coding)
    slices = coding.inputs(layer, quantizations[0]).digits(geometry.dac_bits)
    return WeightedPlan(
        layer.index,
        layer.name,
        layer.kind,
        accesses,
        maps,
        int(np.prod(layer.output_shape[1:], dtype=np.int64)),
        len(slices),
        setup.adc.width,
        geometry.rows * geometry.columns,
    )


def buffer_accesses(layer: LayerRecord, quantizations: Sequence[Quantization]) -> int:
    """Return the accesses that read a layer's inputs and write its output once, for one sample."""
    tensors = [*zip(layer.input_shapes, quantizations, strict=True)]
    tensors.append((layer.output_shape, layer.output))
    return sum(-(-_size(shape) * q.bits // BUFFER_BITS) for shape, q in tensors)


def _size(shape: tuple[int, ...]) -> int:
    n = 1
    for side in shape:
        n *= side
    return n


def buffer_phase(accesses: int) -> Phases:
    """Return the phase in which codes cross the buffer, hidden behind the reads."""
    return {"buffer": {"cycles": 0, "edram_access_256b": accesses}}


def _row(
    layer: LayerPlan, rule: str, n_crossbars: int, utilization: float, index_bits: int
) -> dict[str, Any]:
    counts = layer.counts(1)
    reads: Mapping[str, int] = counts.get("read", {})
    return {
        "index": layer.index,
        "name": layer.name,
        "kind": layer.kind,
        "rule": rule,
        "arrays": n_crossbars,
        "utilization": utilization,
        "ou_reads": reads.get("ou_activation", 0),
        "index_bits": index_bits,
        "cycles": {phase: events["cycles"] for phase, events in counts.items()},
    }
