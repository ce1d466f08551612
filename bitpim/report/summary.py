"""A result in a few lines."""

from typing import TYPE_CHECKING

from bitpim.cost.model import energy
from bitpim.cost.tables import parse_prices
from bitpim.report.figures import ErrorFigures
from bitpim.report.rows import label_of
from bitpim.report.text import bar, printable, share, with_commas
from bitpim.units import HZ_PER_GHZ, cycles_to_s, pj_to_j, with_prefix

if TYPE_CHECKING:
    from bitpim.report.result_records import Result

__all__ = ["float_accuracy_text", "result_lines", "title"]


def title(result: "Result") -> str:
    """Say what ran, with every setting that was changed by hand."""
    header = result.header
    return printable(
        f"{header.trace_name} on {header.machine}, {label_of(result)}, {header.fidelity} fidelity, "
        f"samples {header.start}:{header.stop}"
    )


def result_lines(result: "Result") -> list[str]:
    """Say accuracy, cycles, energy, headlines and where the cycles went, one line each."""
    lines = []
    figures = result.figures
    if figures is not None and figures.accuracy is not None:
        right = round(figures.accuracy * figures.n_labelled)
        lines.append(
            f"accuracy    {figures.accuracy:.4f}, {share(right, figures.n_labelled)}"
            f"{float_accuracy_text(figures)}"
        )
    if figures is not None and figures.top1_agreement is not None:
        same = round(figures.top1_agreement * figures.n_compared)
        lines.append(f"agreement   {share(same, figures.n_compared)} with the float network")
    n_cycles = result.elapsed_cycles
    lines.append(
        f"cycles      {with_commas(n_cycles)}{_seconds(result, n_cycles)}{_each(result, n_cycles)}"
        + (" (streaming beside computing)" if result.legend.overlaps else "")
        + _pace(result)
    )
    if result.prices_name:
        lines.append(f"energy      {_energy(result)}")
    lines += _headlines(result)
    phases = {phase: n for phase, n in result.cycles_by_phase.items() if n}
    if len(phases) > 1:
        lines += [f"{'' if i else 'phases':<12}{line}" for i, line in enumerate(bar(phases))]
    return lines


def float_accuracy_text(figures: ErrorFigures) -> str:
    """Say how often the float network is right, over what samples, to end a line; or nothing."""
    if figures.float_accuracy is None:
        return ""
    right = round(figures.float_accuracy * figures.n_float_labelled)
    of = share(right, figures.n_float_labelled)
    return f"; float network {figures.float_accuracy:.4f}, {of}"


def _headlines(result: "Result") -> list[str]:
    """Say the machine's headlines in one line, but for those that come to nothing."""
    events = result.events()
    told = [
        f"{headline.text(events)} {headline.name}"
        for headline in result.legend.headlines
        if headline.value(events)
    ]
    return [printable(f"events      {', '.join(told)}")] if told else []


def _seconds(result: "Result", n_cycles: int) -> str:
    """Say the time, where the clock of the cycles is known."""
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


def _pace(result: "Result") -> str:
    """Say that layers work at the same time, and how often a sample comes out."""
    if result.pace is None:
        return ""
    interval, latency = map(with_commas, result.pace)
    return f" (layers in a pipeline: a sample every {interval}, each takes {latency})"


def _energy(result: "Result") -> str:
    """Say the energy, the price table, and how sure its prices are, by share of the energy."""
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
    energy_j, n_samples = pj_to_j(result.total_energy_pj), result.header.n_samples
    each = f", {with_prefix(energy_j / n_samples, 'J')} a sample," if n_samples > 1 else ""
    return printable(
        f"{with_prefix(energy_j, 'J')}{each} by {result.prices_name}"
        f"{f' (prices {shares})' if shares else ''}"
    )
