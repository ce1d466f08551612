"""What the distance between Bit Prudent's published ratios and ours is made of, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["reasons"]

Found = Mapping[str, Any]


def reasons(found: Found) -> Iterator[str]:
    """Yield sentences; every number in them is of the result."""
    lasso = [row for row in found["public_runs"] if row["what"].startswith("group lasso")]
    known = [row for row in lasso if row["cost"] == "nc_paper_calibrated"]
    padded = next(row for row in known if row["layout"] == "padded")
    exact = next(row for row in known if row["layout"] == "exact, across arrays")
    dense = next(
        row
        for row in found["public_runs"]
        if (row["what"], row["layout"], row["cost"])
        == ("nothing pruned", "exact, across arrays", "nc_paper_calibrated")
    )
    yield (
        f"BP1: which lanes the paper pruned is not known. The sparsest public run explains "
        f"{padded['compute']:.2f}x of products and trees in conv2 to conv5 with lanes padded to a "
        f"power of two, and {exact['compute']:.2f}x packed exactly, across arrays, where packing "
        f"alone, with nothing pruned, gives {dense['compute']:.2f}x; over all phases of these "
        f"layers {padded['pruned']:.2f}x, {exact['pruned']:.2f}x and {dense['pruned']:.2f}x. "
        f"Nothing is tuned to print the published {found['quoted']['speed']:g}x"
    )
    yield from _reached(found)
    yield (
        f"whole network: {padded['network']:.2f}x to {exact['network']:.2f}x, since loading the "
        "weights of the classifier, which the runs prune weight by weight and not by lanes, takes "
        "most of the time of one image"
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
    swept = [row["pruned"] for row in found["swept"] if row["layout"] == "padded"]
    listed = ", ".join(f"{key} {by_key[key]:.2f}x" for key in order)
    return (
        f"of what the paper leaves open, {order[0]} moves the ratio of conv2 to conv5 most "
        f"(largest over least: {listed}); the share of lanes that are pruned moves it more, "
        f"{max(swept) / min(swept):.1f}x from {found['swept'][0]['what']} to "
        f"{found['swept'][-1]['what']}, padded"
    )


def _low_precision(found: Found) -> str:
    rows = {(row["form"], row["ends_in_8_bits"]): row for row in found["narrow"]}
    ternary, binary = rows["ternary x 8 bits", False], rows["binary x binary", False]
    ends = rows["ternary x 8 bits", True]
    return (
        f"BP2: ternary weights and activations of 8 bits give {ternary['compute']:.2f}x of "
        f"products and trees, {ternary['convolutions']:.2f}x of the convolutions and "
        f"{ternary['network']:.2f}x of the network ({ends['network']:.2f}x with first and last "
        f"layer at 8 bits); signs alone {binary['compute']:.2f}x, "
        f"{binary['convolutions']:.2f}x and {binary['network']:.2f}x. The published "
        f"{found['quoted']['low_precision']:g}x names no widths, and may be of pruned networks"
    )
