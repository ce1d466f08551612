"""Ranges of activations, observed over samples in bounded memory."""

import numpy as np
import numpy.typing as npt

from bitpim_traces.network import FloatNetwork
from bitpim_traces.quantize.settings import Settings

__all__ = ["Observer", "calibrate"]


class Observer:
    """Range of a stream of values."""

    def __init__(self, method: str = "minmax", *, percentile: float = 99.99, bits: int = 8) -> None:
        raise NotImplementedError

    def update(self, values: npt.NDArray[np.floating]) -> None:
        """Take more values into account."""
        raise NotImplementedError

    def range(self) -> tuple[float, float]:
        """Yield (lowest, highest) by the method; (0, 0) before any value was seen."""
        raise NotImplementedError


def calibrate(
    network: FloatNetwork,
    inputs: npt.NDArray[np.floating],
    settings: Settings | None = None,
    *,
    batch: int = 16,
) -> dict[int, tuple[float, float]]:
    """Observe the range of every layer's output over samples; NETWORK_INPUT is the input's."""
    raise NotImplementedError
