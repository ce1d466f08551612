"""A program trace run on its array alone, and held against what it says must come of it."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bitpim.counts import Counts
from bitpim.errors import MismatchError, TraceDataError
from bitpim.golden.differences import Difference
from bitpim.golden.stepper import State, Stepper
from bitpim_traces.program_trace.records import ProgramTrace

__all__ = ["ProgramRun", "replay_program"]

_PIECE = 2**16  # steps between two reports of progress


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """What a run of a program trace showed.

    Attributes
    ----------
    name : of the program
    n_steps : steps taken; all, unless something differs
    n_states : states after chosen steps that were compared
    n_port_rows : rows that passed the port
    counts : events of the steps taken
    difference : the first place where something differs; None where all is as it should be
    wrong_counts : events whose counts are not those of the trace: (expected, got)
    """

    name: str
    n_steps: int
    n_states: int
    n_port_rows: int
    counts: Counts
    difference: Difference | None
    wrong_counts: dict[str, tuple[int, int]]

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return self.difference is None and not self.wrong_counts

    def __str__(self) -> str:
        if self.difference is not None:
            return str(self.difference)
        if self.wrong_counts:
            return "; ".join(_counted(*wrong) for wrong in self.wrong_counts.items())
        states = f"{self.n_states:,} state{'s' * (self.n_states != 1)}"
        rows = f"{self.n_port_rows:,} row{'s' * (self.n_port_rows != 1)} through the port"
        return (
            f"{self.name}: {self.n_steps:,} steps, {self.counts['cycles']:,} cycles; equal in "
            f"{states} and {rows}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what the run showed as plain values."""
        found = self.difference
        return {
            "name": self.name,
            "equal": self.equal,
            "n_steps": self.n_steps,
            "n_states": self.n_states,
            "n_port_rows": self.n_port_rows,
            "counts": self.counts.to_dict(),
            "difference": None if found is None else dataclasses.asdict(found),
            "wrong_counts": {event: list(pair) for event, pair in self.wrong_counts.items()},
        }

    def require_equal(self) -> None:
        """Raise MismatchError naming the first difference."""
        if self.difference is not None:
            raise MismatchError(f"{self.name}: {self.difference}")
        for wrong in self.wrong_counts.items():
            raise MismatchError(f"{self.name}: {_counted(*wrong)}")


def replay_program(
    program: ProgramTrace, *, progress: Callable[[int, int], None] | None = None
) -> ProgramRun:
    """Run all steps on the array; stop after the first that leaves something else than expected.

    `progress` is told steps taken and steps in all.

    Raises
    ------
    ConfigError, LayoutError, ProgramError
        The array cannot be made or cannot take a step.
    TraceDataError
        The port has rows that no step uses, or a file is damaged.
    """
    at = Stepper(program)
    n_states = 0
    chosen = program.expected.after.tolist() if program.expected is not None else []
    difference = None
    for index, step in enumerate([*chosen, None]):
        stop = at.n_steps if step is None else step + 1
        while difference is None and at.position < stop:
            difference = at.run_to(min(at.position + _PIECE, stop))
            if progress is not None:
                progress(at.position, at.n_steps)
        if difference is not None:
            break
        if step is not None:
            difference = _after(at, index)
            n_states += 1
    n_rows = 0 if program.port is None else program.port.shape[0] - at.port_rows_left
    wrong = {}
    if difference is None:
        if at.port_rows_left:
            raise TraceDataError(
                f"{program.name}: need a step for each port row, got {at.port_rows_left} rows that "
                "none uses"
            )
        wrong = _wrong_counts(program, at.counts)
    return ProgramRun(program.name, at.position, n_states, n_rows, at.counts, difference, wrong)


def _counted(event: str, pair: tuple[int, int]) -> str:
    return f"{event} counted {pair[1]}, expected {pair[0]}"


def _after(at: Stepper, index: int) -> Difference | None:
    """Compare the array with the state expected after the step it took last."""
    expected = at.program.expected
    assert expected is not None
    values = {name: tensor.read(index, index + 1)[0] for name, tensor in expected.state.items()}
    found = at.differs_from(State(at.position - 1, at.states, values))
    return found[0] if found else None


def _wrong_counts(program: ProgramTrace, counts: Counts) -> dict[str, tuple[int, int]]:
    if program.counts is None:
        return {}
    got, expected = counts.to_dict(), program.counts
    return {
        event: (expected.get(event, 0), got.get(event, 0))
        for event in sorted({*got, *expected})
        if expected.get(event, 0) != got.get(event, 0)
    }
