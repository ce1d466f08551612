"""A file says what kind it is, or nothing is known of it."""

from pathlib import Path

import pytest

from bitpim_traces import write_trace
from bitpim_traces.file_kind import format_name_of
from bitpim_traces.program_trace.writer import write_program
from tests.program_traces import random_program
from tests.strategies import small_trace


def test_traces_and_programs_say_so(tmp_path: Path) -> None:
    write_trace(small_trace(1), tmp_path / "net.h5")
    write_program(random_program(1), tmp_path / "tile.h5")
    assert format_name_of(str(tmp_path / "net.h5")) == "bitpim.trace"
    assert format_name_of(str(tmp_path / "tile.h5")) == "bitpim.program"


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n", bytes(5000)])
def test_of_other_files_nothing_is_known(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert format_name_of(str(tmp_path / "file")) is None
    assert format_name_of(str(tmp_path / "none")) is None
    assert format_name_of(str(tmp_path)) is None
    assert format_name_of("nul\0") is None


def test_a_cut_file_is_no_crash(tmp_path: Path) -> None:
    write_program(random_program(1), tmp_path / "tile.h5")
    whole = (tmp_path / "tile.h5").read_bytes()
    for length in range(0, len(whole), 97):
        (tmp_path / "cut").write_bytes(whole[:length])
        assert format_name_of(str(tmp_path / "cut")) in (None, "bitpim.program")
