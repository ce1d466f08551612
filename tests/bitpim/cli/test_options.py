"""Shared options: threads, traces from standard input, the bar's time left."""

import io
from pathlib import Path

import pytest

from bitpim.cli.options import opened_trace
from bitpim.cli.progress import time_left, watched
from bitpim.errors import TraceError
from bitpim_traces import write_trace
from tests.bitpim.report.small_run import run
from tests.strategies import small_trace


class Stdin:
    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


def test_a_trace_comes_by_name_or_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.h5"
    write_trace(small_trace(3), path)
    monkeypatch.setattr("sys.stdin", Stdin(path.read_bytes()))
    with opened_trace(str(path)) as named, opened_trace("-") as piped:
        assert named.digest == piped.digest != ""
        assert (named.samples.codes.read() == piped.samples.codes.read()).all()


def test_rubbish_on_standard_input_is_a_trace_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Stdin(b"no trace"))
    with pytest.raises(TraceError), opened_trace("-"):
        pass


def test_a_result_is_no_trace(tmp_path: Path) -> None:
    result = tmp_path / "r.h5"
    run(result)
    with (
        pytest.raises(TraceError, match="is a result file; need a trace"),
        opened_trace(str(result)),
    ):
        pass
    with pytest.raises(TraceError), opened_trace(str(tmp_path)):  # a folder
        pass


def test_time_left() -> None:
    assert time_left(0.5, 0.1) == "-:--"
    assert time_left(60, 0.5, 0.5) == "-:--"
    assert time_left(60, 0.5) == "1:00"
    assert time_left(60, 0.75, 0.5) == "1:00"
    assert time_left(3600, 0.25) == "3:00:00"


def test_no_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with watched("replay") as report:
        assert report is None
    assert capsys.readouterr() == ("", "")
