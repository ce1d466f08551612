"""`bitpim vectors`: test vectors of a program trace, and a dump of one's own held against them."""

from pathlib import Path
from typing import Annotated

import typer

from bitpim.cli.options import Json
from bitpim.cli.progress import say_when_compiling
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
            metavar="TILE.h5|PROGRAM",
            help="Program trace, as `bitpim record` makes them, or a program of the catalogue.",
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
    bits: Annotated[
        int, typer.Option("--bits", min=1, max=32, help="Width of a catalogue program's operands.")
    ] = 8,
    lanes: Annotated[int, typer.Option("--lanes", min=1, max=2**20, help="Of a catalogue's.")] = 64,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of a catalogue's operands.")] = 0,
    json: Json = False,
) -> None:
    """Write initial rows, steps, port rows and states as words, with a manifest."""
    from bitpim.golden.program_steps import catalogue_trace
    from bitpim.golden.vectors import after_steps, make_vectors
    from bitpim.programs.catalog import CATALOG
    from bitpim_traces.program_trace.reader import open_program

    say_when_compiling()
    if source in CATALOG and not Path(source).exists():
        program = catalogue_trace(source, bits=bits, n_columns=lanes, seed=seed)
    else:
        program = open_program(source)
    steps = after_steps(program, after)
    manifest = make_vectors(program, output, formats=formats or ["readmemh"], after=steps)
    if json:
        typer.echo(as_json({"folder": str(output), **manifest}))
        return
    n = len(steps)
    typer.echo(
        f"{output}: {program.name}, {program.n_steps:,} steps, states after {n} of them, "
        f"{len(list(output.iterdir())):,} files"
    )


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
