"""`bitpim compare`: where two results differ."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitpim.cli.options import Json
from bitpim.cli.report import ResultPath
from bitpim.cli.text import as_json, columns, share

if TYPE_CHECKING:
    from bitpim.cli.text import Cell
    from bitpim.report.result_file import Result

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
    from bitpim.report.result_file import compare_results, open_result

    # One more than is shown tells whether there are more.
    a, b = open_result(first), open_result(second)
    found = compare_results(a, b, limit=limit + 1)
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
        if _is_same_work(a, b) and not (found.is_equal and not found.notes):
            typer.echo(f"\n{_totals(a, b, (first, second))}")
        if found.is_equal:
            typer.echo("equal in outputs, counts, cycles and error figures")
    if not found.is_equal:
        raise typer.Exit(EXIT_DIFFERENT)


def _is_same_work(a: "Result", b: "Result") -> bool:
    """Tell whether both ran the same layers of the same network on the same samples."""
    runs = [
        (r.header.trace_digest, r.header.start, r.header.stop, [layer.index for layer in r.layers])
        for r in (a, b)
    ]
    return runs[0] == runs[1]


def _totals(a: "Result", b: "Result", files: tuple[Path, Path]) -> str:
    """Set what both took side by side, all layers together, with the first over the second."""
    rows: list[list[Cell]] = [_row("cycles", a.elapsed_cycles, b.elapsed_cycles)]
    energies = a.total_energy_pj, b.total_energy_pj
    if a.prices_name and b.prices_name:
        rows.append(_row("energy pJ", *map(round, energies)))
    events = a.events(), b.events()
    rows += [
        _row(event, *(of.get(event, 0) for of in events))
        for event in sorted({*events[0], *events[1]})
    ]
    pairs = zip(a.layers, b.layers, strict=True)
    n_equal = sum(bool((one.digests == other.digests).all()) for one, other in pairs)
    outputs = f"outputs equal in {share(n_equal, len(a.layers))} layers"
    return f"{columns(['in all', *map(str, files), 'ratio'], rows)}\n{outputs}"


def _row(name: str, a: int, b: int) -> "list[Cell]":
    return [name, a, b, a / b if b else None]
