"""`bitpim record`: one tile of a layer as a machine executes it, step by step, into a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitpim.cli.options import (
    Assignments,
    Json,
    MachineName,
    Overwrite,
    Preset,
    TraceName,
    need_other_file,
    opened_trace,
    refuse_taken,
)
from bitpim.cli.progress import say_when_compiling
from bitpim.report.text import as_json

if TYPE_CHECKING:
    from bitpim.recorded import RecordedTile

__all__ = ["LAYER", "SAMPLE", "TILE", "record", "recorded_from"]

LAYER = typer.Option("--layer", metavar="NAME|INDEX", help="Layer to record.")
TILE = typer.Option("--tile", min=0, help="Number of the tile.", show_default="0")
SAMPLE = typer.Option("--sample", min=0, help="Sample that runs.", show_default="0")


def record(
    trace: TraceName,
    machine: MachineName,
    layer: Annotated[str, LAYER],
    tile: Annotated[int, TILE] = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Program trace to write.")
    ] = None,
    preset: Preset = None,
    assignments: Assignments = None,
    sample: Annotated[int, SAMPLE] = 0,
    after: Annotated[
        str,
        typer.Option(
            "--after", metavar="end|marks|every", help="Steps after which to keep states."
        ),
    ] = "end",
    listed: Annotated[bool, typer.Option("--list", help="List the tiles of the layer.")] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Record what one array executes of a layer: every step, all that goes in and comes out."""
    from bitpim_traces.program_trace.writer import write_program

    if listed == (output is not None):
        raise typer.BadParameter("name a file to write, or --list the tiles", param_hint="--output")
    if output is not None:
        need_other_file(output, trace, preset)
        refuse_taken(output, overwrite)
    if output is None:
        _list_tiles(trace, machine, layer, preset, assignments, json=json)
        return
    recorded = recorded_from(
        trace, machine, layer, tile,
        preset=preset, assignments=assignments, sample=sample, after=after,
    )  # fmt: skip
    program = recorded.program
    digest = write_program(program, output, overwrite=overwrite)
    if json:
        typer.echo(
            as_json(
                {
                    "program": str(output),
                    "digest": digest,
                    "name": program.name,
                    "array": program.array,
                    "n_steps": program.n_steps,
                    "n_port_rows": 0 if program.port is None else program.port.shape[0],
                    "n_states": 0 if program.expected is None else len(program.expected.after),
                    "n_sums": len(recorded.sums),
                    "are_whole": recorded.is_whole,
                    "counts": dict(program.counts or {}),
                    "told": program.provenance["told"],
                }
            )
        )
        return
    plural = "s" * (len(recorded.sums) != 1)
    whole = f"sum{plural}" if recorded.is_whole else f"part{plural} of sums"
    typer.echo(
        f"{output}: {program.name} ({program.provenance['told']}): {program.n_steps:,} steps of an "
        f"array {program.array}, {len(recorded.sums):,} {whole}"
    )


def recorded_from(
    trace: str,
    machine: str,
    layer: str,
    tile: int,
    *,
    preset: str | None,
    assignments: list[str] | None,
    sample: int,
    after: str = "end",
) -> "RecordedTile":
    """Record a tile as the command line names it; raises as `golden.recording.record_tile`."""
    from bitpim.golden.recording import record_tile
    from bitpim.machine.registry import make_machine

    with opened_trace(trace) as opened:
        made = make_machine(machine, preset, assignments or [])
        say_when_compiling()
        return record_tile(opened, made, layer, tile, sample=sample, after=after)


def _list_tiles(
    trace: str,
    machine: str,
    layer: str,
    preset: str | None,
    assignments: list[str] | None,
    *,
    json: bool,
) -> None:
    from bitpim.golden.recording import tiles_of
    from bitpim.machine.registry import make_machine

    with opened_trace(trace) as opened:
        made = make_machine(machine, preset, assignments or [])
        say_when_compiling()
        tiles = tiles_of(opened, made, layer)
        if json:
            typer.echo(as_json({"tiles": [{"tile": t.number, "told": t.told} for t in tiles]}))
        else:
            typer.echo("\n".join(f"{t.number:6}  {t.told}" for t in tiles))
