"""Codes that windows meet, looked up entry by entry."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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

    def at(self, position: int, conv_group: int, entries: Int64) -> Int64:
        """Return the codes of entries, of any shape, at a position; -1 is none and has 0."""
        window = self.window
        channel, tap = np.divmod(np.maximum(entries, 0), window.kernel_y * window.kernel_x)
        row, column = np.divmod(tap, window.kernel_x)
        out_row, out_column = divmod(position, window.cols)
        y = out_row * window.stride_y + row * window.dilation_y - window.top
        x = out_column * window.stride_x + column * window.dilation_x - window.left
        inside = (y >= 0) & (y < window.height) & (x >= 0) & (x < window.width)
        channel = channel + conv_group * self.in_channels
        found = self.image[channel, np.where(inside, y, 0), np.where(inside, x, 0)]
        codes: Int64 = np.where(inside, found, self.pad_code).astype(np.int64)
        return np.where(entries < 0, 0, codes)
