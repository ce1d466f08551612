"""A result as text and CSV: cycles by phase, energy, utilization, errors."""

import csv
import io
from collections.abc import Sequence

from bitpim.report.result_records import Result
from bitpim.report.rows import ERRORS, OWN, Row, flat_rows, layer_rows, phase_rows
from bitpim.report.summary import result_lines, title
from bitpim.report.text import Cell, columns, printable
from bitpim.units import pj_to_j, with_prefix

__all__ = ["as_csv", "as_text"]

Table = tuple[list[str], list[list[Cell]], int]
"""Head, rows, and how many first columns name a row."""


def as_csv(result: Result) -> str:
    """Return one line a layer, the columns those of `Result.table`."""
    flat = flat_rows(result)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(flat[0]) if flat else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _csv_cell(value) for key, value in row.items()} for row in flat)
    return out.getvalue()


def _csv_cell(value: object) -> object:
    return printable(value) if isinstance(value, str) else value


def as_text(result: Result) -> str:
    """Return tables a person reads: the run, its layers, their headlines and phases, the phases.

    Headlines are shown where the machine has some, cycles by phase where several phases take any.
    """
    rows = layer_rows(result)
    tables = {
        "Layers": _layer_table(result, rows),
        "Headlines": _headline_table(result, rows),
        "Cycles by phase": _cycle_table(result, rows),
        "Phases": _phase_table(result),
    }
    pieces = ["\n".join([title(result), *result_lines(result)])]
    for name, (head, cells, n_keys) in tables.items():
        if cells:
            pieces.append(f"{name}\n{columns(head, cells, n_keys=n_keys)}")
    return "\n\n".join(pieces) + "\n"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _scaled(value: float | None, unit: str) -> str:
    return "-" if value is None else with_prefix(value, unit)


def _layer_table(result: Result, rows: list[Row]) -> Table:
    has_passes = any(row["passes"] is not None for row in rows)
    has_errors = any(row["n_references"] for row in rows)
    total = sum(row["cycles"] for row in rows)
    table = []
    for row in rows:
        cells: dict[str, Cell] = {"#": row["index"], "layer": row["name"], "kind": row["kind"]}
        cells["arrays"] = row["arrays"]
        if has_passes:
            cells["passes"] = row["passes"]
        cells["utilization"] = _share(row["utilization"])
        cells["cycles"] = row["cycles"]
        cells["share"] = _share(row["cycles"] / total if total else 0.0)
        cells["time"] = _scaled(row["time_s"], "s")
        if result.prices_name:
            cells["energy"] = _scaled(pj_to_j(row["energy_pj"]), "J")
        if has_errors:
            cells["references"] = row["n_references"]
            errors = (row[key] for key in ERRORS)
            cells |= dict(zip(("max abs error", "relative L2", "SQNR dB"), errors, strict=True))
        if OWN in row:
            cells["settings of its own"] = row[OWN]
        table.append(cells)
    return _table(table, 2)


def _cycle_table(result: Result, rows: list[Row]) -> Table:
    phases = [phase for phase, n in result.cycles_by_phase.items() if n]
    table = [
        {"layer": row["name"], **{phase: row["cycles_by_phase"].get(phase) for phase in phases}}
        for row in (rows if len(phases) > 1 else [])
    ]
    return _table(table)


def _headline_table(result: Result, rows: list[Row]) -> Table:
    """Tell the headlines of each layer that has any, the sum last."""
    headlines = result.legend.headlines
    told = [
        (row["name"], row["events"])
        for row in rows
        if any(headline.occurs(row["events"]) for headline in headlines)
    ]
    told += [("all", result.events())] if told else []
    return _table(
        [{"layer": name, **{h.name: h.text(events) for h in headlines}} for name, events in told]
    )


def _phase_table(result: Result) -> Table:
    table = []
    for row in phase_rows(result):
        cells: dict[str, Cell] = {"phase": row["phase"], "cycles": row["cycles"]}
        cells["share"] = _share(row["cycles_share"])
        if result.prices_name:
            cells["energy"] = _scaled(pj_to_j(row["energy_pj"]), "J")
            cells["share of it"] = _share(row["energy_share"])
        table.append(cells)
    return _table(table)


def _table(rows: Sequence[dict[str, Cell]], n_keys: int = 1) -> Table:
    """Return rows that share their columns as a table."""
    return (list(rows[0]) if rows else []), [list(row.values()) for row in rows], n_keys
