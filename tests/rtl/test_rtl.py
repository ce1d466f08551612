"""Designs in Verilog beside bitpim, step by step; planted faults are found where they begin."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bitpim
from bitpim.crossbar.stepped import READ, READ_UNLESS_ZERO, SHIFT_ADD, SHIFT_SUBTRACT
from bitpim.golden.stepper import Stepper
from bitpim.sram.stepped import PORT_READ, PORT_WRITE
from bitpim_kernels import opcodes as op
from bitpim_kernels.layout import unpack
from bitpim_traces.program_trace.writer import write_program
from tests.program_traces import INWARD, random_program
from tests.rtl.lock_step import Finding
from tests.rtl.programs import catalogue, random_columns, with_step
from tests.rtl.simulation import needs_simulator, simulate

COLUMNS = 70
N_RANDOM = 1000
pytestmark = needs_simulator


def sram(
    tmp_path: Path, programs: str, rows: int, columns: int, *, bug: int = 0, **more: str
) -> list[Finding]:
    """Run programs through the compute SRAM."""
    parameters = {"ROWS": rows, "COLS": columns, "BUG": bug}
    return simulate(tmp_path, "sram_subarray", "sram_bench", parameters, PROGRAMS=programs, **more)


def test_every_program_of_the_catalogue_is_the_same_after_every_step(tmp_path: Path) -> None:
    programs = list(catalogue(70))
    found = sram(tmp_path, "catalogue:70", max(int(p.parameters["n_rows"]) for p in programs), 70)
    assert [finding.program for finding in found] == [program.name for program in programs]
    assert len(found) > 20 and all(finding.equal for finding in found)
    assert sum(finding.n_steps for finding in found) == sum(p.n_steps for p in programs)


@pytest.mark.parametrize(("rows", "columns"), [(5, 1), (6, 70)])
def test_random_programs_are_the_same_after_every_step(
    tmp_path: Path, rows: int, columns: int
) -> None:
    found = sram(tmp_path, f"random:0:{N_RANDOM}:8:{rows}:{columns}", rows, columns)
    assert len(found) == N_RANDOM and all(finding.equal for finding in found)
    assert sum(finding.n_steps for finding in found) > 10_000


def bits(at: Stepper, row: int) -> np.ndarray:
    return at.row(row) if row >= 0 else np.zeros(COLUMNS, np.uint8)


def wrong_carry(at: Stepper, step: list[int]) -> bool:
    """Whether the carry of A | B differs from the majority in some column."""
    if step[0] != op.ADD:
        return False
    a, b, carry = bits(at, step[1]), bits(at, step[2]), at.latch("carry")
    return bool(((a | b) != ((a & b) | ((a ^ b) & carry))).any())


def held_latch(at: Stepper, step: list[int]) -> bool:
    """Whether the carry would change in a column without a tag, in a step with a predicate."""
    after = Stepper(at.program)
    after.run_to(at.position + 1)
    changes = (after.latch("carry") != at.latch("carry")) & (at.latch("tag") == 0)
    return step[0] < PORT_WRITE and step[4] == op.IF_TAG and bool(changes.any())


def ignored_group(at: Stepper, step: list[int]) -> bool:
    """Whether a move would bring a 1 from another group."""
    if step[0] <= PORT_READ:
        return False
    partner = np.arange(COLUMNS) + step[2]
    group = step[4] or COLUMNS
    there = (partner >= 0) & (partner < COLUMNS)
    brought = there & (partner // group != np.arange(COLUMNS) // group)
    brought &= bits(at, step[1])[np.where(there, partner, 0)] == 1
    if step[0] in INWARD:
        uses = np.isin(at.program.steps.read(0, at.position)[:, 0], (*INWARD, PORT_READ)).sum()
        assert at.program.port is not None
        brought &= unpack(at.program.port.read(uses, uses + 1), COLUMNS)[0] == 1
    return bool(brought.any())


def asked_carry(at: Stepper, step: list[int]) -> bool:
    """Whether a row would be written otherwise where the carry that comes is 1, not the tag."""
    if step[0] >= PORT_WRITE or step[4] != op.IF_TAG:
        return False
    free = Stepper(with_step(at.program, at.position, [*step[:4], op.ALWAYS]))
    free.run_to(at.position + 1)
    held, written, tag = bits(at, step[3]), bits(free, step[3]), at.latch("tag")
    asked = np.where(free.latch("carry") == 1, written, held)
    return bool((asked != np.where(tag == 1, written, held)).any())


def beyond_ten(at: Stepper, step: list[int]) -> bool:
    """Whether the step, which is not taken, changes anything."""
    after = Stepper(at.program)
    after.run_to(at.position + 1)
    return at.position >= 10 and bool(after.differs_from(at.snapshot()))


@pytest.mark.parametrize(
    ("bug", "begins"),
    [(1, wrong_carry), (2, held_latch), (3, asked_carry), (4, ignored_group), (5, beyond_ten)],
)
def test_a_planted_fault_is_found_at_the_step_where_it_begins(
    tmp_path: Path, bug: int, begins: Callable[[Stepper, list[int]], bool]
) -> None:
    seeds = range(100, 108)
    found = sram(tmp_path, f"random:{seeds[0]}:{seeds[-1] + 1}:25:6:{COLUMNS}", 6, COLUMNS, bug=bug)
    expected = []
    for seed in seeds:
        at = Stepper(random_program(seed, n_steps=25, n_rows=6, n_columns=COLUMNS))
        steps = at.program.steps.read().tolist()
        while at.position < at.n_steps and not begins(at, steps[at.position]):
            at.step()
        expected.append(at.position if at.position < at.n_steps else None)
    assert any(step is not None for step in expected)
    assert [finding.step for finding in found] == expected
    assert all(f"step {finding.step}: " in finding.told for finding in found if finding.told)


def test_steps_that_are_missing_at_the_end_are_an_error(tmp_path: Path) -> None:
    (found,) = sram(tmp_path, "random:3:4:25:6:70", 6, COLUMNS, STEPS="7")
    assert (found.step, found.n_steps) == (None, 7) and found.expected_steps > 7
    assert not found.equal


def test_a_simulation_that_ends_early_has_found_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.h5").write_bytes(b"no program")
    with pytest.raises(SystemExit):
        sram(tmp_path, str(tmp_path / "broken.h5"), 6, COLUMNS)


def test_a_program_from_a_file_is_the_same_after_every_step(tmp_path: Path) -> None:
    write_program(random_program(7), tmp_path / "program.h5")
    (found,) = sram(tmp_path, str(tmp_path / "program.h5"), 6, COLUMNS)
    assert found.equal and found.n_steps > 40


def test_a_tile_of_a_real_layer_is_the_same_after_every_step(tmp_path: Path) -> None:
    """A convolution of the shipped network as neural_cache executes it on one array."""
    tile = bitpim.record(bitpim.sample_path(), "neural_cache", "conv2", 0, tmp_path / "tile.h5")
    (found,) = sram(tmp_path, str(tmp_path / "tile.h5"), 256, 256)
    assert found.equal and found.n_steps == tile.program.n_steps > 1000


def crossbar(tmp_path: Path, programs: str, **parameters: int) -> list[Finding]:
    """Run programs through the columns of a crossbar."""
    sizes = {"ROWS": 12, "COLS": 6, "DAC_BITS": 2, "SUMS": 4, **parameters}
    return simulate(tmp_path, "crossbar_columns", "crossbar_bench", sizes, PROGRAMS=programs)


@pytest.mark.parametrize(("adc_bits", "step"), [(8, 0), (4, 0), (2, 3), (3, 2)])
def test_reads_are_the_same_after_every_step(tmp_path: Path, adc_bits: int, step: int) -> None:
    found = crossbar(tmp_path, f"crossbar:0:60:{adc_bits}:{step}", ADC_BITS=adc_bits, STEP=step)
    assert len(found) == 60 and all(finding.equal for finding in found)


def wrapped(at: Stepper, after: Stepper, step: list[int]) -> bool:
    """Whether rounding makes a sum below the clamp one code too large."""
    sums = partial_sums(at, step)
    return bool(((sums >> STEP <= TOP) & (sums + HALF >> STEP > TOP)).any())


def added_minus(at: Stepper, after: Stepper, step: list[int]) -> bool:
    """Whether a code that is not 0 is subtracted by its factor, and sums change by it."""
    if step[0] not in (SHIFT_ADD, SHIFT_SUBTRACT):
        return False
    tables = {name: tensor.read() for name, tensor in at.program.constants.items()}
    part = slice(*tables["column_starts"][step[2] : step[2] + 2])
    factors, codes = tables["column_factors"][part], at.peek("codes")[tables["column_lists"][part]]
    wrong = np.bincount(tables["column_sums"][part], np.where(factors < 0, -codes * factors, 0))
    return bool(wrong.any())


def clamped(at: Stepper, after: Stepper, step: list[int]) -> bool:
    """Whether a code is the top one."""
    return bool((partial_sums(at, step) + HALF >> STEP >= TOP).any())


def kept(at: Stepper, after: Stepper, step: list[int]) -> bool:
    """Whether a read is left out, and codes from before are not 0."""
    return not after.peek("opened").any() and bool((at.peek("codes") != after.peek("codes")).any())


ADC_BITS, STEP = 2, 2
TOP, HALF = (1 << ADC_BITS) - 1, (1 << STEP) >> 1


def partial_sums(at: Stepper, step: list[int]) -> np.ndarray:
    """Return the partial sums of a read, none for other steps and for reads left out."""
    if step[0] not in (READ, READ_UNLESS_ZERO):
        return np.empty(0, np.int64)
    tables = {name: tensor.read() for name, tensor in at.program.constants.items()}
    rows, columns = (
        tables[f"{line}_lists"][slice(*tables[f"{line}_starts"][which : which + 2])]
        for line, which in (("row", step[1]), ("column", step[2]))
    )
    sums: np.ndarray = at.peek("inputs")[rows] @ at.peek("cells")[np.ix_(rows, columns)].astype(int)
    return sums


@pytest.mark.parametrize(
    ("bug", "begins"), [(1, wrapped), (2, added_minus), (3, clamped), (4, kept)]
)
def test_a_fault_in_a_read_is_found_where_it_begins(
    tmp_path: Path, bug: int, begins: Callable[[Stepper, Stepper, list[int]], bool]
) -> None:
    programs = f"crossbar:0:30:{ADC_BITS}:{STEP}"
    found = crossbar(tmp_path, programs, ADC_BITS=ADC_BITS, STEP=STEP, BUG=bug)
    expected: list[int | None] = []
    for seed in range(30):
        at, after = (Stepper(random_columns(seed, ADC_BITS, STEP)) for _ in range(2))
        expected.append(None)
        for position, step in enumerate(at.program.steps.read().tolist()):
            after.step()
            if begins(at, after, step):
                expected[-1] = position
                break
            at.step()
    assert sum(step is not None for step in expected) > 3
    assert [finding.step for finding in found] == expected


def test_a_crossbar_of_a_real_layer_is_the_same_after_every_step(tmp_path: Path) -> None:
    """A position of a convolution of the shipped network, on a smaller crossbar of isaac."""
    small = {"array_rows": 36, "array_columns": 48, "ou_rows": 36, "ou_columns": 48}
    net, out = bitpim.sample_path(), tmp_path / "tile.h5"
    tile = bitpim.record(net, "isaac", "conv2", 3, out, settings=small)
    sizes = {"ROWS": 36, "COLS": 48, "DAC_BITS": 1, "ADC_BITS": 8, "SUMS": len(tile.sums)}
    (found,) = crossbar(tmp_path, str(tmp_path / "tile.h5"), **sizes)
    assert found.equal and found.n_steps == tile.program.n_steps
