"""PyTorch modules become traces here; the only place that imports torch (extra `bitpim[torch]`)."""

from bitpim_traces.exporter.admm import AdmmModule, admm_prune
from bitpim_traces.exporter.calibrate import Progress
from bitpim_traces.exporter.codebook_export import export_codebooks
from bitpim_traces.exporter.coded_network import CodedNetwork, train_on_codes
from bitpim_traces.exporter.coded_weights import weights_of
from bitpim_traces.exporter.export import CALIBRATION_SAMPLES, export, export_to
from bitpim_traces.exporter.finetune import FineTuned, accuracy_of, finetune
from bitpim_traces.exporter.forward import torch_forward
from bitpim_traces.exporter.graph import read_network
from bitpim_traces.exporter.module_by_name import made_by
from bitpim_traces.exporter.prune import PrunedModule, hold_masks, prune_module
from bitpim_traces.exporter.retrain import coded_accuracy, retrain
from bitpim_traces.exporter.retraining import Retrained, Retraining
from bitpim_traces.exporter.sources import Floats, Pixels
from bitpim_traces.exporter.training import Training
from bitpim_traces.exporter.weights import load_weights

__all__ = [
    "CALIBRATION_SAMPLES",
    "AdmmModule",
    "CodedNetwork",
    "FineTuned",
    "Floats",
    "Pixels",
    "Progress",
    "PrunedModule",
    "Retrained",
    "Retraining",
    "Training",
    "accuracy_of",
    "admm_prune",
    "coded_accuracy",
    "export",
    "export_codebooks",
    "export_to",
    "finetune",
    "hold_masks",
    "load_weights",
    "made_by",
    "prune_module",
    "read_network",
    "retrain",
    "torch_forward",
    "train_on_codes",
    "weights_of",
]
