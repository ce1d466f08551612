"""The tables of `rapidnn`, from its result as plain values."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import Any

from bench.reproduce.aligned import aligned
from bench.reproduce.rapidnn_reasons import reasons

__all__ = ["text"]

Found = Mapping[str, Any]
Line = Sequence[str]


def text(found: Found) -> str:
    """Write the result as tables."""
    parts = [_uses, _ratios, _needed, _consistency, _swept, _memory, _gaussian, _versions]
    blocks = ["\n".join(part(found)) for part in parts]
    if found["real"] is not None:
        blocks += ["\n".join(part(found)) for part in (_loss, _matches)]
    why = [fill(r, 100, initial_indent="  - ", subsequent_indent="    ") for r in reasons(found)]
    return "\n\n".join([*blocks, "\n".join(["what cannot be derived, and why", *why])])


def _kind(network: Found) -> str:
    return "real images" if network["real"] else "random weights and images"


def _uses(found: Found) -> Iterator[str]:
    tables = ", ".join(f"{name}: {title}" for name, title in found["price_tables"].items())
    yield f"one image on each machine; price tables {tables}"
    for network in found["networks"]:
        yield f"{network['name']} ({_kind(network)}; ISAAC and PipeLayer from its shape)"
        rows = [
            (
                "rapidnn",
                use["schedule"],
                f"{use['n_chips']}",
                f"{use['area_mm2']:,.1f}",
                f"{use['latency_s'] * 1e6:,.2f}",
                f"{1 / use['interval_s']:,.0f}",
                *(f"{pj / 1e6:,.2f}" for pj in use["energy_pj"].values()),
            )
            for use in network["uses"]
        ]
        rows += [
            (
                other["machine"],
                other["schedule"],
                f"{other['use']['n_chips']}",
                f"{other['area_mm2']:,.1f}",
                f"{other['use']['latency_s'] * 1e6:,.2f}",
                f"{1 / other['use']['interval_s']:,.0f}",
                f"{other['use']['energy_pj'] / 1e6:,.2f}",
                "",
            )
            for other in network["baselines"]
        ]
        head = ("machine", "schedule", "chips", "mm2 in use", "latency us", "images/s", "uJ")
        yield from aligned((*head, "uJ by gates"), rows, 2)


def _ratios(found: Found) -> Iterator[str]:
    quoted = found["quoted"]
    for machine, figures in quoted.items():
        yield (
            f"RA1, RA2  over {machine}: quoted energy {figures['energy']}x, speed "
            f"{figures['speed']}x; ours:"
        )
        rows = [
            (
                row["network"],
                row["schedule"],
                row["machine_schedule"],
                *(_times(value) for value in row["energy"].values()),
                *(_times(row[name]) for name in ("latency", "speed", "per_chip", "per_area")),
            )
            for network in found["networks"]
            for row in network["ratios"]
            if row["machine"] == machine
        ]
        energies = [f"energy, {name}" for name in found["networks"][0]["uses"][0]["energy_pj"]]
        head = ("network", "rapidnn", machine, *energies)
        yield from aligned((*head, "latency", "images/s", "a chip", "a mm2"), rows, 3)


def _times(value: float) -> str:
    return (
        f"{value:,.4f}x" if value < 0.1 else f"{value:,.2f}x" if value < 100 else f"{value:,.0f}x"
    )


def _needed(found: Found) -> Iterator[str]:
    yield (
        "what would have to be, all else standing, for the published ratio over a baseline with "
        "copies and pipeline"
    )
    rows = [
        (
            row["network"],
            row["machine"],
            f"{row['metric']} {row['quoted']}x",
            _times(row["ours"]),
            row["number"],
            f"{row['now']:g}",
            "below 0: none" if row["value"] is None else f"{row['value']:.3g}",
        )
        for network in found["networks"]
        for row in network["needed"]
    ]
    yield from aligned(("network", "over", "quoted", "ours", "number", "now", "needed"), rows, 5)


def _consistency(found: Found) -> Iterator[str]:
    yield "PipeLayer over ISAAC, above 1: PipeLayer is better"
    names = [network["name"] for network in found["networks"]]
    lines = found["networks"][0]["consistency"]
    rows = [
        (line, *(f"{network['consistency'][line]:.2f}" for network in found["networks"]))
        for line in lines
    ]
    yield from aligned(("", *names), rows)
    chip = found["chip"]
    yield (
        f"  RAPIDNN's own peaks, recalled: {chip['GOPS/s/mm2']} GOPS/s/mm2 are "
        f"{chip['TOPS by area']:.0f} TOPS, {chip['GOPS/s/W']} GOPS/s/W "
        f"{chip['TOPS by power']:.0f}; "
        f"{chip['MAC an RNA and ns by area']:.2f} or {chip['MAC an RNA and ns by power']:.2f} MAC "
        "an RNA and ns"
    )


def _swept(found: Found) -> Iterator[str]:
    yield "one number changed, one chip: energy and time as factors of what they were"
    rows = [
        (
            row["network"],
            row["change"],
            ", ".join(f"{name} {value:.3f}" for name, value in row["energy"].items()),
            f"{row['interval']:.3f}",
        )
        for row in found["swept"]
    ]
    yield from aligned(("network", "change", "energy", "time"), rows, 3)


def _memory(found: Found) -> Iterator[str]:
    yield (
        f"RA4  bytes of a neuron's tables; quoted about {found['quoted_kilobytes']:g} KB. 64 x 64 "
        "products of 16 bits are 8 KB, 32 x 64 are 4 KB"
    )
    rows = [
        (
            row["network"],
            row["layer"],
            f"{row['neurons']:,}",
            f"{row['weights']} x {row['inputs']} x {row['bits']}",
            f"{row['products']:,}",
            f"{row['tables']:,}",
            f"{row['halved']:,}",
        )
        for row in found["memory"]
    ]
    head = ("network", "layer", "neurons", "products", "bytes", "all tables", "in 16 bits")
    yield from aligned(head, rows, 2)


def _gaussian(found: Found) -> Iterator[str]:
    yield "RA7  per cent of searches whose winner is not the nearest: Gaussian numbers, seeded"
    rows = [
        (
            f"{row['bits']} bits, {row['rows']} rows",
            row["mode"] if row["mode"] == "wxor" else f"staged, {row['stage_bits']} bits",
            f"{row['quoted']:.1f}",
            f"{row['samples']:.1f}",
            f"{row['quantiles']:.1f}",
        )
        for row in found["gaussian"]
    ]
    head = ("words", "match", "known", "codebook of samples", "of quantiles")
    yield from aligned(head, rows, 2)


def _versions(found: Found) -> Iterator[str]:
    yield "RA6  version 1 on arXiv, quoted only: other machines, so no ratio here compares"
    yield "  " + ", ".join(f"{what} {value}x" for what, value in found["first_version"].items())


def _loss(found: Found) -> Iterator[str]:
    limits = ", ".join(f"{name} below {most}" for name, most in found["quoted_loss"].items())
    yield f"RA3, RA5, RA7  accuracy in per cent, and points lost to float; quoted loss {limits}"
    points = found["real"]["points"]
    sizes = sorted({p["size"] for p in points})
    lines = dict.fromkeys((p["network"], p["curve"]) for p in points)
    rows = []
    for network, curve in lines:
        here = {p["size"]: p for p in points if (p["network"], p["curve"]) == (network, curve)}
        first = next(iter(here.values()))
        cells = [
            f"{100 * here[s]['accuracy']:.1f} ({here[s]['loss_points']:+.1f})" if s in here else "-"
            for s in sizes
        ]
        real = f"{100 * first['float_accuracy']:.1f}"
        rows.append((network, curve, f"{first['n_images']}", real, *cells))
    yield from aligned(("network", "match", "images", "float", *map(str, sizes)), rows, 2)


def _matches(found: Found) -> Iterator[str]:
    yield "RA7  per cent of searches whose winner is not the nearest: sums of real layers"
    rows = [
        (
            network,
            layer["layer"],
            f"{layer['searches']:,}",
            *(f"{100 * share:.2f}" for share in layer["by_mode"].values()),
            *(f"{apart:.2f}" for apart in layer["apart"].values()),
        )
        for network, layers in found["real"]["matches"].items()
        for layer in layers
    ]
    modes = list(next(iter(found["real"]["matches"].values()))[0]["by_mode"])
    apart = [f"{mode}, codes apart" for mode in modes]
    yield from aligned(("network", "layer", "searches", *modes, *apart), rows, 2)
