"""A result in a few lines, or in plain values."""

from typing import TYPE_CHECKING

from bitpim.cli.text import bar, share, with_commas

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bitpim.report.result_file import Result

__all__ = ["cycles_by_phase", "elapsed", "result_lines", "summary", "title"]


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
    header = result.header
    return {
        "trace": header.trace_name,
        "trace_digest": header.trace_digest,
        "machine": header.machine,
        "fidelity": header.fidelity,
        "samples": [header.start, header.stop],
        "layers": [layer.name for layer in result.layers],
        "cycles": elapsed(result),
        "cycles_by_phase": cycles_by_phase(result),
        "events": result.events(),
        "energy_pj": result.total_energy_pj if result.prices_name else None,
        "prices": result.prices_name or None,
        "figures": None if result.figures is None else result.figures.as_dict(),
    }


def cycles_by_phase(result: "Result") -> dict[str, int]:
    """Add the cycles of all layers, phase by phase."""
    total = dict.fromkeys(result.phases, 0)
    for layer in result.layers:
        for phase, n in layer.cycles.items():
            total[phase] += n
    return total


def result_lines(result: "Result") -> list[str]:
    """Say accuracy, cycles, energy and where the cycles went, one line each."""
    lines = []
    figures = result.figures
    if figures is not None and figures.accuracy is not None:
        right = round(figures.accuracy * figures.n_labelled)
        lines.append(f"accuracy    {figures.accuracy:.4f}, {share(right, figures.n_labelled)}")
    if figures is not None and figures.top1_agreement is not None:
        same = round(figures.top1_agreement * figures.n_compared)
        lines.append(f"agreement   {share(same, figures.n_compared)} with the float network")
    n_cycles = elapsed(result)
    lines.append(
        f"cycles      {with_commas(n_cycles)}{_seconds(result, n_cycles)}{_each(result, n_cycles)}"
    )
    if result.prices_name:
        lines.append(f"energy      {_energy(result)}")
    lines += _reads(result.events())
    phases = {phase: n for phase, n in cycles_by_phase(result).items() if n}
    if len(phases) > 1:
        lines += [f"{'' if i else 'phases':<12}{line}" for i, line in enumerate(bar(phases))]
    return lines


def _reads(events: "Mapping[str, int]") -> list[str]:
    """Say how often crossbars were read, where they were."""
    n_reads, n_skipped = events.get("ou_activation", 0), events.get("ou_skipped", 0)
    if not n_reads + n_skipped:
        return []
    n_conversions = sum(n for event, n in events.items() if event.startswith("adc_conv_"))
    left_out = f"{100 * n_skipped / (n_reads + n_skipped):.0f} % left out for zero inputs, "
    return [
        f"reads       {with_commas(n_reads)} of operation units, {left_out if n_skipped else ''}"
        f"{with_commas(n_conversions)} conversions"
    ]


def elapsed(result: "Result") -> int:
    """Add the cycles the layers take; phases may overlap, so it may be less than their sum."""
    from bitpim.report.tables import elapsed_cycles, timing_of

    _, overlap = timing_of(result)
    return sum(elapsed_cycles(layer, overlap) for layer in result.layers)


def _seconds(result: "Result", n_cycles: int) -> str:
    """Say the time, where the machine's preset states the clock of its cycles."""
    from bitpim.report.tables import timing_of
    from bitpim.units import HZ_PER_GHZ, cycles_to_s, with_prefix

    clock, _ = timing_of(result)
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
