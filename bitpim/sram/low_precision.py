"""Filters laid in lanes by what their weights need at a tap: a product, a sum, or a count."""

import numpy as np
import numpy.typing as npt

from bitpim.sram.filter_groups import FilterGroup, multiply_group
from bitpim.sram.transposed import LaneLayout
from bitpim.sram.weighted_layer import WeightedLayer

__all__ = ["group_by_precision"]


def group_by_precision(
    layer: WeightedLayer, filters: npt.NDArray[np.int64], layout: LaneLayout
) -> FilterGroup:
    """Lay filters out by the layer's `precision.weights`."""
    return multiply_group(layer, filters, layout)
