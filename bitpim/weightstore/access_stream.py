"""Lines of a network's weights, and the order in which iterative inference reads them.

Lines are numbered layer by layer, in a layer cluster by cluster, in a cluster output channel by
output channel. A **portion** is the lines of one cluster of one layer. A stream is named by its
portions, so that the reads of a run are a few hundred numbers however many lines they are.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim.errors import LayoutError

__all__ = ["MAX_LINES", "NetworkLines", "checked_iterations", "whole_lines"]

MAX_LINES = 1 << 30
MAX_SIZE = (1 << 31) - 1
"""Of bytes or bursts of one line."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkLines:
    """The lines of all layers of a network.

    Attributes
    ----------
    n_lines : of each layer and cluster; layers of fewer clusters have 0 lines in the last ones
    n_bytes : of each line as it is stored
    raw_bytes : that it has uncompressed
    bursts : of the bus that fetches it
    contents : a number that lines have in common if and only if all their bytes are equal; None
        where that is not known

    Shapes
    ------
    n_lines: (n_layers, n_clusters)
    n_bytes, raw_bytes, bursts, contents: (n_lines.sum(),)

    Raises
    ------
    LayoutError
        A shape or a number is none that lines have, or lines of one content differ in size.
    """

    n_lines: Ints
    n_bytes: Ints
    raw_bytes: Ints
    bursts: Ints
    contents: Ints | None = None

    def __post_init__(self) -> None:
        total = _n_lines_of(self.n_lines)
        for name in ("n_bytes", "raw_bytes", "bursts", "contents"):
            values = getattr(self, name)
            if values is not None:
                self._check_column(name, values, total)
        self._check_contents()
        for name in ("n_lines", "n_bytes", "raw_bytes", "bursts"):  # of any type of integer
            object.__setattr__(self, name, getattr(self, name).astype(np.int64))

    def _check_column(self, name: str, values: Ints, total: int) -> None:
        _check_integers(values, name)
        if values.shape != (total,):
            raise LayoutError(
                f"weight lines: need {name} of {total} lines, got shape {values.shape}"
            )
        if name == "contents":
            return
        least = 0 if name == "raw_bytes" else 1
        wrong = (values < least) | (values > MAX_SIZE)
        if wrong.any():
            line = int(np.argmax(wrong))
            raise LayoutError(
                f"weight lines: {self.name(line)}: need {name} of {least} to {MAX_SIZE}, got "
                f"{values[line]}"
            )

    def _check_contents(self) -> None:
        if self.contents is None:
            return
        first = self.first_alike
        for name in ("n_bytes", "raw_bytes", "bursts"):
            values = getattr(self, name)
            wrong = values != values[first]
            if wrong.any():
                line = int(np.argmax(wrong))
                raise LayoutError(
                    f"weight lines: {self.name(line)}: need {name} of "
                    f"{values[first[line]]}, as {self.name(int(first[line]))} of the same content "
                    f"has, got {values[line]}"
                )

    @property
    def n_layers(self) -> int:
        """Layers of the network."""
        return int(self.n_lines.shape[0])

    @property
    def n_clusters(self) -> int:
        """Clusters of a layer."""
        return int(self.n_lines.shape[1])

    @property
    def firsts(self) -> Ints:
        """First line of each portion, and the end."""
        return np.concatenate([[0], np.cumsum(self.n_lines.ravel())]).astype(np.int64)

    @property
    def clusters(self) -> Ints:
        """Cluster of each line."""
        portions = np.tile(np.arange(self.n_clusters), self.n_layers)
        found: Ints = np.repeat(portions, self.n_lines.ravel())
        return found

    @property
    def first_alike(self) -> Ints:
        """For each line, the first that has its content: itself, where none is known."""
        if self.contents is None:
            return np.arange(int(self.n_lines.sum()))
        _, first, which = np.unique(self.contents, return_index=True, return_inverse=True)
        found: Ints = first[which]
        return found

    def name(self, line: int) -> str:
        """Return what messages call a line."""
        portion = int(np.searchsorted(self.firsts, line, side="right")) - 1
        layer, cluster = divmod(portion, self.n_clusters)
        return f"layer {layer}, cluster {cluster}, line {line - int(self.firsts[portion])}"

    def reads(self, iteration: int) -> Ints:
        """Return the portions that an iteration reads, in order: of each layer all clusters so far.

        Parameters
        ----------
        iteration
            From 1 on; iteration k reads k clusters.

        Shapes
        ------
        return: (n_layers * iteration,)
        """
        (k,) = checked_iterations([iteration], self.n_clusters)
        layers = np.arange(self.n_layers)[:, None] * self.n_clusters
        found: Ints = (layers + np.arange(k)).ravel()
        return found


def checked_iterations(iterations: npt.ArrayLike, n_clusters: int) -> Ints:
    """Return the iterations that inputs took, checked.

    Raises
    ------
    LayoutError
        One took none, or more than there are clusters.
    """
    taken = np.asarray(iterations)
    if taken.ndim != 1 or (taken.size and taken.dtype.kind not in "iu"):
        raise LayoutError(
            "weight lines: need iterations as one whole number for each input, got "
            f"{taken.dtype} of shape {taken.shape}"
        )
    wrong = (taken < 1) | (taken > n_clusters)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise LayoutError(
            f"weight lines: input {at}: need 1 to {n_clusters} iterations, as there are clusters, "
            f"got {taken[at]}"
        )
    return taken.astype(np.int64)


def whole_lines(
    n_lines: npt.ArrayLike, line_bytes: int = 64, burst_bytes: int = 64
) -> NetworkLines:
    """Return lines that are full and not compressed.

    Parameters
    ----------
    n_lines
        Of each layer and cluster.
    burst_bytes
        That the bus brings at a time.

    Raises
    ------
    LayoutError
        Lines or bursts have no bytes, or `n_lines` is no table of numbers of lines.
    """
    if line_bytes < 1 or burst_bytes < 1:
        raise LayoutError(
            "weight lines: need lines and bursts of 1 byte or more, got "
            f"{line_bytes} and {burst_bytes}"
        )
    counts = np.asarray(n_lines)
    n_bytes = np.full(_n_lines_of(counts), line_bytes)
    return NetworkLines(counts, n_bytes, n_bytes, -(-n_bytes // burst_bytes))


def _n_lines_of(n_lines: Ints) -> int:
    """Return how many lines all portions have, checked."""
    _check_integers(n_lines, "n_lines")
    if n_lines.ndim != 2 or not n_lines.size:
        raise LayoutError(
            f"weight lines: need n_lines by layer and cluster, got shape {n_lines.shape}"
        )
    least, total = int(n_lines.min()), int(n_lines.sum(dtype=np.float64))
    if least < 0 or total > MAX_LINES:
        raise LayoutError(
            f"weight lines: need n_lines of 0 or more, {MAX_LINES} in all at most, got "
            f"{least if least < 0 else total}"
        )
    return total


def _check_integers(values: Ints, name: str) -> None:
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iu":
        raise LayoutError(f"weight lines: need {name} as an array of integers, got {values!r}")
