"""The measurement of large networks, on a tiny one."""

from pathlib import Path

import pytest

from bench.large_networks import LIMIT_BYTES, Row, faults_of, measured, table
from tests.bitpim.cli.live import live


@pytest.mark.slow
def test_each_step_is_measured(tmp_path: Path) -> None:
    trace = tmp_path / "tiny.h5"
    assert live("trace", "synth", "tiny", "-o", trace).returncode == 0
    row = measured("tiny", trace, "isaac", tmp_path)
    assert all(10 << 20 < peak < 1 << 30 for peak in row.peak_bytes)
    assert len(row.seconds) == 3 and min(row.seconds) > 0
    assert row.settings == () and faults_of(row) == []


def test_the_table_and_what_is_too_much() -> None:
    fine = Row("n", "sre", (), (LIMIT_BYTES, 3 << 20, 1), (1.4, 2.6, 0.0))
    assert faults_of(fine) == []
    assert table([fine]).splitlines()[-1] == "| n | sre | 2,048 (1) | 3 (3) | 0 (0) |"
    large = Row("n", "isaac", ("chip.tiles=9",), (1, LIMIT_BYTES + (1 << 20), 1), (1.0,) * 3)
    assert faults_of(large) == ["n on isaac, integer: peak 2049 MiB, at most 2048"]
    assert "isaac `chip.tiles=9`" in table([large])
