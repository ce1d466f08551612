"""Four machines on one network: the same bits where nothing is lost, and where reads are the same.

Also whole runs: interrupted and resumed, in batches and threads of any number, from the command
line.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpim.cli.app import run as command
from bitpim.cli.progress import COMPILING
from bitpim.machine.machine import Codes, LayerRun
from bitpim.machine.registry import make_machine, prices_of
from bitpim.proof.reference import run_network
from bitpim.report.result_file import open_result
from bitpim.run import replay
from bitpim_traces import write_trace
from bitpim_traces.records import Geometry, TensorRecord, Trace
from bitpim_traces.synthetic import synthetic_network
from tests.bitpim.machine.crossbar_runs import check_lossless, check_naive, machine, prune, run
from tests.one_layer import one_layer, quantization

MACHINES = ("dense_crossbar", "isaac", "pattern_crossbar", "sre")
SMALL = (
    "geometry.array_rows=24",
    "geometry.array_columns=20",
    "geometry.ou_rows=6",
    "geometry.ou_columns=5",
    "numbers.weight_bits=9",
)
LOSSLESS = (*SMALL, "converter.adc_bits=8")
CALIBRATED = (
    *SMALL,
    "numbers.encoding=twos_complement",
    "numbers.overflow=saturate",
    "converter.adc_model=round",
    "converter.adc_bits=3",
    "converter.adc_range=calibrated",
    "converter.calibration_samples=2",
    "converter.calibration_coverage=0.98",
)


@pytest.fixture(scope="module")
def network() -> Trace:
    """Convolutions with and without groups, a residual, pooling, a linear layer; pruned."""
    return prune(synthetic_network("tiny", 0, n_samples=5), 1)


def codes_of(name: str, trace: Trace, *assigned: str) -> Any:
    return [got.codes for got in run(machine(name, *assigned), trace)]


def same(some: list[Any], others: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


# bits


@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_gives_the_referees_network(name: str, network: Trace) -> None:
    exact = ("converter.adc_model=exact",)
    check_lossless(machine(name, *SMALL, *exact), network, jobs=2, against_naive=False)
    check_lossless(machine(name, "numbers.weight_bits=9"), network, against_naive=False)


@pytest.mark.parametrize("name", MACHINES)
def test_a_lossy_network_is_that_of_a_naive_machine(name: str, network: Trace) -> None:
    one = TensorRecord.of(network.samples.codes.read()[:1], axes="NCHW", role="samples")
    samples = replace(network.samples, codes=one, labels=None)
    lossy = ("numbers.overflow=saturate", "converter.adc_bits=2")
    check_naive(machine(name, *SMALL, *lossy), replace(network, samples=samples))


@pytest.mark.parametrize("adc_bits", [1, 3])
def test_sre_that_leaves_nothing_out_reads_as_dense_crossbars_do(
    network: Trace, adc_bits: int
) -> None:
    """Same rows in the same units; which columns share a unit changes no bit."""
    bits = ("numbers.encoding=differential", f"converter.adc_bits={adc_bits}")
    lossy = (*SMALL, *bits, "numbers.overflow=saturate")
    every = ("mapping.drop_zero_rows=false", "mapping.pack_active_rows=false")
    dense = run(machine("dense_crossbar", *lossy), network)
    for order in ("weight", "bit_slice"):
        found = run(machine("sre", *lossy, *every, f"mapping.column_order={order}"), network)
        assert same([a.codes for a in found], [b.codes for b in dense])
        for a, b in zip(found, dense, strict=True):
            assert a.counts == b.counts
    packed = codes_of("sre", network, *lossy)
    assert not same(packed, [b.codes for b in dense])


def test_isaac_is_a_dense_crossbar_of_whole_arrays(network: Trace) -> None:
    whole = ("numbers.weight_bits=9", "converter.adc_bits=4", "numbers.overflow=saturate")
    arrays = ("geometry.ou_rows=128", "geometry.ou_columns=128", "numbers.encoding=column_flip")
    isaac = run(machine("isaac", *whole), network)
    dense = run(machine("dense_crossbar", *whole, *arrays), network)
    for a, b in zip(isaac, dense, strict=True):
        assert np.array_equal(a.codes, b.codes) and a.counts == b.counts


def test_patterns_that_keep_everything_read_as_dense_windows_do() -> None:
    """All encodings: no cell is left out, and a block's units are those of its window."""
    trace = one_layer(80, (4, 5, 5), 5, Geometry((3, 3)), weights=quantization(8, 256), n_samples=2)
    for encoding in ("offset", "differential", "twos_complement"):
        bits = (f"numbers.encoding={encoding}", "converter.adc_bits=2")
        lossy = (*SMALL, *bits, "numbers.overflow=saturate", "mapping.row_blocks=window")
        assert same(
            codes_of("pattern_crossbar", trace, *lossy), codes_of("dense_crossbar", trace, *lossy)
        )


