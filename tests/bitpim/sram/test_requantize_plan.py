"""Filters of different shifts: requantized in different banks at once, or in turn in all arrays.

On the toy cache of `toy_cache` 8 arrays of 32 lanes compute, two in each of 4 banks. A shift by s
leaves r = 35 - s rows of a code's 34-row product, and the program takes 147 + 4 r cycles:

    shift 18: r = 17, 215 cycles     shift 20: r = 15, 207     shift 22: r = 13, 199
"""

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bitpim
from bitpim.errors import ConfigError
from bitpim_traces.records import Requantize, Trace
from tests.bitpim.sram.toy_cache import conv, narrow, plan_of

IN_TURN = "mapping.requantize_schedule=in_turn"
IN_PLACE = "mapping.requantize_packing=in_place"
ONE_A_BANK = ("geometry.banks_per_way=2", "geometry.arrays_per_bank=1")


def shifted(side: int, *shifts: int, zero: int = 0) -> Trace:
    """Build the toy layer, a filter for each shift."""
    n = len(shifts)
    rule = Requantize("truncate_shift", np.full(n, 3, np.int32), np.array(shifts, np.int32))
    return narrow(conv(side, n, zero=zero), rule)


def phases_of(trace: Trace, *assigned: str) -> Any:
    phases = plan_of(trace, *assigned).counts(1)
    return phases["gather"], phases["requantize"], phases["output"]


def test_shifts_that_fit_beside_each_other_take_as_long_as_the_longest() -> None:
    """Four positions: 8 sums of shift 18, 8 of 20, 4 of 22: three arrays, in three banks.

    A sum has 26 rows, its offset 32 and its multiplier 2; sums are read from 3 arrays.
    """
    trace = shifted(4, 18, 20, 22, 20, 18)
    work = 215 + 207 + 199
    gather, requantize, output = phases_of(trace)
    assert gather == {"cycles": 26 + 60, "sram_access_cycle": 3 * 26 + 3 * 60}
    assert requantize == {"cycles": 215, "sram_compute_cycle": work}
    assert output == {"cycles": 7, "sram_access_cycle": 3 * 7, "bus_byte": 18, "dram_byte": 0}
    gather, requantize, output = phases_of(trace, IN_TURN)
    assert gather == {"cycles": 26 + 3 * 60, "sram_access_cycle": 3 * 26 + 3 * 60}
    assert requantize == {"cycles": work, "sram_compute_cycle": work}
    assert output == {"cycles": 21, "sram_access_cycle": 3 * 7, "bus_byte": 18, "dram_byte": 0}


def test_a_bank_never_runs_two_programs() -> None:
    """36 positions: 72 sums of shift 18 in 3 arrays, 72 of 20 in 3, 36 of 22 in 2.

        pass 0   18 18 | 18 .  | 20 20 | 20 .        pass 1   22 22 | . . | . . | . .

    With banks of one array all eight arrays work at once. 180 convolutions were made in 23 arrays,
    3 passes; their codes are 158 bytes, 40 cycles of the bus.
    """
    trace = shifted(8, 20, 18, 22, 18, 20)
    work = 3 * 215 + 3 * 207 + 2 * 199
    gather, requantize, output = phases_of(trace)
    assert requantize == {"cycles": 215 + 199, "sram_compute_cycle": work}
    assert gather == {"cycles": 3 * 26 + 2 * 60, "sram_access_cycle": 23 * 26 + 8 * 60}
    assert output == {"cycles": 40, "sram_access_cycle": 8 * 7, "bus_byte": 158, "dram_byte": 0}
    assert phases_of(trace, "transfer.bus_bytes_per_cycle=99")[2]["cycles"] == 2 * 7
    gather, requantize, _ = phases_of(trace, *ONE_A_BANK)
    assert requantize == {"cycles": 215, "sram_compute_cycle": work}
    assert gather["cycles"] == 3 * 26 + 60
    assert phases_of(trace, IN_TURN)[1] == {"cycles": 215 + 207 + 199, "sram_compute_cycle": work}


