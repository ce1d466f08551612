"""A design and bitpim's array take the same steps; after each, all that they hold is compared.

Nothing here knows a simulator: a bench tells it what the design shows, as one integer a state.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bitpim.golden.differences import Difference, first_difference
from bitpim.golden.stepper import Stepper
from bitpim.stepped import StateForm
from bitpim_kernels.layout import pack, unpack
from bitpim_traces.program_trace.records import ProgramTrace

__all__ = ["Finding", "LockStep", "as_integer", "read_findings", "write_findings"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a run of one program showed: where the design first differs, or nothing.

    `n_steps` are the steps that the design took itself, by its own counter.
    """

    program: str
    n_steps: int
    expected_steps: int
    step: int | None = None
    told: str = ""

    @property
    def equal(self) -> bool:
        """Whether the design took all steps and never differed."""
        return self.step is None and self.n_steps == self.expected_steps


def as_integer(form: StateForm, values: np.ndarray) -> int:
    """Return a state as a design shows it on one wide bus: bits as they are, the first lowest."""
    bits = unpack(values, form.sizes[-1]) if form.is_packed else _bits_of(form, values)
    return int.from_bytes(np.packbits(bits.reshape(-1), bitorder="little").tobytes(), "little")


def _bits_of(form: StateForm, values: np.ndarray) -> np.ndarray:
    octets = np.ascontiguousarray(values).view(np.uint8).reshape(*values.shape, -1)
    return np.unpackbits(octets, axis=-1, bitorder="little")


def from_integer(form: StateForm, shown: int) -> np.ndarray:
    """Return the state that a bus shows."""
    if not form.is_packed:
        n_bytes = int(np.prod(form.sizes)) * form.stored.itemsize
        return np.frombuffer(shown.to_bytes(n_bytes, "little"), form.stored).reshape(form.sizes)
    n_bits = int(np.prod(form.sizes))
    octets = np.frombuffer(shown.to_bytes(-(-n_bits // 8), "little"), np.uint8)
    bits = np.unpackbits(octets, bitorder="little")[:n_bits].reshape(form.sizes)
    return pack(bits)


class LockStep:
    """One program: takes a step in bitpim, and compares what the design shows."""

    def __init__(self, program: ProgramTrace) -> None:
        self.at = Stepper(program)
        self.steps = program.steps.read()
        self.rows = None if program.port is None else program.port.read()
        self.forms = {form.name: form for form in self.at.states}

    def compare(self, shown: Mapping[str, int]) -> Difference | None:
        """Take the next step; return where the design, which took it too, differs first."""
        went = self.at.step()
        assert went is None, "bitpim disagrees with the program trace"
        for name, bus in shown.items():
            form, held = self.forms[name], self.at.view(name)
            if as_integer(form, held) != bus:
                step = self.at.position - 1
                return first_difference(form, held, from_integer(form, bus), step, self.at.names)
        return None


def write_findings(path: Path, findings: list[Finding]) -> None:
    """Keep findings for the test that started the simulator."""
    path.write_text(json.dumps([asdict(finding) for finding in findings]), "utf-8")


def read_findings(path: Path) -> list[Finding]:
    """Read findings back; a simulator that ended early has left none."""
    return [Finding(**found) for found in json.loads(path.read_text("utf-8"))]
