"""Rules for convolutions: how the filters of a layer lie in lanes.

A machine in a cache is its settings and such a rule.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from bitpim.sram.filter_groups import FilterGroup, multiply_group
from bitpim.sram.transposed import lay_lanes
from bitpim.sram.weighted_layer import WeightedLayer

__all__ = ["ConvRule", "OneGroup"]


class ConvRule(Protocol):
    """How the filters of convolutions and linear layers lie in lanes."""

    def filter_groups(self, layer: WeightedLayer) -> Sequence[FilterGroup]:
        """Yield the groups of a layer in the order they run; they hold every filter once.

        An entry that a filter leaves out has a weight at the zero point.
        """
        ...


class OneGroup:
    """All filters alike, every channel in lanes of its own: the rule of Neural Cache."""

    def filter_groups(self, layer: WeightedLayer) -> Sequence[FilterGroup]:
        """Yield one group of all filters."""
        mapping = layer.settings.mapping
        layout = lay_lanes(
            layer.shape,
            split_limit_taps=mapping.filter_split_limit_taps,
            pack_limit_channels=mapping.filter_pack_limit_channels,
            pad_to_power_of_two=mapping.pad_channels_to_power_of_two,
        )
        return (multiply_group(layer, np.arange(layer.shape.out_channels), layout),)
