"""The settings of caches that leave out what is pruned, and compute on few bits."""

from typing import Annotated, Literal

from pydantic import Field

from bitpim.config import Part
from bitpim.sram.settings import CacheSettings

__all__ = ["PrecisionSettings", "SparseCacheSettings", "SparsitySettings"]


class SparsitySettings(Part):
    """Which lanes pruned conv kernels leave free."""

    mode: Literal["dense", "coalesce", "overlap"] = Field(
        description="keep lanes of pruned conv kernels; pack the others side by side, with inputs "
        "gathered; or let filters of disjoint channels share lanes"
    )
    gather_list: Literal["filter", "array"] = Field(
        description="coalescing: each filter gathers its own channels, or those of filters that "
        "share an array theirs together"
    )
    gather_pipelined: bool = Field(
        description="coalescing: gathering hides behind the bus, or takes coalesce_cycles a row"
    )
    coalesce_cycles: Annotated[int, Field(ge=0, le=1000)] = Field(
        description="coalescing: cycles a gathered row takes where gather_pipelined is false"
    )
    lanes_across_arrays: bool = Field(
        description="coalescing with a list a filter: a convolution may begin in one array and end "
        "in the next, as those do that span arrays; or each lies in one"
    )
    signed_weights: Literal["offset", "subtract"] = Field(
        description="signed weights where filters leave out channels of their own: offset, so that "
        "each filter needs the sum of its window; or in two's complement, the last partial "
        "product subtracted"
    )
    overlap_groups: Literal["trace", "greedy"] = Field(
        description="overlapping: groups of filters are those of the trace, or made here, filter "
        "after filter"
    )
    owner_reduction: Literal["masked", "contiguous"] = Field(
        description="overlapping: one masked reduction a filter, or owners side by side in one "
        "segmented tree"
    )

    @classmethod
    def by_layer(cls) -> tuple[str, ...]:
        """Return the keys that a layer may have its own of."""
        return tuple(cls.model_fields)


class PrecisionSettings(Part):
    """What lanes do at a tap."""

    weights: Literal["auto", "multiply", "ternary", "binary", "xnor"] = Field(
        description="multiply bit by bit; add by mask and sign; add by sign; or compare signs and "
        "count; auto: the least that a layer's weights and inputs allow"
    )

    @classmethod
    def by_layer(cls) -> tuple[str, ...]:
        """Return the keys that a layer may have its own of."""
        return tuple(cls.model_fields)


class SparseCacheSettings(CacheSettings):
    """Settings of a cache that leaves out what is pruned."""

    sparsity: SparsitySettings
    precision: PrecisionSettings
