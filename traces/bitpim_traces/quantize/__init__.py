"""Numbers before they meet a machine: float networks become codes here, in plain NumPy."""

from bitpim_traces.quantize.assemble import quantize_network, requantize_trace
from bitpim_traces.quantize.calibrate import Observer, calibrate
from bitpim_traces.quantize.settings import LayerBits, Settings

__all__ = [
    "LayerBits",
    "Observer",
    "Settings",
    "calibrate",
    "quantize_network",
    "requantize_trace",
]
