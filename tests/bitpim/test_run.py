"""Replay: what the file holds, bounded batches, and runs that die and go on."""

import importlib
import itertools
import math
import multiprocessing
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitpim.run as module
from bitpim.cost.tables import PriceTable, parse_prices
from bitpim.errors import ConfigError, MismatchError, OutOfMemoryError, ResultError
from bitpim.machine.machine import Codes, LayerRun
from bitpim.machine.registry import make_machine
from bitpim.proof.reference import run_network
from bitpim.report.figures import error_rows, network_figures
from bitpim.report.result_file import digest_samples, open_result
from bitpim.run import (
    BATCH_LIMIT,
    Progress,
    batch_size,
    n_operations,
    need_memory,
    replay,
    sample_bytes,
)
from bitpim_traces.records import Trace
from bitpim_traces.synthetic import synthetic_network
from tests.bitpim import replay_runs as runs
from tests.fakes import RefereeMachine, RefereeNetwork
from tests.strategies import small_trace

PRICES = """
[table]
name = "two"
technology = "none"
[prices.sram_compute_cycles]
energy_pj = 2.0
per = "cycle"
technology = "none"
source = "test"
confidence = "assumed"
[prices.sram_row_writes]
energy_pj = 3.0
per = "row"
technology = "none"
source = "test"
confidence = "assumed"
"""


@pytest.fixture
def prices() -> PriceTable:
    return parse_prices(PRICES)


@settings(max_examples=20)
@given(seed=st.integers(0, 300), batch=st.integers(1, 6))
def test_the_file_holds_what_the_machine_gave(
    tmp_path_factory: pytest.TempPathFactory, seed: int, batch: int
) -> None:
    trace = small_trace(seed, n_samples=5, float_noise=True)
    out = tmp_path_factory.mktemp("run") / "result.h5"
    machine = RefereeMachine()
    assert replay(trace, machine, out, batch=batch) == out
    result = open_result(out)
    expected = run_network(trace, trace.samples.codes.read(), keep="all")
    rows = {}
    for layer, kept in zip(trace.layers, result.layers, strict=True):
        codes = expected[layer.index]
        rows[layer.index] = error_rows(layer, 0, codes)
        assert np.array_equal(kept.digests, digest_samples(codes))
        assert np.array_equal(kept.error_rows, rows[layer.index])
        counts = machine.plan(trace).counts(layer.index, 5)
        assert dict(kept.cycles) == {phase: events["cycles"] for phase, events in counts.items()}
        assert kept.events()["sram_compute_cycles"] == counts["mac"]["sram_compute_cycles"]
    final = expected[trace.layers[-1].index]
    assert result.final_codes is not None and np.array_equal(result.final_codes, final)
    assert result.figures == network_figures(trace, rows, 0, final)


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 7, None])
def test_the_batch_does_not_show_in_the_file(tmp_path: Path, batch: int | None) -> None:
    trace = small_trace(12, n_samples=7, float_noise=True)
    replay(trace, RefereeMachine(), tmp_path / "a.h5", batch=4)
    replay(trace, RefereeMachine(), tmp_path / "b.h5", batch=batch)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_batches_are_multiples_of_the_machines(tmp_path: Path) -> None:
    trace = small_trace(4, n_samples=11)
    machine = RefereeMachine(machine_batch=4)
    replay(trace, machine, tmp_path / "a.h5", batch=8)
    assert machine.prepared is not None and machine.prepared.batches == [8, 3]
    loads = open_result(tmp_path / "a.h5").layers[0].events()["sram_row_writes"]
    assert loads == machine.plan(trace).counts(0, 11)["filter_load"]["sram_row_writes"] == 15
    with pytest.raises(ConfigError, match="multiple of 4"):
        replay(trace, machine, tmp_path / "b.h5", batch=6)
    assert not list(tmp_path.glob("b.h5"))


