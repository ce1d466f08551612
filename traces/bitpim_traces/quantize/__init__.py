"""Numbers before they meet a machine: float networks become codes here, in plain NumPy."""

from bitpim_traces.quantize.admm_settings import AdmmPruning
from bitpim_traces.quantize.assemble import quantize_network, requantize_trace
from bitpim_traces.quantize.channels import ChannelPruning
from bitpim_traces.quantize.cluster_trace import ClusteredLayer, Clustering, cluster_trace
from bitpim_traces.quantize.coarser import at_level
from bitpim_traces.quantize.codebook_settings import CodebookSettings, LayerCodes
from bitpim_traces.quantize.codebooks import codebooks_of_trace, quantize_codebooks
from bitpim_traces.quantize.lanes import LanePruning, PrunedLanes
from bitpim_traces.quantize.levels import coarser, depth_of
from bitpim_traces.quantize.observers import Observer, calibrate
from bitpim_traces.quantize.overlap import OverlapPruning
from bitpim_traces.quantize.pattern import LayerPruning, PatternPruning
from bitpim_traces.quantize.prune import GivenMasks, Pruning, prune_network
from bitpim_traces.quantize.prune_trace import prune_trace
from bitpim_traces.quantize.settings import LayerBits, Settings

__all__ = [
    "AdmmPruning",
    "ChannelPruning",
    "ClusteredLayer",
    "Clustering",
    "CodebookSettings",
    "GivenMasks",
    "LanePruning",
    "LayerBits",
    "LayerCodes",
    "LayerPruning",
    "Observer",
    "OverlapPruning",
    "PatternPruning",
    "PrunedLanes",
    "Pruning",
    "Settings",
    "at_level",
    "calibrate",
    "cluster_trace",
    "coarser",
    "codebooks_of_trace",
    "depth_of",
    "prune_network",
    "prune_trace",
    "quantize_codebooks",
    "quantize_network",
    "requantize_trace",
]
