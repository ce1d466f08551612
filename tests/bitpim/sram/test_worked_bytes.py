"""Bytes of layers that spill, refill and reload, worked by hand, on both machines in a cache.

The cache and the toy layer are drawn in `toy_cache`: 8 arrays of 32 lanes; buses of 4 bytes a
cycle, DRAM of 3, I/O ways of 3,072 bytes; 3 channels of 3 x 3 taps in 4 lanes, so that 64 filters
fit at once; inputs of 5 bits, weights of 6, outputs of 7. An image of 4 x 4 has 4 positions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bitpim.config import override
from bitpim.machine import bit_prudent, neural_cache
from bitpim.machine.registry import load_preset
from bitpim.sram.filter_groups import FilterGroup
from bitpim.sram.rules import OneGroup
from bitpim.sram.weighted_layer import WeightedLayer
from bitpim_traces.records import Trace
from tests.bitpim.sram.toy_cache import TOY, conv, narrow, plan_of
from tests.one_layer import one_layer, quantization

Count = Callable[..., Any]
TWO = "mapping.batch_size=2"
DENSE = ("sparsity.mode=dense", "precision.weights=multiply")


@pytest.fixture(params=["neural_cache", "bit_prudent"])
def counts(request: pytest.FixtureRequest) -> Count:
    """Count samples of the only layer of a trace."""

    def count(trace: Trace, n_samples: int, *assigned: str) -> Any:
        more = DENSE if request.param == "bit_prudent" else ()
        settings = override(load_preset(request.param), [*TOY, *more, *assigned])
        made = bit_prudent.make if request.param == "bit_prudent" else neural_cache.make
        return made(settings).plan(trace).layers[0].counts(n_samples)

    return count


# filters


@dataclass
class Indexed:
    """One group, with bits to find its weights by."""

    bits: int

    def filter_groups(self, layer: WeightedLayer) -> Sequence[FilterGroup]:
        (group,) = OneGroup().filter_groups(layer)
        return (replace(group, index_bits=self.bits),)


def test_index_bits_come_with_the_weights_once_a_batch() -> None:
    """135 weights of 6 bits are 810 bits; with 6 more 102 bytes to the last bit, with 7 one more.

    They are loaded as they are: nothing is transposed. 1,000 are 1,810 bits, 227 bytes, which DRAM
    takes 76 cycles for, longer than the 54 rows.
    """
    trace = conv(4, 5)
    for bits, n_bytes, cycles in ((0, 102, 54), (6, 102, 54), (7, 103, 54), (1000, 227, 76)):
        plan = plan_of(trace, TWO, rule=Indexed(bits))
        load = plan.counts(1)["filter_load"]
        assert (load["dram_byte"], load["bus_byte"], load["cycles"]) == (n_bytes, n_bytes, cycles)
        assert load["tmu_row"] == 5 * 6
        assert load["sram_access_cycle"] == 3 * 54
        five = plan.counts(5)["filter_load"]  # batches of 2, 2 and 1
        assert (five["dram_byte"], five["cycles"]) == (3 * n_bytes, 3 * cycles)


def test_filters_are_refilled_in_every_batch(counts: Count) -> None:
    """150 filters in 3 fillings: 64, 64 and 22. Three samples in batches of 2 and 1.

    4,050 weights of 6 bits are 24,300 bits, 3,038 bytes, of either batch. Eight positions are
    3 fillings x 8 x 27 codes of 5 bits = 3,240 bits, 405 bytes; four are 1,620 bits, 203. In the
    last filling 22 filters make 176 convolutions, 22 arrays, or 88, 11 arrays: all 8 hold copies.
    """
    found = counts(conv(4, 150), 3, TWO)
    assert found["filter_load"] == {
        "cycles": 2 * 1013,
        "sram_access_cycle": 2 * (8 + 8 + 8) * 54,
        "dram_byte": 2 * 3038,
        "tmu_row": 2 * 127 * 6,
        "bus_byte": 2 * 3038,
    }
    assert found["input_stream"] == {
        "cycles": (19 + 10) * 45,  # 1,200 convolutions in 150 arrays, 600 in 75
        "sram_access_cycle": (150 + 75) * 45,
        "bus_byte": 405 + 203,
    }


def test_a_last_filling_of_few_filters_writes_few_arrays(counts: Count) -> None:
    """130 filters: 64, 64 and 2, which make 8 convolutions at 4 positions, in a single array.

    Of two samples they make 16, in two arrays.
    """
    load = counts(conv(4, 130), 1)["filter_load"]
    assert load["sram_access_cycle"] == (8 + 8 + 1) * 54
    assert load["dram_byte"] == 2633  # 3,510 weights, 21,060 bits
    pair = counts(conv(4, 130), 2, TWO)["filter_load"]
    assert pair["sram_access_cycle"] == (8 + 8 + 2) * 54
    full = counts(conv(4, 128), 1)["filter_load"]
    assert full["sram_access_cycle"] == (8 + 8) * 54


def test_arrays_that_no_dot_product_reaches_are_not_written(counts: Count) -> None:
    """1,120 inputs in 70 lanes take 3 arrays, two filters 6 of 8; three samples three passes."""
    trace = narrow(one_layer(0, (1120,), 2, inputs=quantization(5), weights=quantization(6)))
    loose = "mapping.pad_channels_to_power_of_two=false"
    found = counts(trace, 3, loose, "mapping.batch_size=3")
    assert found["mac"]["cycles"] == 3 * 16 * 82
    assert found["filter_load"]["sram_access_cycle"] == 6 * 96
    assert found["input_stream"]["bus_byte"] == 3 * 700  # 5,600 bits a sample
    assert found["input_stream"]["sram_access_cycle"] == 18 * 80


# windows


def test_a_filling_streams_the_windows_of_its_conv_groups_alone(counts: Count) -> None:
    """Two conv groups of 2 channels and 100 filters, 2 lanes each: 128 filters fit at once.

        filling 0: filters 0..99 of group 0, 100..127 of group 1      2 windows a position
        filling 1: filters 128..199 of group 1                        1 window

    Four positions: 12 windows of 18 codes of 5 bits, 1,080 bits.
    """
    found = counts(conv(4, 200, channels=4, groups=2), 1)
    assert found["input_stream"]["bus_byte"] == 135
    assert found["mac"]["mac_exec"] == 4 * 200 * 18


def test_depthwise_windows_are_streamed_once_whatever_the_fillings(counts: Count) -> None:
    """300 conv groups of one lane, 256 at once: 4 x 300 windows of 9 codes: 54,000 bits."""
    found = counts(conv(4, 300, channels=300, groups=300, zero=4), 1)
    assert found["input_stream"]["bus_byte"] == 6750
    assert found["window_sum"]["bus_byte"] == 6750
    assert found["filter_load"]["dram_byte"] == 2025  # 2,700 weights


def test_sums_of_windows_stream_them_once_more_but_in_no_filling_again(counts: Count) -> None:
    """Four windows of 27 codes of 5 bits: 540 bits, 68 bytes; of two samples 1,080 bits, 135."""
    trace = conv(4, 150, zero=4)
    one, three = counts(trace, 1), counts(trace, 3, TWO)
    assert one["window_sum"]["bus_byte"] == 68
    assert one["input_stream"]["bus_byte"] == 203
    assert three["window_sum"]["bus_byte"] == 135 + 68
    assert three["input_stream"]["bus_byte"] == 405 + 203


# outputs


def test_outputs_of_a_batch_spill_where_those_of_a_sample_do_not(counts: Count) -> None:
    """25 x 25 positions of 5 filters: 3,125 codes of 7 bits, 2,735 bytes of the 3,072 there are.

    Two samples are 43,750 bits, 5,469 bytes: 2,397 go out to DRAM and come back.
    """
    trace = conv(27, 5)
    alone = counts(trace, 5)["output"]
    assert (alone["bus_byte"], alone["dram_byte"]) == (5 * 2735, 0)
    assert alone["cycles"] == 5 * 684
    pairs = counts(trace, 5, TWO)["output"]
    assert (pairs["bus_byte"], pairs["dram_byte"]) == (2 * 5469 + 2735, 2 * 2 * 2397)
    assert pairs["cycles"] == 2 * 1598 + 684  # 4,794 bytes of DRAM; the bus takes 1,368


def test_a_layer_that_refills_and_spills(counts: Count) -> None:
    """150 filters at 36 positions: 5,400 codes, 4,725 bytes; 1,653 go out and come back.

    Each of three fillings streams 36 windows: 14,580 bits, 1,823 bytes.
    """
    found = counts(conv(8, 150), 1)
    assert found["output"]["bus_byte"] == 4725
    assert found["output"]["dram_byte"] == 2 * 1653
    assert found["input_stream"]["bus_byte"] == 1823
    assert found["filter_load"]["dram_byte"] == 3038
    whole = sum(events.get("dram_byte", 0) for events in found.values())
    assert whole == 3038 + 3306


# the CPU


def test_the_cpu_gets_a_batch_of_sums_in_whole_bytes(counts: Count) -> None:
    """Of a sample 20 accumulators of 32 bits there, 20 codes of 7 back, 4 window sums of 10 bits.

    780 bits or, with window sums, 820; of two samples 1,560 bits, 195 bytes, or 1,640, 205.
    """
    for zero, one, two in ((0, 98, 195), (4, 103, 205)):
        trace = conv(4, 5, zero=zero, mode="float_scale_half_even")
        assert counts(trace, 3)["host"]["bus_byte"] == 3 * one
        assert counts(trace, 3, TWO)["host"]["bus_byte"] == two + one
