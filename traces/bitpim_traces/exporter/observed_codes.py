"""Codebooks of the activations of a float network, from what PyTorch computes."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from bitpim_traces.exporter.calibrate import batch_of
from bitpim_traces.exporter.coded_forward import Rounding
from bitpim_traces.exporter.forward import torch_forward
from bitpim_traces.exporter.sources import Floats, Pixels
from bitpim_traces.network import FloatNetwork
from bitpim_traces.quantize import CodebookSettings
from bitpim_traces.quantize.codebook_plan import CodebookPlan
from bitpim_traces.quantize.codebook_tree import tree_codebook
from bitpim_traces.quantize.value_counts import ValueCounts
from bitpim_traces.records import NETWORK_INPUT

__all__ = ["Codes", "chosen_samples", "observed_codes"]

Codes = dict[int, Rounding]


def observed_codes(
    network: FloatNetwork,
    plan: CodebookPlan,
    source: Floats | Pixels,
    settings: CodebookSettings,
) -> Codes:
    """Cluster what the float network gives for samples, as `quantize_codebooks` does.

    Yields what the output of each layer that has a codebook is rounded to, by index in the plan's
    network; NETWORK_INPUT is the input's.

    Raises
    ------
    TraceDataError
        A value is NaN, infinite or beyond every format.
    """
    names = {index: network.layers[index].name for index in plan.own if index != NETWORK_INPUT}
    by_reader = {reader: index for index, reader in plan.joined.items()}
    names = {i: network.layers[by_reader.get(i, i)].name for i in names} | {NETWORK_INPUT: "input"}
    counts = {
        index: ValueCounts(f"{name} output", value_bits=settings.value_bits)
        for index, name in names.items()
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
        index: Rounding(
            tree_codebook(
                counted.counted(),
                depth=settings.output_depth_of(names[index]),
                value_bits=settings.value_bits,
            )
        )
        for index, counted in counts.items()
    }


def chosen_samples(source: Floats | Pixels, places: npt.NDArray[np.integer]) -> Floats | Pixels:
    """Yield some of the samples."""
    if isinstance(source, Pixels):
        return replace(source, images=source.images[places])
    return Floats(source.values[places])
