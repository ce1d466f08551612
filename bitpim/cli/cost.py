"""`bitpim cost`: the counts of a result times the prices of one table."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from bitpim.cli.completion import price_tables
from bitpim.cli.options import Json
from bitpim.cli.report import ResultPath
from bitpim.report.text import as_json, columns, printable

if TYPE_CHECKING:
    from bitpim.cost.model import Energy, Sensitivity
    from bitpim.cost.tables import PriceTable

__all__ = ["cost", "energy_text"]


def cost(
    result: ResultPath,
    prices: Annotated[
        str | None,
        typer.Option(
            "--prices",
            help="Price table: packaged or a .toml. The one of the result.",
            autocompletion=price_tables,
        ),
    ] = None,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Show what the total becomes as prices vary.")
    ] = False,
    factor: Annotated[float, typer.Option("--factor", help="By how much prices vary.")] = 2.0,
    json: Json = False,
) -> None:
    """Price the events of a result by one table, and say which numbers are sure."""
    from bitpim.cost.model import energy
    from bitpim.cost.model import sensitivity as vary
    from bitpim.cost.tables import parse_prices
    from bitpim.errors import ConfigError
    from bitpim.machine.registry import prices_for_result
    from bitpim.report.result_file import open_result
    from bitpim.report.rows import label_of
    from bitpim.report.summary import title

    opened = open_result(result)
    if prices is not None:
        table = prices_for_result(opened.header.machine, prices)
    elif opened.prices_text:
        table = parse_prices(opened.prices_text, where=f"{result}: its price table")
    else:
        raise ConfigError(f"{result}: was run without prices; name a table by --prices")
    counts = opened.events()
    found = energy(counts, table)
    varied = vary(counts, table, factor) if sensitivity else ()
    if json:
        rows = [
            table.price(event).model_dump(exclude={"energy_pj"})
            | {
                "count": counts[event],
                "price_pj": table.price(event).energy_pj,
                "energy_pj": value,
            }
            for event, value in found.by_event_pj.items()
        ]
        run = {"trace": opened.header.trace_name, "machine": opened.header.machine}
        run |= label_of(opened).to_dict()
        content = {**run, "prices": table.name, "total_pj": found.total_pj, "events": rows}
        typer.echo(as_json({**content, "sensitivity": [asdict(row) for row in varied]}))
        return
    typer.echo(title(opened))
    typer.echo(energy_text(found, counts, table, opened.header.n_samples))
    if sensitivity:
        typer.echo(_sensitivity_text(varied, factor))


def energy_text(
    found: "Energy", counts: dict[str, int], table: "PriceTable", n: int, each: str = "sample"
) -> str:
    """Show the energy of each event, with what its price is and where it is from, and of `n`."""
    from bitpim.units import pj_to_j, with_prefix

    rows: list[list[str | int | float | None]] = []
    for event, value in sorted(found.by_event_pj.items(), key=lambda item: -item[1]):
        price = table.price(event)
        share = f"{100 * value / found.total_pj:.1f} %" if found.total_pj else "-"
        rows.append(
            [
                event,
                counts[event],
                price.energy_pj,
                with_prefix(pj_to_j(value), "J"),
                share,
                price.confidence,
                f"{price.source} ({price.technology}); {price.per}",
            ]
        )
    total_j = pj_to_j(found.total_pj)
    free = [e for e, n in counts.items() if n and not table.price(e).energy_pj]
    guessed = [event for event in free if table.price(event).confidence == "assumed"]
    warning = f"\nfree by assumption: {', '.join(guessed)}" if guessed else ""
    head = ["event", "count", "pJ each", "energy", "share", "confidence", "source; one event is"]
    return (
        f"{printable(f'price table {table.name}: {table.title} ({table.technology})')}\n\n"
        f"{columns(head, rows)}\n\n"
        f"total {with_prefix(total_j, 'J')}, {with_prefix(total_j / n, 'J')} a {each}"
        f"{warning}"
    )


def _sensitivity_text(rows: tuple["Sensitivity", ...], factor: float) -> str:
    from bitpim.units import pj_to_j, with_prefix

    table = [
        [
            row.event,
            f"{100 * row.share:.1f} %",
            with_prefix(pj_to_j(row.low_pj), "J"),
            with_prefix(pj_to_j(row.high_pj), "J"),
            row.confidence,
        ]
        for row in rows
    ]
    head = [
        "event",
        "share",
        f"total at price / {factor:g}",
        f"x {factor:g}",
        "confidence",
    ]
    return f"\n{columns(head, table)}"
