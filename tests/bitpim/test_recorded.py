"""What is recorded is what happened: steps, port rows, marks, states after chosen steps."""

import numpy as np
import pytest

from bitpim.errors import ConfigError, LayoutError, ProgramError
from bitpim.golden.replaying import replay_program
from bitpim.recorded import Recording, TileName, TileNames, need_tile
from bitpim.sram.stepped import PORT_READ, PORT_WRITE, SteppedSubarray
from bitpim_kernels import opcodes as op
from bitpim_kernels.layout import pack
from tests.program_traces import random_program, sizes_of

NOT_X = (op.NOT, 0, op.NO_ROW, 1, 0)


def recording(after: str = "end") -> Recording:
    return Recording(SteppedSubarray(3, 5), sizes_of(3, 5), after=after)


def row(bits: list[int]) -> np.ndarray:
    return np.asarray(pack(np.array([bits], np.uint8))[0])


def test_a_row_goes_in_and_comes_out() -> None:
    trial = recording()
    trial.mark("in")
    assert trial.step(PORT_WRITE, dst=0, port=row([1, 0, 1, 1, 0])) is not None
    assert trial.step(*NOT_X) is None
    trial.mark("out")
    out = trial.step(PORT_READ, 1)
    assert out is not None and out.tolist() == row([0, 1, 0, 0, 1]).tolist()
    program = trial.finish("trial")
    assert program.port is not None and program.expected is not None
    assert program.steps.read().tolist() == [
        [PORT_WRITE, -1, -1, 0, 0], list(NOT_X), [PORT_READ, 1, -1, -1, 0],
    ]  # fmt: skip
    assert program.port.read()[:, 0].tolist() == [0b01101, 0b10010]
    assert program.marks == ((0, "in"), (2, "out"))
    assert program.expected.after.tolist() == [2]
    assert program.expected.state["rows"].read()[0, :, 0].tolist() == [0b01101, 0b10010, 0]
    assert program.counts == {"cycles": 3, "sram_compute_cycle": 1, "sram_access_cycle": 2}
    assert replay_program(program).equal


@pytest.mark.parametrize(
    ("after", "steps"), [("end", [3]), ("marks", [0, 2, 3]), ("every", [0, 1, 2, 3])]
)
def test_states_are_kept_after_the_steps_that_were_chosen(after: str, steps: list[int]) -> None:
    trial = recording(after)
    trial.mark("begin")
    trial.step(*NOT_X)
    trial.mark("middle")
    trial.steps(np.array([NOT_X, NOT_X], np.int32))
    trial.mark("end")
    trial.step(op.CARRY_SET)
    program = trial.finish("trial")
    assert program.expected is not None
    assert program.expected.after.tolist() == steps
    assert program.expected.state["carry"].read()[:, 0].tolist() == [0] * (len(steps) - 1) + [31]
    assert program.expected.state["rows"].read()[:, 1, 0].tolist() == [31] * len(steps)


def test_what_the_array_held_before_is_the_initial_state() -> None:
    array = SteppedSubarray(3, 5)
    array.load("rows", np.array([[3], [0], [9]], np.uint64))
    trial = Recording(array, sizes_of(3, 5))
    trial.step(*NOT_X)
    program = trial.finish("trial")
    assert list(program.state) == ["rows"]
    assert program.state["rows"].read()[:, 0].tolist() == [3, 0, 9]
    assert replay_program(program).equal


@pytest.mark.parametrize("after", ["end", "marks", "every"])
@pytest.mark.parametrize("seed", range(5))
def test_a_recording_replays_whatever_is_kept(seed: int, after: str) -> None:
    program = random_program(seed, after=after)
    run = replay_program(program)
    assert run.equal and run.n_steps == program.n_steps
    assert run.counts.to_dict() == program.counts


def test_nothing_recorded_is_a_program_of_no_steps() -> None:
    program = recording("every").finish("nothing")
    assert program.n_steps == 0 and program.expected is None
    assert replay_program(program).equal


def test_what_the_array_refuses_is_not_recorded() -> None:
    trial = recording()
    trial.step(*NOT_X)
    with pytest.raises(ProgramError, match="step 1 "):
        trial.step(op.NOT, 0, op.NO_ROW, 3)
    with pytest.raises(ConfigError, match="need 1 port rows that come in, got 0"):
        trial.step(PORT_WRITE, dst=0)
    with pytest.raises(LayoutError, match="port row 0"):
        trial.step(PORT_WRITE, dst=0, port=np.array([32], np.uint64))
    assert trial.finish("trial").n_steps == 1


def test_states_to_keep_are_a_word_that_is_known() -> None:
    with pytest.raises(ConfigError, match="need one of end, marks, every, got 'all'"):
        recording("all")


def test_names_of_tiles_are_made_when_asked_for() -> None:
    made: list[int] = []

    def name(number: int) -> TileName:
        made.append(number)
        return TileName(number, f"tile {number}")

    names = TileNames(10**9, name)
    assert len(names) == 10**9 and made == []
    assert names[3].told == "tile 3" and names[-1].number == 10**9 - 1
    assert [one.number for one in names[5:8]] == [5, 6, 7]
    assert made == [3, 10**9 - 1, 5, 6, 7]
    with pytest.raises(IndexError):
        names[10**9]
    assert [one.number for one in TileNames(3, name)] == [0, 1, 2]


def test_a_layer_without_tiles_says_so() -> None:
    with pytest.raises(ConfigError, match="conv1: has no tile"):
        need_tile("conv1", 0, 0)


@pytest.mark.parametrize("tile", [-1, 7, 2**70])
def test_a_tile_that_is_not_there_is_said(tile: int) -> None:
    need_tile("conv1", 0, 7)
    need_tile("conv1", 6, 7)
    with pytest.raises(ConfigError, match=f"conv1: need one of 7 tiles, .* got {tile};"):
        need_tile("conv1", tile, 7)
