"""Real networks on neural_cache, a few images of each: `bench.real_networks` runs them all."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.networks import mobilenetv2, resnet8
from bitpim.machine import neural_cache
from bitpim.machine.registry import load_preset
from bitpim.proof.side_by_side import verify_trace
from bitpim_traces.records import Trace

pytestmark = [pytest.mark.real, pytest.mark.slow]

N_INTEGER, N_BIT = 200, 4


def resnet20(real_data: Path, *, n_samples: int) -> Trace:
    pytest.importorskip("torch", reason="ResNet-20 is exported from PyTorch")
    from bench.networks.resnet20 import make

    return make(real_data, n_samples=n_samples)


Maker = Callable[..., Trace]
CASES: dict[str, tuple[Maker, int, int, int]] = {
    # (maker, images at integer fidelity, right answers among them, images at bit fidelity)
    "resnet20": (resnet20, N_INTEGER, 184, N_BIT),
    "resnet8": (resnet8.make, N_INTEGER, 176, N_BIT),
    "resnet8, one rounding": (
        partial(resnet8.make, requantize="half_up_shift"), N_INTEGER, 177, N_BIT,
    ),
    "mobilenetv2": (mobilenetv2.make, 16, 14, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bit_and_integer_fidelity_and_the_referee_agree(name: str, real_data: Path) -> None:
    make, n_integer, n_right, n_bit = CASES[name]
    trace = make(real_data, n_samples=n_integer)
    machine = neural_cache.make(load_preset("neural_cache"))
    integer = machine.prepare(trace, fidelity="integer", jobs=2)
    every: dict[int, Any] = {}
    for run in integer.run_batch(trace.samples.codes.read()):
        every = {run.index: run}  # the last layer's stays
    (last,) = every.values()
    assert trace.samples.labels is not None
    choices = last.codes.reshape(n_integer, -1).argmax(axis=1)
    # the seen number of right answers; ties of calibration and platforms may move a few
    assert abs(int((choices == trace.samples.labels.read()).sum()) - n_right) <= 2

    few = trace.samples.codes.read(0, n_bit)
    bit = machine.prepare(trace, fidelity="bit", jobs=2)
    runs = list(bit.run_batch(few))
    again = list(integer.run_batch(few))
    assert [run.index for run in runs] == list(range(len(trace.layers)))
    for mine, other in zip(runs, again, strict=True):
        np.testing.assert_array_equal(mine.codes, other.codes, trace.layers[mine.index].name)
        assert mine.counts == other.counts
    report = verify_trace(
        trace, lambda codes: ((run.index, run.codes) for run in runs), range(n_bit), batch=n_bit
    )
    report.require_equal()
