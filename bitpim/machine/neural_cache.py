"""Neural Cache: bit-serial arithmetic in the SRAM arrays of a last-level cache.

What the paper says
    Eckert et al., ISCA 2018: 8 KB arrays of 256 wordlines by 256 bitline pairs compute on two
    wordlines at once; elements lie transposed, one a column; 4,032 of the 4,480 arrays of a 35 MB
    cache compute. A convolution's channels lie in neighbouring columns, each multiplies its taps
    bit by bit, and a tree of moves and adds joins them.
What is emulated
    Every step of every program on packed bits: multiply-accumulate, reduction, zero-point
    corrections, requantization, pooling, residual additions, clamps. Counts come from the plan
    (`bitpim.sram`) and are those of the hardware, whatever the host skips.
What is left out
    Time within a cycle, contention on the bus, the cache's normal traffic. Float scales and lookup
    tables run on the CPU and cost bus bytes. The search for a layer's least and greatest value:
    ranges are the trace's.
How it is verified
    `tests/bitpim/machine/test_neural_cache.py`: both fidelities equal the referee on random
    networks of every layer kind. `tests/equivalence/test_cache_arrays.py`: a layer executed array
    by array, row by row, column move by column move gives the same codes and the plan's counts.
Known differences and assumptions
    Signed codes are offset to unsigned (`arithmetic.signed_encoding`); the sum of a window's raw
    codes, for weight zero points, is computed once for all filters, from windows streamed once
    more; sums are gathered before requantization (`mapping.requantize_packing`), and filters of
    different shifts into different banks, which run programs of their own
    (`mapping.requantize_schedule`; `bitpim/sram/README.md` says what is left of the distance to
    the paper's 5 %); programs of one lane an output follow each other; widths of the transfers
    (`transfer.*`). Outputs that the I/O ways cannot hold go to DRAM and come back once, whatever
    the fillings of the layer that reads them; what the CPU writes does not spill. Requantization
    may use all rows of an array: filters it displaces are not counted as loaded again. A filter
    stays where it was loaded, which is exact when the convolutions of a pass are a multiple of the
    filters. Without power-of-two padding, lanes whose partner belongs to another convolution
    receive 0 in a move, at no cost. Constants are broadcast: their rows are counted, their bus
    bytes are not.
"""

from bitpim.config import MachineEntry
from bitpim.machine.cache_machine import CacheMachine
from bitpim.sram.rules import OneGroup
from bitpim.sram.settings import CacheSettings

__all__ = ["ENTRY", "NeuralCacheSettings", "make"]


class NeuralCacheSettings(CacheSettings):
    """Settings of the machine `neural_cache`."""


def make(settings: NeuralCacheSettings) -> CacheMachine:
    """Return the machine: all filters of a layer lie in lanes alike."""
    return CacheMachine(settings, OneGroup())


ENTRY = MachineEntry(
    name="neural_cache",
    settings=NeuralCacheSettings,
    make=make,
    prices="neural_cache_22nm",
    wing="bitpim.sram",
)
