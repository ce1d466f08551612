"""A network on two crossbar machines: crossbars, reads, cycles, energies, and their ratios.

Only convolutions are compared, as the papers do; every ratio is the first machine's figure over
the second's, so that more is better for the second.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim import make_machine
from bitpim.cost.model import CYCLES, energy
from bitpim.cost.tables import PriceTable, list_price_tables, load_prices
from bitpim.counts import Counts
from bitpim.crossbar.dense_layout import DenseMapping
from bitpim.crossbar.layout import MatrixMapping
from bitpim.crossbar.pattern_layout import PatternMapping
from bitpim.crossbar.pieces import ReadCounts
from bitpim.crossbar.plan import CrossbarPlan, WeightedPlan
from bitpim.errors import ConfigError
from bitpim.machine.machine import PhaseCounts
from bitpim_traces.records import Trace

__all__ = [
    "MACHINES",
    "Comparison",
    "Use",
    "compare",
    "convolutions",
    "laid_out",
    "price_tables",
    "skipping_zeros",
    "use_of",
    "use_of_plan",
]

MACHINES = ("dense_crossbar", "pattern_crossbar")


@dataclass(frozen=True, slots=True)
class Use:
    """What the convolutions of a network take on a machine for one image or more.

    `energy_pj` has every price table that prices all events; `cycles` are those of the busiest
    crossbar of each layer, layer after layer.
    """

    crossbars: int
    reads: int
    skipped: int
    cycles: int
    conversions: int
    index_bits: int
    energy_pj: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two machines on one network; `energy` by price table."""

    area: float
    reads: float
    cycles: float
    energy: Mapping[str, float]

    @classmethod
    def of(cls, first: Use, second: Use) -> "Comparison":
        """Return the ratios of two uses."""
        tables = [t for t in first.energy_pj if t in second.energy_pj]
        return cls(
            first.crossbars / second.crossbars,
            first.reads / second.reads,
            first.cycles / second.cycles,
            {table: first.energy_pj[table] / second.energy_pj[table] for table in tables},
        )


def price_tables() -> tuple[PriceTable, ...]:
    """Load all packaged price tables."""
    return tuple(map(load_prices, list_price_tables()))


def laid_out(trace: Trace, machine: str, preset: str, assignments: Sequence[str]) -> CrossbarPlan:
    """Plan a network on a machine; nothing is run."""
    plan = make_machine(machine, preset, assignments).plan(trace)
    assert isinstance(plan, CrossbarPlan)
    return plan


def convolutions(plan: CrossbarPlan) -> list[WeightedPlan]:
    """Return the plans of the convolutions."""
    return [p for p in plan.layers if isinstance(p, WeightedPlan) and p.kind == "conv2d"]


def use_of_plan(plan: CrossbarPlan, tables: Iterable[PriceTable], n_images: int = 1) -> Use:
    """Return what images take whose inputs skip nothing."""
    counts = {layer.index: layer.counts(n_images) for layer in convolutions(plan)}
    return use_of(plan, counts, tables)


def use_of(
    plan: CrossbarPlan, counts: Mapping[int, PhaseCounts], tables: Iterable[PriceTable]
) -> Use:
    """Return what the convolutions take, given the counts of each layer by index."""
    layers = convolutions(plan)
    events = Counts()
    cycles = 0
    for layer in layers:
        for phase in counts[layer.index].values():
            cycles += phase[CYCLES]
            events += Counts(**{name: n for name, n in phase.items() if name != CYCLES})
    named = events.to_dict()
    return Use(
        sum(layer.n_crossbars for layer in layers),
        events["ou_activation"],
        events["ou_skipped"],
        cycles,
        sum(n for name, n in named.items() if name.startswith("adc_conv_")),
        sum(layer.index_bits for layer in layers),
        _priced(named, tables),
    )


def _priced(events: Mapping[str, int], tables: Iterable[PriceTable]) -> dict[str, float]:
    """Return the energy by each table that prices all events; a table is used whole or not."""
    priced = {}
    for table in tables:
        try:
            priced[table.name] = energy(events, table).total_pj
        except ConfigError:
            continue
    return priced


def compare(
    trace: Trace,
    presets: tuple[str, str],
    common: Sequence[str] = (),
    second_only: Sequence[str] = (),
    tables: Iterable[PriceTable] = (),
) -> tuple[Use, Use]:
    """Plan a network on the dense and the pattern machine with the same values changed."""
    tables = tuple(tables)
    changes = (tuple(common), (*common, *second_only))
    plans = [laid_out(trace, m, p, c) for m, p, c in zip(MACHINES, presets, changes, strict=True)]
    dense, pattern = (use_of_plan(plan, tables) for plan in plans)
    return dense, pattern


def skipping_zeros(zero_share: float) -> Callable[[WeightedPlan], PhaseCounts]:
    """Yield counts of inputs of which so many are 0, each by itself, when such reads are skipped.

    A set of h rows is skipped where all its inputs are zero, zero_share^h of the time: an
    expectation rounded to whole reads, not a measurement. Real zeros come in clusters.
    """

    def counts(layer: WeightedPlan) -> PhaseCounts:
        n_times = layer.n_positions * layer.n_slices
        parts = []
        for part in layer.maps:
            left_out = np.rint(n_times * zero_share ** _heights(part)).astype(np.int64)[np.newaxis]
            parts.append(part.pieces.counts(n_times - left_out, left_out, layer.adc_width))
        return layer.phases(1, ReadCounts.side_by_side(parts))

    return counts


def _heights(part: MatrixMapping) -> npt.NDArray[np.int64]:
    """Return the rows of each source of a mapping's reads."""
    if isinstance(part, PatternMapping):
        return np.diff(part.source_edges)
    assert isinstance(part, DenseMapping)
    return np.concatenate(part.row_heights)
