"""Numbers before they meet a machine: float networks become codes here, in plain NumPy."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitpim_traces.quantize.assemble import quantize_network, requantize_trace
    from bitpim_traces.quantize.observers import Observer, calibrate
    from bitpim_traces.quantize.pattern import LayerPruning, PatternPruning, prune_network
    from bitpim_traces.quantize.settings import LayerBits, Settings

__all__ = [
    "LayerBits",
    "LayerPruning",
    "Observer",
    "PatternPruning",
    "Settings",
    "calibrate",
    "prune_network",
    "quantize_network",
    "requantize_trace",
]

_HOMES = {
    "LayerBits": "settings",
    "LayerPruning": "pattern",
    "Observer": "observers",
    "PatternPruning": "pattern",
    "Settings": "settings",
    "calibrate": "observers",
    "prune_network": "pattern",
    "quantize_network": "assemble",
    "requantize_trace": "assemble",
}


def __getattr__(name: str) -> Any:
    # lazy: the builder needs affine.py and multiplier.py, and assemble.py needs the builder
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
