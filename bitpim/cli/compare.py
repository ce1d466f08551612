"""`bitpim compare`: where two results differ."""

from dataclasses import asdict
from typing import Annotated

import typer

from bitpim.cli.options import Json
from bitpim.cli.report import ResultPath
from bitpim.cli.text import as_json

__all__ = ["compare"]

EXIT_DIFFERENT = 4


def compare(
    first: ResultPath,
    second: ResultPath,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most differences to print.")] = 20,
    json: Json = False,
) -> None:
    """Compare outputs, counts, cycles and error figures of two results; exit code 4 if any differs.

    Another machine, preset, fidelity or price table is noted and is not a difference by itself.
    """
    from bitpim.report.result_file import compare_results, open_result

    # One more than is shown tells whether there are more.
    found = compare_results(open_result(first), open_result(second), limit=limit + 1)
    shown, n_more = found.differences[:limit], len(found.differences) - limit
    if json:
        rows = [asdict(difference) for difference in shown]
        content = {"equal": found.is_equal, "differences": rows, "more": n_more > 0}
        typer.echo(as_json({**content, "notes": found.notes}))
    else:
        for note in found.notes:
            typer.echo(f"note: {note}")
        for difference in shown:
            typer.echo(f"{difference.kind}: {difference}")
        if n_more > 0:
            typer.echo(f"and more; --limit {2 * limit} shows further ones")
        if found.is_equal:
            typer.echo("equal in outputs, counts, cycles and error figures")
    if not found.is_equal:
        raise typer.Exit(EXIT_DIFFERENT)
