"""Pattern pruning of VGG-16 at stated settings: the base, one thing changed at a time, and a grid.

The paper gives neither its patterns per layer nor its share of all-zero kernels, so patterns are
drawn, evenly and seeded. Kernels keep the same number of weights in all layers; the share of
kernels that keep none rises from the first to the last.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.reproduce.crossbar_ratios import (
    Comparison,
    Use,
    compare,
    convolutions,
    laid_out,
    skipping_zeros,
    use_of,
)
from bench.reproduce.outlines import outline, pattern_masks
from bitpim.cost.tables import PriceTable
from bitpim.crossbar.adc import lossless_bits
from bitpim.crossbar.pattern_layout import PatternMapping
from bitpim_traces.records import Trace

__all__ = [
    "BASE",
    "POINTS",
    "PRESETS",
    "SENSITIVITIES",
    "Change",
    "IndexTerms",
    "PointRow",
    "Pruning",
    "SensitivityRow",
    "grid",
    "point",
    "sensitivity",
    "zero_input_rows",
]

PRESETS = {
    "16-bit, 512": ("dense_crossbar", "pattern_crossbar"),
    "8-bit, 128": ("dense_crossbar_8bit", "pattern_crossbar_8bit"),
}
"""Both machines: 16-bit numbers in 4-bit cells of 512 x 512; 8-bit in 2-bit cells of 128 x 128."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """Weights a kernel keeps, patterns of a layer, shares of all-zero kernels first and last."""

    kept: int = 2
    n_patterns: int = 8
    zero_shares: tuple[float, float] = (0.3, 0.6)
    seed: int = 0

    def of(self, network: str) -> Trace:
        """Make the pruned network."""
        masks = pattern_masks(network, self.kept, self.n_patterns, self.zero_shares, self.seed)
        return outline(network, masks)

    def __str__(self) -> str:
        first, last = self.zero_shares
        share = f"{first:g}" if first == last else f"{first:g} to {last:g}"
        return f"k={self.kept}, P={self.n_patterns}, z={share}"


BASE = Pruning()

POINTS = (
    BASE,
    replace(BASE, kept=4),
    replace(BASE, zero_shares=(0.3, 0.3)),
    replace(BASE, kept=4, zero_shares=(0.0, 0.0)),
    replace(BASE, kept=4, zero_shares=(0.722, 0.722)),
)
"""The base; 4 entries; few all-zero kernels; 4 entries and none; 4 entries, 1 kernel of 3.6 kept
(as a public implementation of pattern pruning has it).
"""


@dataclass(frozen=True, slots=True)
class IndexTerms:
    """What the pattern mapping stores beside the weights, in bits, and how much it has to name."""

    output_bits: int
    pattern_bits: int
    channel_bits: int
    width_bits: int
    kernels: int
    blocks: int

    @property
    def kilobytes(self) -> float:
        """All bits, in units of 1024 bytes."""
        bits = self.output_bits + self.pattern_bits + self.channel_bits + self.width_bits
        return bits / 8 / 1024


@dataclass(frozen=True, slots=True)
class PointRow:
    """A network, pruned, on both machines."""

    network: str
    preset: str
    pruning: str
    sparsity: float
    dense: Use
    pattern: Use
    ratios: Comparison
    index: IndexTerms


def point(network: str, preset: str, pruning: Pruning, tables: Iterable[PriceTable]) -> PointRow:
    """Compare the machines on a pruned network."""
    trace, presets = pruning.of(network), PRESETS[preset]
    dense, pattern = compare(trace, presets, tables=tables)
    return PointRow(
        network,
        preset,
        str(pruning),
        sparsity_of(trace),
        dense,
        pattern,
        Comparison.of(dense, pattern),
        index_terms(trace, presets[1]),
    )


def sparsity_of(trace: Trace) -> float:
    """Return the share of weights that are dropped, over all convolutions."""
    weights = [layer.weight for layer in trace.layers if layer.kind == "conv2d"]
    codes = [weight.read() for weight in weights if weight is not None]
    n_kept = sum(int(np.count_nonzero(code)) for code in codes)
    return 1 - n_kept / sum(code.size for code in codes)


def index_terms(trace: Trace, preset: str) -> IndexTerms:
    """Return what the pattern machine stores to undo the order."""
    plan = laid_out(trace, "pattern_crossbar", preset, ())
    maps = [part for layer in convolutions(plan) for part in layer.maps]
    blocks = [part.blocks for part in maps if isinstance(part, PatternMapping)]
    stored = [of_layer.index_storage for of_layer in blocks]
    return IndexTerms(
        sum(s.output_bits for s in stored),
        sum(s.pattern_bits for s in stored),
        sum(s.channel_bits for s in stored),
        sum(s.width_bits for s in stored),
        sum(len(b.outputs) for b in blocks),
        sum(b.n_blocks for b in blocks),
    )


# --- one thing changed at a time


@dataclass(frozen=True, slots=True)
class Change:
    """A value of one key: another pruning, other settings of both machines or of the second."""

    key: str
    value: str
    pruning: Pruning = BASE
    both: tuple[str, ...] = ()
    second: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SensitivityRow:
    """Ratios with one thing changed; a price table that lacks an event is left out."""

    key: str
    value: str
    sparsity: float
    ratios: Comparison


def _unit(rows: int, columns: int, cell_bits: int = 4) -> tuple[str, ...]:
    """Return the settings of an operation unit, with a converter that loses nothing."""
    return (
        f"geometry.ou_rows={rows}",
        f"geometry.ou_columns={columns}",
        f"geometry.cell_bits={cell_bits}",
        f"converter.adc_bits={lossless_bits(rows, cell_bits)}",
    )


def _square(side: int) -> tuple[str, ...]:
    return f"geometry.array_rows={side}", f"geometry.array_columns={side}"


def _encoding(name: str, adc_bits: int) -> Change:
    both = (f'numbers.encoding="{name}"', f"converter.adc_bits={adc_bits}")
    return Change("encoding", name, both=both)


SENSITIVITIES: Sequence[Change] = (
    *(Change("patterns P", f"{p}", replace(BASE, n_patterns=p)) for p in (2, 4, 8, 12, 16, 36)),
    *(Change("kept entries k", f"{k}", replace(BASE, kept=k)) for k in (1, 2, 3, 4, 6, 9)),
    *(
        Change(
            "zero kernels z, first to last", f"{a:g} to {b:g}", replace(BASE, zero_shares=(a, b))
        )
        for a, b in ((0, 0), (0, 0.6), (0.15, 0.6), (0.3, 0.3), (0.3, 0.6), (0.6, 0.6), (0.6, 0.3))
    ),
    *(Change("seed", f"{s}", replace(BASE, seed=s)) for s in (0, 1, 2)),
    *(Change("cell bits", f"{b}", both=_unit(9, 8, b)) for b in (1, 2, 4, 8)),
    *(
        Change(
            "weight and input bits",
            f"{b}",
            both=tuple(f"numbers.{n}_bits={b}" for n in ("weight", "input")),
        )
        for b in (8, 16)
    ),
    *(Change("crossbar", f"{n} x {n}", both=_square(n)) for n in (128, 256, 512, 1024)),
    *(
        Change("operation unit", f"{r} x {c}", both=_unit(r, c))
        for r, c in ((2, 8), (4, 8), (9, 4), (9, 8), (9, 16), (16, 16), (36, 8))
    ),
    *(
        Change("column padding", word, second=(f"mapping.pad_ou_columns={value}",))
        for word, value in (("on", "true"), ("off", "false"))
    ),
    *(
        Change("row_blocks", word, both=(f'mapping.row_blocks="{word}"',))
        for word in ("array", "window")
    ),
    _encoding("offset", 8),
    _encoding("twos_complement", 8),
    _encoding("differential", 8),
    _encoding("differential_paired", 9),
)


def sensitivity(
    tables: Iterable[PriceTable],
    changes: Iterable[Change] = SENSITIVITIES,
    network: str = "vgg16_cifar",
) -> list[SensitivityRow]:
    """Compare the machines at the base with one thing changed."""
    tables, rows = tuple(tables), list[SensitivityRow]()
    for change in changes:
        trace, presets = change.pruning.of(network), ("dense_crossbar", "pattern_crossbar")
        uses = compare(trace, presets, change.both, change.second, tables)
        ratios = Comparison.of(*uses)
        rows.append(SensitivityRow(change.key, change.value, sparsity_of(trace), ratios))
    return rows


def grid(
    tables: Iterable[PriceTable],
    kept: Iterable[int] = (1, 2, 3, 4, 5),
    zero_shares: Iterable[float] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    network: str = "vgg16_cifar",
) -> list[tuple[int, float, SensitivityRow]]:
    """Compare the machines over kept entries and one share of all-zero kernels for all layers."""
    tables, shares = tuple(tables), tuple(zero_shares)
    found = list[tuple[int, float, SensitivityRow]]()
    for k in kept:
        for z in shares:
            change = Change("k, z", f"{k}, {z:g}", replace(BASE, kept=k, zero_shares=(z, z)))
            (row,) = sensitivity(tables, [change], network)
            found.append((k, z, row))
    return found


def zero_input_rows(
    tables: Iterable[PriceTable],
    pruning: Pruning = BASE,
    zero_shares: Iterable[float] = (0.0, 0.2, 0.4, 0.6, 0.8),
    network: str = "vgg16_cifar",
) -> list[SensitivityRow]:
    """Compare, when the second machine skips reads of zero inputs and zeros come one by one."""
    tables, trace, rows = tuple(tables), pruning.of(network), list[SensitivityRow]()
    dense, _ = compare(trace, ("dense_crossbar", "pattern_crossbar"), tables=tables)
    plan = laid_out(trace, "pattern_crossbar", "pattern_crossbar", ())
    for share in zero_shares:
        counts = skipping_zeros(share)
        use = use_of(plan, {layer.index: counts(layer) for layer in convolutions(plan)}, tables)
        ratios = Comparison.of(dense, use)
        rows.append(SensitivityRow("zero inputs", f"{share:g}", sparsity_of(trace), ratios))
    return rows
