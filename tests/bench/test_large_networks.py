"""The measurement of large networks: which commands it runs, and what it makes of them."""

from pathlib import Path

import pytest

from bench.large_networks import LIMIT_BYTES, Row, faults_of, measured, table
from bench.whole_command import Run


def test_each_step_is_measured_with_the_setting_that_a_plan_asks_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refused = "bitpim: isaac: need at most 9 crossbars, got 12; use `--set chip.tiles=704`\n"
    runs = [(3, 1, refused), (0, 20, ""), (0, 30, ""), (0, 40, "")]
    lines: list[list[str]] = []

    def measure(line: list[str]) -> Run:
        lines.append(line[3:])
        code, peak, said = runs[len(lines) - 1]
        return Run(tuple(line), float(peak), peak << 20, code, "", said)

    monkeypatch.setattr("bench.large_networks.measure", measure)
    row = measured("n", tmp_path / "n.h5", "isaac", tmp_path)
    assert row == Row(
        "n", "isaac", ("chip.tiles=704",), (20 << 20, 30 << 20, 40 << 20), (20, 30, 40)
    )
    where = [str(tmp_path / "n.h5"), "-m", "isaac"]
    assert lines[:2] == [["plan", *where], ["plan", *where, "--set", "chip.tiles=704"]]
    assert [line[-1] for line in lines[2:]] == ["integer", "bit"]
    assert all("chip.tiles=704" in line and "--samples" in line for line in lines[2:])


def test_the_table_and_what_is_too_much() -> None:
    fine = Row("n", "sre", (), (LIMIT_BYTES, 3 << 20, 1), (1.4, 2.6, 0.0))
    assert faults_of(fine) == []
    assert table([fine]).splitlines()[-1] == "| n | sre | 2,048 (1) | 3 (3) | 0 (0) |"
    large = Row("n", "isaac", ("chip.tiles=9",), (1, LIMIT_BYTES + (1 << 20), 1), (1.0,) * 3)
    assert faults_of(large) == ["n on isaac, integer: peak 2049 MiB, at most 2048"]
    assert "isaac `chip.tiles=9`" in table([large])
