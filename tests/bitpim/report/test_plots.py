import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bitpim.errors import ConfigError, ResultError
from bitpim.report.plots import plot_result
from bitpim.report.result_file import Result, open_result
from tests.bitpim.report.small_run import run


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    path = tmp_path_factory.mktemp("r") / "net.h5"
    run(path)
    return open_result(path)


def svg(result: Result, folder: Path) -> str:
    pytest.importorskip("matplotlib").rcParams["svg.fonttype"] = "none"  # keeps texts as texts
    return plot_result(result, folder / "r.svg").read_text("utf-8")


def test_a_figure_names_layers_phases_and_units(result: Result, tmp_path: Path) -> None:
    text = svg(result, tmp_path)
    for piece in ("conv1", "pool", "fc", "load", "mac", "utilization (%)", "net on neural_cache"):
        assert piece in text
    assert "energy (J)" in text  # 7 * 2^40 events of 2.5 pJ are 19 J
    unpriced = replace(result, prices_name="")
    assert "energy" not in svg(unpriced, tmp_path)


@pytest.mark.parametrize(
    ("suffix", "mark"),
    [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG")],
)
def test_each_format_is_drawn_the_same_twice(
    result: Result, tmp_path: Path, suffix: str, mark: bytes
) -> None:
    pytest.importorskip("matplotlib")
    first = plot_result(result, tmp_path / f"a{suffix}").read_bytes()
    assert first.startswith(mark)
    assert plot_result(result, tmp_path / f"b{suffix}").read_bytes() == first


def test_odd_results_are_drawn(result: Result, tmp_path: Path) -> None:
    layer = result.layers[0]
    cost = "$" + "long_name" * 9 + "$"
    many = tuple(replace(layer, index=i, name=f"layer{i}") for i in range(200))
    none = replace(layer, cycles={}, energy_pj={}, plan={}, name=cost)
    for layers in ((), (none,), many):
        svg(replace(result, layers=layers), tmp_path)
    svg(replace(result, layers=(), phases=()), tmp_path)


def test_without_matplotlib_it_says_how_to_get_it(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install bitpim\[plot\]"):
        plot_result(result, tmp_path / "r.png")


def test_other_suffixes_and_places_are_refused(result: Result, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.png, \.svg, \.pdf"):
        plot_result(result, tmp_path / "r.gif")
    with pytest.raises(ResultError, match="cannot be written"):
        plot_result(result, tmp_path / "gone" / "r.png")
