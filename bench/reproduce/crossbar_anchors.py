"""Numbers of crossbar papers that must come out exactly: reads, crossbars, ADC bits, ISAAC's peak.

The reads of VGG-16 follow from a formula that knows no edges of arrays: positions x input bits x
channels x ceil(filters x cells / 8). They come from `dense_crossbar` with arrays so tall that no
edge cuts an operation unit; what arrays of 512 rows give is printed beside.
"""

from dataclasses import dataclass

import numpy as np

from bench.reproduce.crossbar_ratios import laid_out, use_of_plan
from bench.reproduce.outlines import conv_shapes, outline
from bitpim import make_machine
from bitpim.crossbar.adc import lossless_bits
from bitpim.crossbar.encodings import encode_weights
from bitpim.machine.isaac import IsaacSettings
from bitpim_traces.records import Trace

__all__ = ["Anchor", "EdgeRow", "Quote", "anchors", "edge_rows", "isaac_peak", "quotes"]

UNCUT_ROWS = 4608
"""512 channels of 3 x 3: the tallest matrix of VGG-16's convolutions."""

WIDTHS = {
    "16-bit in 4 cells": (),
    "8-bit in 4 cells": (
        "numbers.weight_bits=8",
        "numbers.input_bits=8",
        "geometry.cell_bits=2",
    ),
    "8-bit in 2 cells": ("numbers.weight_bits=8", "numbers.input_bits=8"),
}
"""Values changed in preset dense_crossbar."""

READS = (
    ("vgg16_cifar", "16-bit in 4 cells", 278_396_928),
    ("vgg16_cifar", "8-bit in 4 cells", 139_198_464),
    ("vgg16_cifar", "8-bit in 2 cells", 69_599_232),
    ("vgg16", "16-bit in 4 cells", 13_641_449_472),
    ("vgg16", "8-bit in 2 cells", 3_410_362_368),
)
CROSSBARS = (("16-bit in 4 cells", 234), ("8-bit in 2 cells", 121))
MACS = (("vgg16_cifar", 313_196_544), ("vgg16", 15_346_630_656))
ADC_BITS = ((9, 1, 4), (9, 2, 5), (9, 4, 8), (16, 2, 6), (128, 2, 9))
FLIP_ROWS, FLIP_CELL_BITS, FLIP_BITS = 128, 2, 8


@dataclass(frozen=True, slots=True)
class Anchor:
    """One number known beforehand; `holds` tells whether ours is equal."""

    row: str
    metric: str
    expected: float
    ours: float
    origin: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Quote:
    """One number of a paper that ours need not meet, and why not."""

    metric: str
    quoted: float
    ours: float
    note: str


@dataclass(frozen=True, slots=True)
class EdgeRow:
    """The dense mapping of VGG-16 on arrays of some height, for one image."""

    network: str
    widths: str
    rows: str
    reads: int
    crossbars: int
    cycles: int


def anchors() -> list[Anchor]:
    """Recompute all numbers that must hold."""
    rows = [("mac", f"{net} multiply-accumulates", n, _macs(outline(net))) for net, n in MACS]
    for net, widths, expected in READS:
        reads = _edges(outline(net), widths, "uncut").reads
        rows.append(("OU", f"{net} reads, {widths}", expected, reads))
    for widths, expected in CROSSBARS:
        crossbars = _edges(outline("vgg16_cifar"), widths, "array").crossbars
        rows.append(("OU", f"VGG-16 crossbars of 512 x 512, {widths}", expected, crossbars))
    rows += [
        ("ADC", f"bits for {n} rows of {bits}-bit cells", expected, lossless_bits(n, bits))
        for n, bits, expected in ADC_BITS
    ]
    rows.append(("ADC", "bits for 128 rows of 2-bit cells, flipped", FLIP_BITS, _flipped_bits()))
    origins = {"mac": "derived", "OU": "derived", "ADC": "derived, found"}
    found = [
        Anchor(row, metric, expected, ours, origins[row], expected == ours)
        for row, metric, expected, ours in rows
    ]
    peak = isaac_peak()
    for metric, peak_of, digits in (("TOPS", 41.3, 1), ("GOPS/mm2", 483, 0), ("GOPS/W", 627, 0)):
        ours = round(peak[metric], digits)
        found.append(Anchor("ISAAC", f"peak {metric}", peak_of, ours, "derived", peak_of == ours))
    return found


def quotes() -> list[Quote]:
    """Set what the papers print of ISAAC beside ours."""
    peak = isaac_peak()
    return [
        Quote("ISAAC peak GOPS/mm2", 479, peak["GOPS/mm2"], "agrees within 1 %"),
        Quote(
            "ISAAC peak GOPS/W",
            380.7,
            peak["GOPS/W"],
            "the arrays' peak over the chip's 65.8 W; the two quoted figures do not follow from"
            " one peak, so nothing is calibrated to either",
        ),
    ]


def edge_rows() -> list[EdgeRow]:
    """Recompute the reads of each anchor on arrays that cut, and do not cut, operation units."""
    return [
        _edges(outline(network), widths, rows)
        for network, widths, _ in READS
        for rows in ("uncut", "array", "window")
    ]


def isaac_peak() -> dict[str, float]:
    """Return what ISAAC's chip computes when all its crossbars read."""
    settings = make_machine("isaac").settings
    assert isinstance(settings, IsaacSettings)
    sizes, numbers, chip = settings.geometry, settings.numbers, settings.chip
    cells = int(numbers.weight_bits) // sizes.cell_bits
    slices = int(numbers.input_bits) // settings.converter.dac_bits
    macs_of_crossbar = sizes.array_rows * sizes.array_columns // cells
    per_ns = chip.n_crossbars * macs_of_crossbar / (slices * settings.timing.read_cycle_ns)
    gops = 2 * per_ns  # operations a nanosecond are 10^9 a second
    return {
        "TOPS": gops / 1e3,
        "GOPS/mm2": gops / chip.area_mm2,
        "GOPS/W": gops / chip.power_w,
    }


def _macs(trace: Trace) -> int:
    positions = {x.name: int(np.prod(x.output_shape[1:])) for x in trace.layers}
    return sum(
        positions[name] * int(np.prod(shape)) for name, shape in conv_shapes(trace.name).items()
    )


def _edges(trace: Trace, widths: str, rows: str) -> EdgeRow:
    """Plan the dense mapping on arrays of 512 rows, or of as many as no edge cuts."""
    change = {
        "uncut": f"geometry.array_rows={UNCUT_ROWS}",
        "array": 'mapping.row_blocks="array"',
        "window": 'mapping.row_blocks="window"',
    }[rows]
    plan = laid_out(trace, "dense_crossbar", "dense_crossbar", (*WIDTHS[widths], change))
    use = use_of_plan(plan, ())
    return EdgeRow(trace.name, widths, rows, use.reads, use.crossbars, use.cycles)


def _flipped_bits() -> int:
    """Return the bits that the largest column sum takes when columns are flipped.

    Column j has j rows of the highest weight and else the lowest, so all sums of cells occur.
    """
    lowest, highest = -(1 << 15), (1 << 15) - 1
    row, column = np.mgrid[:FLIP_ROWS, : FLIP_ROWS + 1]
    weights = np.where(row < column, highest, lowest)
    stored = encode_weights(weights, 16, "column_flip", FLIP_CELL_BITS, FLIP_ROWS)
    return int(stored.cells.sum(axis=0, dtype=np.int64).max()).bit_length()
