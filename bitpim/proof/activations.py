"""How active each input channel of a layer is, over the samples of a trace, in exact integers."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError
from bitpim.machine.schedule import run_layers
from bitpim.proof.exact_run import Codes, exact_run
from bitpim.run import MEMORY_GIB, batch_size, need_memory
from bitpim.threads import use_threads
from bitpim_traces.records import LayerRecord, Quantization, Trace

__all__ = ["channel_activations"]

Ints = npt.NDArray[np.int64]


def channel_activations(
    trace: Trace,
    *,
    jobs: int = 1,
    memory_gib: float = MEMORY_GIB,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Ints]:
    """Sum the magnitudes of each input channel's codes, for every layer with weights, by name.

    A magnitude is |code - zero point|, of codebooks that of the code's value; sums run over all
    samples and positions, padding aside. Channels of one layer have equally many, so that their
    sums are as their means. `progress` is told (samples finished, samples in all).

    Shapes
    ------
    result : (input channels of the layer,) each

    Raises
    ------
    MappingError
        The digital side lacks a kind of layer.
    AccumulatorError
        A sum does not fit its accumulator.
    ConfigError
        There are no samples, or the tensors of one need more memory than `memory_gib`.
    """
    if not trace.n_samples:
        raise ConfigError(f"trace {trace.name}: need samples to measure activations on, got none")
    need_memory(trace, memory_gib)
    found: dict[str, Ints] = {}
    exact = exact_run(trace)

    def run(layer: LayerRecord, inputs: Sequence[Codes]) -> Codes:
        if layer.weight is not None:
            sums = _channel_sums(inputs[0], trace.quantization_of(layer.inputs[0]))
            found[layer.name] = found.get(layer.name, 0) + sums
        return exact(layer, inputs)

    use_threads(jobs)
    batch = batch_size(trace, "integer")
    for start in range(0, trace.n_samples, batch):
        stop = min(start + batch, trace.n_samples)
        for _ in run_layers(trace, trace.samples.codes.read(start, stop), run):
            pass
        if progress is not None:
            progress(stop, trace.n_samples)
    return found


def _channel_sums(codes: Codes, quantization: Quantization) -> Ints:
    """Sum magnitudes over samples and positions.

    Shapes
    ------
    codes : (n, C, ...);  result : (C,)
    """
    if quantization.codebook is not None:
        magnitudes = np.abs(quantization.codebook.values)[codes]
    else:
        magnitudes = np.abs(codes.astype(np.int64) - quantization.zero_point[0])
    sums: Ints = magnitudes.sum(axis=(0, *range(2, magnitudes.ndim)), dtype=np.int64)
    return sums
