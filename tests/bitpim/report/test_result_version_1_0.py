"""Results of version 1.0 keep no legend: they open, and are read as they were read then."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.config import override, to_toml
from bitpim.errors import ResultError
from bitpim.legend import Legend
from bitpim.machine.registry import default_text, load_preset
from bitpim.report.result_file import Result, open_result
from bitpim.report.result_version_1_0 import legend_of_preset
from bitpim.report.seal import SEAL_BYTES, seal_of
from bitpim.report.tables import as_text
from tests.bitpim.report.small_run import run

STREAMS = ("filter_load", "input_stream", "output", "move")


def of_version_1_0(path: Path, preset: str) -> Result:
    run(path, preset=preset, overwrite=True)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = np.array([1, 0])
        del file.attrs["legend"]
    content = path.read_bytes()[SEAL_BYTES:]
    path.write_bytes(seal_of(content) + content)
    return open_result(path)


def test_clock_and_overlap_are_those_of_the_preset(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    old = of_version_1_0(path, default_text("neural_cache"))
    assert old.legend == Legend(2.5)
    assert "cycles      91, 36.4 ns" in as_text(old)
    streaming = override(load_preset("neural_cache"), ["timing.phase_overlap=stream"])
    old = of_version_1_0(path, to_toml(streaming))
    assert old.legend == Legend(2.5, STREAMS, overlaps=True)
    assert old.legend.elapsed({"filter_load": 5, "input_stream": 9, "mac": 11, "output": 1}) == 15
    assert of_version_1_0(path, default_text("isaac")).legend == Legend(0.01)


def test_of_another_preset_nothing_is_known(tmp_path: Path) -> None:
    old = of_version_1_0(tmp_path / "r.h5", "[preset]\nmachine = 'x'\n")
    assert old.legend == Legend()
    assert "cycles      91, 13 a sample" in as_text(old)


def test_a_result_of_version_1_1_has_a_legend(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    run(path)
    with h5py.File(path, "r+") as file:
        del file.attrs["legend"]
    content = path.read_bytes()[SEAL_BYTES:]
    path.write_bytes(seal_of(content) + content)
    with pytest.raises(ResultError, match="/@legend: need an attribute, got nothing"):
        open_result(path)


VALUES = ["2.5", "0", "-1.0", "nan", "inf", "1e-320", "1e308", "'x'", "true", "[]", "{}", "9" * 30]


@given(st.sampled_from(VALUES), st.sampled_from(VALUES), st.sampled_from([*VALUES, "'stream'"]))
def test_any_value_of_a_setting_gives_a_legend(clock: str, read_ns: str, overlap: str) -> None:
    settings = [
        f"clock_compute_ghz = {{ value = {clock} }}",
        f"read_cycle_ns = {{ value = {read_ns} }}",
        f"phase_overlap = {{ value = {overlap} }}",
    ]
    legend = legend_of_preset("\n".join(["[timing]", *settings]))
    assert legend.overlaps == (overlap == "'stream'")
    stated = {"2.5": 2.5, "1e-320": 1e-320, "9" * 30: 1e30}.get(clock)
    assert legend.clock_ghz == {"2.5": 1 / 2.5, "1e-320": None, "9" * 30: 1 / float("9" * 30)}.get(
        read_ns, stated
    )


@given(st.text())
def test_any_text_gives_a_legend(text: str) -> None:
    for preset in (text, f"timing = {text}", f"[timing]\n{text}", "x = " + "[" * 20_000):
        assert isinstance(legend_of_preset(preset), Legend)
