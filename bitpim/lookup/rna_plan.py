"""A network of codebooks laid out on RNAs: neurons, rounds, tables, and what is counted.

Every element of a layer's output is a neuron. Neurons that outnumber the RNAs take turns, round by
round; a round is as slow as its slowest neuron. What depends on codes, pairs that occur and digits
of their counts, is counted as a layer runs; the plan states the most there can be: pairs that all
differ.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError
from bitpim.legend import Headline
from bitpim.lookup.nor_costs import COST_MODES
from bitpim.placement import Placements

__all__ = ["HEADLINES", "Activity", "RnaLayerPlan", "RnaPlan", "Search", "slowest", "with_loads"]

Phases = dict[str, dict[str, int]]

HEADLINES = (
    Headline("pairs that differ", ("product_read",), ("counter_inc",), "share"),
    Headline("operands a sum", ("operand_write",), ("nor_sum",), "ratio"),
    Headline("searches", ("cam_search",)),
)
"""What counted products come to."""


class Search(NamedTuple):
    """One search of each neuron: rows of the memory, bits of a word, stages."""

    rows: int
    bits: int
    stages: int

    @property
    def table_bits(self) -> int:
        """Bits of the words."""
        return self.rows * self.bits


class Activity(NamedTuple):
    """What may depend on codes, over all neurons of some samples.

    `slowest` is the sum over rounds of the most levels of a neuron. `points` and `values` are rows
    compared by searches of points and of a codebook.
    """

    reads: int = 0
    operands: int = 0
    adders: int = 0
    levels: int = 0
    slowest: int = 0
    negatives: int = 0
    points: int = 0
    values: int = 0

    def times(self, n_samples: int) -> "Activity":
        """Return that of as many samples."""
        return Activity(*(n_samples * n for n in self))

    def plus(self, other: "Activity") -> "Activity":
        """Return that of these samples and others."""
        return Activity(*(n + m for n, m in zip(self, other, strict=True)))


_NOTHING = Activity()


def slowest(needed: npt.NDArray[Any], n_rnas: int) -> int:
    """Return what rounds of `n_rnas` neurons take: of each the most, added up over samples.

    Neurons take turns pixel by pixel, the channels of a pixel beside each other.

    Shapes
    ------
    needed: (n_samples, n_neurons)
    """
    if not needed.size:
        return 0
    starts = np.arange(0, needed.shape[1], n_rnas)
    return int(np.maximum.reduceat(needed, starts, axis=1).sum(dtype=np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class RnaLayerPlan:
    """One layer; figures are those of one sample unless they say else.

    Attributes
    ----------
    rule : what its neurons do: count, add, encode, search, table, or nothing where codes move
    neurons : elements of the output
    rnas : RNAs they have
    taps : products that a neuron adds, at most
    count_cycles : cycles of counting: of all rounds those of the slowest neuron's counters
    counter_cycles : cycles of the counters of all neurons
    sum_bits : width of sums
    cost : name of the way NOR cycles are counted
    points, values : searches of each neuron
    inputs : the search that encodes an element of the network's input, and how many elements
    code_bits : bits of a code of the output
    table_bits : bits of the tables of one RNA
    load_cycles : cycles that fill them, all RNAs at once; 0 where they stay
    batch : samples between two fillings
    most : the most of what depends on codes; all there is of a layer that counts nothing
    """

    index: int
    name: str
    kind: str
    rule: str = ""
    neurons: int = 0
    rnas: int = 0
    taps: int = 0
    count_cycles: int = 0
    counter_cycles: int = 0
    sum_bits: int = 0
    cost: str = "apim13"
    points: Search | None = None
    values: Search | None = None
    inputs: tuple[Search, int] | None = None
    code_bits: int = 0
    table_bits: int = 0
    load_cycles: int = 0
    batch: int = 1
    own_settings: str = ""
    most: Activity = _NOTHING

    @property
    def rounds(self) -> int:
        """Rounds in which its neurons take turns."""
        return -(-self.neurons // self.rnas) if self.rnas else 0

    @property
    def adds(self) -> bool:
        """Whether its neurons add."""
        return self.rule in ("count", "add")

    def counts(self, n_samples: int) -> Phases:
        """Return the counts of samples whose pairs of codes all differ."""
        return self.phases(n_samples, self.most.times(n_samples))

    def phases(self, n_samples: int, activity: Activity) -> Phases:
        """Return counts by phase; the activity is that of all the samples."""
        found: Phases = {}
        if self.inputs is not None:
            first, n = self.inputs
            found["encode_input"] = _searches(first, n * n_samples, first.stages * n_samples)
        if self.rule == "count":
            found["count_pairs"] = {
                "cycles": n_samples * self.count_cycles,
                "counter_cycle": n_samples * self.counter_cycles,
                "counter_inc": n_samples * self.neurons * self.taps,
            }
        if self.adds:
            found["add_products"] = self._additions(n_samples, activity)
        for phase, search, compared in (
            ("find_point", self.points, activity.points),
            (
                "find_largest" if self.rule == "search" else "find_code",
                self.values,
                activity.values,
            ),
        ):
            if search is not None:
                cycles = n_samples * self.rounds * search.stages
                found[phase] = _searches(search, n_samples * self.neurons, cycles, compared)
        if self.rule == "table":
            found["look_up"] = {
                "cycles": n_samples * self.rounds,
                "value_read": n_samples * self.neurons,
            }
        found["send_codes"] = {"cycles": 0, "code_bit": n_samples * self.neurons * self.code_bits}
        if self.load_cycles:
            times = -(-n_samples // self.batch)
            written = times * self.rnas * self.table_bits
            found["fill_tables"] = {"cycles": times * self.load_cycles, "table_write_bit": written}
        return found

    def _additions(self, n_samples: int, activity: Activity) -> dict[str, int]:
        mode, sums = COST_MODES[self.cost], n_samples * self.neurons
        level, last = mode.level_cycles(), mode.add_cycles(self.sum_bits)
        cells = (activity.adders + sums) * self.sum_bits * mode.gates
        cells += activity.negatives * self.sum_bits  # a subtracted operand is inverted
        return {
            "cycles": activity.slowest * level + n_samples * self.rounds * last,
            "product_read" if self.rule == "count" else "value_read": activity.reads,
            "operand_write": activity.operands,
            "csa_level": activity.levels,
            "csa_adder": activity.adders,
            "nor_sum": sums,
            "nor_cycle": activity.levels * level + sums * last,
            "nor_gate_cell": cells,
            "nor_init_cell": cells,
        }

    def row(self) -> dict[str, Any]:
        """Return the layer's row of the plan."""
        counts = self.counts(1)
        return {
            "index": self.index,
            "name": self.name,
            "kind": self.kind,
            "rule": self.rule,
            "arrays": self.rnas,
            "utilization": self.neurons / (self.rnas * self.rounds) if self.rnas else 0.0,
            "neurons": self.neurons if self.rnas else 0,
            "rounds": self.rounds,
            "table_bytes": -(-self.table_bits // 8),
            "cycles": {phase: events["cycles"] for phase, events in counts.items()},
        }


def _searches(search: Search, n: int, cycles: int, compared: int | None = None) -> dict[str, int]:
    compared = n * search.rows * search.stages if compared is None else compared
    return {
        "cycles": cycles,
        "cam_search": n,
        "cam_stage": n * search.stages,
        "cam_row": compared,
        "cam_survivor": n,
    }


@dataclass(frozen=True, slots=True)
class RnaPlan:
    """All layers of a network. `resident` says whether every neuron has an RNA all the time."""

    layers: tuple[RnaLayerPlan, ...]
    resident: bool

    def table(self) -> list[dict[str, Any]]:
        """Return one row a layer; cycles of one sample whose pairs of codes all differ."""
        rows = [layer.row() for layer in self.layers]
        if any(layer.own_settings for layer in self.layers):
            for row, layer in zip(rows, self.layers, strict=True):
                row["own_settings"] = layer.own_settings
        return rows

    def totals(self) -> dict[str, Any]:
        """Return RNAs, neurons and bytes of tables: of RNAs that layers share, the most."""
        rnas = [layer.rnas for layer in self.layers]
        of_rnas = [layer.rnas * -(-layer.table_bits // 8) for layer in self.layers]
        return {
            "arrays": sum(rnas) if self.resident else max(rnas, default=0),
            "neurons": sum(layer.neurons for layer in self.layers if layer.rnas),
            "table_bytes": sum(of_rnas),
        }

    @property
    def assumes(self) -> str:
        """Return what the table assumes of a sample."""
        return "whose pairs of codes all differ"

    def counts(self, index: int, n_samples: int) -> Phases:
        """Return the counts of samples whose pairs of codes all differ."""
        return self.layers[index].counts(n_samples)

    def placements(self, index: int) -> list[Placements]:
        """Raise: weights are codes that counters see; they lie on no array.

        Raises
        ------
        ConfigError
            Always.
        """
        layer = self.layers[index]
        raise ConfigError(
            f"layer {index} {layer.name!r} ({layer.kind}): need a machine that places weights on "
            "arrays to show placements, got one whose weights are codes; leave the plot out"
        )


def with_loads(layers: list[RnaLayerPlan], *, columns: int, n_rnas: int) -> RnaPlan:
    """Return the plan of layers; tables are filled again where neurons outnumber RNAs.

    A row of `columns` bits is written in a cycle, in all RNAs at once.
    """
    resident = sum(layer.rnas for layer in layers) <= n_rnas
    if not resident:
        layers = [
            replace(layer, load_cycles=-(-layer.table_bits // columns)) if layer.rnas else layer
            for layer in layers
        ]
    return RnaPlan(tuple(layers), resident)
