"""The settings of machines of lookup tables: neurons, counters, adders, searches, time, the chip.

A neuron's block of memory is an RNA (RAPIDNN neuron): a crossbar that holds products and adds them,
counters, and two memories that are searched.
"""

from typing import Annotated, Literal

from pydantic import Field

from bitpim.config import Count, Part, Settings
from bitpim.lookup.counted_sums import DIGITS
from bitpim.lookup.nearest_table import MATCH_MODES
from bitpim.lookup.nor_costs import COST_MODES

__all__ = [
    "RnaAdderSettings",
    "RnaChipSettings",
    "RnaCounterSettings",
    "RnaMappingSettings",
    "RnaMatchSettings",
    "RnaNeuronSettings",
    "RnaSettings",
    "RnaTimingSettings",
]

Figure = Annotated[float, Field(gt=0, le=1_000_000)]
Share = Annotated[float, Field(ge=0, le=0.5)]
Digits = Literal["binary", "signed"]
Overflow = Literal["wide", "saturate"]
MatchMode = Literal["abs", "wxor", "staged"]
CostName = Literal["aritpim", "simpler", "apim13", "floatpim"]

assert (Digits.__args__, MatchMode.__args__) == (DIGITS, MATCH_MODES)  # type: ignore[attr-defined]
assert tuple(COST_MODES) == CostName.__args__  # type: ignore[attr-defined]


class RnaNeuronSettings(Part):
    """The memory of one RNA."""

    crossbar_rows: Count = Field(description="rows of the crossbar that holds products and adds")
    crossbar_columns: Count = Field(description="columns of that crossbar")
    cam_rows: Count = Field(description="rows of each memory that is searched")
    shared: Share = Field(
        description="share of the neurons that have no RNA of their own and wait for another's"
    )


class RnaCounterSettings(Part):
    """What counts pairs of codes."""

    bits: Annotated[int, Field(ge=1, le=32)] = Field(description="width of a counter")
    overflow: Overflow = Field(
        description="wide: no pair may be met more often than a counter holds; saturate: the "
        "counter stays at its end"
    )

    @classmethod
    def by_layer(cls) -> tuple[str, ...]:
        """Return the keys that a layer may have of its own."""
        return ("bits", "overflow")


class RnaAdderSettings(Part):
    """How counted products are added."""

    digits: Digits = Field(description="digits of a count: binary, or signed, so that 15 is 16 - 1")
    sum_bits: Annotated[int, Field(ge=2, le=64)] = Field(description="width of sums")
    cost: CostName = Field(description="how cycles of stateful NOR are counted; sums are the same")

    @classmethod
    def by_layer(cls) -> tuple[str, ...]:
        """Return the keys that a layer may have of its own."""
        return ("digits", "sum_bits")


class RnaMatchSettings(Part):
    """How the nearest number is found."""

    mode: MatchMode = Field(
        description="abs: least difference; wxor: least sum of the weights of bits that differ; "
        "staged: least difference, stage by stage"
    )
    stage_bits: Annotated[int, Field(ge=1, le=64)] = Field(
        description="bits that one stage of a search compares, most significant first"
    )

    @classmethod
    def by_layer(cls) -> tuple[str, ...]:
        """Return the keys that a layer may have of its own."""
        return ("mode", "stage_bits")


class RnaMappingSettings(Part):
    """How layers come to RNAs."""

    batch_size: Count = Field(
        description="samples between two fillings of tables, where not all neurons have an RNA"
    )


class RnaTimingSettings(Part):
    """Time."""

    clock_ghz: Annotated[float, Field(gt=0, le=1000)] = Field(
        description="clock of counters, gates and search stages"
    )


class RnaChipSettings(Part):
    """The whole chip."""

    tiles: Count = Field(description="tiles of the chip")
    rnas_per_tile: Count = Field(description="RNAs of one tile")
    area_mm2: Figure = Field(description="area of the chip")
    power_w: Figure = Field(description="power of the chip")

    @property
    def n_rnas(self) -> int:
        """RNAs of the chip."""
        return self.tiles * self.rnas_per_tile


class RnaSettings(Settings):
    """Settings of a machine of lookup tables."""

    neurons: RnaNeuronSettings
    counters: RnaCounterSettings
    adder: RnaAdderSettings
    match: RnaMatchSettings
    mapping: RnaMappingSettings
    timing: RnaTimingSettings
    chip: RnaChipSettings

    @property
    def loses(self) -> str | None:
        """What may differ from exact sums and nearest values, in words; None where nothing."""
        found = []
        if self.counters.overflow == "saturate":
            most = (1 << self.counters.bits) - 1
            found.append(f"counters of {self.counters.bits} bits that stay at {most}")
        if self.match.mode != "abs":
            staged = f" of {self.match.stage_bits} bits" if self.match.mode == "staged" else ""
            found.append(f"nearest match {self.match.mode}{staged}")
        return ", ".join(found) or None
