"""The plan picture: which weights sit where in each crossbar.

Cells are coloured by what lies there: a pattern, with its mask as a glyph in the legend, an input
channel, or a group of columns. Cells left empty between blocks are grey, unused ones blank.
"""

import textwrap
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bitpim.placement import Placements
from bitpim.report.figure_file import COLOURS, literal, write_figure

__all__ = ["N_SHOWN", "plot_placements"]

N_SHOWN: Final = 6
"""Crossbars drawn at most."""

Colours = npt.NDArray[np.float64]

_PADDING = (0.86, 0.86, 0.86)
_OTHERS = "#444444"  # of patterns beyond the palette
_PALETTE = tuple(colour for colour in COLOURS if colour != "#999999")  # too like the padding
_PER_ROW = 3
_PANEL_INCHES = 3.7
_LEGEND_NAMES = {"channel": "input channel", "columns": "column group"}


def plot_placements(
    placements: Placements, path: str | Path, *, title: str, kernel: tuple[int, int] = (3, 3)
) -> Path:
    """Draw the first N_SHOWN crossbars into a PNG, SVG or PDF file and return its path.

    Parameters
    ----------
    kernel : height and width of the window that mask codes stand for

    Raises
    ------
    ConfigError
        matplotlib is not installed, or the name ends in no known format.
    ResultError
        The file cannot be written.
    """
    return write_figure(path, lambda: _draw(placements, title, kernel))


