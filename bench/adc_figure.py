"""The figure of accuracy against ADC bits: a line for each machine and ADC model."""

from collections.abc import Mapping
from typing import Any

from bitpim.report.figure_file import COLOURS, literal

__all__ = ["draw_accuracy"]

STYLES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (1, 3)))


def draw_accuracy(found: Mapping[str, Any]) -> Any:
    """Draw what `bench.adc_accuracy` wrote as JSON.

    Colours tell machines apart, line styles ADC models; later lines are thinner, so that those
    below show. A large ring marks the least width at which a machine is lossless; the accuracies of
    float and of exact integers are level lines.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    points = found["points"]
    machines = list(dict.fromkeys(p["preset"] or p["machine"] for p in points))
    models = list(dict.fromkeys(p["adc_model"] for p in points))
    figure = Figure(figsize=(6.4, 5.0), layout="constrained")
    axes = figure.subplots()
    for name, shown, drawn in (("float", "float", ":"), ("integer", "exact integers", "-")):
        if (share := found[f"{name}_accuracy"]) is not None:
            axes.axhline(100 * share, color="#777777", linewidth=0.8, linestyle=drawn, label=shown)
    for machine in machines:
        colour = COLOURS[machines.index(machine) % len(COLOURS)]
        for model in models:
            curve = [
                p
                for p in points
                if (p["preset"] or p["machine"], p["adc_model"]) == (machine, model)
            ]
            name = machine if len(models) == 1 else f"{machine}, {model}"
            look = {
                "color": colour,
                "linestyle": STYLES[models.index(model) % len(STYLES)],
                "linewidth": max(1.0, 3.6 - 0.8 * machines.index(machine)),
            }
            _draw_curve(axes, curve, look, literal(name))
    axes.plot([], [], "o", ms=9, mfc="none", mec="#333333", label="lossless from here on")
    axes.set_xlabel("ADC bits")
    axes.set_ylabel("accuracy (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, 100)
    axes.grid(linewidth=0.4, alpha=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(literal(f"{found['network']}, {found['n_images']} images"))
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw_curve(axes: Any, curve: list[Any], look: Mapping[str, Any], name: str) -> None:
    curve = sorted(curve, key=lambda p: p["adc_bits"])
    bits = [p["adc_bits"] for p in curve]
    shares = [100 * p["accuracy"] for p in curve]
    axes.plot(bits, shares, marker="o", ms=3.5, label=name, **look)
    first = next((i for i, p in enumerate(curve) if p["lossless"]), None)
    if first is not None:
        axes.plot(bits[first], shares[first], "o", ms=9, mfc="none", mec=look["color"])
