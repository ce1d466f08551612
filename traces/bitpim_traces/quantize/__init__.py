"""Numbers before they meet a machine: float networks become codes here, in plain NumPy."""

from bitpim_traces.quantize.assemble import quantize_network, requantize_trace
from bitpim_traces.quantize.coarser import at_level
from bitpim_traces.quantize.codebook_settings import CodebookSettings, LayerCodes
from bitpim_traces.quantize.codebooks import codebooks_of_trace, quantize_codebooks
from bitpim_traces.quantize.levels import coarser, depth_of
from bitpim_traces.quantize.observers import Observer, calibrate
from bitpim_traces.quantize.pattern import LayerPruning, PatternPruning, prune_network
from bitpim_traces.quantize.settings import LayerBits, Settings

__all__ = [
    "CodebookSettings",
    "LayerBits",
    "LayerCodes",
    "LayerPruning",
    "Observer",
    "PatternPruning",
    "Settings",
    "at_level",
    "calibrate",
    "coarser",
    "codebooks_of_trace",
    "depth_of",
    "prune_network",
    "quantize_codebooks",
    "quantize_network",
    "requantize_trace",
]
