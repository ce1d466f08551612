"""A result as text and CSV: cycles by phase, energy, utilization, errors."""

import csv
import io

from rich.console import Console
from rich.table import Table

from bitpim.report.result_records import Result
from bitpim.report.rows import ERRORS, Row, flat_rows, layer_rows, phase_rows
from bitpim.report.summary import result_lines, title
from bitpim.units import pj_to_j, with_prefix

__all__ = ["as_csv", "as_text"]


def as_csv(result: Result) -> str:
    """Return one line a layer, the columns those of `Result.table`."""
    flat = flat_rows(result)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(flat[0]) if flat else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def as_text(result: Result) -> str:
    """Return tables a person reads: the run, its layers, their headlines and phases, the phases.

    Headlines are shown where the machine has some, cycles by phase where several phases take any.
    """
    rows = layer_rows(result)
    console = Console(file=io.StringIO(), width=1000, color_system=None, highlight=False)
    for line in (title(result), *result_lines(result)):
        console.print(line, markup=False)
    by_headline, by_phase = _headline_table(result, rows), _cycle_table(result, rows)
    for table in (_layer_table(result, rows), by_headline, by_phase, _phase_table(result)):
        if table.row_count:
            name, table.title = table.title, None  # which a narrow table would wrap
            console.print(f"\n{name}")
            console.print(table)
    out = console.file.getvalue()  # type: ignore[attr-defined]
    return (
        "\n".join(line.rstrip() for line in out.splitlines()).replace("\n\n\n", "\n\n").rstrip()
        + "\n"
    )


def _table(title: str, words: int, *names: str) -> Table:
    """Start a table whose first columns hold words, the others numbers."""
    table = Table(
        title=title, title_justify="left", title_style="", box=None, pad_edge=False, padding=(0, 1)
    )
    for position, name in enumerate(names):
        table.add_column(name, justify="left" if position < words else "right", no_wrap=True)
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    if value is None or value != value:  # nan
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _scaled(value: float | None, unit: str) -> str:
    return "-" if value is None else with_prefix(value, unit)


def _layer_table(result: Result, rows: list[Row]) -> Table:
    has_passes = any(row["passes"] is not None for row in rows)
    names = ["layer", "kind", "arrays", *["passes"] * has_passes]
    names += ["utilization", "cycles", "share", "time"]
    names += ["energy"] * bool(result.prices_name)
    has_errors = any(row["n_references"] for row in rows)
    names += ["references", "max abs error", "relative L2", "SQNR dB"] * has_errors
    table = _table("Layers", 2, "#", *names)
    table.columns[0].justify = "right"
    table.columns[2].justify = "left"
    total = sum(row["cycles"] for row in rows)
    for row in rows:
        cells = [str(row["index"]), _plain(row["name"]), _plain(row["kind"])]
        cells += [_number(row["arrays"]), *[_number(row["passes"])] * has_passes]
        cells.append(_share(row["utilization"]))
        cells += [_number(row["cycles"]), _share(row["cycles"] / total if total else 0.0)]
        cells.append(_scaled(row["time_s"], "s"))
        if result.prices_name:
            cells.append(_scaled(pj_to_j(row["energy_pj"]), "J"))
        if has_errors:
            cells += [_number(row[key]) for key in ("n_references", *ERRORS)]
        table.add_row(*cells)
    return table


def _cycle_table(result: Result, rows: list[Row]) -> Table:
    phases = [phase for phase, n in result.cycles_by_phase.items() if n]
    table = _table("Cycles by phase", 1, "layer", *map(_plain, phases))
    for row in rows if len(phases) > 1 else []:
        by_phase = row["cycles_by_phase"]
        cells = (_number(by_phase[p]) if p in by_phase else "-" for p in phases)
        table.add_row(_plain(row["name"]), *cells)
    return table


def _headline_table(result: Result, rows: list[Row]) -> Table:
    """Tell the headlines of each layer that has any, the sum last."""
    headlines = result.legend.headlines
    table = _table("Headlines", 1, "layer", *(_plain(headline.name) for headline in headlines))
    told = [
        (row["name"], row["events"])
        for row in rows
        if any(headline.occurs(row["events"]) for headline in headlines)
    ]
    for name, events in [*told, *([("all", result.events())] if told else [])]:
        table.add_row(_plain(name), *(headline.text(events) for headline in headlines))
    return table


def _phase_table(result: Result) -> Table:
    priced = bool(result.prices_name)
    table = _table("Phases", 1, "phase", "cycles", "share", *["energy", "share"] * priced)
    for row in phase_rows(result):
        cells = [_plain(row["phase"]), _number(row["cycles"]), _share(row["cycles_share"])]
        if priced:
            cells += [_scaled(pj_to_j(row["energy_pj"]), "J"), _share(row["energy_share"])]
        table.add_row(*cells)
    return table


def _plain(text: str) -> str:
    """Keep names from being read as markup, and on one line."""
    return " ".join(text.split()).replace("[", "\\[")
