"""`bitpim compare`: where two results differ."""

from typing import Annotated

import typer

from bitpim.cli.options import Json
from bitpim.cli.report import ResultPath
from bitpim.report.text import as_json

__all__ = ["compare"]

EXIT_DIFFERENT = 4


def compare(
    first: ResultPath,
    second: ResultPath,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=10**6, help="Most differences to print.")
    ] = 20,
    json: Json = False,
) -> None:
    """Compare outputs, counts, cycles and error figures of two results; exit code 4 if any differs.

    Another machine, preset, fidelity or price table is noted and is not a difference by itself. Two
    runs of the same samples are then set side by side, all layers together.
    """
    from bitpim import face

    found = face.compare(first, second, limit=limit)
    typer.echo(
        as_json(found.to_dict()) if json else "\n".join(found.lines(str(first), str(second)))
    )
    if not found.is_equal:
        raise typer.Exit(EXIT_DIFFERENT)
