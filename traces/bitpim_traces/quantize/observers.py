"""Ranges of activations, observed over samples in bounded memory."""

import math
from functools import cache

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.network import FloatNetwork
from bitpim_traces.quantize.settings import CALIBRATION_METHODS, Settings
from bitpim_traces.records import NETWORK_INPUT

__all__ = ["N_BINS", "Observer", "calibrate", "histogram"]

N_BINS = 4096
"""Bins of an observer's histogram; even, so that halving the resolution keeps bin edges."""

_LEAST_REACH = 1e-30
"""Smaller values count as 0: float32 bins could not tell them apart."""

_SHARES = np.linspace(1.0, 0.05, 96)

_BLOCK_VALUES = 1 << 16
"""Values counted at once: what stays in a core's cache."""


class Observer:
    """Range of a stream of values, by "minmax", "percentile" or "mse".

    minmax keeps the extremes. percentile leaves out `100 - percentile` percent of the values, half
    at each end (an end without values of that sign stays at 0). mse picks the range, holding 0,
    whose affine quantization to `bits` has the least mean squared error.

    The last two count values in a histogram around 0. When a value falls outside, neighbouring
    bins merge until it fits, so memory is constant and equal streams give equal ranges.
    """

    def __init__(self, method: str = "minmax", *, percentile: float = 99.99, bits: int = 8) -> None:
        if method not in CALIBRATION_METHODS:
            raise TraceDataError(
                f"observer: need a method among {', '.join(CALIBRATION_METHODS)}, got {method!r}"
            )
        self.method = method
        self.percentile = percentile
        self.bits = bits
        self._low = math.inf
        self._high = -math.inf
        self._reach = 0.0  # the histogram spans -reach to reach; 0: only zeros so far
        self._n_zeros = 0
        self._counts = np.zeros(N_BINS, dtype=np.int64)

    def update(self, values: npt.NDArray[np.floating]) -> None:
        """Take more values into account.

        Raises
        ------
        TraceDataError
            A value is NaN or infinite.
        """
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise TraceDataError("observer: need finite values, got NaN or infinity")
        self._low, self._high = min(self._low, low), max(self._high, high)
        if self.method != "minmax":
            self._widen(max(high, -low))
            n_zeros = values.size - int(np.count_nonzero(values))
            if self._reach == 0:
                n_zeros = values.size
            self._n_zeros += n_zeros
            if self._reach > 0:
                self._counts += histogram(values, self._reach)

    def range(self) -> tuple[float, float]:
        """Yield (lowest, highest) by the method; (0, 0) before any value was seen."""
        if self._low > self._high:
            return 0.0, 0.0
        if self.method == "minmax" or self._reach == 0:
            return self._low, self._high
        low, high = self._percentile_range() if self.method == "percentile" else self._mse_range()
        return max(low, self._low), min(high, self._high)

    def _widen(self, reach: float) -> None:
        """Merge bins in pairs until the histogram reaches `reach`; zeros alone need none."""
        if reach < _LEAST_REACH:
            return
        if self._reach == 0:
            self._reach = math.ldexp(1.0, math.frexp(reach)[1])
            self._counts[N_BINS // 2] = self._n_zeros
        while self._reach < reach:
            merged = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts = np.zeros(N_BINS, dtype=np.int64)
            self._counts[N_BINS // 4 : N_BINS // 4 + N_BINS // 2] = merged
            self._reach *= 2

    def _edges(self) -> npt.NDArray[np.float64]:
        return np.linspace(-self._reach, self._reach, N_BINS + 1)

    def _percentile_range(self) -> tuple[float, float]:
        outside = self._counts.sum() * (100 - self.percentile) / 200
        edges = self._edges()
        below = np.cumsum(self._counts)
        first = int(np.searchsorted(below, outside, side="right"))
        above = np.cumsum(self._counts[::-1])
        last = N_BINS - int(np.searchsorted(above, outside, side="right"))
        return min(float(edges[first]), 0.0), max(float(edges[last]), 0.0)

    def _mse_range(self) -> tuple[float, float]:
        """Shrink both ends together, then each alone, to the least error on the histogram."""
        counts = self._counts.copy()
        counts[N_BINS // 2] -= self._n_zeros  # real 0 has no error, its bin's centre would
        used = np.flatnonzero(counts)
        edges = self._edges()
        centres = ((edges[:-1] + edges[1:]) / 2)[used]
        counts = counts[used]
        low, high = min(self._low, 0.0), max(self._high, 0.0)

        @cache
        def error(ends: tuple[float, float]) -> float:
            return self._error(centres, counts, ends)

        tries = [(low * a, high * a) for a in _SHARES]
        for _ in range(2):
            low, high = min(tries, key=error)
            tries = [(low, high)]
            tries += [(low * a, high) for a in _SHARES] + [(low, high * a) for a in _SHARES]
        return min(tries, key=error)

    def _error(
        self,
        centres: npt.NDArray[np.float64],
        counts: npt.NDArray[np.int64],
        ends: tuple[float, float],
    ) -> float:
        levels = (1 << self.bits) - 1
        scale = (ends[1] - ends[0]) / levels
        if scale == 0:
            return math.inf
        zero = np.rint(-ends[0] / scale)
        codes = centres / scale
        np.rint(codes, out=codes)
        codes += zero
        np.clip(codes, 0, levels, out=codes)
        codes -= zero
        codes *= scale
        codes -= centres
        np.square(codes, out=codes)
        return float(np.dot(counts, codes))


def histogram(values: npt.NDArray[np.floating], reach: float) -> npt.NDArray[np.int64]:
    """Count values in N_BINS equal bins from -reach to reach, a power of two that none exceeds.

    The counts are those of `np.histogram`, which divides and compares where a shift is exact.
    """
    per_unit = N_BINS / 2 / reach
    if values.dtype != np.float32 or per_unit < 1:  # a factor below 1 could round
        return np.histogram(values, bins=N_BINS, range=(-reach, reach))[0].astype(np.int64)
    flat = values.reshape(-1)
    counts = np.zeros(N_BINS + 1, dtype=np.int64)
    bins = np.empty(min(_BLOCK_VALUES, flat.size), dtype=np.float32)
    for start in range(0, flat.size, _BLOCK_VALUES):
        block = flat[start : start + _BLOCK_VALUES]
        part = bins[: block.size]
        np.multiply(block, np.float32(per_unit), out=part)
        np.floor(part, out=part)
        part += N_BINS // 2
        counts += np.bincount(part.astype(np.intp), minlength=N_BINS + 1)
    counts[N_BINS - 1] += counts[N_BINS]  # the last bin holds its upper end, too
    return counts[:N_BINS]


def calibrate(
    network: FloatNetwork,
    inputs: npt.NDArray[np.floating],
    settings: Settings | None = None,
    *,
    batch: int = 16,
) -> dict[int, tuple[float, float]]:
    """Observe the range of every layer's output over samples; NETWORK_INPUT is the input's.

    Shapes
    ------
    inputs : (n_samples, *network.input_shape)
    """
    settings = settings or Settings()
    if not inputs.shape[0]:
        raise TraceDataError(f"network {network.name}: need at least one sample to calibrate with")
    names = ["input", *(layer.name for layer in network.layers)]
    last = len(network.layers) - 1
    observers = [
        Observer(
            settings.calibration,
            percentile=settings.percentile,
            bits=settings.activation_bits_of(name, is_output=position - 1 == last),
        )
        for position, name in enumerate(names)
    ]
    for start in range(0, inputs.shape[0], batch):
        observers[0].update(np.asarray(inputs[start : start + batch], dtype=np.float32))
    for index, _, output in network.forward(inputs, batch=batch):
        observers[index + 1].update(output)
    return {NETWORK_INPUT + i: observer.range() for i, observer in enumerate(observers)}
