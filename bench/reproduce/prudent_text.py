"""The tables of `bit_prudent`, from its result as plain values."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import Any

from bench.reproduce.aligned import aligned
from bench.reproduce.prudent_reasons import reasons

__all__ = ["text"]

Found = Mapping[str, Any]
Line = Sequence[str]


def text(found: Found) -> str:
    """Write the result as tables."""
    parts = [_anchors, _speeds, _swept, _shared, _narrow, _moved, _quoted]
    blocks = ["\n".join(part(found)) for part in parts]
    why = [fill(r, 100, initial_indent="  - ", subsequent_indent="    ") for r in reasons(found)]
    return "\n\n".join([*blocks, "\n".join(["why they differ", *why])])


def _anchors(found: Found) -> Iterator[str]:
    yield "NC1 to NC3: what Bit Prudent is built on"
    rows = [
        (a["row"], a["metric"], f"{a['paper']:,}", f"{a['ours']:,}", _verdict(a["holds"]))
        for a in found["anchors"]
    ]
    latency = found["inception_v3"]
    rows += [
        ("NC3", f"Inception v3, ms, {name}", f"{latency['quoted_ms']:g}", f"{ms:.2f}", "")
        for name, ms in latency["latency_ms"].items()
    ]
    yield from aligned(("row", "metric", "paper", "ours", ""), rows, 2)


def _verdict(holds: bool) -> str:
    return "equal" if holds else "MISSED"


_RATIOS = ("compute", "pruned", "convolutions", "network", "energy", "filter_bytes")
_HEAD = (
    "mac, tree conv2-5",
    "conv2-5",
    "convolutions",
    "network",
    "energy",
    "filter bytes",
)


def _ratios(row: Found) -> list[str]:
    return [f"{row[name]:.2f}" for name in _RATIOS]


def _speeds(found: Found) -> Iterator[str]:
    quoted = found["quoted"]
    yield (
        f"BP1, BP3: one image of AlexNet over Neural Cache (published {quoted['speed']:g}x speed, "
        f"{quoted['energy']:g}x energy efficiency); 8 bits, lanes that public runs left zero"
    )
    rows = [
        (row["what"], row["layout"], row["cost"], *_ratios(row)) for row in found["public_runs"]
    ]
    yield from aligned(("run", "lanes", "cycles by", *_HEAD), rows, 3)


def _swept(found: Found) -> Iterator[str]:
    yield "lanes pruned in conv2 to conv5, recalled cycles (236 a product, 132 a step of the tree)"
    rows = [(row["what"], row["layout"], *_ratios(row)) for row in found["swept"]]
    yield from aligned(("pruned", "lanes", *_HEAD), rows, 2)


def _shared(found: Found) -> Iterator[str]:
    yield "filters that overlap in conv2 to conv5: of a group each keeps its share of the channels"
    rows = [(row["what"], row["layout"], *_ratios(row)) for row in found["shared"]]
    yield from aligned(("groups", "reduction", *_HEAD), rows, 2)


def _narrow(found: Found) -> Iterator[str]:
    yield (
        f"BP2: fewer bits, nothing pruned, over 8 x 8 bits on Neural Cache (published "
        f"{found['quoted']['low_precision']:g}x); closed formulas"
    )
    rows = [
        (
            row["form"],
            "8 bits" if row["ends_in_8_bits"] else "alike",
            *(f"{row[name]:.2f}" for name in ("compute", "convolutions", "network", "energy")),
        )
        for row in found["narrow"]
    ]
    head = ("weights x activations", "first, last", _HEAD[0], *_HEAD[2:5])
    yield from aligned(head, rows, 2)


def _moved(found: Found) -> Iterator[str]:
    yield f"one thing changed; lanes of {found['moved_run']}, closed formulas"
    rows = [
        (row["key"], row["value"], f"{row['pruned']:.2f}", f"{row['network']:.2f}")
        for row in found["moved"]
    ]
    yield from aligned(("what", "value", "conv2-5", "network"), rows, 2)


def _quoted(found: Found) -> Iterator[str]:
    yield "quoted, not emulated"
    rows = [(row, what, value) for row, what, value in found["not_emulated"]]
    yield from aligned(("row", "metric", "paper"), rows, 2)
