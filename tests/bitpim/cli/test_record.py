"""`bitpim record` and `bitpim replay tile.h5`: a tile written down, run again, and held against."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bitpim as package
from bitpim_traces.program_trace.reader import open_program
from bitpim_traces.program_trace.writer import write_program
from bitpim_traces.records import TensorRecord
from tests.bitpim.cli.conftest import Run

NET = str(package.sample_path())
TABLES = Path(__file__).parents[3] / "traces" / "samples" / "v1.2" / "every_table.h5"


def test_tiles_are_listed_recorded_and_replayed(bitpim: Run, tmp_path: Path) -> None:
    code, out, err = bitpim("record", NET, "-m", "isaac", "--layer", "conv2", "--list")
    assert (code, err) == (0, "")
    assert out.splitlines()[3].split() == [
        "3",
        "conv",
        "group",
        "0,",
        "crossbar",
        "0,",
        "position",
        "3",
        "(y",
        "0,",
        "x",
        "3)",
    ]
    tile = tmp_path / "tile.h5"
    command = ("record", NET, "-m", "isaac", "--layer", "conv2", "--tile", 3, "-o", tile)
    code, out, err = bitpim(*command)
    assert (code, err) == (0, "")
    assert out.startswith(f"{tile}: conv2, tile 3 on isaac (conv group 0, crossbar 0, position 3")
    code, out, err = bitpim("replay", tile)
    assert (code, err) == (0, "")
    assert out.startswith(f"{tile}: conv2, tile 3 on isaac: 1")
    assert "equal in 1 state and" in out
    code, _, err = bitpim(*command)
    assert code == 3 and "--overwrite replaces it" in err
    assert bitpim(*command, "--overwrite")[0] == 0


@pytest.mark.parametrize("machine", ["neural_cache", "isaac"])
def test_what_was_recorded_is_told_as_json(bitpim_json: Any, tmp_path: Path, machine: str) -> None:
    tile = tmp_path / "tile.h5"
    said = bitpim_json(
        "record", NET, "-m", machine, "--layer", "linear", "-o", tile, "--after", "marks",
        "--sample", 2,
    )  # fmt: skip
    program = open_program(tile)
    assert said["n_steps"] == program.n_steps and said["digest"] == program.digest
    assert program.expected is not None and said["n_states"] == len(program.expected.after) > 1
    told = program.provenance
    assert (told["machine"], told["layer"], told["tile"], told["sample"]) == (
        machine, "linear", 0, 2,
    )  # fmt: skip
    assert told["trace_digest"] == package.open_trace(NET).digest
    replayed = bitpim_json("replay", tile)
    assert replayed["equal"] and replayed["counts"] == said["counts"]
    listed = bitpim_json("record", NET, "-m", machine, "--layer", "linear", "--list")
    assert listed["tiles"][0]["told"] == said["told"]


@pytest.mark.parametrize(("layer", "n_steps"), [("largest", 9), ("prelu", 2)])
def test_neurons_without_products(bitpim: Run, tmp_path: Path, layer: str, n_steps: int) -> None:
    """Recorded, run again, and made vectors of, which its states equal."""
    tile, folder = tmp_path / "tile.h5", tmp_path / "vectors"
    rna = ("-m", "rapidnn", "--layer", layer, "--tile", 7, "-o", tile, "--after", "every")
    code, out, err = bitpim("record", TABLES, *rna)
    assert (code, err) == (0, "") and f": {n_steps} steps of an array rna, 1 sum" in out
    code, out, err = bitpim("replay", tile)
    assert (code, err) == (0, "") and f"equal in {n_steps} states" in out
    assert bitpim("vectors", "make", tile, "-o", folder)[0] == 0
    code, out, err = bitpim("vectors", "check", folder, "--against", tile)
    assert (code, err) == (0, "") and out.startswith(f"{folder}: equal in ")


@pytest.mark.parametrize("layer", ["crop", "places", "framed"])
def test_layers_whose_codes_only_move(bitpim: Run, tmp_path: Path, layer: str) -> None:
    rna = ("-m", "rapidnn", "--layer", layer, "-o", tmp_path / "tile.h5")
    code, out, err = bitpim("record", TABLES, *rna)
    assert (code, out) == (3, "") and f"{layer!r}" in err and err.count("\n") == 1
    assert "nothing happens in an array there" in err


def test_settings_reach_the_array_and_the_file(bitpim: Run, tmp_path: Path) -> None:
    tile = tmp_path / "tile.h5"
    command = ("record", NET, "-m", "isaac", "--layer", "conv2", "-o", tile)
    assert bitpim(*command, "--set", "converter.adc_bits=6")[0] == 0
    program = open_program(tile)
    assert program.provenance["preset"] == "preset isaac with converter.adc_bits=6"
    assert program.parameters["converter"] == "6"


def test_a_difference_ends_in_exit_code_4_and_says_where(bitpim: Run, tmp_path: Path) -> None:
    tile = tmp_path / "tile.h5"
    bitpim("record", NET, "-m", "neural_cache", "--layer", "conv2", "-o", tile)
    program = open_program(tile)
    assert program.port is not None
    rows = program.port.read().copy()
    rows[-1, 0] ^= np.uint64(4)
    wrong = replace(program, port=TensorRecord.of(rows, axes="", role="", units="1"), file=None)
    write_program(wrong, tmp_path / "wrong.h5")
    code, out, err = bitpim("replay", tmp_path / "wrong.h5")
    assert (code, out) == (4, "")
    assert f"step {program.n_steps - 1}: column 2 of port is" in err
    code, out, err = bitpim("replay", tmp_path / "wrong.h5", "--json")
    assert code == 4 and '"equal": false' in out and err


def test_what_is_missing_or_too_much_is_a_usage_error(bitpim: Run, tmp_path: Path) -> None:
    tile = tmp_path / "tile.h5"
    assert bitpim("record", NET, "-m", "isaac", "--layer", "conv2", "-o", tile)[0] == 0
    for arguments, words in (
        (("replay", tile, "-m", "isaac"), "has no place with a program trace"),
        (("replay", tile, "-o", tmp_path / "r.h5"), "has no place with a program trace"),
        (("replay", NET, "-o", tmp_path / "r.h5"), "is needed to replay a network"),
        (("replay", NET, "-m", "isaac"), "is needed to replay a network"),
        (("record", NET, "-m", "isaac", "--layer", "conv2"), "or --list the tiles"),
        (("record", NET, "-m", "isaac", "--layer", "conv2", "-o", NET), "need another file than"),
    ):
        code, out, err = bitpim(*arguments)
        assert (code, out) == (2, "") and words in err


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (("--layer", "conv9"), "not 'conv9'"),
        (
            ("--tile", "999"),
            "layer 'conv2': need one of 121 tiles, numbered from 0, got 999;",
        ),
        (("--sample", "99"), "sample: need 0 to 31"),
        (("--after", "all"), "need one of end, marks, every, got 'all'"),
        (("--layer", "add"), "add"),
    ],
)
def test_what_is_not_there_is_one_line(
    bitpim: Run, tmp_path: Path, changed: tuple[str, str], words: str
) -> None:
    tile = tmp_path / "tile.h5"
    code, out, err = bitpim("record", NET, "-m", "isaac", "--layer", "conv2", "-o", tile, *changed)
    assert (code, out) == (3, "") and words in err and err.count("\n") == 1
    assert not tile.exists()
