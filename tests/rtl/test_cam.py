"""The memory in Verilog beside bitpim: all searches, planted faults, neurons of a real layer."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bitpim
from bitpim.golden.recording import inputs_of
from bitpim.golden.stepper import Stepper
from bitpim.lookup import stepped_cam as cam
from bitpim.lookup import stepped_rna as rna
from bitpim.machine.machine import Recorder, recorder_of
from bitpim.machine.registry import make_machine
from bitpim_kernels.layout import pack
from bitpim_traces.program_trace.records import ProgramTrace
from bitpim_traces.program_trace.writer import write_program
from bitpim_traces.quantize import codebooks_of_trace
from bitpim_traces.reader import open_trace
from bitpim_traces.records import Trace
from tests.rtl.cam_programs import random_searches, searches_of
from tests.rtl.lock_step import Finding
from tests.rtl.programs import with_step
from tests.rtl.simulation import needs_simulator, simulate

N_PROGRAMS = 25
SEEDS = range(50, 74)
SEARCHES = (*range(cam.SEARCH_TERNARY, cam.SEARCH_RANGE + 1), cam.STAGE, cam.ELECT)
LAYER = "conv4"  # its outputs have no activation, so sums of both signs are searched for
PLACE = 7  # of its 25


def run(tmp_path: Path, programs: str, rows: int, width: int, *, bug: int = 0) -> list[Finding]:
    """Run programs through the memory."""
    parameters = {"ROWS": rows, "BITS": width, "BUG": bug}
    return simulate(tmp_path, "cam", "cam_bench", parameters, PROGRAMS=programs)


def codes_in(*programs: ProgramTrace) -> set[int]:
    return {code for program in programs for code in program.steps.read()[:, 0].tolist()}


@needs_simulator
@pytest.mark.parametrize(("rows", "width"), [(1, 1), (5, 9), (63, 70), (64, 63), (65, 20)])
def test_searches_are_the_same_after_every_step(tmp_path: Path, rows: int, width: int) -> None:
    found = run(tmp_path, f"searches:0:{N_PROGRAMS}:40:{rows}:{width}", rows, width)
    assert len(found) == N_PROGRAMS and all(finding.equal for finding in found)
    assert sum(finding.n_steps for finding in found) > N_PROGRAMS * (40 + rows)


def test_programs_have_all_steps_of_the_array() -> None:
    """Else the test above would not compare them."""
    programs = [random_searches(seed, n_steps=40) for seed in range(N_PROGRAMS)]
    assert codes_in(*programs) == set(cam.SteppedCam.forms)


Begins = Callable[[Stepper, Stepper, list[int]], bool]


def differs(
    at: Stepper, after: Stepper, *, step: list[int] | None = None, **held: np.ndarray
) -> bool:
    """Whether lines or answer are others where a step, or what is held before it, is another."""
    program = at.program if step is None else with_step(at.program, at.position, step)
    other, before = Stepper(program), at.snapshot()
    before.values.update(held)
    other.run_to(at.position)
    other.restore(before)
    other.step()
    return any(not np.array_equal(other.peek(n), after.peek(n)) for n in ("match", "answer"))


def other_tie(at: Stepper, after: Stepper, step: list[int]) -> bool:
    """Whether several rows are alike."""
    return step[0] != cam.STAGE and bool(after.peek("answer")[2] > 1)


def counted_care(at: Stepper, after: Stepper, step: list[int]) -> bool:
    """Whether rows without care are found otherwise where they have it."""
    care = at.peek("care")
    return not care.all() and differs(at, after, care=pack(np.ones_like(care)))


def too_strict(at: Stepper, after: Stepper, step: list[int]) -> bool:
    """Whether a row differs in just as many bits as it may."""
    if step[0] != cam.SEARCH_THRESHOLD:
        return False
    code, limit, *others = step
    if not limit:
        return bool(after.peek("match").any())
    return differs(at, after, step=[code, limit - 1, *others])


def other_number(at: Stepper, after: Stepper, step: list[int]) -> bool:
    """Whether the lowest of several rows, whose numbers are as near, is the answer."""
    ties = step[4] & 1
    return step[0] == cam.SEARCH_NEAREST and not ties and bool(after.peek("answer")[2] > 1)


def other_end(at: Stepper, after: Stepper, step: list[int]) -> bool:
    """Whether a stage of as many bits, as far from the lowest bit, leaves other rows."""
    code, size, low, *others = step
    n_bits = int(at.program.parameters["n_bits"])
    return code == cam.STAGE and differs(at, after, step=[code, size, n_bits - size - low, *others])


def one_place_off(at: Stepper, after: Stepper, step: list[int]) -> bool:
    """Whether another search is that whose bits weigh what the next higher bit does."""
    weights = np.roll(at.peek("weights"), -1)
    return step[0] == cam.SEARCH_WEIGHTED and differs(at, after, weights=weights)


def at_the_end(at: Stepper, after: Stepper, step: list[int]) -> bool:
    """Whether a row holds the upper end of a range."""
    is_end = (at.peek("value") == at.peek("high")[0]).all(axis=1)
    return step[0] == cam.SEARCH_RANGE and bool(is_end.any())


def without_sign(at: Stepper, after: Stepper, step: list[int]) -> bool:
    """Whether numbers without a sign are found otherwise."""
    return step[4] >= 2 and differs(at, after, step=[*step[:4], step[4] & 1])


@pytest.mark.parametrize(
    ("bug", "begins"),
    [
        (1, other_tie),
        (2, counted_care),
        (3, too_strict),
        (4, other_number),
        (5, other_end),
        (6, one_place_off),
        (7, at_the_end),
        (8, without_sign),
    ],
)
@needs_simulator
def test_a_fault_in_a_search_is_found_where_it_begins(
    tmp_path: Path, bug: int, begins: Begins
) -> None:
    found = run(tmp_path, f"searches:{SEEDS[0]}:{SEEDS[-1] + 1}:30:5:9", 5, 9, bug=bug)
    expected: list[int | None] = []
    for seed in SEEDS:
        program = random_searches(seed)
        at, after = Stepper(program), Stepper(program)
        expected.append(None)
        for position, step in enumerate(program.steps.read().tolist()):
            after.step()
            if step[0] in SEARCHES and begins(at, after, step):
                expected[-1] = position
                break
            at.step()
    assert sum(step is not None for step in expected) > 3
    assert [finding.step for finding in found] == expected
    assert all(f"step {finding.step}: " in finding.told for finding in found if finding.told)


def neurons_of(trace: Trace, *assigned: str) -> list[ProgramTrace]:
    """Record the neurons of all channels at one place of the layer."""
    machine = make_machine("rapidnn", None, assigned)
    index = next(layer.index for layer in trace.layers if layer.name == LAYER)
    recorder: Recorder = recorder_of(machine, trace, index)
    inputs = inputs_of(trace, machine, index, 0)
    n_channels, *places = trace.layers[index].output_shape
    tiles = range(PLACE, int(np.prod([n_channels, *places])), int(np.prod(places)))
    return [recorder.record(tile, inputs).program for tile in tiles]


def lines_of(program: ProgramTrace, codes: tuple[int, ...]) -> list[list[int]]:
    """Return the rows that are up after each step of some kinds."""
    at, found = Stepper(program), []
    for position in np.flatnonzero(np.isin(program.steps.read()[:, 0], codes)).tolist():
        at.run_to(position + 1)
        found.append(np.flatnonzero(at.peek("match")).tolist())
    return found


@pytest.fixture(scope="module")
def neurons() -> dict[str, list[ProgramTrace]]:
    """Neurons of the shipped network, of each way to find the nearest."""
    trace = codebooks_of_trace(open_trace(bitpim.sample_path()))
    stages = {"abs": 48, "wxor": 48, "staged": 7}
    return {
        mode: neurons_of(trace, f"match.mode={mode}", f"match.stage_bits={n}")
        for mode, n in stages.items()
    }


@pytest.mark.parametrize("mode", ["abs", "wxor", "staged"])
def test_a_search_of_a_neuron_is_one_of_the_memory(
    neurons: dict[str, list[ProgramTrace]], mode: str
) -> None:
    """Lines are those of the neuron after every stage, and the row is its code."""
    program = searches_of(neurons[mode])
    searches = (cam.SEARCH_NEAREST, cam.SEARCH_WXOR, cam.STAGE)
    lines = [up for neuron in neurons[mode] for up in lines_of(neuron, (rna.STAGE_CODE,))]
    assert lines_of(program, searches) == lines and len(lines) >= len(neurons[mode]) == 12
    steps = program.steps.read()[:, 0]
    uses = [cam.SteppedCam.forms[code].port != "none" for code in steps.tolist()]
    assert program.port is not None
    answers = program.port.read()[steps[uses] == cam.ANSWER, 0].tolist()
    codes = [int(neuron.port.read()[-1, 0]) for neuron in neurons[mode] if neuron.port is not None]
    assert answers == codes and len(set(codes)) > 5


@needs_simulator
def test_neurons_of_a_real_layer_are_the_same_after_every_step(
    tmp_path: Path, neurons: dict[str, list[ProgramTrace]]
) -> None:
    """The codebook of a layer of the shipped network, searched for the sums of its neurons."""
    program = searches_of([neuron for mode in neurons.values() for neuron in mode])
    write_program(program, tmp_path / "neurons.h5")
    sizes = (int(program.parameters[name]) for name in ("n_rows", "n_bits"))
    (found,) = run(tmp_path, str(tmp_path / "neurons.h5"), *sizes)
    assert found.equal and found.n_steps == program.n_steps > 250
