"""How pruned filters lie in lanes: densely, coalesced, or overlapping."""

from collections.abc import Sequence

import numpy as np

from bitpim.errors import MappingError
from bitpim.sram.coalescing import coalesced_groups, lay_channels
from bitpim.sram.filter_groups import FilterGroup
from bitpim.sram.low_precision import group_by_precision
from bitpim.sram.overlapping import overlapping_groups
from bitpim.sram.sparse_settings import SparseCacheSettings
from bitpim.sram.weighted_layer import WeightedLayer

__all__ = ["PrunedLanes"]


class PrunedLanes:
    """The rule of Bit Prudent, by each layer's `sparsity.mode`."""

    def filter_groups(self, layer: WeightedLayer) -> Sequence[FilterGroup]:
        """Yield the groups of a layer; where nothing is pruned, it lies densely.

        Raises
        ------
        MappingError
            All its weights are pruned, or the trace lets filters share lanes that cannot.
        """
        settings = layer.settings
        assert isinstance(settings, SparseCacheSettings)
        sparsity = settings.sparsity
        if sparsity.mode != "dense":
            kept = layer.kept_channels()
            if not kept.any():
                raise MappingError(
                    f"{layer.where}: need a conv kernel that is not pruned, got all of "
                    f"{kept.size} at the zero point; prune less, leave the layer out of the "
                    "network, or use `--set sparsity.mode=dense`, with @ and its name behind the "
                    "key for it"
                )
            if not kept.all() or sparsity.lanes_across_arrays:
                by_mode = {"coalesce": coalesced_groups, "overlap": overlapping_groups}
                return by_mode[sparsity.mode](layer, settings, kept)
        filters = np.arange(layer.shape.out_channels)
        return (group_by_precision(layer, filters, lay_channels(layer)),)
