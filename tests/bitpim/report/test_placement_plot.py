import re
from pathlib import Path

import numpy as np
import pytest

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.compressed_layout import compress_rows
from bitpim.crossbar.dense_layout import DenseMapping, RowBlocks
from bitpim.crossbar.encodings import encode_weights
from bitpim.crossbar.pattern_blocks import group_by_pattern
from bitpim.crossbar.pattern_layout import lay_blocks
from bitpim.errors import ConfigError
from bitpim.placement import Placements
from bitpim.report.placement_plot import plot_placements

mpl = pytest.importorskip("matplotlib")

GEOMETRY = CrossbarGeometry(16, 24, 2, 9, 8)


def patterns(n_masks: int, *, n_outputs: int = 12) -> Placements:
    codes = np.random.default_rng(0).integers(0, n_masks, (n_outputs, 6)).astype(np.uint64)
    blocks = group_by_pattern(codes, 9, n_masks)
    return lay_blocks(blocks, 2, GEOMETRY, pad_ou_columns=True).placed


def svg(placements: Placements, folder: Path, kernel: tuple[int, int] = (3, 3)) -> str:
    with mpl.rc_context({"svg.fonttype": "none"}):  # keeps texts as texts
        path = plot_placements(placements, folder / "p.svg", title="conv1 on it", kernel=kernel)
    return path.read_text("utf-8")


def test_it_says_what_is_shown_and_what_is_not(tmp_path: Path) -> None:
    placed = patterns(8, n_outputs=160)
    assert placed.n_crossbars > 6
    text = svg(placed, tmp_path)
    more = placed.n_crossbars - 6
    for piece in (
        "conv1 on it",
        f"{placed.n_crossbars} crossbars of 16 x 24 cells",
        f"{placed.utilization:.1%} hold weights",
        "operation units of 9 x 8",
        f"the first 6 crossbars are shown, {more} more are not",
        "crossbar 0: ",
        "crossbar 5: ",
    ):
        assert piece in text, piece
    assert "crossbar 6: " not in text
    assert "others" not in text


def test_shares_of_patterns_add_up_and_rare_ones_are_joined(tmp_path: Path) -> None:
    text = svg(patterns(40, n_outputs=60), tmp_path)
    shares = [float(share) for share in re.findall(r">([\d.]+)%<", text)]
    assert len(shares) == 11 + 1 and "others" in text
    assert sum(shares) == pytest.approx(100, abs=1)
    assert shares[:11] == sorted(shares[:11], reverse=True)


def test_shares_are_those_of_cells(tmp_path: Path) -> None:
    """A crossbar of 16 x 24 = 384 cells; two columns a weight.

    Four kernels have a mask of 1 position, 1 x 8 cells; two one of 4 positions, 4 x 4 cells: 24
    cells in all, 6.2 % of the crossbar, of which a third and two thirds.
    """
    codes = np.array([[1]] * 4 + [[15]] * 2, np.uint64)
    blocks = group_by_pattern(codes, 9, 2)
    text = svg(lay_blocks(blocks, 2, GEOMETRY, pad_ou_columns=True).placed, tmp_path)
    assert "crossbar 0: 6.2%" in text and "6.2% hold weights" in text
    assert re.findall(r">([\d.]+)%<", text) == ["66.7", "33.3"]


def test_glyphs_draw_one_cell_a_position(tmp_path: Path) -> None:
    one = lay_blocks(
        group_by_pattern(np.array([[0b10110]], np.uint64), 6, 1), 2, GEOMETRY, pad_ou_columns=True
    ).placed
    text = svg(one, tmp_path, kernel=(2, 3))
    filled = mpl.colors.to_hex("#0072B2")
    assert text.count(f"fill: {filled}") == 3
    assert "100.0%" in text


def test_other_mappings_have_a_scale(tmp_path: Path) -> None:
    dense = DenseMapping(40, 30, GEOMETRY, 9).placements()
    assert "input channel" in svg(dense, tmp_path)
    weights = np.eye(20, 10, dtype=np.int64)
    stored = encode_weights(weights, 4, "twos_complement", 2, 16)
    rows = compress_rows(stored, GEOMETRY, drop_zero_rows=True, column_order="weight")
    assert "column group" in svg(rows.placements(), tmp_path)


def test_the_scale_spans_what_is_shown(tmp_path: Path) -> None:
    placed = DenseMapping(16 * 8, 24, GEOMETRY, 4).placements()
    assert placed.n_crossbars == 8 and int(placed.labels.max()) == 31
    ticks = re.findall(r">(\d+)</text>", svg(placed, tmp_path))
    assert {"11", "23"} <= set(ticks) and "31" not in ticks  # 6 crossbars of 4 channels


@pytest.mark.parametrize(
    ("window_rows", "height"), [(None, 9), (4, 4), (12, 9)], ids=["array", "window", "tall window"]
)
def test_the_first_unit_of_a_dense_matrix_is_outlined(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, window_rows: int | None, height: int
) -> None:
    drawn: list[tuple[float, float]] = []

    class Spy(mpl.patches.Rectangle):  # type: ignore[misc, name-defined]
        def __init__(self, corner: object, width: float, height: float, **style: object) -> None:
            if "clip_on" in style:
                drawn.append((width, height))
            super().__init__(corner, width, height, **style)

    monkeypatch.setattr("matplotlib.patches.Rectangle", Spy)
    blocks: RowBlocks = "window" if window_rows else "array"
    placed = DenseMapping(12, 24, GEOMETRY, window_rows or 4, blocks).placements()
    assert f"operation units of {height} x 8" in svg(placed, tmp_path)
    assert drawn == [(8, height)]


def test_odd_sizes_are_drawn(tmp_path: Path) -> None:
    nothing = lay_blocks(
        group_by_pattern(np.zeros((2, 2), np.uint64), 9, 0), 1, GEOMETRY, pad_ou_columns=True
    ).placed
    assert "0 crossbars" in svg(nothing, tmp_path)
    for shape in ((1, 1), (1, 700), (700, 1), (512, 512)):
        geometry = CrossbarGeometry(*shape)
        assert "1 crossbar of" in svg(DenseMapping(1, 1, geometry).placements(), tmp_path)


def test_the_same_placements_give_the_same_file(tmp_path: Path) -> None:
    first = plot_placements(patterns(5), tmp_path / "a.png", title="t").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert plot_placements(patterns(5), tmp_path / "b.png", title="t").read_bytes() == first
    assert plot_placements(patterns(6), tmp_path / "b.png", title="t").read_bytes() != first


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.png, \.svg, \.pdf"):
        plot_placements(patterns(2), tmp_path / "a.gif", title="t")