def _draw(placements: Placements, title: str, kernel: tuple[int, int]) -> Any:
    from matplotlib.figure import Figure

    n_shown = min(placements.n_crossbars, N_SHOWN)
    n_across = max(1, min(n_shown, _PER_ROW))
    n_down = max(1, -(-n_shown // n_across))
    geometry = placements.geometry
    height = _PANEL_INCHES * min(max(geometry.rows / geometry.columns, 0.3), 2.0)
    size = (1.6 + _PANEL_INCHES * n_across, 1.1 + (height + 0.3) * n_down)
    figure = Figure(figsize=size, layout="constrained")
    ratios = [*[1.0] * n_across, 0.26]
    grid = figure.add_gridspec(n_down, n_across + 1, width_ratios=ratios)
    legend = figure.add_subplot(grid[:, -1])
    is_pattern = placements.kind == "pattern"
    numbers = placements.labels[placements.crossbars < n_shown]
    scale = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    found, shown = _by_pattern(placements) if is_pattern else _by_number(placements, scale)
    for crossbar in range(n_shown):
        axis = figure.add_subplot(grid[crossbar // n_across, crossbar % n_across])
        _draw_crossbar(axis, placements.on(crossbar), found[placements.crossbars == crossbar])
        axis.set_title(f"crossbar {crossbar}: {_share_on(placements, crossbar):.1%}", fontsize=8)
    if is_pattern:
        _draw_glyphs(legend, shown, kernel)
    else:
        _draw_scale(figure, legend, placements, scale)
    lines = [title, *_summary(placements)]
    fitting = "\n".join(textwrap.fill(line, int(12 * size[0])) for line in lines)
    figure.suptitle(literal(fitting), fontsize=10)
    return figure


def _summary(placements: Placements) -> list[str]:
    """Say what is drawn and what is not."""
    geometry, n = placements.geometry, placements.n_crossbars
    lines = [
        f"{n:,} crossbar{'s' * (n != 1)} of {geometry.rows} x {geometry.columns} cells, "
        f"{placements.utilization:.1%} hold weights",
        f"operation units of {geometry.unit_rows} x {geometry.unit_columns} (the first outlined)",
    ]
    if n > N_SHOWN:
        lines.append(f"the first {N_SHOWN} crossbars are shown, {n - N_SHOWN:,} more are not")
    return lines


def _share_on(placements: Placements, crossbar: int) -> float:
    geometry = placements.geometry
    return placements.on(crossbar).used_cells / (geometry.rows * geometry.columns)


def _by_pattern(placements: Placements) -> tuple[Colours, list[tuple[int, Any, float]]]:
    """Return each rectangle's colour, and the legend: mask, colour and share of the cells.

    The patterns with most cells get colours of their own; a mask of -1 stands for all others.
    """
    from matplotlib.colors import to_rgb

    masks, which = np.unique(placements.labels, return_inverse=True)
    cells = np.bincount(which, placements.heights * placements.widths, len(masks))
    by_size = np.argsort(-cells, kind="stable")
    palette = np.full((len(masks), 3), to_rgb(_OTHERS))
    own = by_size[: len(_PALETTE)]
    for colour, i in zip(_PALETTE, own, strict=False):
        palette[i] = to_rgb(colour)
    shares = cells / max(float(cells.sum()), 1.0)
    shown = [(int(masks[i]), palette[i], float(shares[i])) for i in own]
    if len(masks) > len(own):
        shown.append((-1, to_rgb(_OTHERS), float(1 - shares[own].sum())))
    return palette[which], shown


def _by_number(
    placements: Placements, scale: tuple[int, int]
) -> tuple[Colours, list[tuple[int, Any, float]]]:
    """Return each rectangle's colour on a scale from the first to the last label that is shown."""
    from matplotlib import colormaps

    first, last = scale
    above = (placements.labels.astype(np.float64) - first) / max(last - first, 1)
    shades = colormaps["viridis"](above)
    return np.asarray(shades, np.float64)[:, :3], []


def _draw_crossbar(axis: Any, placements: Placements, colours: Colours) -> None:
    geometry = placements.geometry
    image = np.ones((geometry.rows, geometry.columns, 3))
    for p, colour in zip(placements, colours, strict=True):
        down = slice(p.row, p.row + p.height)
        image[down, p.column + p.width : p.column + p.width + p.padding] = _PADDING
        image[down, p.column : p.column + p.width] = colour
        image[down, p.column] = 0.72 * colour  # where one block ends and the next begins
    extent = (0, geometry.columns, geometry.rows, 0)
    axis.imshow(image, extent=extent, interpolation_stage="rgba", aspect="equal")
    axis.set_xticks([0, geometry.columns])
    axis.set_yticks([0, geometry.rows])
    axis.tick_params(labelsize=7, length=2)
    units = np.arange(geometry.unit_columns, geometry.columns, geometry.unit_columns)
    if len(units) <= 64:
        axis.vlines(units, 0, geometry.rows, color="black", alpha=0.12, linewidth=0.3)
    if len(placements):
        _outline_unit(axis, placements)


def _outline_unit(axis: Any, placements: Placements) -> None:
    """Outline the first operation unit of a crossbar; one of a dense matrix may span channels."""
    from matplotlib.patches import Rectangle

    geometry, p = placements.geometry, placements[0]
    ends = placements.rows + placements.heights
    height = int(ends.max()) - p.row if placements.kind == "channel" else p.height
    size = (min(p.width, geometry.unit_columns), min(height, geometry.unit_rows))
    axis.add_patch(Rectangle((p.column, p.row), *size, fill=False, linewidth=1.0, clip_on=False))


def _draw_glyphs(axis: Any, shown: list[tuple[int, Any, float]], kernel: tuple[int, int]) -> None:
    """List patterns from top to bottom: the window with its kept cells filled, and a share."""
    from matplotlib.patches import Rectangle

    side = max(kernel)
    for i, (mask, colour, share) in enumerate(shown):
        top = 0.35 + i * 1.3
        for k in range(kernel[0] * kernel[1]):
            corner = (k % kernel[1] / side, top + k // kernel[1] / side)
            face = colour if mask < 0 or mask >> k & 1 else "white"
            cell = Rectangle(corner, 1 / side, 1 / side, facecolor=face, edgecolor="0.6")
            cell.set_linewidth(0.4)
            axis.add_patch(cell)
        name = f"{share:.1%}" if mask >= 0 else f"others\n{share:.1%}"
        axis.text(1.2, top + 0.5, name, fontsize=7, va="center")
    below = 0.35 + len(shown) * 1.3
    axis.add_patch(Rectangle((0, below), 1, 0.5, facecolor=_PADDING))
    axis.text(1.2, below + 0.25, "padding", fontsize=7, va="center")
    axis.set_title("pattern,\nshare of cells", fontsize=8, loc="left")
    axis.set_aspect("equal", anchor="NW")
    axis.set_xlim(0, 2.6)
    axis.set_ylim(max(8.0, below + 0.6), 0)
    axis.axis("off")


def _draw_scale(figure: Any, axis: Any, placements: Placements, scale: tuple[int, int]) -> None:
    """Draw the scale of the channels or column groups that are shown."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    first, last = scale
    shades = ScalarMappable(Normalize(first, max(last, first + 1)), "viridis")
    axis.axis("off")
    name = _LEGEND_NAMES[placements.kind]
    bar = figure.colorbar(shades, cax=axis.inset_axes((0.0, 0.1, 0.22, 0.8)), label=name)
    bar.set_ticks(sorted({first, (first + last) // 2, last}))
    bar.ax.invert_yaxis()
    bar.ax.tick_params(labelsize=7)
