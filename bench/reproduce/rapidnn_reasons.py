"""Why RAPIDNN's published ratios do not follow from what is known, each with its own figures."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["reasons"]

Found = Mapping[str, Any]


def reasons(found: Found) -> Iterator[str]:
    """Say what cannot be derived, and what the figures above say of it."""
    ratios = [row for network in found["networks"] for row in network["ratios"]]
    yield _energy(found, ratios)
    yield _additions(found)
    yield _speed(found, ratios)
    yield (
        "Energy of filling tables and of moving codes is not published; both are free here, which "
        "favours RAPIDNN. A network with more neurons than RNAs fills them for every image: at 1 "
        "pJ a bit that would outweigh all else (table_write_bit above)."
    )
    quoted = found["quoted"]
    implied = quoted["isaac"]["energy"] / quoted["pipelayer"]["energy"]
    lines = [network["consistency"] for network in found["networks"]]
    ours = [line["energy, ours"] for line in lines]
    worse = 1 / lines[0]["energy, by PipeLayer's GOPS/s/W"]
    yield (
        f"The two energy ratios imply that PipeLayer is {implied:.2f}x better than ISAAC; the "
        f"figures that PipeLayer's paper is quoted with have it {worse:.1f}x worse, and ours "
        f"{1 / max(ours):.0f}x to {1 / min(ours):.0f}x, by codes written between layers. So prices "
        "that give one of RAPIDNN's energy ratios do not give the other."
    )


def _span(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.2g}x to {high:.2g}x"


def _energy(found: Found, ratios: list[Found]) -> str:
    parts = []
    for machine, quoted in found["quoted"].items():
        by_table: dict[str, list[float]] = {}
        for row in ratios:
            if row["machine"] == machine:
                for table, value in row["energy"].items():
                    by_table.setdefault(table, []).append(value)
        spans = ", ".join(f"{table} {_span(values)}" for table, values in by_table.items())
        parts.append(f"over {machine} {spans}, not {quoted['energy']}x")
    return (
        f"Energy (RA1) cannot be derived: {'; '.join(parts)}. What a cycle of NOR or a gate takes "
        "is not known, and decides; the table above says what it would have to be."
    )


def _additions(found: Found) -> str:
    shares = []
    for network in found["networks"]:
        events = network["uses"][0]["events"]
        pairs = 100 * events["product_read"] / events["counter_inc"]
        operands = events["operand_write"] / events["nor_sum"]
        shares.append(f"{network['name']} {pairs:.0f} % and {operands:.0f} operands a sum")
    return (
        "Counting saves few additions with codebooks of 64: of all products, pairs that differ are "
        f"{', '.join(shares)}. A neuron adds them by NOR on 48 bits, where a crossbar adds for "
        "nothing and pays for converting."
    )


def _speed(found: Found, ratios: list[Found]) -> str:
    parts = []
    for machine, quoted in found["quoted"].items():
        one = [
            row["latency"]
            for row in ratios
            if row["machine"] == machine and row["machine_schedule"] == "one copy"
        ]
        fair = [
            row["per_area"]
            for row in ratios
            if row["machine"] == machine and row["machine_schedule"] == "copies, pipeline"
        ]
        parts.append(
            f"over {machine} {_span(one)} in latency where it has one copy of each layer, "
            f"{_span(fair)} in images/s and mm2 where it runs as its paper does, quoted "
            f"{quoted['speed']}x"
        )
    return (
        f"Speed (RA2) depends on the baseline more than on RAPIDNN: {'; '.join(parts)}. The "
        "published ratios lie between; which schedule and which area they compare is not known."
    )
