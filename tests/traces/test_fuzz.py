"""Thousands of damaged and hostile files: a TraceError or the identical result, nothing else."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bitpim_traces import write_trace
from bitpim_traces.footer import FOOTER_BYTES
from bitpim_traces.records import TensorRecord
from tests.strategies import small_trace
from tests.traces.lookup3 import lookup3
from tests.traces.mutants import OBJECT_MUTATIONS, checksummed_blocks, make_mutant

ROOT = Path(__file__).parents[2]
N_MUTANTS = 2100
N_WORKERS = 2


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small trace with every structure of HDF5 that a trace can have.

    Cut chunks need a fixed array; the nine members of `extra` a heap and a B-tree.
    """
    path = tmp_path_factory.mktemp("fuzz") / "original.h5"
    trace = small_trace(1, n_samples=3, kinds=["conv2d", "add"])
    one = TensorRecord.of(np.ones(1, np.uint8), axes="K", role="mask", units="1")
    conv = replace(trace.layers[0], extra={f"mask{k}": one for k in range(9)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bitpim_traces.writer._CHUNK_BYTES", 64)
        write_trace(replace(trace, layers=(conv, *trace.layers[1:])), path)
    return path


def _worker(original: Path, start: int, stop: int) -> "subprocess.Popen[str]":
    folders = os.pathsep.join(str(ROOT / f) for f in (".", "kernels", "traces"))
    script = Path(__file__).with_name("fuzz_worker.py")
    return subprocess.Popen(
        [sys.executable, str(script), str(original), str(original.parent), str(start), str(stop)],
        env={**os.environ, "PYTHONPATH": folders, "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_mutants_are_refused_or_the_same(original: Path) -> None:
    """A mutant has 10 s of a processor and 1 GiB in its own process; a crash names its seed."""
    step = N_MUTANTS // N_WORKERS
    workers = [_worker(original, k, k + step) for k in range(0, N_MUTANTS, step)]
    outcomes: Counter[str] = Counter()
    for worker in workers:
        out, err = worker.communicate(timeout=600)
        lines = out.splitlines()
        assert worker.returncode == 0, f"died ({worker.returncode}) after {lines[-1]!r}: {err}"
        bad = [line for line in lines if " BAD " in line]
        assert not bad, bad
        outcomes.update(line.split()[2] for line in lines if line.startswith("end "))
    assert sum(outcomes.values()) == N_MUTANTS
    # The mutants must bite, and must not all be stopped at the door.
    assert outcomes["refused"] > N_MUTANTS // 2
    assert outcomes["same"] > 10
    assert outcomes["other"] + outcomes["faulty"] > 10


def test_the_fuzz_covers_every_mutation(original: Path, tmp_path: Path) -> None:
    """Every mutation changes the file for some seed, so none is a dead letter."""
    before = original.read_bytes()
    blocks = checksummed_blocks(before[:-FOOTER_BYTES])
    changed = sum(
        make_mutant(seed, original, tmp_path / f"{seed}.h5", blocks) is not None
        and (tmp_path / f"{seed}.h5").read_bytes()[:-FOOTER_BYTES] != before[:-FOOTER_BYTES]
        for seed in range(60)
    )
    assert changed >= 55
    assert len(OBJECT_MUTATIONS) >= 20


def test_metadata_blocks_are_found(original: Path) -> None:
    """The mutants that put HDF5's checksums right need the blocks; so does the guard."""
    body = original.read_bytes()[:-FOOTER_BYTES]
    found = Counter(body[start : start + 4] for start, _ in checksummed_blocks(body))
    assert found[b"OHDR"] > 30
    assert {b"FRHP", b"BTHD", b"FAHD"} <= set(found)


@pytest.mark.parametrize(
    ("key", "expected"),
    [(b"", 0xDEADBEEF), (b"Four score and seven years ago", 0x17770551)],
)
def test_lookup3_is_the_published_one(key: bytes, expected: int) -> None:
    assert lookup3(key) == expected
