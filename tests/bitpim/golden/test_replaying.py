"""A changed bit or number of a program trace is found, at its step and place."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from bitpim.errors import ConfigError, MismatchError, TraceDataError
from bitpim.golden.replaying import replay_program
from bitpim.sram.stepped import PORT_READ, PORT_WRITE
from bitpim_kernels import opcodes as op
from bitpim_traces.program_trace.records import ProgramTrace
from bitpim_traces.records import TensorRecord
from tests.program_traces import WITH_PORT, random_program


def tensor(values: Any) -> TensorRecord:
    return TensorRecord.of(np.asarray(values), axes="", role="", units="1")


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_bit_that_comes_out_is_found_at_its_step(seed: int) -> None:
    program = random_program(seed)
    assert program.port is not None
    steps, rows = program.steps.read(), program.port.read().copy()
    uses = np.flatnonzero(np.isin(steps[:, 0], WITH_PORT))
    reads = [i for i, step in enumerate(uses) if steps[step, 0] == PORT_READ]
    which = reads[seed % len(reads)]
    rows[which, 1] ^= np.uint64(1 << 3)
    run = replay_program(replace(program, port=tensor(rows)))
    found = run.difference
    assert found is not None and not run.equal
    assert (found.step, found.state, found.place) == (int(uses[which]), "port", (67,))
    assert (found.expected, found.got, found.n_wrong) == (
        int(rows[which, 1]) >> 3 & 1, int(~rows[which, 1]) >> 3 & 1, 1,
    )  # fmt: skip
    with pytest.raises(MismatchError, match=f"step {found.step}: column 67 of port"):
        run.require_equal()


@pytest.mark.parametrize("state", ["rows", "carry", "tag"])
def test_a_flipped_bit_of_an_expected_state_is_found_after_its_step(state: str) -> None:
    program = random_program(2, after="every")
    assert program.expected is not None
    values = program.expected.state[state].read().copy()
    values[17].flat[1] ^= np.uint64(1 << 5)
    changed = replace(program.expected, state={**program.expected.state, state: tensor(values)})
    run = replay_program(replace(program, expected=changed))
    assert run.difference is not None
    assert (run.difference.step, run.difference.state) == (17, state)
    assert run.difference.place[-1] == 69 and run.n_states == 18 and run.n_steps == 18


def test_a_changed_step_is_found_where_it_first_matters() -> None:
    program = random_program(5, after="every")
    assert program.expected is not None
    steps = program.steps.read().copy()
    writes = np.flatnonzero((steps[:, 0] < PORT_WRITE) & (steps[:, 3] >= 0) & (steps[:, 4] == 0))
    at = int(writes[len(writes) // 2])
    held = program.expected.state["rows"].read()[at, steps[at, 3]]
    steps[at] = (op.ZERO if held.any() else op.ONE, -1, -1, steps[at, 3], 0)
    run = replay_program(replace(program, steps=tensor(steps)))
    assert run.difference is not None and run.difference.step == at
    assert run.difference.place[0] == steps[at, 3]


def test_counts_that_are_not_those_of_the_steps_are_told() -> None:
    program = random_program(1)
    assert program.counts is not None
    counts = {**program.counts, "cycles": program.counts["cycles"] + 1, "tag_store": 99}
    run = replay_program(replace(program, counts=counts))
    assert run.difference is None and not run.equal
    assert run.wrong_counts["cycles"] == (counts["cycles"], program.counts["cycles"])
    assert run.wrong_counts["tag_store"] == (99, program.counts.get("tag_store", 0))
    assert "cycles counted" in str(run)
    with pytest.raises(MismatchError, match="cycles counted"):
        run.require_equal()
    assert replay_program(replace(program, counts=None)).equal


def test_port_rows_too_few_or_too_many_are_errors() -> None:
    program = random_program(3)
    assert program.port is not None
    rows = program.port.read()
    with pytest.raises(ConfigError, match="need a port row for each step"):
        replay_program(replace(program, port=tensor(rows[:-1])))
    with pytest.raises(ConfigError, match="got 0 rows"):
        replay_program(replace(program, port=None))
    with pytest.raises(TraceDataError, match="got 1 rows that none uses"):
        replay_program(replace(program, port=tensor(np.concatenate([rows, rows[-1:]]))))


def test_what_it_showed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitpim.golden.replaying._PIECE", 10)
    program = random_program(4, after="marks")
    told: list[tuple[int, int]] = []
    run = replay_program(program, progress=lambda *done: told.append(done))
    n_steps = program.n_steps
    assert told[-1] == (n_steps, n_steps)
    assert all(after[0] > before[0] for before, after in pairwise(told))
    assert run.n_states == 3
    said = f"random 4: {n_steps} steps, {run.counts['cycles']} cycles; equal in 3 states and "
    assert str(run).startswith(said)
    found = run.to_dict()
    assert found["equal"] and found["difference"] is None and found["n_states"] == 3
    wrong: ProgramTrace = replace(program, counts={})
    assert not replay_program(wrong).to_dict()["equal"]
