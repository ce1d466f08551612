"""What lanes are given: the bits themselves, and files that hold them in three ways."""

from pathlib import Path

import numpy as np
import pytest

from bitpim.errors import BitpimError, ConfigError, TraceDataError
from bitpim.proof import lane_inputs
from bitpim.proof.lane_inputs import (
    LaneInputs,
    all_combinations,
    given_inputs,
    inputs_from_file,
    need_room,
    packed_bits,
    random_inputs,
    unpacked_bits,
)
from bitpim_kernels.layout import pack

LANES = [1, 7, 63, 64, 65, 127, 128, 200]


@pytest.mark.parametrize("n_lanes", LANES)
def test_bits_are_packed_as_everywhere(n_lanes: int) -> None:
    bits = np.random.default_rng(n_lanes).integers(0, 2, (3, n_lanes), dtype=np.uint8)
    assert np.array_equal(packed_bits(bits), pack(bits))
    assert np.array_equal(unpacked_bits(pack(bits), n_lanes), bits == 1)


def all_bits(inputs: LaneInputs) -> list[list[int]]:
    bits: list[list[int]] = (
        unpacked_bits(inputs.block(0, inputs.n_lanes), inputs.n_lanes).astype(int).tolist()
    )
    return bits


def test_combinations_count_up_input_by_input() -> None:
    assert all_bits(all_combinations(2)) == [[0, 1, 0, 1], [0, 0, 1, 1]]
    inputs = all_combinations(9)
    assert (inputs.n_lanes, inputs.said) == (512, "all combinations of 9 inputs")
    block = unpacked_bits(inputs.block(128, 300), 172)
    lanes = np.arange(128, 300)
    assert np.array_equal(block, [lanes >> i & 1 for i in range(9)])
    assert all_combinations(0).n_lanes == 1
    with pytest.raises(ConfigError, match=r"need 26 inputs or fewer .* got 27; give --lanes"):
        all_combinations(27)


@pytest.mark.parametrize("n_lanes", [*LANES, 3_000])
def test_random_bits_can_be_drawn_again_by_anybody(
    n_lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_inputs, "_DRAWN", 1024)  # drawn in parts, they stay the same
    rng = np.random.default_rng(11)
    expected = [rng.integers(0, 2, n_lanes, dtype=np.uint8).tolist() for _ in range(5)]
    inputs = random_inputs(5, n_lanes, 11)
    assert all_bits(inputs) == expected
    assert inputs.said == "random, seed 11"
    assert all_bits(random_inputs(5, n_lanes, 12)) != expected


def test_lanes_are_bounded_by_the_memory_they_take() -> None:
    need_room(8, 2**30)
    with pytest.raises(ConfigError, match="need at most 1073741824 for 8 inputs and outputs, got"):
        need_room(8, 2**30 + 8)
    with pytest.raises(ConfigError, match="need at most"):
        random_inputs(1000, 2**30, 0)


X, Y = [0, 1, 1, 0, 1], [1, 1, 0, 0, 1]


def test_files_of_three_forms_hold_the_same(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", y=np.array(Y), x=np.array(X, bool))
    rows = "\r\n".join(f" {y} , {x}" for x, y in zip(X, Y, strict=True))
    (tmp_path / "a.csv").write_bytes(f"y, x\r\n{rows}".encode())
    (tmp_path / "a.txt").write_text("\n  y = 11_001\n\nx=01101\n")
    for name in ("a.csv", "a.txt"):  # as some editors write text
        (tmp_path / f"bom {name}").write_bytes(b"\xef\xbb\xbf" + (tmp_path / name).read_bytes())
    for name in ("a.npz", "a.csv", "a.txt", "bom a.csv", "bom a.txt"):
        inputs = inputs_from_file(str(tmp_path / name), ["x", "y"])
        assert inputs.n_lanes == 5 and inputs.said == f"of {tmp_path / name}"
        assert all_bits(inputs) == [X, Y], name


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "need the names of the 2 inputs by commas"),
        (b"x = 01\ny = 011", "need as many lanes of y as of x, 2, got 3"),
        (b"x = 01", "need input y, got none of that name"),
        (b"x = 01\nx = 01", "line 2: need `name = 0110` of each input once, got 'x = 01'"),
        (b"x = 01\nz = 01", "line 2: need `name = 0110` of each input once, got 'z = 01'"),
        (b"x = 012\ny = 011", "line 1: need `name = 0110`"),
        (b"x =\ny = 0", "line 1: need `name = 0110`"),
        (b"x,y\n0,1\n0\n1,1", r"line 3: need 2 bits by commas, got '0\\n'"),
        (b"x,y\n0,1\n\n1,1", "line 3: need 2 bits by commas"),
        (b"x,y\n0,1\n0,2", "line 3: need 2 bits by commas, got '0,2'"),
        (b"x,y\n0,1,1\n0", "line 2: need 2 bits by commas"),
        (b"x,y\n01,\n", "line 2: need 2 bits by commas"),
        (b"x,y\n", "line 2: need 2 bits|need a line of bits a lane, got none"),
        (b"\n\nx,y\n0,1\n0", r"line 5: need 2 bits by commas"),
        (b"x,z\n0,1", "line 1: need the names of the 2 inputs by commas, each once, .* got 'x, z'"),
        (b"x,x\n0,1", "line 1: need the names of the 2 inputs"),
        (b"\xff\xfe", "line 1: need the names of the 2 inputs"),
        (b"PK\x03\x04 rubbish", "need .npz or .npy of plain arrays"),
    ],
)
def test_faults_of_files_are_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "inputs"
    path.write_bytes(content)
    with pytest.raises(TraceDataError, match=said) as found:
        inputs_from_file(str(path), ["x", "y"])
    assert "\n" not in str(found.value) and str(path) in str(found.value)


def test_arrays_have_to_be_bits_of_every_input() -> None:
    bits = np.array(X)
    for values, said in (
        ({"x": bits}, "f: need input y, got none"),
        ({"x": bits, "y": bits, "z": bits}, "f: need inputs of the program, got 'z'"),
        ({"x": bits, "y": bits * 2}, "f: need 0 and 1 of y, got other numbers"),
        ({"x": bits, "y": bits * 0.5}, "f: need 0 and 1 of y"),
        (
            {"x": bits[None], "y": bits[None]},
            r"f: need a list of bits of x, .*, got the shape \(1, 5\)",
        ),
        ({"x": bits, "y": bits[None]}, r"f: need a list of bits of y, .*, got the shape \(1, 5\)"),
        ({"x": bits, "y": bits[:0]}, "f: need as many lanes of y as of x, 5, got 0"),
        (
            {"x": bits[:0], "y": bits[:0]},
            r"f: need a list of bits of x, one a lane, got the shape \(0,\)",
        ),
    ):
        with pytest.raises(BitpimError, match=said):
            given_inputs(values, ["x", "y"], "f")


def test_absent_files_are_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(TraceDataError, match=r"absent: need a file of inputs .No such file"):
        inputs_from_file(str(tmp_path / "absent"), ["x"])
