"""Sparse ReRAM (SRE) on structurally pruned networks: rows left out, and only driven ones read.

SRE's own networks are not published with their masks, so whole rows of the weight matrices (an
input channel's position for all filters) and whole filters are dropped here in stated shares. How
many input bits are 1 decides the rest: a plan has no inputs, so bits are taken to be 1 with a
stated chance, each by itself. A run on a real network counts them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bench.reproduce.crossbar_ratios import (
    Comparison,
    convolutions,
    laid_out,
    use_of,
    use_of_plan,
)
from bench.reproduce.outlines import outline, random_weights
from bitpim.cost.tables import PriceTable
from bitpim.counts import Counts
from bitpim.crossbar.compressed_layout import CompressedMapping
from bitpim.crossbar.pieces import ReadCounts
from bitpim.crossbar.plan import Phases, WeightedPlan
from bitpim_traces.records import Trace
from bitpim_traces.synthetic import weightless_network

__all__ = ["BASELINE", "SparseRow", "packed_reads", "sparse_rows", "structured_network"]

Floats = npt.NDArray[np.float64]

BASELINE = ("mapping.drop_zero_rows=false", "mapping.pack_active_rows=false")
"""SRE's crossbars and operation units without what it does about zeros."""


@dataclass(frozen=True, slots=True)
class SparseRow:
    """One network: shares of rows and filters dropped, and the chance that an input bit is 1."""

    row_share: float
    filter_share: float
    sparsity: float
    bit_share: float
    ratios: Comparison


def structured_network(name: str, row_share: float, filter_share: float, seed: int) -> Trace:
    """Make a synthetic network with random weights of which whole rows and filters are 0.

    The first layer keeps its rows, for there are few, and the last its filters, which are classes.
    """
    rng = np.random.default_rng([seed, 5])
    found = {}
    weighted = [layer for layer in weightless_network(name).layers if layer.weight is not None]
    for layer in weighted:
        assert layer.weight is not None
        weights = random_weights(layer.weight.shape, rng)
        rows = weights.reshape(len(weights), -1)
        if layer is not weighted[0]:
            rows[:, rng.permutation(rows.shape[1])[: round(row_share * rows.shape[1])]] = 0
        if layer is not weighted[-1]:
            rows[rng.permutation(len(rows))[: round(filter_share * len(rows))]] = 0
        found[layer.name] = weights
    return outline(name, weights=found)


@lru_cache(maxsize=1024)
def packed_reads(n_rows: int, unit_rows: int, bit_share: float) -> float:
    """Return the reads expected for rows of which each has an input with that chance.

    E[ceil(n / unit_rows)] for n of a binomial distribution.
    """
    chances = np.ones(1)
    for _ in range(n_rows):
        chances = np.convolve(chances, [1 - bit_share, bit_share])
    return float(chances @ -(-np.arange(n_rows + 1) // unit_rows))


def _active_bits(layer: WeightedPlan, bit_share: float) -> Phases:
    """Return the counts expected of a layer on SRE when so many input bits are 1.

    An expectation rounded to whole events; cycles are those of the crossbar expected busiest.
    """
    n_times = layer.n_positions * layer.n_slices
    parts = [
        _expected(part, n_times, bit_share, layer.adc_width)
        for part in layer.maps
        if isinstance(part, CompressedMapping)
    ]
    return layer.phases(1, ReadCounts.side_by_side(parts))


def _expected(
    part: CompressedMapping, n_times: int, bit_share: float, adc_width: str
) -> ReadCounts:
    heights, widths = part.segments.heights, part.segments.widths
    unit_rows = part.geometry.unit_rows
    per_height = {int(h): packed_reads(int(h), unit_rows, bit_share) for h in np.unique(heights)}
    reads: Floats = np.array([n_times * per_height[int(h)] for h in heights.tolist()], np.float64)
    opened: Floats = n_times * bit_share * heights.astype(np.float64)
    on_crossbar = np.bincount(part.segments.crossbars, weights=reads)
    converted = _whole(float(reads @ widths))
    events = {
        "ou_activation": _whole(float(reads.sum())),
        "ou_rows": _whole(float(opened.sum())),
        "ou_cols": converted,
        "ou_cells": _whole(float(opened @ widths)),
        "dac_drive": _whole(float(opened.sum())),
        "shift_add": converted,
        f"adc_conv_{adc_width}": converted,
    }
    cycles = np.array([_whole(float(on_crossbar.max(initial=0.0)))], np.int64)
    return ReadCounts(Counts(**events), cycles)


def _whole(expected: float) -> int:
    return round(expected)


def sparse_rows(
    name: str,
    shares: Iterable[tuple[float, float]],
    bit_shares: Iterable[float],
    tables: Iterable[PriceTable],
    seed: int = 0,
) -> list[SparseRow]:
    """Compare SRE with its own crossbars without skipping, for all shares."""
    tables, bit_shares = tuple(tables), tuple(bit_shares)
    rows = []
    for row_share, filter_share in shares:
        trace = structured_network(name, row_share, filter_share, seed)
        baseline = use_of_plan(laid_out(trace, "sre", "sre", BASELINE), tables)
        plan = laid_out(trace, "sre", "sre", ())
        for bit_share in bit_shares:
            counts = {p.index: _active_bits(p, bit_share) for p in convolutions(plan)}
            use = use_of(plan, counts, tables)
            ratios = Comparison.of(baseline, use)
            rows.append(SparseRow(row_share, filter_share, _sparsity(trace), bit_share, ratios))
    return rows


def _sparsity(trace: Trace) -> float:
    """Return the share of weights that are 0 in the convolutions."""
    weights = [layer.weight for layer in trace.layers if layer.kind == "conv2d"]
    codes = [weight.read() for weight in weights if weight is not None]
    n_kept = sum(int(np.count_nonzero(code)) for code in codes)
    return 1 - n_kept / sum(code.size for code in codes)
