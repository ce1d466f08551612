"""The settings of machines in a cache: arrays, mapping, arithmetic, time, transfers."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bitpim.config import Count, LayerPart, Part, Settings, keys_by_layer

__all__ = [
    "CacheArithmeticSettings",
    "CacheGeometrySettings",
    "CacheLayerSettings",
    "CacheMappingSettings",
    "CacheSettings",
    "CacheTimingSettings",
    "CacheTransferSettings",
]

Bits = Annotated[int, Field(ge=1, le=64)]
Clock = Annotated[float, Field(gt=0, le=1000)]


class CacheGeometrySettings(Part):
    """What arrays there are and which of them compute."""

    n_cache_slices: Count = Field(description="cache slices of the last-level cache")
    ways_per_cache_slice: Count = Field(description="ways of one cache slice")
    banks_per_way: Count = Field(description="banks of one way")
    arrays_per_bank: Count = Field(description="arrays of one bank")
    array_rows: Annotated[int, Field(ge=8, le=65_536)] = Field(description="wordlines of one array")
    array_columns: Annotated[int, Field(ge=1, le=65_536)] = Field(
        description="bitline pairs of one array, one lane each"
    )
    cpu_ways: Annotated[int, Field(ge=0)] = Field(
        description="ways of a cache slice left to the CPU"
    )
    io_ways: Annotated[int, Field(ge=0)] = Field(
        description="ways of a cache slice that stage input and output"
    )

    @model_validator(mode="after")
    def _some_way_computes(self) -> Self:
        if self.compute_ways < 1:
            raise ValueError(
                f"cpu_ways + io_ways must leave a way to compute: "
                f"{self.cpu_ways} + {self.io_ways} of {self.ways_per_cache_slice}"
            )
        return self

    @property
    def compute_ways(self) -> int:
        """Ways of a cache slice that compute and hold filters."""
        return self.ways_per_cache_slice - self.cpu_ways - self.io_ways

    @property
    def arrays_per_way(self) -> int:
        """Arrays of one way."""
        return self.banks_per_way * self.arrays_per_bank

    @property
    def n_arrays(self) -> int:
        """Arrays of the whole cache."""
        return self.n_cache_slices * self.ways_per_cache_slice * self.arrays_per_way

    @property
    def n_compute_arrays(self) -> int:
        """Arrays that compute."""
        return self.n_cache_slices * self.compute_ways * self.arrays_per_way

    @property
    def n_io_arrays(self) -> int:
        """Arrays that stage input and output."""
        return self.n_cache_slices * self.io_ways * self.arrays_per_way

    @property
    def n_lanes(self) -> int:
        """Lanes of the whole cache."""
        return self.n_arrays * self.array_columns

    @property
    def n_compute_lanes(self) -> int:
        """Lanes of the arrays that compute."""
        return self.n_compute_arrays * self.array_columns


class CacheMappingSettings(Part):
    """How layers are laid on lanes."""

    filter_split_limit_taps: Count = Field(
        description="most filter taps (R x S) a lane holds; larger filters are split over lanes"
    )
    filter_pack_limit_channels: Count = Field(
        description="most channels of a 1 x 1 filter packed into one lane"
    )
    pad_channels_to_power_of_two: bool = Field(
        description="give each convolution a power-of-two number of lanes"
    )
    partial_sum_bits: Bits = Field(description="width of the partial sum in a lane")
    reduction_bits: Literal["grow", "fixed"] = Field(
        description="lane reduction grows one bit a step, or keeps reduction_fixed_bits"
    )
    reduction_fixed_bits: Bits = Field(description="width of the reduction when it is fixed")
    requantize_packing: Literal["packed", "in_place"] = Field(
        description="gather the sums to full arrays before requantization, or leave them in place"
    )
    requantize_schedule: Literal["at_once", "in_turn"] = Field(
        description="filters of different shifts are requantized in different banks at once, or "
        "one shift after the other in all arrays"
    )
    batch_size: Count = Field(description="samples that share one loading of the filters")

    @classmethod
    def by_layer(cls) -> tuple[str, ...]:
        """Return the keys of how one layer is laid; its samples pass through all in one batch."""
        return tuple(key for key in cls.model_fields if key != "batch_size")


class CacheArithmeticSettings(Part):
    """Widths and encodings of the numbers in the lanes."""

    max_operand_bits: Annotated[int, Field(ge=1, le=16)] = Field(
        description="widest weight or activation code the machine accepts"
    )
    signed_encoding: Literal["offset"] = Field(
        description="signed codes are stored unsigned, 2^(n-1) added"
    )
    host_requantize: bool = Field(
        description="what the arrays do not compute runs on the CPU, counted as bus bytes: "
        "requantize modes they lack, layers left digital"
    )


class CacheTimingSettings(Part):
    """Clocks and cycle rules."""

    cost_mode: Literal["nc_formula", "nc_paper_calibrated", "mve"] = Field(
        description="which cycle counts the micro-programs are charged; the bits never change"
    )
    clock_compute_ghz: Clock = Field(description="clock of compute accesses")
    mac_cycles_calibrated: Count = Field(
        description="one 8-bit multiply-accumulate in nc_paper_calibrated"
    )
    reduction_step_cycles_calibrated: Count = Field(
        description="one halving of the lanes in nc_paper_calibrated"
    )
    move_cycles_per_bit: Annotated[int, Field(ge=0, le=1000)] = Field(
        description="moving one bit-plane to other lanes in a reduction"
    )
    phase_overlap: Literal["none", "stream"] = Field(
        description="layer time: sum of phases, or the longer of computing and streaming"
    )


class CacheTransferSettings(Part):
    """Widths of the ways in and out, in bytes per compute cycle."""

    bus_bytes_per_cycle: Count = Field(description="bus of one cache slice")
    dram_bytes_per_cycle: Count = Field(description="all DRAM channels")


class CacheLayerSettings(LayerPart):
    """What is said of single layers."""

    digital: bool = Field(
        default=False,
        description="a layer with weights is computed by the CPU, exactly: its codes cross the "
        "bus, no array takes part",
    )


class CacheSettings(Settings):
    """What the settings of every machine in a cache have."""

    geometry: CacheGeometrySettings
    mapping: CacheMappingSettings
    arithmetic: CacheArithmeticSettings
    timing: CacheTimingSettings
    transfer: CacheTransferSettings
    layers: CacheLayerSettings = CacheLayerSettings()

    def unused(self) -> Mapping[str, str]:
        """Return the keys that change nothing beside the others, each with what would use it."""
        if not self.layers.digital:
            return {}
        others = keys_by_layer(type(self)).keys() - {"layers.digital"}
        return dict.fromkeys(others, "layers.digital=false")
