"""How often a quantized network is right, beside the float network that it was made of.

No machine runs: layers are computed in exact integers, as the digital side of every machine does
and as the referee would, those of codebooks in exact sums and nearest values; so the answers are
those of any machine that loses nothing.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.machine.schedule import run_layers
from bitpim.proof.exact_run import exact_run
from bitpim.report.figures import ErrorFigures, n_references, network_figures
from bitpim.report.text import with_commas
from bitpim.run import MEMORY_GIB, batch_size, need_memory
from bitpim.threads import use_threads
from bitpim_traces.records import Trace

__all__ = ["Progress", "accuracy_text", "integer_figures"]

Codes = npt.NDArray[Any]
Progress = Callable[[int, int], None]
"""Told (samples finished, samples in all)."""


def integer_figures(
    trace: Trace,
    *,
    jobs: int = 1,
    memory_gib: float = MEMORY_GIB,
    progress: Progress | None = None,
) -> ErrorFigures:
    """Run the samples of a trace in exact integers; return accuracy and top-1 agreement.

    All samples run where they have labels, else those that the float network's answers are known
    of; none where nothing could be compared, as where the outputs are images. `layers` is empty.
    Memory follows the batch, not the trace.

    Raises
    ------
    MappingError
        The digital side lacks a kind of layer.
    AccumulatorError
        A sum does not fit its accumulator.
    ConfigError
        The tensors of one sample need more memory than `memory_gib`.
    """
    last = trace.layers[-1]
    n_samples = trace.n_samples if trace.samples.labels is not None else n_references(last)
    if not n_samples or np.prod(last.output_shape[1:], dtype=np.int64) != 1:
        return ErrorFigures(())
    need_memory(trace, memory_gib)
    run = exact_run(trace)
    use_threads(jobs)
    final = []
    batch = batch_size(trace, "integer")
    for start in range(0, n_samples, batch):
        stop = min(start + batch, n_samples)
        codes = trace.samples.codes.read(start, stop)
        final += [out for layer, out in run_layers(trace, codes, run) if layer is last]
        if progress is not None:
            progress(stop, n_samples)
    return network_figures(trace, {}, 0, np.concatenate(final))


def accuracy_text(figures: ErrorFigures) -> str:
    """Say in one line how often both networks are right, or agree; nothing where none is known."""
    said = []
    if figures.float_accuracy is not None:
        said.append(f"float {_share(figures.float_accuracy, figures.n_float_labelled)}")
    if figures.accuracy is not None:
        said.append(f"quantized {_share(figures.accuracy, figures.n_labelled)} (exact integers)")
    if said:
        return f"accuracy: {', '.join(said)}"
    if figures.top1_agreement is None:
        return ""
    return (
        "agreement: the quantized and the float network choose the same class in "
        f"{_share(figures.top1_agreement, figures.n_compared)} (exact integers)"
    )


def _share(share: float, n_samples: int) -> str:
    samples = f"{with_commas(n_samples)} sample{'s' * (n_samples != 1)}"
    return f"{100 * share:.2f} % of {samples}"
