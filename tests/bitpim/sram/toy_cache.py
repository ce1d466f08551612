"""The cache and the layers whose counts are worked by hand.

The toy cache:

    2 slices x | CPU | CPU | I/O | compute | compute |   each way: 1 bank of 2 arrays
               arrays that compute 2 x 2 x 2 = 8, arrays that stage 2 x 1 x 2 = 4

    an array: 192 wordlines x 32 bitlines (lanes); the I/O ways hold 4 x 192 x 32 / 8 = 3,072 bytes
    a pass fills 8 arrays = 256 lanes; buses carry 2 x 2 = 4 bytes a cycle, DRAM 3

The layer most tests lay out: 3 channels of 3 x 3 taps, 5-bit inputs, 6-bit weights, 7-bit outputs.

    a convolution takes 4 lanes:   channel 0 | channel 1 | channel 2 | idle     9 taps in each lane
    so an array holds 32 / 4 = 8 of them

    one tap   product 5 + 6 rows zeroed (11), first weight bit: tag 1 + copy 5, five more weight
              bits: tag 1 + carry reset 1 + 5 adds + carry store 1   = 11 + 6 + 5 x 8 = 57 cycles,
              add to the 24-bit partial sum 24 + 1                   = 25: in all 82
    the tree  2 halvings: move 24, add 25; move 25, add 26           = 49 moved + 51 added = 100
    a code    sum + offset: 1 + 32; times a multiplier of 2 bits: 2 x 32 + 2 + 36 = 102; shift by 20
              for nothing, zero point into r = 34 - 20 + 1 = 15 rows: 1 + 15; clamp: 3 x 15 + 7 + 4
              = 33 + 102 + 16 + 56 = 207
"""

from dataclasses import replace
from typing import Any

import numpy as np

from bitpim.config import override
from bitpim.machine.cache_machine import CacheMachine
from bitpim.machine.registry import load_preset
from bitpim.sram.rules import ConvRule, OneGroup
from bitpim_traces.records import Geometry, Requantize, Trace
from tests.one_layer import one_layer, quantization

__all__ = ["OUTPUT", "RULE", "TOY", "conv", "narrow", "plan_of"]

TOY = (
    "geometry.n_cache_slices=2",
    "geometry.ways_per_cache_slice=5",
    "geometry.cpu_ways=2",
    "geometry.io_ways=1",
    "geometry.banks_per_way=1",
    "geometry.arrays_per_bank=2",
    "geometry.array_rows=192",
    "geometry.array_columns=32",
    "transfer.bus_bytes_per_cycle=2",
    "transfer.dram_bytes_per_cycle=3",
)
RULE = Requantize("truncate_shift", np.array([3], np.int32), np.array([20], np.int32))
OUTPUT = quantization(7, 3)


def plan_of(
    trace: Trace, *assigned: str, preset: str = "neural_cache", rule: ConvRule | None = None
) -> Any:
    """Lay out the only layer of a trace on the toy cache."""
    settings = override(load_preset("neural_cache", preset), [*TOY, *assigned])
    (plan,) = CacheMachine(settings, rule or OneGroup()).plan(trace).layers
    return plan


def conv(
    side: int,
    n_filters: int,
    *,
    zero: int = 0,
    channels: int = 3,
    kernel: int = 3,
    groups: int = 1,
    bits: tuple[int, int] = (5, 6),
    mode: str = "truncate_shift",
) -> Trace:
    """Build a convolution of `channels` square images; unsigned weights of one zero point."""
    trace = one_layer(
        0,
        (channels, side, side),
        n_filters,
        Geometry((kernel, kernel), groups=groups),
        inputs=quantization(bits[0]),
        weights=quantization(bits[1], zero),
        mode=mode,
    )
    return narrow(trace, None if mode != "truncate_shift" else RULE)


def narrow(trace: Trace, rule: Requantize | None = RULE) -> Trace:
    """Give the only layer 7-bit outputs, and one requantize step for all its filters."""
    (layer,) = trace.layers
    made = replace(layer, output=OUTPUT, clamp=(0, 127), requantize=rule or layer.requantize)
    return replace(trace, layers=(made,))
