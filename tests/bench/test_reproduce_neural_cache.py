"""The recomputed numbers of Neural Cache: anchors hold, and Inception v3 is Inception v3."""

import json

import pytest

from bench.reproduce import neural_cache
from bench.reproduce.inception import Shape, inception_v3, record
from bitpim.errors import ConfigError


def test_anchors_hold() -> None:
    found = {(a.row, a.metric): a for a in neural_cache.anchors()}
    assert len(found) == 6
    assert all(anchor.holds for anchor in found.values())
    assert found["NC1", "Conv2D_2b passes"].ours == 43
    assert found["NC1", "Conv2D_2b cycles, calibrated"].ours == 119_712
    assert found["NC2", "lanes"].ours == 1_146_880


def test_inception_v3_has_its_published_size() -> None:
    shapes = inception_v3()
    assert sum(shape.n_weights for shape in shapes) == 21_751_136 + 2_048_000
    assert sum(shape.kind == "conv2d" for shape in shapes) == 94
    assert sum(shape.n_macs for shape in shapes) == 5_713_216_096


def test_modules_take_what_the_one_before_yields() -> None:
    shapes = inception_v3()
    sizes = {shape.name: (shape.size_out, shape.n_out) for shape in shapes}
    assert sizes["MaxPool_5a_3x3"] == (35, 192)
    expected = {"5b": (35, 256), "5d": (35, 288), "6a": (17, 768), "6e": (17, 768)}
    expected |= {"7a": (8, 1280), "7b": (8, 2048), "7c": (8, 2048)}
    assert {k: sizes[f"Mixed_{k}/concat"] for k in expected} == expected
    before = (35, 192)
    modules = [shape for shape in shapes if "/" in shape.name]
    for shape in modules:
        if shape.kind.endswith("pool2d"):  # a pool sees the module's input
            assert (shape.size, shape.n_in) == before
        if shape.kind == "concat":
            before = (shape.size_out, shape.n_out)


@pytest.mark.parametrize(
    ("kernel", "stride", "valid", "size", "padding", "size_out"),
    [
        ((3, 3), 2, True, 299, (0, 0, 0, 0), 149),
        ((3, 3), 1, False, 147, (1, 1, 1, 1), 147),
        ((1, 7), 1, False, 17, (0, 0, 3, 3), 17),
        ((2, 2), 2, False, 5, (0, 1, 0, 1), 3),
        ((8, 8), 1, True, 8, (0, 0, 0, 0), 1),
    ],
)
def test_padding_is_tensorflows(
    kernel: tuple[int, int],
    stride: int,
    valid: bool,
    size: int,
    padding: tuple[int, int, int, int],
    size_out: int,
) -> None:
    shape = Shape("x", "conv2d", 1, size, 1, kernel, stride, valid)
    assert shape.geometry.padding == padding
    assert shape.size_out == size_out


def test_records_have_shapes_and_no_values() -> None:
    weight = record(0, inception_v3()[0]).weight
    assert weight is not None and weight.shape == (32, 3, 3, 3)
    with pytest.raises(ValueError, match="shapes only"):
        weight.read()


def test_latency_follows_the_assumptions_the_right_way() -> None:
    base = neural_cache.latency(neural_cache.settings_of("neural_cache_calibrated"))
    slow = neural_cache.settings_of("neural_cache_calibrated", "transfer.dram_bytes_per_cycle=4")
    changed = neural_cache.latency(slow)
    assert changed["filter load"] > 5 * base["filter load"]
    assert {k: v for k, v in changed.items() if k != "filter load"} == {
        k: v for k, v in base.items() if k != "filter load"
    }
    with pytest.raises(ConfigError):
        neural_cache.settings_of("neural_cache", "transfer.no_such_key=4")


def test_shifts_in_turn_take_longer_and_at_once_hardly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 8 shifts each takes a pass of its own in turn; at once they share full ones."""
    monkeypatch.setattr(neural_cache, "N_SHIFTS", (1, 8))
    one, one_in_turn, eight, eight_in_turn = neural_cache.shifts()
    assert (one.n_shifts, eight.schedule, eight_in_turn.schedule) == (1, '"at_once"', '"in_turn"')
    assert one.quantization_ms == one_in_turn.quantization_ms
    assert one.quantization_ms <= eight.quantization_ms < 1.1 * one.quantization_ms
    assert 4 * one.quantization_ms < eight_in_turn.quantization_ms < 8 * one.quantization_ms
    for row in (eight, eight_in_turn):
        others = row.total_ms - row.quantization_ms
        assert others == pytest.approx(one.total_ms - one.quantization_ms, rel=0.02)


def test_the_command_prints_everything(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neural_cache, "ASSUMPTIONS", (("transfer.dram_bytes_per_cycle", ("4",)),))
    monkeypatch.setattr(neural_cache, "N_SHIFTS", (2,))
    monkeypatch.setattr("sys.argv", ["neural_cache", "--json"])
    assert neural_cache.main() == 0
    found = json.loads(capsys.readouterr().out)
    assert found["inception_v3"]["quoted_ms"] == 4.72
    assert {row["key"] for row in found["sensitivity"]} == {"transfer.dram_bytes_per_cycle"}
    assert [row["schedule"] for row in found["shifts"]] == ['"at_once"', '"in_turn"']
    printed = neural_cache.text(found)
    assert "MISSED" not in printed
    assert "4.720" in printed and "reduction" in printed
