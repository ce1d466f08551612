"""Copies of crossbars and pipelines of layers, on the machines that have them."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitpim
from bitpim.errors import BitpimError, ConfigError, MappingError
from bitpim.machine.registry import load_preset, make_machine
from bitpim.report.result_file import open_result
from bitpim.run import replay
from bitpim_traces.records import Geometry, TensorRecord, Trace
from tests.bitpim.machine.crossbar_runs import (
    NETWORK,
    Case,
    cases,
    check_lossless,
    check_naive,
    machine,
    run,
)
from tests.one_layer import one_layer
from tests.strategies import small_trace

MACHINES = ("isaac", "pipelayer")
WIDE = "numbers.weight_bits=9"
BALANCED, PIPELINE = "schedule.replication=balanced", "schedule.pipeline=true"
GIVEN = "schedule.replication=given"
SAME = small_trace(
    3, kinds=["conv2d", "max_pool2d", "conv2d", "flatten", "linear"], mode="half_up_shift",
    bits=(8, 8), n_samples=3,
)  # fmt: skip


@st.composite
def scheduled(draw: st.DrawFn, name: str, *, lossy: bool) -> Case:
    """Draw a case with copies: given, or balanced within some crossbars."""
    case = draw(cases(name, lossy=lossy))
    rules = [[GIVEN, f"schedule.copies={draw(st.integers(1, 7))}"], [BALANCED]]
    return Case(case.trace, (*case.assigned, *draw(st.sampled_from(rules))))


@settings(max_examples=20)
@given(st.data(), st.sampled_from(MACHINES))
def test_copies_lose_nothing_and_count_as_naive_copies_do(data: st.DataObject, name: str) -> None:
    case = data.draw(scheduled(name, lossy=False))
    check_lossless(machine(name, *case.assigned), case.trace)


@settings(max_examples=15)
@given(st.data(), st.sampled_from(MACHINES))
def test_copies_read_by_what_loses_as_naive_copies_do(data: st.DataObject, name: str) -> None:
    """Reads that zeros leave out take no cycles of the copy whose positions have them."""
    case = data.draw(scheduled(name, lossy=True))
    check_naive(machine(name, *case.assigned), case.trace)


def without_cycles(runs: list[Any]) -> list[dict[str, dict[str, int]]]:
    return [
        {phase: {e: n for e, n in events.items() if e != "cycles"} for phase, events in x.items()}
        for x in (got.counts for got in runs)
    ]


@pytest.mark.parametrize("name", MACHINES)
def test_copies_do_the_work_of_one_in_less_time(name: str) -> None:
    one, many = machine(name, WIDE), machine(name, WIDE, BALANCED)
    before, after = run(one, NETWORK), run(many, NETWORK)
    assert all(np.array_equal(a.codes, b.codes) for a, b in zip(before, after, strict=True))
    assert without_cycles(before) == without_cycles(after)
    plans = one.plan(NETWORK), many.plan(NETWORK)
    n = NETWORK.n_samples
    for a, b, layer in zip(*(plan.layers for plan in plans), NETWORK.layers, strict=True):
        if layer.weight is None:
            assert a == b
            continue
        assert b.n_copies == a.n_positions  # the linear layer has one position, the chip has room
        assert b.n_crossbars == b.n_copies * a.n_crossbars
        assert b.weight_writes == b.n_copies * a.weight_writes
        assert b.utilization == a.utilization
        cycles = [p.counts(n)["read"]["cycles"] for p in (a, b)]
        assert cycles[0] == b.n_copies * cycles[1]
    assert plans[1].n_crossbars == sum(row["arrays"] for row in plans[1].table())
    assert plans[1].totals()["arrays"] > plans[0].totals()["arrays"]


def test_off_by_default_and_then_as_if_there_were_none() -> None:
    """Rows, totals, headings and legends have no word of it."""
    for preset in ("isaac", "isaac_8bit"):
        schedule = load_preset("isaac", preset).schedule
        assert (schedule.replication, schedule.pipeline) == ("none", False)
    chosen = machine("isaac", WIDE)
    plan = chosen.plan(SAME)
    assert list(plan.table()[0]) == [
        *("index", "name", "kind", "rule", "arrays", "utilization", "ou_reads", "index_bits"),
        "cycles",
    ]
    assert list(plan.totals()) == ["arrays", "ou_reads", "index_bits"]
    assert plan.assumes == ""
    assert list(chosen.legend.to_dict()) == ["clock_ghz", "streaming", "overlaps", "headlines"]
    assert "arrays  utilization %" in str(bitpim.plan(SAME, chosen))


# A worked example: 3 x 3 kernels on 6 x 6 (16 positions, 1 crossbar), then on 4 x 4 (4 positions).


def worked(*assigned: str) -> Any:
    return machine("isaac", "numbers.input_bits=8", *assigned)


def two_layers() -> Trace:
    """Both of 8 steps a position: 128 and 32 cycles of one crossbar each."""
    first = one_layer(1, (1, 6, 6), 2, Geometry((3, 3)), n_samples=3)
    second = one_layer(2, (2, 4, 4), 3, Geometry((3, 3)))
    return chain(first, second)


def chain(first: Trace, second: Trace) -> Trace:
    """One network of two layers."""
    (a,), (b,) = first.layers, second.layers
    b = replace(b, index=1, name="second", inputs=(0,), input_shapes=(a.output_shape,))
    return replace(first, layers=(a, b))


def test_balanced_copies_worked_out() -> None:
    """16 and 4 positions: 4 copies and 1 on 5 crossbars or more; 3 and 1 on 4, that is 6 and 4."""
    trace = two_layers()
    for room, copies, cycles in ((5, [4, 1], [32, 32]), (4, [3, 1], [48, 32]), (2, [1, 1], None)):
        plan = worked(BALANCED, f"schedule.arrays={room}").plan(trace)
        assert [layer.n_copies for layer in plan.layers] == copies
        if cycles:
            assert [layer.counts(1)["read"]["cycles"] for layer in plan.layers] == cycles
    plan = worked(BALANCED).plan(trace)
    assert [layer.n_copies for layer in plan.layers] == [16, 4]
    assert plan.table()[0] | {"utilization": 0} == {
        "index": 0, "name": "only", "kind": "conv2d", "rule": "dense", "arrays": 16, "copies": 16,
        "utilization": 0, "ou_reads": 16 * 8, "index_bits": 0, "weight_writes": 16 * 9 * 2 * 4,
        "cycles": {"read": 8, "buffer": 0},
    }  # fmt: skip


def test_a_pipeline_takes_a_sample_whenever_the_slowest_layer_is_free(tmp_path: Path) -> None:
    """128 and 32 cycles: the first sample after 160, each other one 128 later."""
    trace = two_layers()
    for assigned, pace, elapsed in (
        ((PIPELINE,), (128, 160), 160 + 2 * 128),
        ((PIPELINE, BALANCED, "schedule.arrays=5"), (32, 64), 64 + 2 * 32),
        ((), None, 3 * 160),
    ):
        chosen = worked(*assigned)
        path = replay(trace, chosen, tmp_path / f"{len(assigned)}.h5", batch=2, fidelity="integer")
        result = open_result(path)
        assert (result.pace, result.elapsed_cycles) == (pace, elapsed)
        totals = result.to_dict()["totals"]
        assert totals["cycles"] == elapsed and totals["time_s"] == pytest.approx(elapsed * 1e-7)
        assert result.n_cycles == sum(row["cycles"] for row in result.to_dict()["layers"])
        plan = bitpim.plan(trace, chosen)
        if pace is None:
            assert not {"interval_cycles", "latency_cycles"} & {*totals, *plan.to_dict()["totals"]}
            assert "pipeline" not in str(result) + str(plan)
            continue
        for told in (totals, plan.to_dict()["totals"]):
            assert (told["interval_cycles"], told["latency_cycles"]) == pace
        said = f"(layers in a pipeline: a sample every {pace[0]}, each takes {pace[1]})"
        assert said in str(result) and "schedule.pipeline=true" in str(result)
        assert f"in a pipeline that takes one every {pace[0]}, by phase" in str(plan)
        assert all(
            "schedule.pipeline=true" in row["settings"] for row in (*result.table(), *plan.table())
        )


def test_a_result_of_a_pipeline_is_verified_and_compared(tmp_path: Path) -> None:
    trace = two_layers()
    alone = bitpim.replay(trace, worked(), fidelity="integer")
    piped = bitpim.replay(trace, worked(PIPELINE), fidelity="integer")
    assert bitpim.verify(trace, piped).equal
    (cycles,) = [row for row in bitpim.compare(alone, piped).table() if row["name"] == "cycles"]
    assert (cycles["first"], cycles["second"]) == (480, 416)
    one = bitpim.replay(trace, worked(PIPELINE), fidelity="integer", samples=":1")
    assert one.elapsed_cycles == 160


def test_given_copies_are_by_layer() -> None:
    trace = two_layers()

    def copies(*assigned: str) -> list[int]:
        return [layer.n_copies for layer in worked(GIVEN, *assigned).plan(trace).layers]

    assert copies() == [1, 1]
    assert copies("schedule.copies=3") == [3, 3]
    assert copies("schedule.copies=9") == [9, 4]  # no more than positions
    assert copies("schedule.copies=2", "schedule.copies@only=16") == [16, 2]
    plan = worked(GIVEN, "schedule.copies@*=4").plan(trace)
    assert [row["own_settings"] for row in plan.table()] == ["schedule.copies=4"] * 2


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize(
    ("assigned", "error", "said"),
    [
        (["schedule.copies=2"], ConfigError, "nothing uses it but schedule.replication=given"),
        (["schedule.arrays=9"], ConfigError, "nothing uses it but schedule.replication=balanced"),
        ([GIVEN, "schedule.copies@conf=2"], ConfigError, "fits no layer; the closest are"),
        (
            ["schedule.copies@only=2"],
            ConfigError,
            "schedule.copies@only: nothing uses it but schedule.replication=given",
        ),
        (
            [GIVEN, "schedule.copies@second=5"],
            MappingError,
            "layer 1 'second' (conv2d): need at most 4 copies, one a position, got 5; use `--set "
            "schedule.copies@second=4`",
        ),
        ([GIVEN, "schedule.copies@only=0"], ConfigError, "should be greater than or equal to 1"),
        ([GIVEN, "schedule.copies@only=true"], ConfigError, "should be a valid integer"),
        (
            [BALANCED, "schedule.arrays=1"],
            MappingError,
            "schedule.arrays: need at least 2, one copy of each layer, got 1; use `--set "
            "schedule.arrays=2`",
        ),
        (
            [BALANCED, "schedule.arrays=20000"],
            ConfigError,
            ", what the chip has for weights, got 20000; use `--set schedule.arrays=chip`",
        ),
        (["schedule.pipeline@only=true"], ConfigError, "is one for all layers"),
    ],
)
def test_bad_schedules_are_refused(
    name: str, assigned: list[str], error: type[BitpimError], said: str
) -> None:
    with pytest.raises(error, match=re.escape(said)):
        make_machine(name, f"{name}_8bit", [WIDE, *assigned]).plan(two_layers())


def test_a_pipeline_holds_no_layer_that_skips() -> None:
    message = (
        "layer 1 'second' (conv2d): schedule.pipeline needs layers that take as long for every "
        "sample, got one that leaves out reads; use `--set mapping.zero_skip@second=none`"
    )
    own = "mapping.zero_skip@second=vector"
    with pytest.raises(ConfigError, match=re.escape(message)):
        worked(PIPELINE, own).plan(two_layers())
    with pytest.raises(ConfigError, match=r"layer 0 .* `--set mapping.zero_skip=none`"):
        worked(PIPELINE, "mapping.zero_skip=bit_plane").plan(two_layers())
    worked(own).plan(two_layers())


def test_a_chip_that_one_copy_fills_makes_no_other() -> None:
    """And one that it does not fit is refused as without copies."""
    chip = ("chip.imas_per_tile=1", "chip.crossbars_per_ima=1")
    plan = worked(BALANCED, "chip.tiles=2", *chip).plan(two_layers())
    assert [layer.n_copies for layer in plan.layers] == [1, 1]
    with pytest.raises(MappingError, match=r"got 2 for 'one'; use `--set chip.tiles=2`"):
        worked(BALANCED, "chip.tiles=1", *chip).plan(two_layers())
    with pytest.raises(MappingError, match=r"got 6 for 'one'; use `--set chip.tiles=6`"):
        worked(GIVEN, "schedule.copies=3", "chip.tiles=5", *chip).plan(two_layers())


def test_a_layer_left_digital_has_no_copies() -> None:
    digital = "layers.digital@second=true"
    plan = worked(BALANCED, PIPELINE, digital).plan(two_layers())
    assert [row["copies"] for row in plan.table()] == [16, 0]
    assert plan.interval_cycles == 8


def test_a_copy_takes_the_cycles_of_the_reads_that_its_positions_make() -> None:
    """One row; codes 255, 255, 1 and 0: 8, 8, 1 and no reads of 1 where empty planes are skipped.

    Copy 0 of 2 reads positions 0 and 2, copy 1 positions 1 and 3: 9 and 8 cycles. Of 3 copies, 0
    reads positions 0 and 3, of 4 each one.
    """
    trace = one_layer(1, (1, 2, 2), 1, Geometry((1, 1)))
    codes = np.array([[[[255, 255], [1, 0]]]], np.uint8)
    held = TensorRecord.of(codes, axes="NCHW", role="samples")
    trace = replace(trace, samples=replace(trace.samples, codes=held, labels=None))
    for n_copies, cycles in ((1, 17), (2, 9), (3, 8), (4, 8)):
        own = (GIVEN, f"schedule.copies={n_copies}", "mapping.zero_skip=bit_plane")
        (counts,) = check_lossless(worked(*own), trace)
        assert counts["read"]["cycles"] == cycles
        assert (counts["read"]["ou_activation"], counts["read"]["ou_skipped"]) == (17, 15)


def test_copies_leave_room_for_codes() -> None:
    """Two outputs of an array each, one of them on a morphable one: 4 of 5 are left for weights."""
    room = ("chip.morphable_arrays=5", "chip.memory_arrays=1", BALANCED, WIDE)
    plan = machine("pipelayer", *room).plan(two_layers())
    assert plan.n_memory_arrays == 2
    assert [layer.n_copies for layer in plan.layers] == [3, 1]