def test_shifts_share_the_pass_in_which_one_ends() -> None:
    """256 positions: shift 18 of 3 filters fills 24 arrays, 20 of one 8, 22 of one 8: no sharing.

    400 positions of 2, 1 and 1 filters: 800 sums in 25 arrays, 400 in 13 and again in 13.

        passes 0 1 2   8 arrays of 18 each               pass 3   18 . | 20 20 | 20 20 | 20 20
        pass 4         20 20 | 20 20 | 20 20 | 20 .      passes 5 6   22 in 8 arrays and in 5
    """
    full = shifted(18, 18, 20, 18, 22, 18)
    assert phases_of(full)[1] == phases_of(full, IN_TURN)[1]
    assert phases_of(full)[1]["cycles"] == 3 * 215 + 207 + 199
    trace = shifted(22, 18, 20, 22, 18)
    assert phases_of(trace)[1] == {
        "cycles": 4 * 215 + 207 + 199 + 199,
        "sram_compute_cycle": 25 * 215 + 13 * 207 + 13 * 199,
    }
    assert phases_of(trace, IN_TURN)[1]["cycles"] == 4 * 215 + 2 * 207 + 2 * 199


def test_sums_in_place_lie_four_lanes_apart() -> None:
    """Eight a array: 72 sums of shift 18 in 9 arrays, 72 of 20 in 9, 36 of 22 in 5.

    pass 0   8 arrays of 18                     pass 1   18 . | 20 20 | 20 20 | 20 20
    pass 2   20 20 | 20 . | 22 22 | 22 22       pass 3   22 . | . . | . . | . .
    """
    trace = shifted(8, 20, 18, 22, 18, 20)
    work = 9 * 215 + 9 * 207 + 5 * 199
    gather, requantize, output = phases_of(trace, IN_PLACE)
    assert requantize == {"cycles": 215 + 215 + 207 + 199, "sram_compute_cycle": work}
    assert gather == {"cycles": 4 * 34, "sram_access_cycle": 23 * 34}
    assert output["sram_access_cycle"] == 23 * 7
    _, requantize, _ = phases_of(trace, IN_PLACE, IN_TURN)
    assert requantize == {"cycles": 2 * 215 + 2 * 207 + 199, "sram_compute_cycle": work}


KEPT = {  # cycles of gathering and of requantizing a sample, as they were before shifts ran at once
    "conv1": (300, 2364),
    "conv2": (312, 2382),
    "conv3": (225, 1592),
    "conv4": (225, 1584),
    "linear": (204, 1578),
}


def test_in_turn_counts_as_it_always_did() -> None:
    trace = bitpim.open_trace(bitpim.sample_path())
    plans: dict[Any, Any] = {
        how: bitpim.make_machine("neural_cache", "neural_cache", how).plan(trace)
        for how in ((IN_TURN,), ())
    }
    for layer in trace.layers:
        before, now = (plan.layers[layer.index].counts(1) for plan in plans.values())
        assert before.keys() == now.keys()
        for phase, events in before.items():
            assert {**now[phase], "cycles": 0} == {**events, "cycles": 0}, "work is the same"
            assert now[phase]["cycles"] <= events["cycles"]
        if layer.name in KEPT:
            found = (before["gather"]["cycles"], before["requantize"]["cycles"])
            assert found == KEPT[layer.name]
            assert now["requantize"]["cycles"] < before["requantize"]["cycles"]


SOMETIMES = 'requantize_schedule = { value = "sometimes", source = "x", confidence = "assumed" }\n'


@pytest.mark.parametrize("line", ["", SOMETIMES])
def test_a_preset_says_how(line: str, tmp_path: Path) -> None:
    packaged = files("bitpim").joinpath("presets", "neural_cache.toml").read_text("utf-8")
    told = re.sub("requantize_schedule = .*\n", line, packaged)
    own = tmp_path / "own.toml"
    own.write_text(told.replace('name = "neural_cache"', 'name = "own"', 1), "utf-8")
    with pytest.raises(ConfigError, match=r"own\.toml: mapping\.requantize_schedule") as error:
        bitpim.make_machine("neural_cache", str(own))
    assert "\n" not in str(error.value)
