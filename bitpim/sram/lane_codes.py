"""Codes as lanes hold them: unsigned, with signed codes offset by half their range."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.records import Quantization

__all__ = ["LaneCodes"]


@dataclass(frozen=True, slots=True)
class LaneCodes:
    """What a tensor's codes become in lanes: unsigned codes, codes + offset.

    The zero points move along. `binary` ones are 1 and 3, for -1 and 1, and where windows are
    padded 2, for 0.
    """

    bits: int
    offset: int
    zero_point: npt.NDArray[np.int64]
    binary: bool = False

    @classmethod
    def of(cls, quantization: Quantization) -> "LaneCodes":
        """Lane codes of a tensor with this quantization."""
        offset = -quantization.code_min
        zero_point = quantization.zero_point + offset
        return cls(quantization.bits, offset, zero_point, quantization.binary)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Unsigned type of the codes in lanes."""
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16)

    @property
    def code_max(self) -> int:
        """Largest code in a lane."""
        return (1 << self.bits) - 1

    def encode(self, codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Yield unsigned codes of the same shape."""
        if self.offset == 0:
            return np.ascontiguousarray(codes, self.dtype)
        same = np.ascontiguousarray(codes, f"i{self.dtype.itemsize}").view(self.dtype)
        shifted: npt.NDArray[Any] = same + self.dtype.type(self.offset)  # modulo the dtype
        return shifted
