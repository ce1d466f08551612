"""What the distance between Bit Prudent's published ratios and ours is made of, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["reasons"]

Found = Mapping[str, Any]


def reasons(found: Found) -> Iterator[str]:
    """Yield sentences; every number in them is of the result."""
    lasso = [row for row in found["public_runs"] if row["what"].startswith("group lasso")]
    known = [row for row in lasso if row["cost"] == "nc_paper_calibrated"]
    padded = next(row for row in known if row["layout"] == "padded, a list a filter")
    exact = next(row for row in known if row["layout"] == "exact, a list a filter")
    yield (
        f"BP1: which lanes the paper pruned is not known. The sparsest public run explains "
        f"{padded['compute']:.2f}x of products and trees in conv2 to conv5 with lanes padded to a "
        f"power of two, and {exact['compute']:.2f}x packed exactly; over all phases of these layers "
        f"{padded['pruned']:.2f}x and {exact['pruned']:.2f}x. The published "
        f"{found['quoted']['speed']:g}x is not reached, and nothing is tuned so that it is"
    )
    yield from _reached(found)
    yield (
        f"whole network: {padded['network']:.2f}x to {exact['network']:.2f}x, since loading the "
        "weights of the classifier, which has no lanes to prune, takes most of the time of one image"
    )
    yield _moves_most(found)
    yield _low_precision(found)
    energies = [row["energy"] for row in lasso]
    yield (
        f"BP3: {min(energies):.2f}x to {max(energies):.2f}x of energy by the price table of Neural "
        f"Cache (recalled), published {found['quoted']['energy']:g}x; only cycles, bytes and "
        "accesses have prices, gathering has none"
    )
    yield (
        "BP4: ratios over a CPU and a GPU are measurements of machines that are not emulated; "
        "17.7 / 1.6 says that Neural Cache is 11.1x a CPU on that mix, not its own 18.3x"
    )


def _reached(found: Found) -> Iterator[str]:
    """Say from which share of pruned lanes on the published speed is reached."""
    for metric, where in (("pruned", "conv2 to conv5"), ("network", "the whole network")):
        parts = []
        for layout in dict.fromkeys(row["layout"] for row in found["swept"]):
            rows = [row for row in found["swept"] if row["layout"] == layout]
            enough = [r["what"] for r in rows if r[metric] >= found["quoted"]["speed"]]
            most = max(row[metric] for row in rows)
            parts.append(f"{layout}: {'from ' + enough[0] if enough else f'never, {most:.2f}x'}")
        yield f"{found['quoted']['speed']:g}x over all phases of {where} is reached, " + "; ".join(
            parts
        )


def _moves_most(found: Found) -> str:
    spans: dict[str, list[float]] = {}
    for row in found["moved"]:
        spans.setdefault(row["key"], []).append(row["pruned"])
    by_key = {key: max(values) / min(values) for key, values in spans.items()}
    order = sorted(by_key, key=lambda key: -by_key[key])
    listed = ", ".join(f"{key} {by_key[key]:.2f}x" for key in order)
    return (
        f"{order[0]} moves the ratio of conv2 to conv5 most at {found['moved_share']:.0%} of lanes "
        f"(largest over least: {listed})"
    )


def _low_precision(found: Found) -> str:
    rows = {(row["form"], row["ends_in_8_bits"]): row for row in found["narrow"]}
    ternary, binary = rows["ternary x 8 bits", False], rows["binary x binary", False]
    ends = rows["ternary x 8 bits", True]
    return (
        f"BP2: ternary weights and activations of 8 bits give {ternary['compute']:.2f}x of products "
        f"and trees, {ternary['convolutions']:.2f}x of the convolutions and "
        f"{ternary['network']:.2f}x of the network ({ends['network']:.2f}x with first and last "
        f"layer at 8 bits); signs alone {binary['compute']:.2f}x, {binary['convolutions']:.2f}x and "
        f"{binary['network']:.2f}x. The published {found['quoted']['low_precision']:g}x names no "
        "widths, and may be of pruned networks"
    )
