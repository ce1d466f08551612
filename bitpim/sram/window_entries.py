"""Codes that windows meet, looked up entry by entry."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.digital.windows import elements_met
from bitpim_kernels.windows import Window

__all__ = ["WindowEntries"]

Codes = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class WindowEntries:
    """The windows of one image.

    Attributes
    ----------
    image : (C, H, W), as lanes hold codes
    window : where windows lie
    pad_code : what they meet outside
    in_channels : channels of a conv group
    """

    image: Codes
    window: Window
    pad_code: int
    in_channels: int

    def elements(self, position: int, conv_group: int, entries: Int64) -> Int64:
        """Return the elements of the image that entries meet at a position, -1 for padding."""
        channels, taps = np.divmod(np.maximum(entries, 0), self.window.n_taps)
        return elements_met(self.window, position, channels + conv_group * self.in_channels, taps)

    def at(self, position: int, conv_group: int, entries: Int64) -> Int64:
        """Return the codes of entries, of any shape, at a position; -1 is none and has 0."""
        elements = self.elements(position, conv_group, entries)
        found = self.image.reshape(-1)[np.maximum(elements, 0)]
        codes: Int64 = np.where(elements < 0, self.pad_code, found).astype(np.int64)
        return np.where(entries < 0, 0, codes)
