"""veriSIMPLER's public programs: their outputs, counts, and the three that are wrong."""

import re
from pathlib import Path

import pytest

from bitpim.programs.nor_files import NorFile, read_nor_file
from bitpim.proof.lane_inputs import random_inputs
from bitpim.proof.program_runs import check_program, read_reference, run_program

LANES, SEED = 65_536, 11

# nor2 + inv1, INIT steps and cells where known, CRC-32 of the outputs
STATED = {
    "10_c17": (6 + 7, 5, 13, "dc2aa8d5"),
    "56_c432": (124 + 94, 37, 220, "bdfe345b"),
    "512_c432": (124 + 94, 1, 476, "bdfe345b"),
    "101_c499": (387 + 210, 57, 604, "5e940c55"),
    "512_c1355": (390 + 213, 2, 892, "5e940c55"),
    "512_c880": (309 + 194, 2, 861, "60f3adca"),
    "512_c6288": (1870 + 974, 7, 2978, "f1170c7d"),
    "512_9sym": (277 + 182, 1, None, "14c5787a"),
    "512_inc": (96 + 36, 1, None, "d554ed7f"),  # a replay in Python's integers; stated e554ed7f
    "512_rd73": (273 + 153, 1, None, "26f72df4"),
    "512_sao2": (188 + 126, 1, None, "003f69db"),
    "12_veriSIMPLER": (3 + 4, 1, None, "1d73f838"),
    "512_c2670": (571 + 315, 4, None, "d9c28c2f"),
    "512_e64": (582 + 583, 4, None, "247135d5"),
}


def program(vectors: Path, name: str) -> NorFile:
    return read_nor_file(str(vectors / "nor" / f"veriSIMPLER_{name}.txt"))


@pytest.mark.parametrize("name", STATED)
def test_outputs_and_counts_are_those_stated(vectors: Path, name: str) -> None:
    file = program(vectors, name)
    n_gates, n_steps, n_cells, crc = STATED[name]
    assert (file.n_gates, file.n_init_steps) == (n_gates, n_steps)
    assert n_cells in (None, file.n_init_cells)
    outputs = run_program(file, random_inputs(len(file.inputs), LANES, SEED))
    assert f"{outputs.crc32:08x}" == crc


@pytest.mark.parametrize(
    ("name", "netlist", "n_wrong", "n_outputs"),
    [
        ("10_c17", "c17_mapped", 0, 2),
        ("12_veriSIMPLER", "veriSIMPLER_mapped", 2, 4),
        ("512_c2670", "c2670", 86, 140),
        ("512_e64", "e64", 1, 65),
    ],
)
def test_exactly_the_wrong_outputs_are_named(
    vectors: Path, name: str, netlist: str, n_wrong: int, n_outputs: int
) -> None:
    file = program(vectors, name)
    reference = read_reference(str(vectors / "nor" / f"{netlist}.v"))
    inputs = random_inputs(len(file.inputs), LANES, SEED)
    found = check_program(file, name, reference, inputs)
    assert (len(found.wrong), found.n_outputs) == (n_wrong, n_outputs)
    assert all(wrong.cell == 0 for wrong in found.wrong)  # where the mapper puts what is no gate
    in_cell_0 = {port.name for port in file.outputs if port.cell == 0}
    assert {wrong.name for wrong in found.wrong} == in_cell_0


def test_c6288_multiplies(vectors: Path) -> None:
    file = program(vectors, "512_c6288")
    inputs = sorted(
        (port.name for port in file.inputs), key=lambda name: int(re.sub(r"\D", "", name))
    )
    outputs = [port.name for port in file.outputs]
    outputs[-2:] = reversed(outputs[-2:])
    product = f"bits({', '.join(outputs)})"
    factors = f"bits({', '.join(inputs[:16])}) * bits({', '.join(inputs[16:])})"
    given = random_inputs(32, LANES, SEED)
    assert not check_program(file, "c6288", read_reference(f"{product} = {factors}"), given).wrong
    wrong = check_program(file, "c6288", read_reference(f"{product} = {factors} ^ 4"), given).wrong
    assert [(w.name, w.n_lanes) for w in wrong] == [(outputs[2], LANES)]


def test_what_is_left_out_is_said(vectors: Path) -> None:
    for name in STATED:
        left_out = [note for note in program(vectors, name).notes if "left out" in note]
        assert len(left_out) == (name == "10_c17"), name