def test_some_samples(tmp_path: Path) -> None:
    trace = small_trace(8, n_samples=6, float_noise=True)
    replay(trace, RefereeMachine(), tmp_path / "all.h5")
    replay(trace, RefereeMachine(), tmp_path / "some.h5", samples=slice(2, 5))
    whole, part = open_result(tmp_path / "all.h5"), open_result(tmp_path / "some.h5")
    assert (part.header.start, part.header.stop) == (2, 5)
    for a, b in zip(whole.layers, part.layers, strict=True):
        assert np.array_equal(a.digests[2:5], b.digests)
        assert np.array_equal(a.error_rows[2:5], b.error_rows)


def test_some_layers(tmp_path: Path) -> None:
    trace = small_trace(8, n_layers=6)
    fails_late = RefereeMachine(fail_at=4)
    replay(trace, RefereeMachine(), tmp_path / "all.h5")
    replay(trace, fails_late, tmp_path / "some.h5", layers=[3, 1])
    whole, part = open_result(tmp_path / "all.h5"), open_result(tmp_path / "some.h5")
    assert [layer.index for layer in part.layers] == [1, 3]
    assert np.array_equal(part.layers[1].digests, whole.layers[3].digests)
    assert part.final_codes is None and part.predictions is None
    for wrong in ([], [6], [-1]):
        with pytest.raises(ConfigError, match="layers"):
            replay(trace, RefereeMachine(), tmp_path / "x.h5", layers=wrong)


def test_prices_give_energy_and_are_part_of_the_run(tmp_path: Path, prices: PriceTable) -> None:
    trace = small_trace(3, n_samples=2)
    replay(trace, RefereeMachine(), tmp_path / "a.h5", prices=prices)
    result = open_result(tmp_path / "a.h5")
    events = result.events()
    assert (
        result.total_energy_pj
        == 2 * events["sram_compute_cycles"] + 3 * (events["sram_row_writes"])
    )
    with pytest.raises(ResultError, match="belongs to another run"):
        replay(trace, RefereeMachine(), tmp_path / "a.h5", resume=True)


def test_a_missing_price_is_found_before_anything_runs(tmp_path: Path, prices: PriceTable) -> None:
    machine = RefereeMachine(fail_at=0)
    with pytest.raises(ConfigError, match="sram_row_writes"):
        lacking = prices.model_copy(update={"prices": prices.prices[:1]})
        replay(small_trace(3), machine, tmp_path / "a.h5", prices=lacking)
    assert not list(tmp_path.iterdir())


def test_wrong_fidelity_and_samples_leave_nothing(tmp_path: Path) -> None:
    trace = small_trace(3, n_samples=2)
    with pytest.raises(ConfigError, match="fidelity"):
        replay(trace, RefereeMachine(), tmp_path / "a.h5", fidelity="half")
    with pytest.raises(ConfigError, match="samples 0:3"):
        replay(trace, RefereeMachine(), tmp_path / "a.h5", samples=slice(0, 3))
    assert not list(tmp_path.iterdir())


class Forgetful(RefereeMachine):
    """A machine that stops before the last layer."""

    def prepare(self, trace: Trace, *, fidelity: str = "bit", jobs: int = 1) -> RefereeNetwork:
        network = super().prepare(trace, fidelity=fidelity, jobs=jobs)
        run = network.run_batch
        network.run_batch = lambda codes: iter(list(run(codes))[:-1])  # type: ignore[method-assign]
        return network


def test_a_machine_that_forgets_a_layer_is_found_out(tmp_path: Path) -> None:
    trace = small_trace(3)
    with pytest.raises(MismatchError, match=f"no output of layer {len(trace.layers) - 1}"):
        replay(trace, Forgetful(), tmp_path / "a.h5")


def test_progress_grows_to_one(tmp_path: Path) -> None:
    seen: list[Progress] = []
    trace = small_trace(5, n_samples=5)
    replay(trace, RefereeMachine(), tmp_path / "a.h5", batch=2, progress=seen.append)
    shares = [progress.share for progress in seen]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1.0)
    assert len(seen) == 3 * len(trace.layers)
    assert (seen[0].layer, seen[-1].start, seen[-1].stop) == (trace.layers[0].name, 4, 5)


