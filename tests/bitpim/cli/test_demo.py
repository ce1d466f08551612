"""`bitpim demo` on the real machine, and where it finds the shipped trace."""

from pathlib import Path
from typing import Any

import pytest

from bitpim.cli.progress import COMPILING
from bitpim_traces import write_trace
from bitpim_traces.synthetic import synthetic_network
from tests.bitpim.cli.conftest import Run


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.h5"
    write_trace(synthetic_network("tiny", 0, n_samples=3), path)
    return path


def test_replays_and_verifies_bit_by_bit(bitpim: Run, tiny: Path) -> None:
    code, out, err = bitpim("demo", tiny)
    assert code == 0
    assert err in ("", COMPILING)
    assert "tiny, 3 samples, on neural_cache" in out
    assert "L0: 12 of 12 layers equal the integer referee" in out
    assert "cycles" in out and "energy" in out and "% recalled" in out


def test_json(bitpim_json: Any, tiny: Path) -> None:
    found = bitpim_json("demo", tiny)
    assert found["verified"]["equal"] is True
    assert found["fidelity"] == "bit" and found["prices"] == "neural_cache_22nm"
    assert found["totals"]["cycles"] > 0 and found["totals"]["energy_pj"] > 0
