"""What vectors are made of: each kind of source, and the options that go with it alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bitpim as package
from bitpim_traces.program_trace.reader import open_program
from tests.bitpim.cli.conftest import Run

NET = str(package.sample_path())
CONV2 = ("-m", "isaac", "--layer", "conv2")
OWN = ("crossbar", "--weights", "w.csv", "--inputs", "x.npy")
SMALL = ("array_rows=4", "array_columns=4", "ou_rows=2", "ou_columns=4", "cell_bits=2",
         "weight_bits=4", "input_bits=2", "adc_bits=3")  # fmt: skip


@pytest.mark.parametrize("machine", ["neural_cache", "isaac"])
def test_a_tile_of_a_network_in_one_step_is_the_same_as_in_two(
    bitpim: Run, bitpim_json: Any, tmp_path: Path, machine: str
) -> None:
    how = ("-m", machine, "--layer", "conv2", "--tile", 2, "--sample", 1)
    said = bitpim_json("vectors", "make", NET, *how, "-o", tmp_path / "once", "--after", "marks")
    bitpim("record", NET, *how, "-o", tmp_path / "tile.h5")
    bitpim("vectors", "make", tmp_path / "tile.h5", "-o", tmp_path / "twice", "--after", "marks")
    once, twice = (sorted((tmp_path / name).iterdir()) for name in ("once", "twice"))
    assert [path.name for path in once] == [path.name for path in twice]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(once, twice, strict=True))
    assert said["source"]["tile"] == 2 and said["source"]["sample"] == 1
    assert len(said["after"]) > 2
    assert bitpim("vectors", "check", tmp_path / "once", "--against", tmp_path / "tile.h5")[0] == 0


def test_settings_presets_and_standard_input_are_those_of_record(
    bitpim: Run, tmp_path: Path
) -> None:
    made = tmp_path / "vectors"
    assert bitpim("vectors", "make", NET, *CONV2, "-o", made, "--set", "adc_bits=6")[0] == 0
    program = open_program(made / "program.h5")
    assert program.provenance["preset"] == "preset isaac with converter.adc_bits=6"
    assert program.provenance["tile"] == program.provenance["sample"] == 0
    line = [sys.executable, "-m", "bitpim", "vectors", "make", "-", *CONV2, "-o"]
    line += [str(tmp_path / "piped"), "--preset", "isaac"]
    piped = subprocess.run(line, input=Path(NET).read_bytes(), check=True, capture_output=True)
    said = piped.stdout.decode()
    assert said.startswith(f"{tmp_path / 'piped'}: conv2, tile 0 on isaac, 122 steps")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((NET, "--layer", "conv2"), "--machine: is needed for a tile of a network"),
        ((NET,), "--machine: is needed for a tile of a network"),
        ((NET, "-m", "isaac"), "--layer: is needed for a tile of a network"),
        ((NET, *CONV2, "--bits", 4), "--bits: has no place with a tile of a network"),
        ((NET, *CONV2, "--seed", 0), "--seed: has no place with a tile of a network"),
        (("tile.h5", *CONV2), "--machine: has no place with a program trace, which is recorded"),
        (("tile.h5", "--tile", 0), "--tile: has no place with a program trace"),
        (("tile.h5", "--lanes", 64), "--lanes: has no place with a program trace"),
        (("multiply", "--sample", 0), "--sample: has no place with a program of the catalogue"),
        (("multiply", "--set", "a=1"), "--set: has no place with a program of the catalogue"),
        (("multiply", "--preset", "isaac"), "--preset: has no place with a program of the cat"),
        (("multiply", "--weights", "w.csv"), "--weights: has no place with a program of the cat"),
        (("tile.h5", "--inputs", "w.csv"), "--inputs: has no place with a program trace"),
        ((NET, *CONV2, "--inputs", "w.csv"), "--inputs: has no place with a tile of a network"),
        (("crossbar",), "--weights: is needed for a crossbar of your own"),
        (("crossbar", "--weights", "w.csv"), "--inputs: is needed for a crossbar of your own"),
        ((*OWN, "--layer", "conv2"), "--layer: has no place with a crossbar of your own"),
        ((*OWN, "--tile", 0), "--tile: has no place with a crossbar of your own"),
        ((*OWN, "--bits", 4), "--bits: has no place with a crossbar of your own"),
    ],
)
def test_options_that_go_with_another_source_are_refused(
    bitpim: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: Any, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    package.record(NET, "isaac", "conv2", 0, tmp_path / "tile.h5")
    code, out, err = bitpim("vectors", "make", *arguments, "-o", "made")
    assert (code, out) == (2, "") and words in err and err.count("\n") == 1
    assert not Path("made").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.h5", *CONV2), "none.h5"),
        (("none.h5",), "none.h5: need a program trace, got none"),
        (("rubbish.h5", *CONV2), "rubbish.h5"),
        ((NET, "-m", "isaac", "--layer", "conv9"), "not 'conv9'"),
        ((NET, *CONV2, "--tile", 999), "numbered from 0, got 999; `bitpim record --list` shows"),
        ((NET, *CONV2, "--sample", 99), "sample: need 0 to 31"),
        ((NET, *CONV2, "--after", "all"), "after: need end, marks, every or steps by commas"),
        ((NET, "-m", "isac", "--layer", "conv2"), "isac"),
        ((*OWN, "-m", "neural_cache"), "need one on crossbars for weights of your own"),
        ((*OWN, "-m", ""), "machine"),
        ((*OWN, "--set", "array_rows=1", "--set", "ou_rows=1"), "lie on one crossbar, got 3"),
    ],
)
def test_what_is_not_there_is_one_line_and_leaves_nothing(
    bitpim: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: Any, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rubbish.h5").write_bytes(bytes(range(256)))
    Path("w.csv").write_text("1,2,3\n")
    np.save("x.npy", np.array([[1, 2, 3]]))
    code, out, err = bitpim("vectors", "make", *arguments, "-o", "made")
    assert (code, out) == (3, "") and words in err and err.count("\n") == 1
    assert not Path("made").exists()


def test_a_folder_that_exists_is_told_before_a_tile_is_recorded(
    bitpim: Run, tmp_path: Path
) -> None:
    (tmp_path / "made").mkdir()
    code, _, err = bitpim("vectors", "make", "none.h5", *CONV2, "-o", tmp_path / "made")
    assert code == 3 and "made: exists; choose another name" in err


def test_a_file_that_bears_the_name_of_a_program_is_the_file(
    bitpim: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package.record(NET, "isaac", "conv2", 0, tmp_path / "multiply")
    assert bitpim("vectors", "make", "multiply", "-o", "made")[0] == 0
    assert json.loads(Path("made/manifest.json").read_text())["name"] == "conv2, tile 0 on isaac"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with weights and inputs, to be in."""
    monkeypatch.chdir(tmp_path)
    Path("w.csv").write_text("3,-8,0\n1,7,-1\n")
    np.save("x.npy", np.array([[1, 2, 3], [0, 1, 0]]))
    return tmp_path


