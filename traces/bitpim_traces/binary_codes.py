"""Codes of plus and minus one: in a file 0 and 1, which stand for 2c - 1; in memory their values.

So whoever computes sees signed codes of 2 bits, of which only -1 and 1 occur.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.records import TensorRecord

__all__ = ["BINARY", "CODEBOOK", "CODED", "in_file", "in_memory"]

BINARY = 2
"""What the attribute `signed` says of them."""

CODEBOOK = 3
"""What it says of codes of a codebook: a reader that knew none has to refuse them."""

CODED = {"weight": "weight_quantization", "table": "output", "values": "output"}
"""Tensors of a layer that hold codes, and the quantization of each."""


def in_file(tensor: TensorRecord, where: str) -> TensorRecord:
    """Yield a tensor of -1 and 1 as 0 and 1."""

    def load(start: int, stop: int) -> npt.NDArray[Any]:
        values = tensor.load(start, stop)
        if not np.isin(values, (-1, 1)).all():
            raise TraceDataError(
                f"{where}: need codes of -1 and 1 alone, got others; give it a quantization that is"
                " not binary"
            )
        return ((values + 1) // 2).astype(np.uint8)

    return replace(tensor, dtype=np.dtype(np.uint8), load=load, limits=None)


def in_memory(tensor: TensorRecord) -> TensorRecord:
    """Yield a tensor of 0 and 1 as -1 and 1; others lie beyond what codes of 2 bits may be."""

    def load(start: int, stop: int) -> npt.NDArray[Any]:
        codes = np.minimum(tensor.load(start, stop), 2)
        values: npt.NDArray[Any] = 2 * codes.astype(np.int8) - np.int8(1)
        return values

    return replace(tensor, dtype=np.dtype(np.int8), load=load)