def test_a_batch_fits_the_memory_it_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = synthetic_network("tiny", 0, n_samples=1)
    one = sample_bytes(trace)
    largest = max(np.prod(layer.output_shape) for layer in trace.layers)
    assert sample_bytes(trace, last=0) <= one
    assert one > largest
    monkeypatch.setattr(module, "MEMORY_BUDGET", 12 * one + 1)
    assert batch_size(trace, "bit") == batch_size(trace, "integer") == 12
    assert batch_size(trace, "bit", 5) == 10
    assert batch_size(trace, "bit", 100) == 100
    monkeypatch.setattr(module, "MEMORY_BUDGET", 10**6 * one)
    assert batch_size(trace, "bit") == BATCH_LIMIT["bit"]
    assert batch_size(trace, "integer") == BATCH_LIMIT["integer"]


def test_what_a_machine_raises_leaves_no_result_and_can_go_on(tmp_path: Path) -> None:
    trace = small_trace(9, n_samples=4, float_noise=True)
    replay(trace, RefereeMachine(), tmp_path / "whole.h5", batch=1)
    out = tmp_path / "a.h5"
    with pytest.raises(KeyboardInterrupt):
        replay(trace, InterruptedAtBatch(2), out, batch=1)
    assert not out.exists()
    machine = RefereeMachine()
    replay(trace, machine, out, batch=1, resume=True)
    assert machine.prepared is not None and machine.prepared.batches == [1, 1]
    assert out.read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.h5", "whole.h5"}
    finished = RefereeMachine()
    replay(trace, finished, out, resume=True)
    assert finished.prepared is None


class InterruptedAtBatch(RefereeMachine):
    """A machine whose user loses patience in a batch."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def prepare(self, trace: Trace, *, fidelity: str = "bit", jobs: int = 1) -> RefereeNetwork:
        network = super().prepare(trace, fidelity=fidelity, jobs=jobs)
        run = network.run_batch

        def run_batch(codes: Codes) -> Iterator[LayerRun]:
            if len(network.batches) == self.n:
                raise KeyboardInterrupt
            return run(codes)

        network.run_batch = run_batch  # type: ignore[method-assign]
        return network


def test_only_the_same_run_goes_on(tmp_path: Path) -> None:
    trace, other = small_trace(9, n_samples=4), small_trace(10, n_samples=4)
    out = tmp_path / "a.h5"
    with pytest.raises(KeyboardInterrupt):
        replay(trace, InterruptedAtBatch(2), out, batch=1)
    changes: list[dict[str, Any]] = [
        {"samples": slice(0, 3)},
        {"fidelity": "integer"},
        {"layers": [0]},
    ]
    for change in changes:
        with pytest.raises(ResultError, match="belongs to another run"):
            replay(trace, RefereeMachine(), out, resume=True, **change)
    with pytest.raises(ResultError, match="belongs to another run"):
        replay(other, RefereeMachine(), out, resume=True)
    replay(trace, RefereeMachine(), out, resume=True)


# Sudden death. The runs happen in processes forked from a server that has loaded everything, so
# that each takes milliseconds and can be killed without ado.

CONTEXT = multiprocessing.get_context("forkserver")
CACHE_RUNS = "tests.bitpim.cache_runs"  # imported where it is needed: it compiles kernels
Run = Callable[[Path, bool], None]


@pytest.fixture(scope="module", autouse=True)
def _preloaded() -> None:
    CONTEXT.set_forkserver_preload([runs.__name__, CACHE_RUNS])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Bytes of the result of an uninterrupted run."""
    out = tmp_path_factory.mktemp("whole") / "a.h5"
    runs.run_slowly(out, False)
    return out.read_bytes()


