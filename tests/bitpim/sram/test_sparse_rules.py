"""Pruned filters in lanes: the referee's codes, and what is counted for them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitpim.machine.machine import Machine
from bitpim.machine.registry import make_machine
from bitpim.proof.reference import run_network
from bitpim_traces.records import TensorRecord, Trace
from tests.pruned_layers import PLACES, random_pruned
from tests.toy_rules import with_channels_pruned

TINY = (
    "geometry.n_cache_slices=1",
    "geometry.ways_per_cache_slice=3",
    "geometry.banks_per_way=2",
    "geometry.arrays_per_bank=1",
)
MODES = {
    "dense": ("sparsity.mode=dense",),
    "a list a filter": ("sparsity.gather_list=filter",),
    "a list an array": ("sparsity.gather_list=array",),
    "across arrays": (
        "sparsity.lanes_across_arrays=true",
        "mapping.pad_channels_to_power_of_two=false",
    ),
    "an unpadded list an array": (
        "sparsity.gather_list=array",
        "mapping.pad_channels_to_power_of_two=false",
    ),
    "masked owners": ("sparsity.mode=overlap",),
    "owners side by side": ("sparsity.mode=overlap", "sparsity.owner_reduction=contiguous"),
}


def machine(*assignments: str, like: str = "bit_prudent") -> Machine:
    return make_machine(like, changes=list(assignments))


def check(trace: Trace, *assignments: str, jobs: int = 1) -> None:
    """See that both fidelities give the referee's codes and the counts of the plan."""
    codes = trace.samples.codes.read()
    expected = run_network(trace, codes)[0]
    chosen = machine(*assignments)
    counts = chosen.plan(trace).counts(0, codes.shape[0])
    for fidelity in ("bit", "integer"):
        (run,) = chosen.prepare(trace, fidelity=fidelity, jobs=jobs).run_batch(codes)
        assert run.codes.dtype == expected.dtype
        assert np.array_equal(run.codes, expected), fidelity
        assert run.counts == counts


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(18))
def test_every_mode_gives_the_codes_of_the_referee(seed: int, mode: str) -> None:
    tiny = TINY if seed % 4 == 0 else ()
    check(random_pruned(seed), *MODES[mode], *tiny, jobs=1 + seed % 2)
