"""A whole file against schema and rules: every fault, not only the first."""

import os

from bitpim_traces.faults import Fault
from bitpim_traces.masks import check_mask
from bitpim_traces.reader import open_file, read_trace
from bitpim_traces.value_rules import check_checksums, check_values

__all__ = ["Fault", "check_trace"]


def check_trace(path: str | os.PathLike[str], *, deep: bool = False) -> list[Fault]:
    """List every fault of a trace file; an empty list means that it is in order.

    `deep` also reads all values: SHA-256 of every dataset, code ranges against bits, sums that
    could leave their accumulator, labels, floats that are not finite, pruning masks that disagree
    with weights or patterns, clusters that disagree with weights. Values are checked only in
    a file whose structure is in order, because a fault there already says that they mean nothing.

    Raises
    ------
    TraceError
        There is no such file, or it cannot be read.
    """
    name = str(path)
    faults: list[Fault] = []
    reading = read_trace(open_file(name), faults.append)
    for layer in reading.trace.layers if reading.trace is not None else ():
        check_mask(layer, faults.append)
    if deep:
        check_checksums(reading.tree, faults.append)
        if reading.trace is not None and not faults:
            check_values(reading.trace, faults.append)
    return faults