def outcome(run: Callable[..., None], *args: object) -> int | None:
    """Exit code of a run in a process of its own."""
    process = CONTEXT.Process(target=run, args=args)
    process.start()
    process.join()
    return process.exitcode


def outcome_when_killed(
    run: Run, out: Path, resume: bool, n_growths: int, seconds: float
) -> int | None:
    """Exit code of a run killed some time after its journal has grown that often."""
    part = out.with_name(f"{out.name}.part")
    process = CONTEXT.Process(target=run, args=(out, resume))
    process.start()
    size = n_bytes(part)
    while n_growths and process.is_alive():
        time.sleep(0.0005)
        n_growths -= n_bytes(part) > size
        size = max(size, n_bytes(part))
    time.sleep(seconds)
    process.kill()
    process.join()
    return process.exitcode


def n_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize(
    ("module_name", "name"), [(runs.__name__, "run_slowly"), (CACHE_RUNS, "run_bit_by_bit")]
)
def test_killed_at_random_points_and_resumed(tmp_path: Path, module_name: str, name: str) -> None:
    run: Run = getattr(importlib.import_module(module_name), name)
    folder = tmp_path / "runs"
    folder.mkdir()
    run(tmp_path / "whole.h5", False)
    expected = (tmp_path / "whole.h5").read_bytes()
    draw = random.Random(1)
    n_killed, done_when_killed = 0, set()
    for number in itertools.count():
        assert number < 200, "the runs end before they are killed"
        out = folder / f"{number}.h5"
        for attempt in range(draw.randint(1, 3)):
            point = draw.randint(0, 5), draw.uniform(0.0, 0.03)
            n_killed += outcome_when_killed(run, out, attempt > 0, *point) == -signal.SIGKILL
            done_when_killed.add(n_bytes(folder / f"{number}.h5.part"))
            assert not out.exists() or out.read_bytes() == expected
        run(out, True)
        assert out.read_bytes() == expected
        if n_killed >= 10:
            break
    assert {path.suffix for path in folder.iterdir()} == {".h5"}
    assert len(done_when_killed) >= 3  # not always at the same place


def test_jobs_and_batches_do_not_show_in_the_bits(tmp_path: Path) -> None:
    trace, machine = synthetic_network("tiny", 0, n_samples=6), make_machine("neural_cache")
    replay(trace, machine, tmp_path / "a.h5", batch=1, jobs=1)
    replay(trace, machine, tmp_path / "b.h5", batch=4, jobs=3)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_both_fidelities_give_the_same_layers(tmp_path: Path) -> None:
    trace, machine = synthetic_network("tiny", 0, n_samples=6), make_machine("neural_cache")
    bit = open_result(replay(trace, machine, tmp_path / "a.h5", fidelity="bit"))
    integer = open_result(replay(trace, machine, tmp_path / "b.h5", fidelity="integer"))
    assert bit.header.fidelity == "bit" and integer.header.fidelity == "integer"
    assert bit.phases == integer.phases and bit.figures == integer.figures
    for a, b in zip(bit.layers, integer.layers, strict=True):
        assert np.array_equal(a.digests, b.digests)
        assert (a.counts, a.cycles) == (b.counts, b.cycles)


def test_killed_at_every_change_of_the_disk_and_resumed(tmp_path: Path, whole: bytes) -> None:
    for fatal_call in range(1, 100):
        out = tmp_path / f"{fatal_call}.h5"
        code = outcome(runs.run_until_call, out, fatal_call)
        assert code in (0, -signal.SIGKILL)
        assert not out.exists() or out.read_bytes() == whole
        replay(runs.trace_to_kill(), RefereeMachine(), out, batch=runs.BATCH, resume=True)
        assert out.read_bytes() == whole
        if code == 0:
            break
    assert 8 < fatal_call < 99


