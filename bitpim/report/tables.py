"""A result as rows, text, CSV and JSON values: cycles by phase, energy, utilization, errors."""

import csv
import io
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from bitpim.report.result_records import Result
from bitpim.units import cycles_to_s, pj_to_j, with_prefix
from bitpim_traces.strict_text import strict_toml

__all__ = ["as_csv", "as_dict", "as_text", "layer_rows", "phase_rows", "preset_name"]

_PLAN = ("arrays", "lanes", "passes", "utilization")
_ERRORS = ("max_abs", "relative_l2", "sqnr_db")
Row = dict[str, Any]


def preset_name(result: Result) -> str:
    """Return the name of the preset a run used, or "unknown" where its text states none."""
    try:
        head = strict_toml(result.header.preset).get("preset")
    except ValueError:
        head = None
    name = head.get("name") if isinstance(head, dict) else None
    return name if isinstance(name, str) else "unknown"


def layer_rows(result: Result) -> list[Row]:
    """Return one row a layer; what is not known is None.

    `cycles_by_phase` and `energy_pj_by_phase` are by phase, `events` by event and `headlines` by
    name, over all samples.
    """
    legend = result.legend
    errors = {} if result.figures is None else {f.index: f for f in result.figures.layers}
    rows = []
    for layer in result.layers:
        figures = errors.get(layer.index)
        cycles, events = legend.elapsed(layer.cycles), layer.events()
        rows.append(
            {
                "index": layer.index,
                "name": layer.name,
                "kind": layer.kind,
                **{key: layer.plan.get(key) for key in _PLAN},
                "cycles": cycles,
                "time_s": _seconds(result, cycles),
                "energy_pj": layer.total_energy_pj if result.prices_name else None,
                "n_references": figures.n_samples if figures else 0,
                **{key: getattr(figures, key, None) for key in _ERRORS},
                "cycles_by_phase": dict(layer.cycles),
                "energy_pj_by_phase": dict(layer.energy_pj),
                "events": events,
                "headlines": legend.figures(events),
            }
        )
    return rows


def _seconds(result: Result, cycles: int) -> float | None:
    clock = result.legend.clock_ghz
    return None if clock is None else cycles_to_s(cycles, clock)


def phase_rows(result: Result) -> list[Row]:
    """Return one row a phase, over all layers: cycles, energy, and their shares (0 to 1)."""
    cycles = result.cycles_by_phase
    energy = {p: sum(la.energy_pj.get(p, 0.0) for la in result.layers) for p in result.phases}
    all_cycles, all_energy = sum(cycles.values()), sum(energy.values())
    return [
        {
            "phase": phase,
            "cycles": cycles[phase],
            "cycles_share": cycles[phase] / all_cycles if all_cycles else 0.0,
            "energy_pj": energy[phase] if result.prices_name else None,
            "energy_share": energy[phase] / all_energy if all_energy else 0.0,
        }
        for phase in result.phases
    ]


def _totals(result: Result) -> Row:
    events = result.events()
    return {
        "samples": result.header.n_samples,
        "cycles": result.elapsed_cycles,
        "time_s": _seconds(result, result.elapsed_cycles),
        "energy_pj": result.total_energy_pj if result.prices_name else None,
        "events": events,
        "headlines": result.legend.figures(events),
    }


def as_dict(result: Result) -> Row:
    """Return the whole report as plain values (floats may be nan or infinite)."""
    header = result.header
    return {
        "trace": header.trace_name,
        "trace_digest": header.trace_digest,
        "machine": header.machine,
        "fidelity": header.fidelity,
        "samples": [header.start, header.stop],
        "software": header.software,
        "options": dict(header.options),
        "provenance": dict(header.provenance),
        "prices": result.prices_name or None,
        "preset": header.preset,
        "legend": result.legend.as_dict(),
        "totals": _totals(result),
        "phases": phase_rows(result),
        "layers": layer_rows(result),
        "figures": None if result.figures is None else asdict(result.figures),
    }


def as_csv(result: Result) -> str:
    """Return one line a layer, phases as columns `cycles.PHASE` and `energy_pj.PHASE`."""
    rows = layer_rows(result)
    events = sorted(result.events())
    flat = []
    for row in rows:
        plain = {key: value for key, value in row.items() if not isinstance(value, dict)}
        for phase in result.phases:
            plain[f"cycles.{phase}"] = row["cycles_by_phase"].get(phase, 0)
            if result.prices_name:
                plain[f"energy_pj.{phase}"] = row["energy_pj_by_phase"].get(phase, 0.0)
        plain |= {f"events.{event}": row["events"].get(event, 0) for event in events}
        flat.append(plain)
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
    for line in _head_lines(result):
        console.print(line, markup=False)
    by_headline, by_phase = _headline_table(result, rows), _cycle_table(result, rows)
    for table in (_layer_table(result, rows), by_headline, by_phase, _phase_table(result)):
        if table.row_count:
            title, table.title = table.title, None  # which a narrow table would wrap
            console.print(f"\n{title}")
            console.print(table)
    out = console.file.getvalue()  # type: ignore[attr-defined]
    return (
        "\n".join(line.rstrip() for line in out.splitlines()).replace("\n\n\n", "\n\n").rstrip()
        + "\n"
    )


def _head_lines(result: Result) -> list[str]:
    header, totals = result.header, _totals(result)
    time_s, energy_pj = totals["time_s"], totals["energy_pj"]
    lines = [
        f"{header.trace_name} on {header.machine}, preset {preset_name(result)}, "
        f"{header.fidelity} fidelity, samples {header.start}:{header.stop} ({header.n_samples})",
        f"cycles {totals['cycles']:,}"
        + ("" if time_s is None else f" = {with_prefix(time_s, 's')}")
        + f", {_per_sample(totals['cycles'], header.n_samples)} a sample"
        + (" (streaming beside computing)" if result.legend.overlaps else ""),
    ]
    if energy_pj is not None:
        energy_j = pj_to_j(energy_pj)
        lines.append(
            f"energy {with_prefix(energy_j, 'J')}, "
            f"{with_prefix(energy_j / header.n_samples, 'J')} a sample "
            f"(price table {result.prices_name})"
        )
    figures = result.figures
    if figures is not None and figures.accuracy is not None:
        lines.append(
            f"accuracy {figures.accuracy:.4f} over {figures.n_labelled:,} labelled samples"
        )
    if figures is not None and figures.top1_agreement is not None:
        lines.append(
            f"top-1 agreement with the float network {figures.top1_agreement:.4f} over "
            f"{figures.n_compared:,} samples"
        )
    return lines


def _per_sample(total: int, n_samples: int) -> str:
    return f"{total / n_samples:,.0f}"


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
    names += ["max abs error", "relative L2", "SQNR dB"] * has_errors
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
            cells += [_number(row[key]) for key in _ERRORS]
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
