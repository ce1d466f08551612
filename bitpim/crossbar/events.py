"""What one read of an operation unit counts as."""

from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

__all__ = ["COUNTED_AS", "CountedAs", "ou_events", "spike_events"]

CountedAs = Literal["ou", "spike"]
"""ou: reads through a converter. spike: steps of spike trains, whose columns count."""

COUNTED_AS: Final[tuple[str, ...]] = get_args(CountedAs)


def ou_events(n_rows: int, n_columns: int, adc_width: str) -> dict[str, int]:
    """Return the events of a read that opens so many rows and converts so many columns."""
    return {
        "ou_activation": 1,
        "ou_rows": n_rows,
        "ou_cols": n_columns,
        "ou_cells": n_rows * n_columns,
        "dac_drive": n_rows,
        f"adc_conv_{adc_width}": n_columns,
    }


def spike_events(bits: npt.NDArray[Any], n_columns: int) -> dict[str, int]:
    """Return the events of one step of the spike trains of so many rows, a bit each."""
    n_spikes = int(np.count_nonzero(bits))
    return {
        "spike_read": 1,
        "spike": n_spikes,
        "spike_silent": len(bits) - n_spikes,
        "spike_cell": n_spikes * n_columns,
        "if_count": n_columns,
    }
