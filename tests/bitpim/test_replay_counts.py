"""Counts of a run in parts: samples, batches, layers and threads, on every machine.

Where every sample is on its own, one run of N samples counts what N runs of one count, event by
event. That is so on crossbars, whatever the inputs leave out, and in a cache whose filters are
loaded for every sample. In a cache that shares filters over batches it is not: they are loaded once
a batch, the last partial one too.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpim.machine.registry import make_machine
from bitpim.proof.reference import run_network
from bitpim.report.result_file import Result, open_result
from bitpim.run import replay, sample_bytes
from bitpim.selection import parse_layers, parse_samples
from bitpim_traces.records import TensorRecord, Trace
from tests.bitpim.machine.crossbar_runs import prune
from tests.one_layer import one_layer, quantization
from tests.strategies import small_trace

KINDS = ["conv2d", "max_pool2d", "conv2d", "add", "avg_pool2d", "flatten", "linear"]
TRACE = prune(
    small_trace(57, kinds=KINDS, mode="half_up_shift", bits=(8, 8), n_samples=7), 3, carry=False
)
MACHINES = {
    "neural_cache": ("neural_cache",),
    "dense_crossbar": ("dense_crossbar_8bit", "mapping.zero_skip=bit_plane"),
    "isaac": ("isaac_8bit",),
    "pipelayer": ("pipelayer_8bit", "numbers.weight_bits=10", "schedule.replication=balanced"),
    "sre": ("sre", "numbers.weight_bits=10"),
    "pattern_crossbar": ("pattern_crossbar_8bit", "mapping.other_kernels=patterns"),
}

Counts = dict[int, dict[str, dict[str, int]]]


def ran(path: Path, name: str, samples: str = ":", *assigned: str, **how: Any) -> Result:
    preset, *own = MACHINES[name]
    machine = make_machine(name, preset, [*own, *assigned])
    return open_result(replay(TRACE, machine, path, samples=parse_samples(samples), **how))


def counts_of(result: Result) -> Counts:
    """Yield events and cycles by layer and phase, without those that did not happen."""
    found: Counts = {}
    for layer in result.layers:
        phases = {phase: dict(events) for phase, events in layer.counts.items()}
        for phase, n in layer.cycles.items():
            phases.setdefault(phase, {})["cycles"] = n
        found[layer.index] = {
            phase: kept
            for phase, events in phases.items()
            if (kept := {event: n for event, n in events.items() if n})
        }
    return found


def added(parts: Sequence[Counts]) -> Counts:
    total: Counts = {}
    for part in parts:
        for index, phases in part.items():
            for phase, events in phases.items():
                into = total.setdefault(index, {}).setdefault(phase, {})
                for event, n in events.items():
                    into[event] = into.get(event, 0) + n
    return total


@pytest.mark.parametrize("fidelity", ["bit", "integer"])
@pytest.mark.parametrize("name", MACHINES)
def test_samples_one_by_one_count_what_they_count_together(
    tmp_path: Path, name: str, fidelity: str
) -> None:
    """Samples 1 to 3 in batches of 2, the last of them partial; and each alone."""
    alone = [
        counts_of(ran(tmp_path / f"{i}.h5", name, str(i), fidelity=fidelity)) for i in range(1, 4)
    ]
    expected = added(alone)
    assert set(expected) == set(range(len(TRACE.layers)))
    for batch in (2, 32):
        path = tmp_path / f"all{batch}.h5"
        together = ran(path, name, "1:4", batch=batch, fidelity=fidelity)
        assert counts_of(together) == expected, batch
        assert (together.header.n_samples, len(together.layers[0].digests)) == (3, 3)
    halves = [
        counts_of(ran(tmp_path / f"part {part[0]}.h5", name, part, fidelity=fidelity))
        for part in ("1:2", "2:4")
    ]
    assert added(halves) == expected


@pytest.mark.parametrize("name", MACHINES)
def test_threads_do_not_count(tmp_path: Path, name: str) -> None:
    one = counts_of(ran(tmp_path / "one.h5", name, jobs=1))
    assert counts_of(ran(tmp_path / "two.h5", name, jobs=2)) == one


@pytest.mark.parametrize("name", MACHINES)
def test_some_layers_count_what_they_count_among_all(tmp_path: Path, name: str) -> None:
    """Layers 0, 2 and 4 are kept; those between run and are not told, those behind do not run."""
    every = ran(tmp_path / "all.h5", name, "2:5", batch=2)
    kept = parse_layers(TRACE, "0,2,4")
    some = ran(tmp_path / "some.h5", name, "2:5", batch=2, layers=kept)
    whole = counts_of(every)
    assert counts_of(some) == {index: whole[index] for index in kept}
    chosen = [layer for layer in every.layers if layer.index in kept]
    assert some.n_cycles == sum(layer.n_cycles for layer in chosen)
    assert some.elapsed_cycles == every.elapsed_cycles - sum(
        layer.n_cycles for layer in every.layers if layer.index not in kept
    )
    assert [layer.plan for layer in some.layers] == [layer.plan for layer in chosen]


def test_figures_of_a_run_that_begins_later_are_of_its_own_samples(tmp_path: Path) -> None:
    """Labels and float outputs say what the network says, so that any part agrees with itself.

    The choices of neighbouring samples differ, so that one sample off nothing would agree.
    """
    trace = one_layer(4, (3,), 4, n_samples=60)
    (layer,) = trace.layers
    outputs = run_network(trace, trace.samples.codes.read())[0]
    choices = outputs.argmax(axis=1)
    picked = [0]
    for i in range(1, 60):
        if choices[i] != choices[picked[-1]] and len(picked) < 5:
            picked.append(i)
    assert len(picked) == 5
    codes = TensorRecord.of(trace.samples.codes.read()[picked], axes="NC", role="samples")
    labels = TensorRecord.of(choices[picked].astype(np.int32), axes="N", role="labels", units="1")
    reference = TensorRecord.of(
        outputs[picked].astype(np.float32), axes="NC", role="output_float", units="real"
    )
    known = replace(
        trace,
        layers=(replace(layer, output_float=reference),),
        samples=replace(trace.samples, codes=codes, labels=labels),
    )
    path = replay(known, make_machine("neural_cache"), tmp_path / "r.h5", samples=slice(1, 4))
    figures = open_result(path).figures
    assert figures is not None
    assert (figures.n_labelled, figures.accuracy) == (3, 1.0)
    assert (figures.n_compared, figures.top1_agreement) == (3, 1.0)


def test_the_memory_of_a_sample_counts_wide_codes_twice() -> None:
    """Ten inputs and three outputs of 8 bits: 13 codes, each with 24 bytes of work beside it.

    Inputs of 16 bits take two bytes each.
    """
    for bits, n_bytes in ((8, 10 + 3), (16, 20 + 3)):
        trace = one_layer(0, (10,), 3, inputs=quantization(bits), accumulator_bits=48, bias=False)
        assert sample_bytes(trace) == n_bytes + 24 * 13


def test_a_cache_loads_filters_once_a_batch_of_its_own(tmp_path: Path) -> None:
    """Five samples in batches of two of the machine: three loads, the last for one sample."""
    by_batch = {}
    for n in (1, 2):
        result = ran(tmp_path / f"{n}.h5", "neural_cache", "1:6", f"mapping.batch_size={n}")
        by_batch[n] = counts_of(result)
    weighted = [layer.index for layer in TRACE.layers if layer.weight is not None]
    for index in weighted:
        one, two = by_batch[1][index], by_batch[2][index]
        assert one["filter_load"]["dram_byte"] == 5 * filter_bytes(TRACE, index)
        assert two["filter_load"]["dram_byte"] == 3 * filter_bytes(TRACE, index)
        assert one["mac"]["mac_exec"] == two["mac"]["mac_exec"]
    # a run in larger batches of the replay loads as often: the machine's batch decides
    larger = ran(tmp_path / "l.h5", "neural_cache", "1:6", "mapping.batch_size=2", batch=4)
    assert counts_of(larger) == by_batch[2]


def filter_bytes(trace: Trace, index: int) -> int:
    """Yield the bytes of a layer's weights, rounded up once."""
    layer = trace.layers[index]
    assert layer.weight is not None and layer.weight_quantization is not None
    n_weights = 1
    for side in layer.weight.shape:
        n_weights *= side
    return -(-n_weights * layer.weight_quantization.bits // 8)
