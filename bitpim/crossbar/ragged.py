"""Lists of different lengths, one after the other in one array."""

import numpy as np
import numpy.typing as npt

__all__ = ["edges_of", "places_in", "ranges"]

Ints = npt.NDArray[np.int64]


def edges_of(lengths: Ints) -> Ints:
    """Return where each list begins, and the end: (n + 1,) for n lengths."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def places_in(lengths: Ints) -> tuple[Ints, Ints]:
    """Return, for all elements of all lists, the list it is in and its place there."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    return owner, np.arange(len(owner)) - edges_of(lengths)[owner]


def ranges(starts: Ints, lengths: Ints) -> Ints:
    """Return the numbers starts[i] .. starts[i] + lengths[i] of all i, one range after the other.

    The end of a range is not part of it.
    """
    owner, place = places_in(lengths)
    numbers: Ints = starts[owner] + place
    return numbers
