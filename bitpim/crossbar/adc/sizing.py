"""How many bits lose nothing, and which range holds the partial sums that were seen."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.adc.converter import Adc
from bitpim.errors import ConfigError

__all__ = ["calibrate", "lossless_bits"]


def lossless_bits(n_rows: int, cell_bits: int, dac_bits: int = 1) -> int:
    """Return the bits that tell all partial sums of an OU row block apart.

    ceil(log2(rows * (2^cell_bits - 1) * (2^dac_bits - 1) + 1)): 4, 5 and 8 bits for 9 rows of
    1-, 2- and 4-bit cells, 9 for 128 rows of 2-bit cells.

    Source: derived (agrees with DL-RSIM, BWQ, SRE and ISAAC).
    """
    return (n_rows * ((1 << cell_bits) - 1) * ((1 << dac_bits) - 1)).bit_length()


def calibrate(adc: Adc, counts: npt.NDArray[np.int64], least: int, coverage: float = 1.0) -> Adc:
    """Return the converter with its range fitted to partial sums that were seen.

    The range is the smallest that holds the share `coverage` of them, by magnitude.

    Shapes
    ------
    counts: (n,) how often each partial sum ``least .. least + n - 1`` occurred

    Raises
    ------
    ConfigError
        Nothing was seen, the coverage is not within 0..1, or the model has no range.
    """
    total = int(counts.sum())
    if total == 0 or not 0 < coverage <= 1:
        raise ConfigError(
            f"calibrate: need partial sums seen and a coverage within 0..1, got {total} and "
            f"{coverage}"
        )
    if not adc.takes_range:
        raise ConfigError(f"calibrate: need a model with a range, got {adc.model}")
    sizes = np.abs(np.arange(least, least + len(counts)))
    by_size = np.bincount(sizes, weights=counts)
    held = np.cumsum(by_size) >= coverage * total
    return replace(adc, full_scale=max(1, int(np.argmax(held))))
