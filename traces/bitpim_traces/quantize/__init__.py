"""Numbers before they meet a machine: float networks become codes here, in plain NumPy."""

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
