"""Bit Prudent: sparse and low-precision networks in the SRAM arrays of a last-level cache."""

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
