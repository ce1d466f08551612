"""What results of version 1.0 do not say, as readers of that version took it from the preset.

Those results keep no legend. Their clock, and whether phases overlap, stood among the settings; the
phases that stream were known to the reader; of headlines nothing is known. This is the one module
above the machines that names phases, and it does not grow: later results keep their legend.
"""

from typing import Any

from bitpim.legend import Legend
from bitpim_traces.strict_text import strict_toml

__all__ = ["legend_of_preset"]

_STREAMING = ("filter_load", "input_stream", "output", "move")


def legend_of_preset(preset: str) -> Legend:
    """Return the legend of a run by the text of its preset; what that lacks is not known."""
    try:
        timing = strict_toml(preset).get("timing")
    except ValueError:
        timing = None
    read_ns, clock = (_number(_value(timing, k)) for k in ("read_cycle_ns", "clock_compute_ghz"))
    if read_ns:
        clock = _number(1 / read_ns)
    if _value(timing, "phase_overlap") == "stream":
        return Legend(clock, _STREAMING, overlaps=True)
    return Legend(clock)


def _value(part: Any, key: str) -> Any:
    setting = part.get(key) if isinstance(part, dict) else None
    return setting.get("value") if isinstance(setting, dict) else None


def _number(value: Any) -> float | None:
    """Return a number that a clock may have; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < 1e300 else None
