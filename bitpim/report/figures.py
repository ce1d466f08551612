"""Error figures: how far a machine's outputs are from the float network (exactness level L2).

Everything is kept per sample: one row of ERROR_COLUMNS for each sample and layer. Rows do not
depend on the batch they were computed in, so a resumed run ends with the figures of an
uninterrupted one, and the figures of a whole run are sums over rows.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import inf, log10, nan, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.numbers.affine import real_values
from bitpim_traces.records import LayerRecord, Quantization, Trace

__all__ = [
    "ERROR_COLUMNS",
    "ErrorFigures",
    "LayerFigures",
    "error_rows",
    "float_accuracy",
    "n_references",
    "network_figures",
    "summarize",
    "top1",
]

Codes = npt.NDArray[Any]
Rows = npt.NDArray[np.float64]

ERROR_COLUMNS = ("max_abs", "sum_error_squared", "sum_reference_squared")


@dataclass(frozen=True, slots=True)
class LayerFigures:
    """Distance of one layer's output from its float reference, over `n_samples` samples.

    `relative_l2` is |output - reference| / |reference|; `sqnr_db` its square's inverse in decibel.
    """

    index: int
    name: str
    n_samples: int
    max_abs: float
    relative_l2: float
    sqnr_db: float


@dataclass(frozen=True, slots=True)
class ErrorFigures:
    """Distance of a whole run from the float network; a share is None where nothing is known.

    `top1_agreement` is the share of `n_compared` samples whose largest output is also the float
    network's; `accuracy` the share of `n_labelled` samples whose largest output is the label, and
    `float_accuracy` the same of the float network, over `n_float_labelled` samples that have both a
    label and its answer.
    """

    layers: tuple[LayerFigures, ...]
    n_compared: int = 0
    top1_agreement: float | None = None
    n_labelled: int = 0
    accuracy: float | None = None
    n_float_labelled: int = 0
    float_accuracy: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


def n_references(layer: LayerRecord) -> int:
    """Return how many of the first samples have a float reference for that layer."""
    return 0 if layer.output_float is None else layer.output_float.shape[0]


def error_rows(layer: LayerRecord, start: int, codes: Codes) -> Rows:
    """Return one row of ERROR_COLUMNS for each sample of a batch that has a float reference.

    Shapes
    ------
    codes : (n, ...) outputs of samples start .. start + n of the trace
    rows : (min(n, references left), 3), float64
    """
    if layer.output_float is None:
        return np.zeros((0, len(ERROR_COLUMNS)))
    stop = min(start + codes.shape[0], n_references(layer))
    rows = np.zeros((max(stop - start, 0), len(ERROR_COLUMNS)))
    for row, sample in zip(rows, range(start, stop), strict=True):
        reference = layer.output_float.read(sample, sample + 1)[0].astype(np.float64)
        error = _real(layer.output, codes[sample - start]) - reference
        row[0] = np.abs(error).max(initial=0.0)
        row[1] = np.square(error).sum()
        row[2] = np.square(reference).sum()
    return rows


def _real(quantization: Quantization, codes: Codes) -> npt.NDArray[np.float64]:
    """Real numbers of one sample's codes, channel axis first.

    Machines lay outputs out as they like; in C order the sums over them are the same bits.
    """
    return real_values(codes.astype(np.int64, order="C"), quantization)


def summarize(layer: LayerRecord, rows: Rows) -> LayerFigures:
    """Join the rows of all samples of a layer into its figures (nan where there are none)."""
    if rows.shape[0] == 0:
        return LayerFigures(layer.index, layer.name, 0, nan, nan, nan)
    error, reference = float(rows[:, 1].sum()), float(rows[:, 2].sum())
    ratio = error / reference if reference else (inf if error else 0.0)
    decibel = -10.0 * log10(ratio) if 0.0 < ratio < inf else (inf if ratio == 0.0 else -inf)
    return LayerFigures(
        layer.index, layer.name, rows.shape[0], float(rows[:, 0].max()), sqrt(ratio), decibel
    )


def top1(outputs: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the index of the largest output of each sample; the first one where two are equal."""
    chosen: npt.NDArray[np.int64] = outputs.reshape(outputs.shape[0], -1).argmax(axis=1)
    return chosen


def network_figures(
    trace: Trace, rows: Mapping[int, Rows], start: int, final: Codes | None
) -> ErrorFigures:
    """Join the rows of all layers and the final codes of samples from `start` on into figures.

    Without final codes, or where the network's output is an image, top-1 figures stay None.
    """
    layers = tuple(
        summarize(trace.layers[i], rows[i]) for i in sorted(rows) if rows[i].shape[0] > 0
    )
    last = trace.layers[-1]
    if final is None or len(final) == 0 or np.prod(last.output_shape[1:], dtype=np.int64) != 1:
        return ErrorFigures(layers)
    chosen = top1(final)
    float_choice = _float_choice(trace, start, start + len(final))
    n_compared = len(float_choice)
    agreement = float(np.mean(chosen[:n_compared] == float_choice)) if n_compared else None
    labelled = _accuracy(trace, start, chosen)
    return ErrorFigures(
        layers, n_compared, agreement, *labelled, *_accuracy(trace, start, float_choice)
    )


def float_accuracy(trace: Trace) -> tuple[int, float | None]:
    """Return over how many samples the float network is known to be right or wrong, and its share.

    None where the trace has no labels, no float outputs, or outputs that are images.
    """
    if np.prod(trace.layers[-1].output_shape[1:], dtype=np.int64) != 1:
        return 0, None
    return _accuracy(trace, 0, _float_choice(trace, 0, trace.n_samples))


def _float_choice(trace: Trace, start: int, stop: int) -> npt.NDArray[np.int64]:
    """Return what the float network answers to those samples of a range that it has outputs of."""
    reference = trace.layers[-1].output_float
    n_known = min(stop, n_references(trace.layers[-1])) - start
    if reference is None or n_known <= 0:
        return np.zeros(0, np.int64)
    return top1(reference.read(start, start + n_known))


def _accuracy(trace: Trace, start: int, chosen: npt.NDArray[np.int64]) -> tuple[int, float | None]:
    """Return how many answers to samples from `start` on have a label, and the share that is it."""
    if trace.samples.labels is None or not len(chosen):
        return 0, None
    labels = trace.samples.labels.read(start, start + len(chosen))
    known = labels >= 0
    n_labelled = int(known.sum())
    return n_labelled, float(np.mean(chosen[known] == labels[known])) if n_labelled else None
