"""Stepping: forward to any step, looking at all there is, and back to the start."""

from pathlib import Path

import numpy as np
import pytest

from bitpim import programs
from bitpim.errors import ArrayBoundsError, ConfigError, MismatchError
from bitpim.golden.stepper import Stepper, row_names
from bitpim.programs.program import Field
from bitpim.recorded import Recording
from bitpim.sram.stepped import PORT_READ, PORT_WRITE, SteppedSubarray
from bitpim_kernels.layout import to_planes
from bitpim_traces.program_trace.records import ProgramTrace, RowField
from bitpim_traces.program_trace.writer import write_program
from tests.program_traces import random_program, sizes_of

X, Y, P = Field("x", 0, 4), Field("y", 4, 4), Field("p", 8, 8)
N = 70
CODES = np.random.default_rng(3).integers(0, 16, (2, N))


@pytest.fixture(scope="module")
def product() -> ProgramTrace:
    """Write two numbers, multiply, read the product."""
    recording = Recording(SteppedSubarray(16, N), sizes_of(16, N))
    for field, codes in zip((X, Y), CODES, strict=True):
        for bit, plane in enumerate(to_planes(codes, 4)):
            recording.step(PORT_WRITE, dst=field[bit].row, port=plane)
    recording.mark("multiply")
    recording.steps(programs.multiply(X, Y, P).table)
    recording.mark("read")
    for row in P:
        recording.step(PORT_READ, row.row)
    return recording.finish("product", [RowField(f.name, f.start, f.width) for f in (X, Y, P)])


def test_fields_rows_and_latches_are_seen_by_name(product: ProgramTrace) -> None:
    at = Stepper(product)
    assert not at.peek("rows").any()
    at.run_to(8)
    assert at.number("x").tolist() == CODES[0].tolist()
    assert at.number("y", signed=True).tolist() == ((CODES[1] + 8) % 16 - 8).tolist()
    assert at.row("x[2]").tolist() == (CODES[0] >> 2 & 1).tolist() == at.row(2).tolist()
    at.run_to_end()
    assert at.number("p").tolist() == (CODES[0] * CODES[1]).tolist()
    assert at.position == at.n_steps == product.n_steps
    assert at.counts.to_dict() == product.counts
    assert at.latch("tag").shape == (N,) and at.peek("rows").shape == (16, N)


def test_one_by_one_is_the_same_as_at_once(product: ProgramTrace) -> None:
    one, other = Stepper(product), Stepper(product)
    for position in range(1, product.n_steps + 1):
        assert one.step() is None
        other.rewind()
        other.run_to(position)
        assert one.differs_from(other.snapshot()) == []
        assert one.counts == other.counts


def test_from_a_file_it_is_the_same(product: ProgramTrace, tmp_path: Path) -> None:
    write_program(product, tmp_path / "product.h5")
    at, of_file = Stepper(product), Stepper(tmp_path / "product.h5")
    assert at.run_to_end() is of_file.run_to_end() is None
    assert of_file.differs_from(at.snapshot()) == []


def test_a_cell_is_watched_until_it_changes(product: ProgramTrace) -> None:
    lane = int(np.argmax(CODES[0] * CODES[1] & 1))  # its lowest bit becomes 1
    at = Stepper(product)
    step = at.watch("rows", P[0].row, lane)
    assert step is not None and at.position == step + 1 and at.row("p[0]")[lane] == 1
    before = Stepper(product)
    before.run_to(step)
    assert before.row("p[0]")[lane] == 0
    assert at.watch("rows", P[0].row, lane) is None and at.position == at.n_steps


def test_states_are_compared_and_restored(product: ProgramTrace) -> None:
    at = Stepper(product)
    at.run_to(9)
    kept = at.snapshot()
    assert kept.step == 8
    kept.values["rows"][9, 1] ^= np.uint64(1 << 5)
    kept.values["tag"][0] ^= np.uint64(3)
    rows, tag = at.differs_from(kept)
    assert (rows.step, rows.state, rows.place, rows.n_wrong) == (8, "rows", (9, 69), 1)
    assert rows.told == "row 9 (p[1]), column 69" and (rows.expected, rows.got) == (1, 0)
    assert (tag.place, tag.n_wrong) == ((0,), 2)
    with pytest.raises(
        MismatchError, match=r"product: step 8: row 9 \(p\[1\]\), column 69 of rows"
    ):
        at.require_same(kept)
    at.restore(kept)
    assert at.differs_from(kept) == []
    at.require_same(kept)


def test_listing_has_marks_and_names(product: ProgramTrace) -> None:
    lines = list(Stepper(product).listing(7, 10))
    assert lines[0] == "     7  PORT_WRITE: y[3] = port"
    assert lines[1] == "; multiply"
    assert len(lines) == 4
    assert (
        list(Stepper(product).listing())[-1] == f"{product.n_steps - 1:6}  PORT_READ: port = p[7]"
    )


def test_what_is_not_there_is_said(product: ProgramTrace) -> None:
    at = Stepper(product)
    at.run_to(5)
    for wrong in (4, product.n_steps + 1):
        with pytest.raises(
            ConfigError, match=f"need a position of 5 to {product.n_steps}, got {wrong}"
        ):
            at.run_to(wrong)
    with pytest.raises(ConfigError, match="need a state of rows, carry, tag, got 'row'"):
        at.peek("row")
    with pytest.raises(ConfigError, match="need a field of x, y, p, got 'z'"):
        at.number("z")
    for row in (16, -1, "x[4]"):
        with pytest.raises(ArrayBoundsError, match=r"need a row of 0\.\.15 or a name of one"):
            at.row(row)
    for place in ((16, 0), (0, N), (0,), (0, -1)):
        with pytest.raises(ArrayBoundsError, match="need row, column within"):
            at.watch("rows", *place)
    with pytest.raises(ConfigError, match="need a step of"):
        at.told(product.n_steps)
    assert at.position == 5


def test_a_row_of_two_fields_bears_the_name_of_the_first() -> None:
    fields = (RowField("x", 0, 2), RowField("moved", 1, 2))
    assert row_names(fields) == {0: "x[0]", 1: "x[1]", 2: "moved[1]"}


@pytest.mark.parametrize("seed", range(4))
def test_blocks_of_steps_change_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    program = random_program(seed)
    whole = Stepper(program)
    whole.run_to_end()
    monkeypatch.setattr("bitpim.golden.stepper._BLOCK", 7)
    parts = Stepper(program)
    parts.run_to(5)
    parts.run_to(22)
    assert parts.run_to_end() is None
    assert parts.differs_from(whole.snapshot()) == []
    assert parts.counts == whole.counts
