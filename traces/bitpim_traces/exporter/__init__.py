"""PyTorch modules become traces here; the only place that imports torch (extra `bitpim[torch]`)."""

from bitpim_traces.exporter.calibrate import Progress
from bitpim_traces.exporter.export import CALIBRATION_SAMPLES, export, export_to, load_weights
from bitpim_traces.exporter.forward import torch_forward
from bitpim_traces.exporter.graph import read_network
from bitpim_traces.exporter.named import made_by
from bitpim_traces.exporter.sources import Floats, Pixels

__all__ = [
    "CALIBRATION_SAMPLES",
    "Floats",
    "Pixels",
    "Progress",
    "export",
    "export_to",
    "load_weights",
    "made_by",
    "read_network",
    "torch_forward",
]
