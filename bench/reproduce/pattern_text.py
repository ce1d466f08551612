"""The tables of `pattern_crossbar`, from its result as plain values."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import Any

from bench.reproduce.aligned import aligned
from bench.reproduce.pattern_reasons import reasons

__all__ = ["text", "verdict"]

Found = Mapping[str, Any]
Line = Sequence[str]


def verdict(ours: float, quoted: Sequence[float]) -> str:
    """Say where a ratio lies to the paper's range."""
    low, high = quoted
    return "below" if ours < low else "above" if ours > high else "in"


def text(found: Found) -> str:
    """Write the result as tables."""
    parts = [_anchors, _edges, _points, _index, _layers, _grid, _zero_inputs, _sensitivity, _sparse]
    blocks = ["\n".join(part(found)) for part in parts]
    if found["real"]["figures"]:
        blocks.append("\n".join(_real(found)))
    why = [fill(r, 100, initial_indent="  - ", subsequent_indent="    ") for r in reasons(found)]
    return "\n\n".join([*blocks, "\n".join(["why they differ", *why])])


def _anchors(found: Found) -> Iterator[str]:
    yield "anchors: our own mapping and settings against numbers that must come out exactly"
    rows = [
        (
            row["row"],
            row["metric"],
            f"{row['expected']:,}",
            f"{row['ours']:,}",
            "equal" if row["holds"] else "MISSED",
            row["origin"],
        )
        for row in found["anchors"]
    ]
    yield from aligned(("row", "what", "expected", "ours", "", "origin"), rows, 2)
    yield "quoted, not held to"
    for row in found["quotes"]:
        yield f"  {row['metric']}: quoted {row['quoted']:g}, ours {row['ours']:.1f}; {row['note']}"


def _edges(found: Found) -> Iterator[str]:
    yield (
        "the dense mapping, one image: arrays too tall to cut an operation unit (the formula), and "
        "512 rows"
    )
    yield (
        "  array: units of 9 rows tile an array from its first row, 56 and one of 8 in 512; "
        "window: a channel's 9 rows keep together, 504 of 512 rows used"
    )
    rows = [
        (
            row["network"],
            row["widths"],
            row["rows"],
            *(f"{row[name]:,}" for name in ("reads", "crossbars", "cycles")),
        )
        for row in found["edges"]
    ]
    yield from aligned(("network", "widths", "rows", "OU reads", "crossbars", "cycles"), rows, 3)


def _ratio(ratios: Found, name: str) -> str:
    return f"{ratios[name]:.2f}x"


def _priced(ratios: Found, tables: Sequence[str]) -> list[str]:
    return [f"{ratios['energy'][t]:.2f}x" if t in ratios["energy"] else "-" for t in tables]


def _crossbar_tables(found: Found) -> list[str]:
    """Return the price tables that price any point, in alphabetical order."""
    return sorted({table for row in found["points"] for table in row["ratios"]["energy"]})


def _points(found: Found) -> Iterator[str]:
    quoted, tables = found["quoted"], _crossbar_tables(found)
    yield "PP1 to PP5  dense over pattern mapping, convolutions of VGG-16; the paper's VGG-16:"
    for name, (area, joules, speed, sparsity) in quoted["by_data_set"].items():
        yield (
            f"  {name:10} area {area:.2f}x  energy {joules:.2f}x  speed {speed:.2f}x  sparsity "
            f"{sparsity:.1f} %  (recalled; the ranges {_span(quoted['area'])}, "
            f"{_span(quoted['energy'])}, {_span(quoted['speed'])} are found)"
        )
    yield "  ours: seeded patterns, no input skipped; energy by each table that prices all events"
    named = [f"{name}: {' over '.join(pair)}" for name, pair in found["presets"].items()]
    yield f"  presets {'; '.join(named)}"
    yield "  vgg16 (ImageNet) has 49 times the positions of vgg16_cifar in each layer: equal ratios"
    rows = [
        (
            row["network"],
            row["preset"],
            row["pruning"],
            f"{100 * row['sparsity']:.1f} %",
            f"{row['dense']['crossbars']}/{row['pattern']['crossbars']}",
            _ratio(row["ratios"], "area"),
            verdict(row["ratios"]["area"], quoted["area"]),
            _ratio(row["ratios"], "reads"),
            verdict(row["ratios"]["reads"], quoted["speed"]),
            _ratio(row["ratios"], "cycles"),
            *_priced(row["ratios"], tables),
            f"{_kilobytes(row['index']):.0f}",
        )
        for row in found["points"]
    ]
    head = ("network", "preset", "patterns", "sparsity", "crossbars", "area", "", "reads", "")
    yield from aligned((*head, "cycles", *tables, "index KB"), rows, 3)
    dropped = sorted(set(found["price_tables"]) - set(tables))
    yield (
        "  reads: all OU reads. cycles: the busiest crossbar, layer after layer. Energy is that of "
        "all events, buffers and indices too; -: the table has no converter of that width"
    )
    yield f"  price tables: {', '.join(tables)}; no prices for crossbars: {', '.join(dropped)}"