def test_every_encoding_and_unit_gives_the_same_bits_without_loss(network: Trace) -> None:
    expected = list(run_network(network, network.samples.codes.read(), keep="all").values())
    for name in MACHINES:
        for encoding in ("offset", "differential", "differential_paired", "twos_complement"):
            for ou_rows in (1, 24):
                unit = (*SMALL, f"geometry.ou_rows={ou_rows}", f"numbers.encoding={encoding}")
                found = codes_of(name, network, *unit, "converter.adc_model=exact")
                assert same(found, expected), (name, encoding, ou_rows)


# runs


class Interrupted:
    """A machine whose user loses patience in the third batch."""

    def __init__(self, chosen: Any) -> None:
        self.chosen, self.name, self.settings = chosen, chosen.name, chosen.settings
        self.plan, self.legend, self.losses = chosen.plan, chosen.legend, chosen.losses

    def prepare(self, trace: Trace, **how: Any) -> "Interrupted":
        self.network = self.chosen.prepare(trace, **how)
        self.batch_multiple, self.n = self.network.batch_multiple, 0
        return self

    def run_batch(self, codes: Codes) -> Iterator[LayerRun]:
        if self.n == 2:
            raise KeyboardInterrupt
        self.n += 1
        yield from self.network.run_batch(codes)


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("assigned", [LOSSLESS, CALIBRATED], ids=["lossless", "calibrated"])
def test_batches_threads_and_interruptions_do_not_show(
    name: str, assigned: tuple[str, ...], network: Trace, tmp_path: Path
) -> None:
    prices = prices_of(name)
    chosen = machine(name, *assigned)
    whole = replay(network, chosen, tmp_path / "whole.h5", batch=5, jobs=2, prices=prices)
    out = tmp_path / "part.h5"
    with pytest.raises(KeyboardInterrupt):
        replay(network, Interrupted(chosen), out, batch=1, jobs=1, prices=prices)
    assert not out.exists()
    replay(network, chosen, out, batch=2, jobs=1, resume=True, prices=prices)
    assert out.read_bytes() == whole.read_bytes()
    if assigned is LOSSLESS:
        again = replay(network, chosen, tmp_path / "integer.h5", fidelity="integer", prices=prices)
        bit, integer = open_result(whole), open_result(again)
        for a, b in zip(bit.layers, integer.layers, strict=True):
            assert np.array_equal(a.digests, b.digests)
            assert (a.counts, a.cycles) == (b.counts, b.cycles)


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = command([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err.replace(COMPILING, "")  # or not: by what ran before


@pytest.mark.parametrize("name", MACHINES)
def test_the_command_line_verifies_every_machine(
    name: str, network: Trace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.h5"
    write_trace(network, path)
    on = ("--machine", name, "--set", "numbers.weight_bits=9", "--set", "numbers.input_bits=8")
    for fidelity in ("bit", "integer"):
        code, out, err = told(capsys, "verify", path, *on, "--fidelity", fidelity, "--json")
        assert (code, err) == (0, "") and json.loads(out)["equal"] is True
    lossy = (*on, "--set", "converter.adc_bits=2", "--set", "numbers.overflow=saturate")
    code, _, err = told(capsys, "verify", path, *lossy)
    assert code == 4 and err.count("\n") == 1 and "layer 0" in err
    code, _, err = told(capsys, "verify", path, *lossy, "--fidelity", "integer")
    assert code == 3 and err.count("\n") == 1
    assert "fidelity integer needs a lossless ADC, got clip of 2 bits" in err
    result = tmp_path / "r.h5"
    assert told(capsys, "replay", path, *on, "-o", result)[0] == 0
    code, out, _ = told(capsys, "verify", path, result, "--json")
    assert code == 0 and json.loads(out)["equal"] is True
    code, out, _ = told(capsys, "plan", path, *on, "--json")
    rows = json.loads(out)["layers"]
    assert code == 0 and [row["arrays"] > 0 for row in rows] == [
        layer.weight is not None for layer in network.layers
    ]


def test_the_machines_are_those_of_the_registry() -> None:
    for name in MACHINES:
        assert make_machine(name).name == name