def test_a_crossbar_of_ones_own(bitpim: Run, bitpim_json: Any, own: Path) -> None:
    sizes = [word for setting in SMALL for word in ("--set", setting)]
    code, out, err = bitpim("vectors", "make", *OWN, *sizes, "-o", "made", "--format", "csv")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "made: crossbar: 2 x 3 inputs, 2 outputs, 27 steps, states after 1 of them, 21 files",
        "made: 4 products of weights and inputs, each equal to the exact one",
    ]
    table = [line for line in Path("made/outputs.csv").read_text().splitlines() if line[0] != "#"]
    numbers = [int(line.split(",")[1], 16) for line in table[1:]]
    assert [n - (n >> 63 << 64) for n in numbers] == [-13, 12, -8, 7]
    code, out, _ = bitpim("vectors", "check", "made", "--against", "made")
    assert code == 0 and out.startswith("made: equal in 19 entries")
    clipped = ("--set", "adc_bits=2", "--set", "ou_rows=4")
    code, out, _ = bitpim("vectors", "make", *OWN, *sizes, *clipped, "-o", "lossy")
    assert code == 0
    assert "products of weights and inputs, 2 differ from the exact ones by up to " in out
    assert "(ADC clip of 2 bits, partial sums 0 to 12 of OUs of 4 rows)" in out
    said = bitpim_json("vectors", "make", *OWN, *sizes, "-m", "dense_crossbar", "-o", "again")
    assert (said["n_products"], said["n_differ"], said["losses"]) == (4, 0, None)
    assert said["source"]["machine"] == "dense_crossbar"
    code, _, err = bitpim("vectors", "check", "lossy", "--against", "made")
    assert code == 3 and "is of another program: preset" in err
    assert own.is_dir()


@pytest.mark.parametrize("role", ["--weights", "--inputs"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.csv", "none.csv: need a file"),
        ("none.npy", "none.npy"),
        ("folder", "folder"),
        ("empty.csv", "empty.csv: need numbers, got none"),
        ("rubbish.npz", "rubbish.npz"),
        ("halved.npy", "halved.npy"),
        ("floats.npy", "floats.npy: need integers (m, n) or (n,), at least one, got float64"),
        ("ragged.csv", "ragged.csv:2: need 3 numbers, as above, got 2"),
        ("wide.csv", "with as many rows, one at least of each, got"),
        ("huge.csv", "at most 16 bits"),
        ("pipe", "pipe"),
        ("", ""),
    ],
)
def test_weights_and_inputs_that_are_none_are_one_line(
    bitpim: Run, own: Path, role: str, name: str, words: str
) -> None:
    Path("folder").mkdir()
    Path("empty.csv").touch()
    Path("rubbish.npz").write_bytes(bytes(range(256)))
    Path("halved.npy").write_bytes((own / "x.npy").read_bytes()[:-9])
    np.save("floats.npy", np.ones((2, 3)))
    Path("ragged.csv").write_text("1,2,3\n1,2\n")
    Path("wide.csv").write_text("1,2,3,4\n")
    Path("huge.csv").write_text("100000,2,3\n")
    os.mkfifo("pipe")
    line = [name if OWN[at - 1] == role else word for at, word in enumerate(OWN)]
    code, out, err = bitpim("vectors", "make", *line, "-o", "made")
    assert (code, out) == (2 if not name else 3, "") and words in err and err.count("\n") == 1
    assert not Path("made").exists()


def test_a_file_called_crossbar_is_the_file(bitpim: Run, own: Path) -> None:
    package.record(NET, "isaac", "conv2", 0, own / "crossbar")
    assert bitpim("vectors", "make", "crossbar", "-o", "made")[0] == 0
    assert json.loads(Path("made/manifest.json").read_text())["name"] == "conv2, tile 0 on isaac"