def _span(ends: Sequence[float]) -> str:
    return f"{ends[0]:.2f}-{ends[1]:.2f}x"


def _kilobytes(index: Found) -> float:
    names = ("output_bits", "pattern_bits", "channel_bits", "width_bits")
    return float(sum(index[name] for name in names) / 8 / 1024)


def _index(found: Found) -> Iterator[str]:
    low, high = found["quoted"]["index_kilobytes"]
    yield f"PP4  index storage, KB; the paper's {low} to {high} (recalled)"
    names = ("output_bits", "pattern_bits", "channel_bits", "width_bits")
    seen: dict[str, Found] = {}
    for row in found["points"]:
        seen.setdefault(row["pruning"], row["index"])
    rows = [
        (
            pruning,
            f"{index['kernels']:,}",
            f"{index['blocks']:,}",
            *(f"{index[name] / 8192:.1f}" for name in names),
            f"{_kilobytes(index):.1f}",
        )
        for pruning, index in seen.items()
    ]
    head = ("patterns", "kernels", "blocks", "outputs", "patterns", "channels", "widths", "all")
    yield from aligned(head, rows)


def _layers(found: Found) -> Iterator[str]:
    yield f"PP3  layer by layer, dense and pattern ({found['base']}), CIFAR, 16-bit, 512 x 512"
    rows = [
        (
            row["name"],
            *(f"{n:,}" for pair in ("crossbars", "reads", "cycles") for n in row[pair]),
            f"{row['reads'][0] / row['reads'][1]:.2f}x",
            f"{row['cycles'][0] / row['cycles'][1]:.2f}x",
        )
        for row in found["layers"]
    ]
    head = ("layer", "crossbars", "", "reads", "", "cycles", "", "reads", "cycles")
    yield from aligned(head, rows)


def _grid(found: Found) -> Iterator[str]:
    yield (
        "all layers with k kept entries and a share z of all-zero kernels (P=8, CIFAR, 16-bit, "
        "512 x 512); * in the paper's range"
    )
    shares = sorted({row["zero_share"] for row in found["grid"]})
    cells = {(row["kept"], row["zero_share"]): row["ratios"] for row in found["grid"]}
    for title, key, quoted in (
        ("area", "area", "area"),
        ("OU reads (against speed)", "reads", "speed"),
        ("cycles (against speed)", "cycles", "speed"),
        ("energy, table yu2020", "yu2020", "energy"),
        ("energy, table isaac", "isaac", "energy"),
    ):
        rows = [
            (f"k={k}", *(_starred(cells[k, z], key, found["quoted"][quoted]) for z in shares))
            for k in sorted({k for k, _ in cells})
        ]
        yield from aligned((title, *(f"z={z:g}" for z in shares)), rows)


def _value(ratios: Found, key: str) -> float:
    return float(ratios[key] if key in ratios else ratios["energy"][key])


def _starred(ratios: Found, key: str, quoted: Sequence[float]) -> str:
    ours = _value(ratios, key)
    return f"{ours:.2f}{'*' if verdict(ours, quoted) == 'in' else ' '}"


def _zero_inputs(found: Found) -> Iterator[str]:
    yield (
        f"the second machine skips reads of zero inputs ({found['base']}): a share of inputs is "
        "zero, each by itself; expected"
    )
    rows = [(row["value"], *_marked(found, row["ratios"])) for row in found["zero_inputs"]]
    yield from aligned(("zero inputs", *_MARKED), rows)


_MARKED = ("area", "", "reads", "", "cycles", "", "yu2020", "", "isaac", "")


