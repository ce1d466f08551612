"""How important each weight of a layer is, before weights are put into clusters."""

import numpy as np
import numpy.typing as npt

from bitpim_traces.cluster_rules import magnitudes_of
from bitpim_traces.errors import TraceDataError
from bitpim_traces.records import LayerRecord

__all__ = ["SHARE_BITS", "fixed_point_shares", "importances_of", "input_channels_of"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SHARE_BITS = 20
"""Binary places of importances that are added up: a millionth of the largest."""


def importances_of(layer: LayerRecord, importance: str, activations: Floats | None) -> Floats:
    """Yield the importance of each weight of a layer, as a real number that is not negative.

    `magnitude` is |code - zero point| times the scale of the channel; `layer_relative` that over
    the largest of the layer; `activation_aware` that times what `activations` says of the input
    channel that the weight meets. Every product and quotient is rounded once, to float64.

    Shapes
    ------
    activations : (input channels,), those of all groups;  result : that of the weight

    Raises
    ------
    TraceDataError
        Activations are not one finite number, 0 or more, for each input channel.
    """
    found = magnitudes_of(layer)
    if importance == "layer_relative" and found.any():
        found /= found.max()
    if importance == "activation_aware":
        channels = input_channels_of(layer)
        given = _checked(layer, activations, int(channels.max()) + 1)
        found *= given[channels].reshape(*channels.shape, *[1] * (found.ndim - 2))
    return found


def fixed_point_shares(importances: Floats) -> Ints:
    """Round importances to whole steps of 2**-SHARE_BITS of the largest, so that sums are exact.

    The order of importances stays, but for those that become equal.

    Shapes
    ------
    result : that of `importances`
    """
    largest = float(importances.max(initial=0.0))
    if largest == 0:
        return np.zeros(importances.shape, np.int64)
    return np.rint(importances / largest * (1 << SHARE_BITS)).astype(np.int64)


def input_channels_of(layer: LayerRecord) -> npt.NDArray[np.intp]:
    """Yield the channel of the input that each filter's channel reads; of groups, their own.

    Shapes
    ------
    result : (O, I)
    """
    assert layer.weight is not None
    n_out, per_group = layer.weight.shape[:2]
    groups = 1 if layer.geometry is None else layer.geometry.groups
    first = np.arange(n_out) // (n_out // groups) * per_group
    return first[:, None] + np.arange(per_group)


def _checked(layer: LayerRecord, activations: Floats | None, n_channels: int) -> Floats:
    where = f"layer {layer.index} {layer.name!r}"
    if activations is None:
        raise TraceDataError(
            f"{where}: need the activation of each of {n_channels} input channels for clusters that"
            " are activation_aware, got none; measure them on samples"
        )
    values = np.asarray(activations, np.float64)
    if values.shape != (n_channels,):
        raise TraceDataError(
            f"{where}: need activations of {n_channels} input channels, got shape {values.shape}"
        )
    if not (np.isfinite(values) & (values >= 0)).all():
        raise TraceDataError(f"{where}: need finite activations from 0, got {values.min():g}")
    return values
