"""`bitpim vectors`: test vectors of a program trace, and a dump of one's own held against them."""

from pathlib import Path
from typing import Annotated

import typer

from bitpim.cli.completion import machines
from bitpim.cli.options import Assignments, Json, Preset
from bitpim.cli.progress import say_when_compiling
from bitpim.cli.record import LAYER, SAMPLE, TILE
from bitpim.cli.vector_sources import made_from
from bitpim.machine import DEFAULT_CROSSBAR
from bitpim.report.text import as_json

__all__ = ["app"]

app = typer.Typer(
    help="Test vectors for designs of one's own, and their dumps checked.", no_args_is_help=True
)


@app.command()
def make(
    source: Annotated[
        str,
        typer.Argument(
            metavar="TILE.h5|NET.h5|PROGRAM|crossbar",
            help="Program trace, as `bitpim record` makes them; a network, of which a tile is "
            "recorded; a program of the catalogue; or the word crossbar, for weights and inputs "
            "of your own.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to make.")],
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="readmemh (the default), readmemb, csv or npz. Repeatable."),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(
            "--after",
            metavar="end|marks|every|N,N",
            help="Steps after which states are written; those of the program trace by default.",
        ),
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option(
            "--machine",
            "-m",
            help=f"Machine of a network's tile; of a crossbar {DEFAULT_CROSSBAR} if none is given.",
            autocompletion=machines,
        ),
    ] = None,
    layer: Annotated[str | None, LAYER] = None,
    tile: Annotated[int | None, TILE] = None,
    sample: Annotated[int | None, SAMPLE] = None,
    preset: Preset = None,
    assignments: Assignments = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="FILE",
            help="Whole numbers of a crossbar, a row for each output: text, .npy, .npz or .h5, "
            "FILE:NAME for an array of a name.",
        ),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            "--inputs",
            metavar="FILE",
            help="Whole numbers that a crossbar is driven with, a row for each vector.",
        ),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(
            "--bits",
            min=1,
            max=32,
            help="Width of a catalogue program's operands.",
            show_default="8",
        ),
    ] = None,
    lanes: Annotated[
        int | None,
        typer.Option(
            "--lanes", min=1, max=2**20, help="Of a catalogue's program.", show_default="64"
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Of a catalogue's operands.", show_default="0"),
    ] = None,
    json: Json = False,
) -> None:
    """Write initial rows, steps, port rows and states as words, with a manifest.

    \b
    bitpim vectors make tile.h5 -o vectors
    bitpim vectors make net.h5 -m MACHINE --layer conv2 --tile 0 -o vectors
    bitpim vectors make multiply --bits 4 -o vectors
    bitpim vectors make crossbar --weights w.npy --inputs x.npy -o vectors
    """
    from bitpim.golden.vectors import after_steps, make_vectors, need_new_folder

    need_new_folder(output)
    say_when_compiling()
    options = {
        "--machine": machine, "--layer": layer, "--tile": tile, "--sample": sample,
        "--preset": preset, "--set": assignments, "--bits": bits, "--lanes": lanes, "--seed": seed,
        "--weights": weights, "--inputs": inputs,
    }  # fmt: skip
    made = made_from(source, options)
    program = made.program
    steps = after_steps(program, after)
    manifest = make_vectors(program, output, formats=formats or ["readmemh"], after=steps)
    if json:
        typer.echo(as_json({"folder": str(output), **manifest, **made.values}))
        return
    n = len(steps)
    typer.echo(
        f"{output}: {program.name}, {program.n_steps:,} steps, states after {n} of them, "
        f"{len(list(output.iterdir())):,} files"
    )
    if made.told:
        typer.echo(f"{output}: {made.told}")


@app.command()
def check(
    mine: Annotated[
        Path, typer.Argument(help="Folder, .npz, or one text named as in a folder of vectors.")
    ],
    against: Annotated[
        Path, typer.Option("--against", help="Folder of vectors, or a program trace.")
    ],
    json: Json = False,
) -> None:
    """Compare a dump with vectors; name the first difference and end in exit code 4."""
    from bitpim.golden.vector_check import check_vectors

    say_when_compiling()
    found = check_vectors(mine, against)
    if json:
        typer.echo(
            as_json(
                {
                    "equal": not found.difference,
                    "n_entries": found.n_entries,
                    "n_words": found.n_words,
                    "difference": found.difference or None,
                }
            )
        )
    elif not found.difference:
        entries = f"{found.n_entries:,} entr{'y' if found.n_entries == 1 else 'ies'}"
        typer.echo(f"{mine}: equal in {entries}, {found.n_words:,} words")
    found.require_equal()
