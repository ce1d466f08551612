"""Bit Prudent: sparse and low-precision networks in the SRAM arrays of a last-level cache.

What the paper says
    Wang et al., HPCA 2019, on the arrays of Neural Cache: pruning leaves out whole conv kernels of
    filter and channel, since lanes compute in lock step. What is left is coalesced: it lies side by
    side, and a block brings the lanes their input activations. Or filters are pruned so that they
    overlap: those that keep no channel in common share lanes, and no input is coalesced. Binary and
    ternary weights need no products. 1.6 times as fast as Neural Cache without loss.
What is emulated
    Both ways (`sparsity.mode`; layers that lists would slow down stay dense, unless
    `sparsity.coalesce_layers` is `all`), every step of every program on packed bits. Coalesced, a
    filter has the lanes of the channels it keeps, and a gather list of them; lists are a filter's
    own or shared in an array (`sparsity.gather_list`). Filters lie with others of shorter lists
    where that takes fewer cycles, else in passes of their own. Overlapping, each lane has an owner;
    the filters of a set are reduced one after the other, behind rows of masks, or side by side in
    one tree (`sparsity.owner_reduction`), for which inputs are gathered in the set's order. Which
    filters share lanes is the trace's to say, or found here (`sparsity.overlap_groups`). Counted
    are lists and owner maps, which are loaded with the filters, gathered rows, and masked
    reductions. A filter that keeps nothing is a constant; a layer that keeps nothing is an error.
What is left out
    How the block is built, and time inside it beyond `sparsity.coalesce_cycles`. Who prunes: traces
    come pruned. That a mask of an owner is made from its number: it is loaded as a row.
How it is verified
    `tests/bitpim/sram/test_sparse_rules.py`: both fidelities equal the referee in every mode on
    random layers with zero points at both ends, counts are those worked by hand, and `dense` is
    `neural_cache` with its counts. `tests/equivalence/test_sparse_arrays.py`: lists and owners
    found anew from the weights, executed array by array, give the same codes, counts and bytes.
Known differences and assumptions
    All of `sparsity.*` is assumed but that there are two ways. A weight of a linear layer, or of a
    1 x 1 filter, is a conv kernel of its own, whose number in a list (`sparsity.index_format`) may
    be longer than itself; overlapping filters pack no such weights in a lane. Filters with
    entries of their own would each need the sum of their window for a zero point of their weights:
    signed weights with zero point 0 are multiplied in two's complement instead
    (`sparsity.signed_weights`). An array has filters of one list, or any (`gather_list`); a
    convolution lies in one array, or crosses into the next at no cost
    (`sparsity.lanes_across_arrays`). A masked reduction loads the tag, copies the owner's lanes by
    AND with the mask, and reduces. Where owners lie side by side, lanes whose partner is another
    owner's receive 0 in a move, at no cost. All else is as in `neural_cache`.
"""

from bitpim.config import MachineEntry
from bitpim.machine.cache_machine import CacheMachine
from bitpim.sram.sparse_rules import PrunedLanes
from bitpim.sram.sparse_settings import SparseCacheSettings

__all__ = ["ENTRY", "BitPrudentSettings", "make"]


class BitPrudentSettings(SparseCacheSettings):
    """Settings of the machine `bit_prudent`."""


def make(settings: BitPrudentSettings) -> CacheMachine:
    """Return the machine: filters lie in lanes by what is pruned of them."""
    return CacheMachine(settings, PrunedLanes())


ENTRY = MachineEntry(
    name="bit_prudent",
    settings=BitPrudentSettings,
    make=make,
    prices="neural_cache_22nm",
    wing="bitpim.sram",
)
