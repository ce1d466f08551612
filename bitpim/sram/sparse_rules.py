"""How pruned filters lie in lanes: densely, coalesced, or overlapping."""

from collections.abc import Sequence

import numpy as np

from bitpim.sram.filter_groups import FilterGroup
from bitpim.sram.low_precision import group_by_precision
from bitpim.sram.transposed import lay_lanes
from bitpim.sram.weighted_layer import WeightedLayer

__all__ = ["PrunedLanes"]


class PrunedLanes:
    """The rule of Bit Prudent, by each layer's `sparsity.mode`."""

    def filter_groups(self, layer: WeightedLayer) -> Sequence[FilterGroup]:
        """Yield the groups of a layer."""
        mapping = layer.settings.mapping
        layout = lay_lanes(
            layer.shape,
            split_limit_taps=mapping.filter_split_limit_taps,
            pack_limit_channels=mapping.filter_pack_limit_channels,
            pad_to_power_of_two=mapping.pad_channels_to_power_of_two,
        )
        return (group_by_precision(layer, np.arange(layer.shape.out_channels), layout),)
