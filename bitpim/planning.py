"""A network laid out on a machine, as a person or a script looks at it: rows, text, a figure."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitpim.config import PresetLabel
from bitpim.errors import ConfigError
from bitpim.machine.machine import Machine, NetworkPlan, PhaseCounts
from bitpim.placement import Placements
from bitpim.report.html import as_html
from bitpim.report.text import Cell, columns, printable
from bitpim.selection import parse_layers
from bitpim_traces.records import Trace

__all__ = ["Plan"]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """A network laid out on a machine; `network` is what the machine made, in its own terms."""

    trace: Trace
    machine: str
    label: PresetLabel
    network: NetworkPlan

    @classmethod
    def of(cls, trace: Trace, machine: Machine) -> "Plan":
        """Lay a trace out on a machine.

        Raises
        ------
        MappingError
            A layer does not fit.
        """
        return cls(trace, machine.name, PresetLabel.of(machine.settings), machine.plan(trace))

    @property
    def title(self) -> str:
        """What lies where."""
        return printable(f"{self.trace.name} on {self.machine}, {self.label}")

    def counts(self, layer: int, n_samples: int = 1) -> PhaseCounts:
        """Return the closed-form counts of a layer by phase, of inputs that skip nothing."""
        return self.network.counts(layer, n_samples)

    def table(self) -> list[Row]:
        """Return one flat record a layer, each bearing machine, preset and changed settings."""
        run = {
            "trace": self.trace.name,
            "machine": self.machine,
            **self.label.to_dict(),
            "settings": self.label.assignments,
        }
        rows = self.network.table()
        phases = list(dict.fromkeys(phase for row in rows for phase in row["cycles"]))
        return [
            run
            | {key: value for key, value in row.items() if not isinstance(value, dict)}
            | {f"cycles.{phase}": row["cycles"].get(phase, 0) for phase in phases}
            for row in rows
        ]

    def to_dict(self) -> Row:
        """Return plain values, ready for JSON."""
        return {
            "trace": self.trace.name,
            "trace_digest": self.trace.digest,
            "machine": self.machine,
            **self.label.to_dict(),
            "layers": self.network.table(),
            "totals": dict(self.network.totals()),
        }

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        head, *rows, foot = self._cells()
        names = [name.replace(" ", "\N{NO-BREAK SPACE}") for name in head]
        shown = [dict(zip(names, row, strict=True)) for row in [*rows, foot]]
        return as_html([self._heading()], shown)

    def lines(self) -> list[str]:
        """Return a heading, and a table of scalars, then one column for each phase's cycles.

        The last row holds the sums that mean something.
        """
        head, *rows = self._cells()
        return [self._heading(), "", *columns(list(map(str, head)), rows, n_keys=2).splitlines()]

    def _heading(self) -> str:
        sample = f"one sample {self.network.assumes}".rstrip()
        return f"{self.title}; cycles of {sample}, by phase"

    def _cells(self) -> Iterator[list[Any]]:
        """Yield the head, each layer's row, and the sums."""
        rows, totals = self.network.table(), self.network.totals()
        scalars = list(
            dict.fromkeys(k for row in rows for k in row if not isinstance(row[k], dict))
        )
        phases = list(dict.fromkeys(phase for row in rows for phase in row["cycles"]))
        names = ["utilization %" if key == "utilization" else key for key in scalars]
        yield [*names, *(phase.replace("_", " ") for phase in phases), "cycles"]
        for row in rows:
            cells = [_in_percent(key, row.get(key)) for key in scalars]
            yield [*cells, *map(row["cycles"].get, phases), sum(row["cycles"].values())]
        sums = [sum(row["cycles"].get(phase, 0) for row in rows) for phase in phases]
        feet = [_in_percent(key, totals.get(key, "")) for key in scalars[2:]]
        yield ["", "all", *feet, *sums, sum(sums)]

    def plot(self, path: str | os.PathLike[str], layer: int | str | None = None) -> None:
        """Draw where a layer's weights lie; the layer on most arrays when None.

        Raises
        ------
        ConfigError
            No such layer, it has no weights, or the machine places none that could be drawn.
        """
        from bitpim.report.placement_plot import plot_placements

        record = self.trace.layers[self._chosen(layer)]
        kernel = (1, 1) if record.geometry is None else record.geometry.kernel
        placements = Placements.joined(self.network.placements(record.index))
        where = f"{record.name} ({record.kind} {kernel[0]} x {kernel[1]})"
        plot_placements(placements, Path(path), title=f"{where} of {self.title}", kernel=kernel)

    def _chosen(self, layer: int | str | None) -> int:
        if layer is None:
            rows = self.network.table()
            return int(max(rows, key=lambda row: (row["arrays"], row["utilization"]))["index"])
        chosen = parse_layers(self.trace, str(layer))
        if len(chosen) != 1:
            raise ConfigError(
                f"layer {layer!r}: need one layer to draw, got {len(chosen)}; name one"
            )
        return chosen[0]


def _in_percent(key: str, value: Any) -> Cell:
    cell: Cell = value
    return 100 * value if key == "utilization" and isinstance(value, float) else cell
