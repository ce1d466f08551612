"""`bitpim plan`: how a network lies on a machine, without running it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitpim.cli.options import Assignments, Json, MachineName, Preset, TraceName, opened_trace
from bitpim.cli.text import as_json, columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bitpim.machine.machine import NetworkPlan
    from bitpim_traces.records import Trace

__all__ = ["plan"]


def plan(
    trace: TraceName,
    machine: MachineName,
    preset: Preset = None,
    assignments: Assignments = None,
    json: Json = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Also draw which weights sit where in each crossbar, as a .png, .svg or .pdf.",
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            metavar="NAME|INDEX",
            help="Layer to draw; the one on most crossbars by default.",
        ),
    ] = None,
) -> None:
    """Show the arrays, passes, utilization and cycles of each layer, and where its weights lie."""
    from bitpim.machine.registry import make_machine

    if layer is not None and plot is None:
        raise typer.BadParameter(
            "name a file to draw the layer in with --plot", param_hint="--layer"
        )
    if plot is not None and plot.exists() and Path(trace).exists() and plot.samefile(trace):
        raise typer.BadParameter("need another file than the trace", param_hint="--plot")
    maker = make_machine(machine, preset, assignments or [])
    with opened_trace(trace) as opened:
        planned = maker.plan(opened)
        rows = planned.table()
        title = f"{opened.name} on {machine}, preset {maker.settings.name}"
        if plot is not None:
            draw_layer(opened, planned, _chosen(opened, rows, layer), plot, title)
    if json:
        typer.echo(as_json({"machine": machine, "preset": maker.settings.name, "layers": rows}))
        return
    sample = f"one sample {planned.assumes}".rstrip()
    typer.echo(f"{title}; cycles of {sample}, by phase\n")
    typer.echo(plan_table(rows, planned.totals()))


def _chosen(trace: "Trace", rows: list[dict[str, Any]], layer: str | None) -> int:
    """Return the index of the layer to draw."""
    from bitpim.errors import ConfigError
    from bitpim.run import parse_layers

    if layer is None:
        return int(max(rows, key=lambda row: (row["arrays"], row["utilization"]))["index"])
    chosen = parse_layers(trace, layer)
    if len(chosen) != 1:
        raise ConfigError(f"layer {layer!r}: need one layer to draw, got {len(chosen)}; name one")
    return chosen[0]


def draw_layer(trace: "Trace", planned: "NetworkPlan", index: int, path: Path, title: str) -> None:
    """Draw where a layer's weights lie, the conv groups one after the other.

    Raises
    ------
    ConfigError
        The machine's plan has no placements, or the layer has no weights.
    """
    from bitpim.placement import Placements
    from bitpim.report.placement_plot import plot_placements

    layer = trace.layers[index]
    kernel = (1, 1) if layer.geometry is None else layer.geometry.kernel
    placements = Placements.joined(planned.placements(index))
    where = f"{layer.name} ({layer.kind} {kernel[0]} x {kernel[1]})"
    plot_placements(placements, path, title=f"{where} of {title}", kernel=kernel)


def plan_table(rows: list[dict[str, Any]], totals: "Mapping[str, Any]") -> str:
    """Align the rows of a plan: scalars first, then one column for the cycles of each phase.

    The last row holds the sums that mean something.
    """
    scalars = list(dict.fromkeys(k for row in rows for k in row if not isinstance(row[k], dict)))
    phases = list(dict.fromkeys(phase for row in rows for phase in row["cycles"]))
    table = [
        [_in_percent(key, row.get(key)) for key in scalars]
        + [row["cycles"].get(phase) for phase in phases]
        + [sum(row["cycles"].values())]
        for row in rows
    ]
    sums = [sum(row["cycles"].get(phase, 0) for row in rows) for phase in phases]
    feet = [_in_percent(key, totals.get(key, "")) for key in scalars[2:]]
    foot = ["", "all", *feet, *sums, sum(sums)]
    names = ["utilization %" if key == "utilization" else key for key in scalars]
    head = [*names, *(phase.replace("_", " ") for phase in phases), "cycles"]
    return columns(head, [*table, foot])


def _in_percent(key: str, value: Any) -> Any:
    return 100 * value if key == "utilization" and isinstance(value, float) else value