def _marked(found: Found, ratios: Found) -> list[str]:
    """Return ratios, each with where it lies to the paper's range."""
    cells = list[str]()
    for key, quoted in (("area", "area"), ("reads", "speed"), ("cycles", "speed")):
        cells += [_ratio(ratios, key), verdict(ratios[key], found["quoted"][quoted])]
    for table in ("yu2020", "isaac"):
        ours = ratios["energy"].get(table)
        cells += (
            ["-", ""]
            if ours is None
            else [
                f"{ours:.2f}x",
                verdict(ours, found["quoted"]["energy"]),
            ]
        )
    return cells


def _sensitivity(found: Found) -> Iterator[str]:
    yield (
        f"sensitivity: {found['base']}, CIFAR, 16-bit, 4-bit cells, 512 x 512; one thing changed, "
        "the ADC as wide as it must be to lose nothing"
    )
    rows = [
        (row["key"], row["value"], f"{100 * row['sparsity']:.1f} %", *_marked(found, row["ratios"]))
        for row in found["sensitivity"]
    ]
    yield from aligned(("changed", "to", "sparsity", *_MARKED), rows, 2)


def _sparse(found: Found) -> Iterator[str]:
    quoted = found["quoted"]["sre"]
    yield (
        f"PP6  SRE over its crossbars without skipping; quoted {quoted['speed_average']}x average "
        f"and {quoted['speed_most']}x most, energy {quoted['energy_saved_percent']} % less on "
        "average"
    )
    yield (
        "  ours: VGG-16 on CIFAR, whole rows and filters dropped; input bits 1 with that chance, "
        "each by itself; expected"
    )
    tables = _crossbar_tables(found)
    rows = [
        (
            f"{row['row_share']:g}, {row['filter_share']:g}",
            f"{100 * row['sparsity']:.1f} %",
            f"{row['bit_share']:g}",
            *(_ratio(row["ratios"], name) for name in ("area", "reads", "cycles")),
            *(_saved(row["ratios"], table) for table in tables),
        )
        for row in found["sparse"]
    ]
    head = ("rows, filters", "sparsity", "bits", "area", "reads", "cycles")
    yield from aligned((*head, *(f"{t} saved" for t in tables)), rows)


def _saved(ratios: Found, table: str) -> str:
    return f"{100 * (1 - 1 / ratios['energy'][table]):.1f} %" if table in ratios["energy"] else "-"


def _real(found: Found) -> Iterator[str]:
    yield from _real_networks(found)
    tables = _crossbar_tables(found)
    yield "real inputs: the pattern-pruned quarter-width VGG-16; dense without skipping over each"
    rows = [
        (
            row["preset"],
            row["skip"],
            f"{row['use']['crossbars']}",
            f"{row['use']['reads'] // row['n_images']:,}",
            f"{_skipped(row['use']):.1f} %",
            *(_ratio(row["ratios"], name) for name in ("area", "reads", "cycles")),
            *_priced(row["ratios"], tables),
        )
        for row in found["real"]["pattern"]
    ]
    head = ("preset", "skip", "crossbars", "reads an image", "skipped", "area", "reads", "cycles")
    yield from aligned((*head, *tables), rows, 2)
    yield "PP6  real inputs: SRE over its crossbars without skipping"
    rows = [
        (
            row["network"],
            f"{row['n_images']}",
            *(_ratio(row["ratios"], name) for name in ("area", "reads", "cycles")),
            *(_saved(row["ratios"], table) for table in tables),
        )
        for row in found["real"]["sparse"]
    ]
    saved = [f"{t} saved" for t in tables]
    yield from aligned(("network", "images", "area", "reads", "cycles", *saved), rows)


def _real_networks(found: Found) -> Iterator[str]:
    yield "PP5  real networks: sparsity and accuracy; the paper's VGG-16 82.5 to 86.0 % (recalled)"
    rows = [
        (
            row["network"],
            f"{100 * row['sparsity']:.1f} %",
            f"{100 * row['zero_kernel_share']:.1f} %",
            _share(row["float_accuracy"]),
            f"{row['n_float_images']}",
            _share(row["accuracy"]),
            f"{row['n_images']}",
            f"{100 * row['zero_share']:.1f} %",
            f"{100 * row['bit_share']:.1f} %",
        )
        for row in found["real"]["figures"]
    ]
    head = ("network", "sparsity", "zero kernels", "float", "of", "machine", "of", "zero inputs")
    yield from aligned((*head, "bits 1"), rows)


def _share(accuracy: float | None) -> str:
    return "-" if accuracy is None else f"{100 * accuracy:.2f} %"


def _skipped(use: Found) -> float:
    return float(100 * use["skipped"] / (use["reads"] + use["skipped"]))
