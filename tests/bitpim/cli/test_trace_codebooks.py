"""`trace codebooks` and `trace level`: files, and one line for what is wrong."""

import json
from pathlib import Path

import pytest
import typer

from bitpim.cli import trace, trace_codebooks, trace_make
from bitpim_traces import check_trace, open_trace
from bitpim_traces.errors import TraceDataError, TraceError


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traces") / "tiny.h5"
    trace_make.synth("tiny", path, seed=3, samples=2)
    return path


@pytest.fixture(scope="module")
def tables(tiny: Path) -> Path:
    path = tiny.with_name("tables.h5")
    more = ["relu=table", "weight_codes@fc=4", "raw_output=false", "activation_rows=9"]
    trace_codebooks.codebooks(str(tiny), path, weights=16, inputs=8, samples=1, more=more)
    return path


def test_codebooks_takes_sizes_and_any_setting(tables: Path) -> None:
    assert check_trace(tables, deep=True) == []
    with open_trace(tables) as made:
        chosen = made.provenance["codebooks"]
        assert (chosen["weight_codes"], chosen["input_codes"]) == (16, 8)
        assert (chosen["calibration_samples"], chosen["seed"]) == (1, 0)
        assert (chosen["relu"], chosen["raw_output"]) == ("table", False)
        assert chosen["overrides"] == {"fc": {"weight_codes": 4, "output_codes": None}}
        table = made.layers[0].product_table
        assert table is not None
        assert table.points is not None
        assert len(table.points) <= 9
        assert made.layers[-1].output.codebook is not None


def test_level_writes_fewer_values(
    tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "level.h5"
    trace_codebooks.level(str(tables), path, weights=4, inputs=None)
    with open_trace(path) as made:
        assert f"{path}: tiny, 11 layers, 2 samples" in capsys.readouterr().out
        for where, codebook in made.codebooks:
            assert codebook.n_codes <= (4 if where.endswith("weight") else 8)
        assert made.samples.quantization.code_max == 7


def test_json_says_what_was_written(
    tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace_codebooks.level(str(tables), tmp_path / "level.h5", inputs=2, json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["provenance"]["parameters"] == {"input_levels": 2, "weight_levels": None}


def test_info_shows_codebooks_and_tables(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace.info(str(tables))
    text = capsys.readouterr().out
    assert "2 samples of 3x8x8, 8 of Q" in text
    assert "table 16x8 of Q" in text
    assert ", 9 points" in text
    trace.info(str(tables), as_json=True)
    content = json.loads(capsys.readouterr().out)
    with open_trace(tables) as made:
        codebook, table = made.layers[0].output.codebook, made.layers[0].product_table
        assert codebook is not None
        assert table is not None
        layer = content["layers"][0]
        assert layer["output_codebook"] == {
            "n_codes": 8,
            "q_format": codebook.q_format,
            "value_bits": 12,
            "fraction_bits": codebook.fraction_bits,
            "n_levels": 2,
        }
        assert layer["product_table"] == {
            "shape": [16, 8],
            "bits": 32,
            "fraction_bits": table.fraction_bits,
            "n_points": 9,
        }


def test_what_is_read_is_never_replaced(tiny: Path, tables: Path, tmp_path: Path) -> None:
    before = tiny.read_bytes()
    with pytest.raises(typer.BadParameter, match="need another file than the trace it reads"):
        trace_codebooks.codebooks(str(tiny), tiny, overwrite=True)
    assert tiny.read_bytes() == before
    with pytest.raises(TraceError, match="exists; --overwrite replaces it"):
        trace_codebooks.level(str(tables), tiny, weights=2)
    with pytest.raises(TraceDataError, match="need a network of codebooks"):
        trace_codebooks.level(str(tiny), tmp_path / "none.h5", weights=2)
    assert not (tmp_path / "none.h5").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("relu", "need KEY=VALUE"),
        ("overrides=3", "need a key among weight_codes"),
        ("value_bits@fc=3", "need a key among weight_codes, output_codes before @fc"),
        ("value_bits=three", "need a whole number for value_bits, got 'three'"),
        ("raw_output=yes", "need true or false for raw_output"),
        ("relu=both", "need relu among comparator, table"),
        ("weight_codes@fc=3", "need a size among 2, 4"),
    ],
)
def test_wrong_settings_are_errors_of_the_command_line(
    tiny: Path, tmp_path: Path, more: str, message: str
) -> None:
    with pytest.raises(typer.BadParameter, match=message):
        trace_codebooks.codebooks(str(tiny), tmp_path / "x.h5", more=[more])


def test_a_level_needs_a_size(tables: Path, tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="need --weights, --inputs or both"):
        trace_codebooks.level(str(tables), tmp_path / "x.h5")
    with pytest.raises(typer.BadParameter, match=r"^need a size among 2, 4"):
        trace_codebooks.level(str(tables), tmp_path / "x.h5", inputs=3)
