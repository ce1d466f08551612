"""A network laid out on a cache: passes, utilization and closed-form counts of each layer.

A layer is a list of phases; each phase tells its cycles and its events for one batch of the
machine. Nothing here runs anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitpim.errors import ConfigError
from bitpim.placement import Placements
from bitpim.sram.occupancy import ArrayPool, Occupancy
from bitpim.sram.settings import CacheSettings

__all__ = ["STREAMING", "CachePlan", "LayerPlan", "Phases", "TablePlan", "scale_phases"]

Phases = dict[str, dict[str, int]]


def scale_phases(parts: Sequence[tuple[int, Phases]]) -> Phases:
    """Add phases, each set so many times."""
    total: Phases = {}
    for times, phases in parts:
        for phase, events in phases.items():
            into = total.setdefault(phase, {})
            for event, n in events.items():
                into[event] = into.get(event, 0) + times * n
    return total


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What every layer's plan has; `batch_phases` yields the phases of a batch of n samples."""

    index: int
    name: str
    kind: str
    settings: CacheSettings

    @property
    def where(self) -> str:
        """The layer, to begin an error message with."""
        return f"layer {self.index} {self.name!r} ({self.kind})"

    @property
    def pool(self) -> ArrayPool:
        """The arrays that compute."""
        geometry = self.settings.geometry
        return ArrayPool(
            geometry.n_compute_arrays,
            geometry.array_columns,
            geometry.n_cache_slices,
            geometry.arrays_per_bank,
        )

    @property
    def index_bits(self) -> int:
        """Bits stored to find weights again that do not lie in order; loaded with them."""
        return 0

    def batch_phases(self, n_samples: int) -> Phases:
        """Phases of one batch; overridden by each kind of plan."""
        raise NotImplementedError

    def occupancy(self, n_samples: int) -> Occupancy:
        """How the layer's main work fills the arrays."""
        raise NotImplementedError

    def counts(self, n_samples: int) -> Phases:
        """Phases of many samples, taken in the machine's batches."""
        batch = self.settings.mapping.batch_size
        full, rest = divmod(n_samples, batch)
        parts = [(full, self.batch_phases(batch))] if full else []
        return scale_phases(parts + ([(1, self.batch_phases(rest))] if rest else []))

    def output_phase(
        self, passes: int, array_passes: int, n_outputs: int, output_bits: int
    ) -> dict[str, int]:
        """Read the codes of all outputs, from so many arrays, and carry them to the I/O ways.

        What these cannot hold goes to DRAM and comes back for the next layer.
        """
        n_bytes = -(-n_outputs * output_bits // 8)
        geometry = self.settings.geometry
        capacity = geometry.n_io_arrays * geometry.array_rows * geometry.array_columns // 8
        spilled = 2 * max(0, n_bytes - capacity)
        dram = -(-spilled // self.settings.transfer.dram_bytes_per_cycle)
        return {
            "cycles": max(passes * output_bits, self.bus_cycles(n_bytes), dram),
            "sram_access_cycle": array_passes * output_bits,
            "bus_byte": n_bytes,
            "dram_byte": spilled,
        }

    def bus_cycles(self, n_bytes: int) -> int:
        """Cycles in which the slices' buses carry so many bytes."""
        transfer = self.settings.transfer
        width = transfer.bus_bytes_per_cycle * self.settings.geometry.n_cache_slices
        return -(-n_bytes // width)

    def row(self, n_samples: int = 1) -> dict[str, Any]:
        """One row of the plan's table."""
        occupancy = self.occupancy(n_samples)
        phases = self.batch_phases(n_samples)
        return {
            "index": self.index,
            "name": self.name,
            "kind": self.kind,
            "arrays": occupancy.arrays,
            "lanes": occupancy.lanes,
            "passes": occupancy.passes,
            "utilization": occupancy.utilization,
            "cycles": {phase: events["cycles"] for phase, events in phases.items()},
        }


@dataclass(frozen=True, slots=True)
class TablePlan(LayerPlan):
    """A layer that moves codes, or that the CPU computes: bytes over the bus and nothing else."""

    input_bytes: int
    output_bytes: int
    phase: str  # "move" or "host"

    def occupancy(self, n_samples: int) -> Occupancy:
        """No lane computes."""
        return Occupancy(0, 0, 0, 0, 0.0)

    def batch_phases(self, n_samples: int) -> Phases:
        """Read, and write back."""
        n_bytes = n_samples * (self.input_bytes + self.output_bytes)
        return {self.phase: {"cycles": self.bus_cycles(n_bytes), "bus_byte": n_bytes}}


@dataclass(frozen=True, slots=True)
class CachePlan:
    """All layers of a network.

    `own_settings` is what each layer has of its own, in words, where some layer has any.
    """

    layers: tuple[LayerPlan, ...]
    own_settings: tuple[str, ...] = ()

    def table(self) -> list[dict[str, Any]]:
        """One row a layer, for one sample; with `index_bits` and `own_settings` where there are."""
        rows = [layer.row() for layer in self.layers]
        if self.totals():
            for row, layer in zip(rows, self.layers, strict=True):
                row["index_bits"] = layer.index_bits
        if any(self.own_settings):
            for row, own in zip(rows, self.own_settings, strict=True):
                row["own_settings"] = own
        return rows

    def totals(self) -> dict[str, Any]:
        """Index bits, if any: layers follow each other on the same arrays, so nothing else adds."""
        index_bits = sum(layer.index_bits for layer in self.layers)
        return {"index_bits": index_bits} if index_bits else {}

    @property
    def assumes(self) -> str:
        """Nothing: counts do not depend on the inputs."""
        return ""

    def counts(self, index: int, n_samples: int) -> Mapping[str, Mapping[str, int]]:
        """Closed-form counts of a layer for that many samples."""
        return self.layers[index].counts(n_samples)

    def placements(self, index: int) -> list[Placements]:
        """Raise ConfigError: filters come and go, none has a place of its own."""
        layer = self.layers[index]
        raise ConfigError(
            f"{layer.where}: need a machine whose weights stay where they are to show placements, "
            "got one that loads filters pass by pass; choose a machine with crossbars, or leave "
            "out --plot"
        )


STREAMING = ("filter_load", "input_stream", "output", "move")
"""Phases that move codes over the bus; the others compute."""
