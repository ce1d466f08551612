import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bitpim.errors import ConfigError, ResultError
from bitpim.report.plots import plot_result
from bitpim.report.result_file import Result, open_result
from tests.bitpim.report.small_run import run

PRESET = """
[preset]
name = "p"
[part]
key = { value = 6, source = "me", confidence = "assumed" }
"""


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
    for piece in ("conv1", "pool", "load", "mac", "utilization (%)", "net on neural_cache"):
        assert piece in text
    assert "by phase" in text and "by event" in text and ">act<" in text
    assert "energy (J)" in text  # 7 * 2^40 events of 2.5 pJ are 19 J
    unpriced = replace(result, prices_name="")
    changed = PRESET.replace('"me"', '"set by hand"')
    header = replace(result.header, preset=changed)
    assert "preset p with part.key=6" in svg(replace(result, header=header), tmp_path)
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


def test_layers_that_no_eye_would_see_are_left_out(result: Result, tmp_path: Path) -> None:
    first, second, _ = result.layers
    big = replace(first, cycles={"mac": 1000}, plan={"utilization": 0.5})
    small = replace(second, cycles={"mac": 4}, plan={"utilization": 0.002}, energy_pj={})
    unpriced = replace(result, layers=(big, small), prices_name="")
    text = svg(unpriced, tmp_path)
    assert "pool" not in text and "1 layers of next to no work" in text
    seen = replace(small, plan={"utilization": 0.02})
    assert "pool" in svg(replace(unpriced, layers=(big, seen)), tmp_path)


def test_more_parts_than_colours_are_drawn_as_others(result: Result, tmp_path: Path) -> None:
    cycles = {f"phase_{i:02}": 100 - i for i in range(12)}
    layer = replace(result.layers[0], cycles=cycles)
    other = replace(result, layers=(layer,), phases=tuple(cycles), prices_name="")
    text = svg(other, tmp_path)
    assert "phase 06" in text and "phase 07" not in text and "5 others" in text


@pytest.mark.parametrize("top", [1.0, 0.001])
def test_no_bar_touches_the_edge(result: Result, top: float) -> None:
    pytest.importorskip("matplotlib")
    from bitpim.report.plots import _draw

    layer = replace(result.layers[0], plan={"utilization": top})
    for axis in _draw(replace(result, layers=(layer,))).axes:
        highest = max(bar.get_y() + bar.get_height() for bar in axis.patches)
        assert 1.05 * highest < axis.get_ylim()[1] < 1.2 * highest


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
