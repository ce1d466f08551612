"""Which channels of a window each filter gathers, where filters leave out channels of their own."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim.sram.transposed import LaneLayout

__all__ = ["GatherLists", "lists_in_arrays"]

Bools = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class GatherLists:
    """The channels of each filter; those it keeps lie in its lanes one after the other.

    The layout that goes with them speaks of places: its entry `place * n_taps + tap` is that tap of
    the channel at that place of a filter's list. Places beyond a list's end stay empty.

    Attributes
    ----------
    kept : (n_filters, n_channels of a conv group)
    n_taps : taps of a channel
    together : filters side by side in one array, which have one list; 1 where each has its own
    """

    kept: Bools
    n_taps: int
    together: int = 1

    @property
    def n_entries(self) -> int:
        """Entries of all filters."""
        return int(self.kept.sum()) * self.n_taps

    def in_arrays(self, n_lanes: int, n_columns: int) -> tuple[int, int]:
        """How many filters together there are, and the columns that each of these takes.

        Different ones have an array each; one alone may be there for several positions.
        """
        return lists_in_arrays(self.kept.shape[0], self.together, n_lanes, n_columns)

    def source(self, layout: LaneLayout, position: int) -> Int64:
        """Which entry of the window each tap of each lane of a filter takes, -1 for none."""
        channels = np.flatnonzero(self.kept[position])
        place, tap = np.divmod(layout.source, self.n_taps)
        held = (layout.source >= 0) & (place < channels.size)
        if channels.size == 0:
            return np.full_like(layout.source, -1)
        found = channels[np.minimum(place, channels.size - 1)] * self.n_taps + tap
        return np.where(held, found, -1)

    def used(self) -> Bools:
        """Which entries of the window each filter uses; (n_filters, n_entries)."""
        return np.repeat(self.kept, self.n_taps, axis=1)

    def n_lists(self, conv_groups: Int64) -> int:
        """Lists that differ, or are those of different conv groups."""
        packed = np.packbits(self.kept, axis=1)
        rows = np.column_stack([conv_groups.astype(">i8")[:, None].view(np.uint8), packed])
        return np.unique(rows, axis=0).shape[0]

    def n_streamed(self, conv_groups: Int64) -> int:
        """Entries of all windows of a position that some filter takes."""
        unions = (self.kept[conv_groups == one].any(axis=0) for one in np.unique(conv_groups))
        return int(sum(union.sum() for union in unions)) * self.n_taps


def lists_in_arrays(
    n_filters: int, together: int, n_lanes: int, n_columns: int
) -> tuple[int, int]:
    """Say what `GatherLists.in_arrays` does, of so many filters."""
    n_lists = -(-n_filters // together)
    return n_lists, n_columns if n_lists > 1 else together * n_lanes
