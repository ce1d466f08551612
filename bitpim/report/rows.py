"""A result as plain rows and values: what tables, CSV, JSON and data frames are made of."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bitpim.config import PresetLabel
from bitpim.units import cycles_to_s

if TYPE_CHECKING:
    from bitpim.report.result_records import Result

__all__ = [
    "ERRORS",
    "OWN",
    "Row",
    "flat_rows",
    "label_of",
    "layer_rows",
    "phase_rows",
    "totals",
    "values",
]

_PLAN = ("arrays", "lanes", "passes", "utilization")
OWN = "own_settings"
ERRORS = ("max_abs", "relative_l2", "sqnr_db")
Row = dict[str, Any]


def label_of(result: "Result") -> PresetLabel:
    """Return what the settings of a run are called."""
    return PresetLabel.of_text(result.header.preset)


def layer_rows(result: "Result") -> list[Row]:
    """Return one row a layer; what is not known is None.

    `own_settings`, what the layer had beside the settings of all, is there where a layer had any.
    `cycles_by_phase` and `energy_pj_by_phase` are by phase, `events` by event and `headlines` by
    name, over all samples; the error figures over the first `n_references` of them.
    """
    legend = result.legend
    errors = {} if result.figures is None else {f.index: f for f in result.figures.layers}
    own = (OWN,) if any(OWN in layer.plan for layer in result.layers) else ()
    rows = []
    for layer in result.layers:
        figures = errors.get(layer.index)
        cycles, events = legend.elapsed(layer.cycles), layer.events()
        rows.append(
            {
                "index": layer.index,
                "name": layer.name,
                "kind": layer.kind,
                **{key: layer.plan.get(key) for key in _PLAN + own},
                "cycles": cycles,
                "time_s": _seconds(result, cycles),
                "energy_pj": layer.total_energy_pj if result.prices_name else None,
                "n_references": figures.n_samples if figures else 0,
                **{key: getattr(figures, key, None) for key in ERRORS},
                "cycles_by_phase": dict(layer.cycles),
                "energy_pj_by_phase": dict(layer.energy_pj),
                "events": events,
                "headlines": legend.figures(events),
            }
        )
    return rows


def _seconds(result: "Result", cycles: int) -> float | None:
    clock = result.legend.clock_ghz
    return None if clock is None else cycles_to_s(cycles, clock)


def flat_rows(result: "Result") -> list[Row]:
    """Return one flat record a layer, each bearing the run it is of; all have the same columns.

    Phases are columns `cycles.PHASE` and `energy_pj.PHASE`, events `events.EVENT`.
    """
    events = sorted(result.events())
    run = _run(result)
    flat = []
    for row in layer_rows(result):
        plain = run | {key: value for key, value in row.items() if not isinstance(value, dict)}
        for phase in result.phases:
            plain[f"cycles.{phase}"] = row["cycles_by_phase"].get(phase, 0)
            if result.prices_name:
                plain[f"energy_pj.{phase}"] = row["energy_pj_by_phase"].get(phase, 0.0)
        plain |= {f"events.{event}": row["events"].get(event, 0) for event in events}
        flat.append(plain)
    return flat


def _run(result: "Result") -> Row:
    """Return the columns that say which run a record is of."""
    header, label = result.header, label_of(result)
    return {
        "trace": header.trace_name,
        "machine": header.machine,
        **label.to_dict(),
        "settings": label.assignments,
        "fidelity": header.fidelity,
        "samples": f"{header.start}:{header.stop}",
        "prices": result.prices_name or None,
    }


def phase_rows(result: "Result") -> list[Row]:
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


def totals(result: "Result") -> Row:
    """Return what the whole run took; what is not known is None.

    Of a pipeline of layers also the cycles from one sample to the next, and of one through it.
    """
    events = result.events()
    pace = dict(zip(("interval_cycles", "latency_cycles"), result.pace or (), strict=False))
    return {
        "samples": result.header.n_samples,
        "cycles": result.elapsed_cycles,
        "time_s": _seconds(result, result.elapsed_cycles),
        **pace,
        "energy_pj": result.total_energy_pj if result.prices_name else None,
        "events": events,
        "headlines": result.legend.figures(events),
    }


def values(result: "Result") -> Row:
    """Return the whole report as plain values (floats may be nan or infinite)."""
    header = result.header
    return {
        "trace": header.trace_name,
        "trace_digest": header.trace_digest,
        "machine": header.machine,
        **label_of(result).to_dict(),
        "fidelity": header.fidelity,
        "samples": [header.start, header.stop],
        "software": header.software,
        "options": dict(header.options),
        "provenance": dict(header.provenance),
        "prices": result.prices_name or None,
        "preset_text": header.preset,
        "legend": result.legend.to_dict(),
        "totals": totals(result),
        "phases": phase_rows(result),
        "layers": layer_rows(result),
        "figures": None if result.figures is None else asdict(result.figures),
    }
