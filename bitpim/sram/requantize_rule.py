"""How a layer's sums become codes: by the rule its programs follow, or on the CPU."""

import numpy as np
import numpy.typing as npt

from bitpim.digital.requantize import mode_of
from bitpim.errors import ConfigError
from bitpim.sram.lane_programs import RequantizeRule
from bitpim.sram.settings import CacheSettings
from bitpim_traces.records import LayerRecord

__all__ = ["need_host", "requantize_rule"]


def requantize_rule(
    layer: LayerRecord, entry: int, *, multiplier_bits: int | None = None
) -> RequantizeRule:
    """Yield the layer's requantize rule for one entry of its arrays.

    An average of a mode that divides has neither multiplier nor shift.
    """
    step = layer.requantize
    assert step is not None
    multiplier = _entry(step.multiplier, entry)
    return RequantizeRule(
        mode=mode_of(layer),
        multiplier_bits=multiplier_bits or max(multiplier.bit_length(), 1),
        shift=_entry(step.shift, entry),
        zero_point=int(layer.output.zero_point[0]),
        clamp=layer.clamp,
        code_bits=layer.output.bits,
        signed=layer.output.signed,
    )


def need_host(
    layer: LayerRecord,
    settings: CacheSettings,
    otherwise: str = "quantize the trace with an integer requantize mode",
) -> None:
    """Raise ConfigError unless the preset lets the CPU compute what the arrays do not."""
    if not settings.arithmetic.host_requantize:
        raise ConfigError(
            f"need the CPU for what the arrays do not compute of {layer.kind}, got "
            f"arithmetic.host_requantize=false; use `--set arithmetic.host_requantize=true` or "
            f"{otherwise}"
        )


def _entry(values: npt.NDArray[np.int32] | None, entry: int) -> int:
    return 0 if values is None else int(values[min(entry, values.size - 1)])
