"""Codebooks of the activations of a float network, from what PyTorch computes."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from bitpim_traces.codebook import Codebook
from bitpim_traces.exporter.calibrate import batch_of
from bitpim_traces.exporter.forward import torch_forward
from bitpim_traces.exporter.sources import Floats, Pixels
from bitpim_traces.network import FloatNetwork
from bitpim_traces.quantize import CodebookSettings
from bitpim_traces.quantize.codebook_plan import CodebookPlan
from bitpim_traces.quantize.codebook_tree import tree_codebook
from bitpim_traces.quantize.value_counts import ValueCounts
from bitpim_traces.records import NETWORK_INPUT

__all__ = ["chosen_samples", "observed_codebooks"]


def observed_codebooks(
    network: FloatNetwork,
    plan: CodebookPlan,
    source: Floats | Pixels,
    settings: CodebookSettings,
) -> dict[int, Codebook]:
    """Cluster what the float network gives for samples, as `quantize_codebooks` does.

    Yields the codebook of each layer that has its own, by index in the plan's network;
    NETWORK_INPUT is the input's.

    Raises
    ------
    TraceDataError
        A value is NaN, infinite or beyond every format.
    """
    bits = settings.value_bits
    counts = {
        index: ValueCounts(f"{name} output", value_bits=bits) for index, name in plan.names.items()
    }

    def observe(index: int, values: torch.Tensor) -> None:
        if index in counts:
            counts[index].update(values.numpy())

    batch = batch_of(network)
    for start in range(0, source.shape[0], batch):
        inputs = torch.from_numpy(source.read(start, min(start + batch, source.shape[0])))
        observe(NETWORK_INPUT, inputs)
        torch_forward(network, inputs, (), observe)
    return {
        index: tree_codebook(
            counted.counted(), depth=settings.output_depth_of(plan.names[index]), value_bits=bits
        )
        for index, counted in counts.items()
    }


def chosen_samples(source: Floats | Pixels, places: npt.NDArray[np.integer]) -> Floats | Pixels:
    """Yield some of the samples."""
    if isinstance(source, Pixels):
        return replace(source, images=source.images[places])
    return Floats(source.values[places])
