"""Toy: a made-up machine that looks every output up in a table, to show how a machine is added.

What the paper says
    There is none. Each output of a layer takes one look-up; the layer's table is filled anew for
    each sample while look-ups go on.
What is emulated
    The codes, by exact layers; look-ups and fills are counted in closed form.
What is left out
    Everything else. Both fidelities are the same.
How it is verified
    `tests/additions/test_machine.py`: with `arithmetic.dropped_bits = 0` it equals the referee.
Known differences and assumptions
    `arithmetic.dropped_bits` makes it lossy at will.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from bitpim.config import Count, MachineEntry, Part, Settings
from bitpim.digital.layers import prepare_layer
from bitpim.errors import ConfigError
from bitpim.legend import Headline, Legend
from bitpim.machine.machine import Codes, LayerRun
from bitpim.machine.schedule import run_layers
from bitpim_traces.records import LayerRecord, Trace

HERE = Path(__file__).parent


class TableSettings(Part):
    """The tables."""

    entries: Count = Field(description="entries of one table")


class ArithmeticSettings(Part):
    """What becomes of the codes."""

    dropped_bits: Annotated[int, Field(ge=0, le=8)] = Field(
        description="lowest bits of every output code that are lost"
    )


class TimingSettings(Part):
    """Time."""

    clock_ghz: Annotated[float, Field(gt=0)] = Field(description="look-ups a nanosecond")


class ToySettings(Settings):
    """Settings of the machine `toy`."""

    tables: TableSettings
    arithmetic: ArithmeticSettings
    timing: TimingSettings


@dataclass(frozen=True)
class ToyPlan:
    """One table a layer."""

    layers: tuple[LayerRecord, ...]
    entries: int

    def table(self) -> list[dict[str, Any]]:
        """Return one row a layer."""
        return [
            {
                "index": layer.index,
                "name": layer.name,
                "kind": layer.kind,
                "arrays": 1,
                "utilization": 1.0,
                "entries": self.entries,
                "cycles": {p: c["cycles"] for p, c in self.counts(layer.index, 1).items()},
            }
            for layer in self.layers
        ]

    def totals(self) -> dict[str, Any]:
        """Return the tables and entries of all layers."""
        return {"arrays": len(self.layers), "entries": self.entries * len(self.layers)}

    @property
    def assumes(self) -> str:
        """Say what the table assumes of a sample."""
        return "of any content"

    def counts(self, index: int, n_samples: int) -> Mapping[str, Mapping[str, int]]:
        """Return closed-form counts."""
        n_outputs = n_samples * prod(self.layers[index].output_shape)
        return {
            "table_fill": {
                "cycles": n_samples * self.entries,
                "entry_write": n_samples * self.entries,
            },
            "look_up": {"cycles": n_outputs, "entry_read": n_outputs},
        }

    def placements(self, index: int) -> list[Any]:
        """Raise ConfigError: nothing is placed."""
        raise ConfigError(f"layer {index}: tables hold no weights to draw; leave out --plot")


class Toy:
    """The machine with its settings."""

    name = "toy"

    def __init__(self, settings: ToySettings) -> None:
        self.settings = settings

    @property
    def legend(self) -> Legend:
        """How its counts are to be read."""
        headlines = (
            Headline("look-ups", ("entry_read",)),
            Headline("look-ups an entry", ("entry_read",), ("entry_write",), "ratio"),
            Headline("writes", ("entry_write",), ("entry_*",), "share"),
        )
        return Legend(self.settings.timing.clock_ghz, ("table_fill",), True, headlines)

    def losses(self) -> str | None:
        """Describe the bits that are lost."""
        n = self.settings.arithmetic.dropped_bits
        return f"the lowest {n} bits of every code dropped" if n else None

    def plan(self, trace: Trace) -> ToyPlan:
        """Lay a network out."""
        return ToyPlan(trace.layers, self.settings.tables.entries)

    def prepare(self, trace: Trace, *, fidelity: str = "bit", jobs: int = 1) -> "PreparedToy":
        """Make a network ready to run."""
        return PreparedToy(trace, self.plan(trace), self.settings.arithmetic.dropped_bits)


class PreparedToy:
    """A network ready to run."""

    batch_multiple = 1

    def __init__(self, trace: Trace, plan: ToyPlan, dropped_bits: int) -> None:
        self.trace, self.layout, self.dropped_bits = trace, plan, dropped_bits
        self.prepared = {
            layer.index: prepare_layer(layer, trace.input_quantizations(layer))
            for layer in trace.layers
        }

    def run_batch(self, codes: Codes) -> Iterator[LayerRun]:
        """Run input codes through all layers in order."""

        def run(layer: LayerRecord, inputs: Sequence[Codes]) -> Codes:
            out: Codes = self.prepared[layer.index].run(inputs)
            return out >> self.dropped_bits << self.dropped_bits

        for layer, out in run_layers(self.trace, codes, run):
            yield LayerRun(layer.index, out, self.layout.counts(layer.index, len(codes)))


ENTRY = MachineEntry(
    name="toy",
    settings=ToySettings,
    make=Toy,
    prices="toy",
    wing="my_toy",
    presets=HERE / "presets",
    price_tables=HERE / "prices",
)
