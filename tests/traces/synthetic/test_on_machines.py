"""Synthetic networks of newer kinds of layers replay equal to the referee, in small images.

Which preset plans which network at its true size stands in MODELS.md.
"""

from functools import cache
from typing import Any

import numpy as np
import pytest

from bitpim.machine.machine import FIDELITIES, takes_codebooks
from bitpim.machine.registry import list_presets, machine_names, make_machine
from bitpim.proof.reference import run_network
from bitpim_traces.numbers.affine import decode
from bitpim_traces.quantize import Settings
from bitpim_traces.records import REQUANTIZE_MODES, Trace
from bitpim_traces.synthetic import synthetic_network

PRESETS = [
    (name, preset)
    for name in machine_names()
    if not takes_codebooks(make_machine(name))
    for preset in list_presets(name)
]
SMALLER = {"mobilenetv3_small": 32, "shufflenetv2_x1_0": 32, "unet": 16}
"""Sides of images that are quick to run."""


@cache
def small(name: str, mode: str = "half_up_shift") -> Trace:
    return synthetic_network(name, side=SMALLER.get(name), settings=Settings(requantize=mode))


@cache
def answers(name: str, mode: str = "half_up_shift") -> dict[int, Any]:
    trace = small(name, mode)
    return run_network(trace, trace.samples.codes.read(), keep="all")


def check_replays(name: str, machine: str, preset: str, mode: str = "half_up_shift") -> None:
    trace = small(name, mode)
    codes, made = trace.samples.codes.read(), make_machine(machine, preset)
    runs = [list(made.prepare(trace, fidelity=f).run_batch(codes)) for f in FIDELITIES]
    for bit, integer in zip(*runs, strict=True):
        for run in (bit, integer):
            layer = trace.layers[run.index].name
            assert np.array_equal(run.codes, answers(name, mode)[run.index]), layer
        assert bit.counts == integer.counts


@pytest.mark.parametrize(("machine", "preset"), PRESETS)
def test_unet_replays_on_every_preset(machine: str, preset: str) -> None:
    check_replays("unet", machine, preset)


@pytest.mark.parametrize("mode", REQUANTIZE_MODES)
@pytest.mark.parametrize("machine", ["neural_cache", "isaac"])
def test_unet_replays_in_every_mode(machine: str, mode: str) -> None:
    check_replays("unet", machine, list_presets(machine)[-1], mode)


@pytest.mark.parametrize("name", ["mobilenetv3_small", "shufflenetv2_x1_0"])
def test_larger_ones_replay(name: str) -> None:
    check_replays(name, "neural_cache", "neural_cache_mve")


@pytest.mark.parametrize("mode", REQUANTIZE_MODES)
def test_codes_of_unet_follow_the_float_network(mode: str) -> None:
    trace, bound = small("unet", mode), 0.25 if mode == "truncate_shift" else 0.06
    for layer in trace.layers:
        assert layer.output_float is not None
        real = layer.output_float.read()
        error = decode(answers("unet", mode)[layer.index], layer.output) - real
        assert np.linalg.norm(error) < bound * np.linalg.norm(real), layer.name
