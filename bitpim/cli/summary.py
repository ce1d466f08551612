"""A result in a few lines, or in plain values."""

from typing import TYPE_CHECKING

from bitpim.cli.text import bar, share, with_commas

if TYPE_CHECKING:
    from bitpim.report.result_file import Result

__all__ = ["result_lines", "summary", "title"]


def title(result: "Result") -> str:
    """Say what ran."""
    from bitpim.report.tables import preset_name

    header = result.header
    return (
        f"{header.trace_name} on {header.machine}, preset {preset_name(result)}, "
        f"{header.fidelity} fidelity, "
        f"samples {header.start}:{header.stop}"
    )


def summary(result: "Result") -> dict[str, object]:
    """Describe a result in plain values."""
    header, events = result.header, result.events()
    return {
        "trace": header.trace_name,
        "trace_digest": header.trace_digest,
        "machine": header.machine,
        "fidelity": header.fidelity,
        "samples": [header.start, header.stop],
        "layers": [layer.name for layer in result.layers],
        "cycles": result.elapsed_cycles,
        "cycles_by_phase": result.cycles_by_phase,
        "events": events,
        "headlines": result.legend.figures(events),
        "energy_pj": result.total_energy_pj if result.prices_name else None,
        "prices": result.prices_name or None,
        "figures": None if result.figures is None else result.figures.as_dict(),
    }


def result_lines(result: "Result") -> list[str]:
    """Say accuracy, cycles, energy, headlines and where the cycles went, one line each."""
    lines = []
    figures = result.figures
    if figures is not None and figures.accuracy is not None:
        right = round(figures.accuracy * figures.n_labelled)
        lines.append(f"accuracy    {figures.accuracy:.4f}, {share(right, figures.n_labelled)}")
    if figures is not None and figures.top1_agreement is not None:
        same = round(figures.top1_agreement * figures.n_compared)
        lines.append(f"agreement   {share(same, figures.n_compared)} with the float network")
    n_cycles = result.elapsed_cycles
    lines.append(
        f"cycles      {with_commas(n_cycles)}{_seconds(result, n_cycles)}{_each(result, n_cycles)}"
    )
    if result.prices_name:
        lines.append(f"energy      {_energy(result)}")
    lines += _headlines(result)
    phases = {phase: n for phase, n in result.cycles_by_phase.items() if n}
    if len(phases) > 1:
        lines += [f"{'' if i else 'phases':<12}{line}" for i, line in enumerate(bar(phases))]
    return lines


def _headlines(result: "Result") -> list[str]:
    """Say the machine's headlines in one line, but for those that come to nothing."""
    events = result.events()
    told = [
        f"{headline.text(events)} {headline.name}"
        for headline in result.legend.headlines
        if headline.value(events)
    ]
    return [f"events      {', '.join(told)}"] if told else []


def _seconds(result: "Result", n_cycles: int) -> str:
    """Say the time, where the clock of the cycles is known."""
    from bitpim.units import HZ_PER_GHZ, cycles_to_s, with_prefix

    clock = result.legend.clock_ghz
    if clock is None:
        return ""
    time = with_prefix(cycles_to_s(n_cycles, clock), "s")
    return f", {time} at {with_prefix(clock * HZ_PER_GHZ, 'Hz')}"


def _each(result: "Result", n_cycles: int) -> str:
    n_samples = result.header.n_samples
    if n_samples == 1:
        return ""
    return f", {with_commas(round(n_cycles / n_samples))} a sample"


def _energy(result: "Result") -> str:
    """Say the energy, the price table, and how sure its prices are, by share of the energy."""
    from bitpim.cost.model import energy
    from bitpim.cost.tables import parse_prices
    from bitpim.units import pj_to_j, with_prefix

    table = parse_prices(result.prices_text)
    by_event = energy(result.events(), table).by_event_pj
    total = sum(by_event.values())
    by_confidence: dict[str, float] = {}
    for event, part in by_event.items():
        confidence = table.price(event).confidence
        by_confidence[confidence] = by_confidence.get(confidence, 0.0) + part
    shares = ", ".join(
        f"{100 * part / total:.0f} % {confidence}"
        for confidence, part in sorted(by_confidence.items(), key=lambda item: -item[1])
        if part
    )
    return (
        f"{with_prefix(pj_to_j(result.total_energy_pj), 'J')} by {result.prices_name}"
        f"{f' (prices {shares})' if shares else ''}"
    )