@pytest.mark.parametrize("n_bytes", [0, 10, 1000, 2500, 5000])
def test_a_full_disk_leaves_no_half_file(tmp_path: Path, whole: bytes, n_bytes: int) -> None:
    out = tmp_path / "a.h5"
    receiver, sender = CONTEXT.Pipe(duplex=False)
    assert outcome(runs.run_on_a_full_disk, out, n_bytes, sender) == 0
    assert receiver.poll()
    message = receiver.recv()
    assert message.startswith(str(tmp_path)) and "cannot be written" in message
    assert "\n" not in message
    assert not out.exists() and not list(tmp_path.glob("*.tmp"))
    replay(runs.trace_to_kill(), RefereeMachine(), out, batch=runs.BATCH, resume=True)
    assert out.read_bytes() == whole


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    trace = small_trace(3)
    (tmp_path / "file").touch()
    for out in (tmp_path / "absent" / "a.h5", tmp_path / "file" / "a.h5", tmp_path):
        with pytest.raises(ResultError) as caught:
            replay(trace, RefereeMachine(), out)
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def wide_trace(pad: int) -> Trace:
    """One pixel padded to an image, and pooled to a pixel again: a small file of much work."""
    trace = small_trace(3, kinds=["pad", "max_pool2d"], n_samples=1)
    first, last = trace.layers
    side = 2 * pad + 1
    shape = (first.output_shape[0], side, side)
    pooled = replace(last, input_shapes=(shape,), output_shape=(shape[0], 1, 1))
    assert last.geometry is not None
    geometry = replace(last.geometry, kernel=(side, side))
    return replace(
        trace, layers=(replace(first, output_shape=shape), replace(pooled, geometry=geometry))
    )


@pytest.mark.parametrize(
    ("most", "multiple", "said"),
    [(4, 1, [8, 4]), (1, 1, [8, 4, 2, 1]), (0, 1, [8, 4, 2, 1, 0]), (2, 2, [8, 4, 2]),
     (4, 3, [9, 3]), (2, 3, [9, 3, 0])],
)  # fmt: skip
def test_a_smaller_batch_is_named_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, multiple: int, said: list[int]
) -> None:
    """What the error names is followed until a run ends, or one sample is too much."""

    def needy(network: RefereeNetwork, codes: Codes) -> Iterator[LayerRun]:
        if len(codes) > most:
            raise MemoryError("Unable to allocate")
        return run_batch(network, codes)

    run_batch = RefereeNetwork.run_batch
    monkeypatch.setattr(RefereeNetwork, "run_batch", needy)
    machine, trace = RefereeMachine(machine_batch=multiple), small_trace(3, n_samples=9)
    tried, batch = [], said[0]
    while True:
        tried.append(batch)
        try:
            replay(trace, machine, tmp_path / "r.h5", batch=batch, overwrite=True)
            break
        except OutOfMemoryError as error:
            found = re.fullmatch(
                r"out of memory with (\d+) .*; --batch (\d+) needs less", str(error)
            )
            assert found is not None and int(found[1]) == batch
            batch = int(found[2])
        except MemoryError:
            tried.append(0)
            break
    assert tried == said


def test_a_sample_that_takes_more_memory_than_allowed_is_refused_before_it_runs() -> None:
    trace = wide_trace(7000)
    gib = sample_bytes(trace) / 2**30
    assert gib > 1
    with pytest.raises(ConfigError, match=r"layer [01] .* GiB, more than the 1 GiB .*--memory \d+"):
        need_memory(trace)
    need_memory(trace, math.ceil(gib))
    need_memory(wide_trace(10))
    with pytest.raises(ConfigError, match="GiB"):
        need_memory(wide_trace(10), 0.0)


def test_work_counts_what_windows_take_in() -> None:
    side = 2 * 10 + 1
    trace = wide_trace(10)
    channels = trace.layers[0].output_shape[0]
    elements = sum(math.prod(shape) for shape in trace.layers[0].input_shapes)
    image = channels * side * side
    assert n_operations(trace) == (elements + image) + (image + channels + channels * side * side)
    assert n_operations(trace, 0) == elements + image
