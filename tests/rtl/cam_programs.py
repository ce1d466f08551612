"""Programs of a memory that is searched: steps of all kinds, drawn; searches of real neurons."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from bitpim.golden.stepper import Stepper
from bitpim.lookup import stepped_cam as cam
from bitpim.lookup import stepped_rna as rna
from bitpim.lookup.stepped_cam import SteppedCam
from bitpim.recorded import Recording
from bitpim_kernels.layout import words_for
from bitpim_traces.program_trace.records import ProgramTrace

__all__ = ["random_searches", "searches_of"]

_CELLS: Final = (
    cam.WRITE, cam.QUERY, cam.QUERY, cam.ANSWER, cam.WEIGH, cam.HIGH, cam.SEARCH_TERNARY,
    cam.SEARCH_PREFIX, cam.SEARCH_THRESHOLD, cam.SEARCH_BEST, cam.SEARCH_WEIGHTED,
)  # fmt: skip
_NUMBERS: Final = (
    *_CELLS, cam.SEARCH_EXACT, cam.SEARCH_NEAREST, cam.SEARCH_NEAREST, cam.SEARCH_WXOR,
    cam.SEARCH_RANGE, cam.PRECHARGE, cam.STAGE, cam.STAGE, cam.ELECT,
)  # fmt: skip
_SIGNED: Final = (cam.SEARCH_NEAREST, cam.SEARCH_WXOR, cam.ELECT)
_WIDEST: Final = 63  # bits of a number


class _Memory:
    """A memory that is driven through a recording."""

    def __init__(self, n_rows: int, n_bits: int) -> None:
        self.n_rows, self.n_bits, self.whole = n_rows, n_bits, (1 << n_bits) - 1
        self.array = SteppedCam(n_rows, n_bits)
        self.recording = Recording(self.array, self.array.made_of)

    def pass_word(self, code: int, bits: int, care: int | None = None, *, dst: int = -1) -> None:
        """Take a step that takes a word in; all its bits are cared for unless told."""
        n_words = words_for(self.n_bits)
        row = np.zeros(self.array.port.shape, np.uint64)
        for part, number in enumerate((bits, self.whole if care is None else care)):
            octets = number.to_bytes(8 * n_words, "little")
            row[part * n_words : (part + 1) * n_words] = np.frombuffer(octets, np.uint64)
        self.recording.step(code, dst=dst, port=row)

    def search_in_stages(self, top: int, stage_bits: int, rule: int = 0) -> None:
        """Search the highest bits for the nearest number, stage by stage."""
        low = self.n_bits - top
        ends = [*range(self.n_bits, low, -stage_bits), low]
        self.recording.step(cam.PRECHARGE, b=top)
        for high, end in pairwise(ends):
            self.recording.step(cam.STAGE, high - end, end, predicate=rule & 2)
        self.recording.step(cam.ELECT, low, predicate=rule)


class _Drawn(_Memory):
    """Steps that are drawn; most programs are of numbers, most of which are near to a few."""

    def __init__(self, seed: int, n_rows: int, n_bits: int) -> None:
        super().__init__(n_rows, n_bits)
        self.rng = np.random.default_rng(seed)
        self.of_numbers = n_bits <= _WIDEST and bool(self.rng.random() < 0.7)
        about_a_sign = max(self.whole // 2 - 1, 0)
        self.near = [self.bits(), self.bits(), about_a_sign]
        self.sought = 0

    def below(self, n: int) -> int:
        return int(self.rng.integers(n))

    def bits(self) -> int:
        return int.from_bytes(self.rng.bytes(words_for(self.n_bits) * 8), "little") & self.whole

    def number(self) -> int:
        if not self.below(4):
            return self.bits()
        return (self.near[self.below(3)] + self.below(4)) & self.whole

    def word(self, code: int, dst: int = -1) -> None:
        care = self.whole
        if not self.of_numbers:
            care &= ~(self.bits() & self.bits() & self.bits())
        bits = self.number() & care
        if code == cam.QUERY:
            self.sought = bits
        self.pass_word(code, bits, care, dst=dst)

    def step(self, code: int) -> None:
        """Take a step of a kind, its numbers drawn."""
        if code in (cam.WRITE, cam.QUERY, cam.HIGH):
            self.word(code, self.below(self.n_rows) if code == cam.WRITE else -1)
        elif code == cam.WEIGH:
            for _ in range(1 + self.below(8)):
                row = np.zeros(self.array.port.shape, np.uint64)
                row[0] = self.below(1 << int(self.rng.choice([1, 3, 55])))
                self.recording.step(code, dst=self.below(self.n_bits), port=row)
        elif code == cam.PRECHARGE:
            top = 1 + self.below(self.n_bits)
            self.search_in_stages(top, 1 + self.below(top), self.below(4))
        else:
            self.search(code)

    def search(self, code: int) -> None:
        """Take a step of a search, or an answer."""
        n = self.n_bits
        size, top = 1 + self.below(n), -1 if self.below(2) else 1 + self.below(n)
        a, b = {
            cam.SEARCH_PREFIX: (size, -1),
            cam.SEARCH_THRESHOLD: (self.below(1 + size), top),
            cam.SEARCH_BEST: (-1, top),
            cam.SEARCH_WEIGHTED: (-1, top),
            cam.SEARCH_NEAREST: (-1, top),
            cam.SEARCH_WXOR: (-1, top),
            cam.STAGE: (size, self.below(n - size + 1)),
            cam.ELECT: (self.below(n), -1),
        }.get(code, (-1, -1))
        rule = self.below(4 if code in _SIGNED else 2)
        if code == cam.SEARCH_RANGE:
            self.pass_word(cam.HIGH, max(self.sought, self.number()))
        if code == cam.ANSWER:
            rule = 0
        self.recording.step(code, a, b, predicate=2 * rule if code == cam.STAGE else rule)


def random_searches(
    seed: int, *, n_steps: int = 30, n_rows: int = 5, n_bits: int = 9
) -> ProgramTrace:
    """Record rows written, then steps of all kinds in any order.

    Weights and stages come several at once. Words that are numbers care for all their bits.
    """
    drawn = _Drawn(seed, n_rows, n_bits)
    for row in range(n_rows):
        drawn.word(cam.WRITE, row)
    drawn.word(cam.QUERY)
    for code in drawn.rng.choice(_NUMBERS if drawn.of_numbers else _CELLS, n_steps).tolist():
        drawn.step(code)
    return drawn.recording.finish(f"random searches {seed}", (), {"seed": seed})


def searches_of(neurons: Sequence[ProgramTrace]) -> ProgramTrace:
    """Record the searches for a code of recorded neurons of one layer, in a memory of its codebook.

    Words are those of the neurons, in offset binary: row r holds codeword r, and each query is what
    a neuron searches for. What it finds stands in the answer: its row is the neuron's code.
    """
    values, n_bits = neurons[0].constants["values"].read(), int(neurons[0].parameters["value_bits"])
    memory = _Memory(len(values), n_bits)
    memory.recording.mark("codebook")
    for row, value in enumerate(values.tolist()):
        memory.pass_word(cam.WRITE, value + (1 << (n_bits - 1)), dst=row)
    for neuron in neurons:
        memory.recording.mark(neuron.name)
        memory.pass_word(cam.QUERY, _sought(neuron))
        mode = neuron.parameters["match"]
        if mode == "staged":
            memory.search_in_stages(n_bits, int(neuron.parameters["stage_bits"]))
        else:
            memory.recording.step(cam.SEARCH_WXOR if mode == "wxor" else cam.SEARCH_NEAREST)
        memory.recording.step(cam.ANSWER)
    return memory.recording.finish("searches of neurons")


def _sought(neuron: ProgramTrace) -> int:
    """Return the word that a neuron searches its codebook for."""
    at = Stepper(neuron)
    at.run_to(neuron.steps.read()[:, 0].tolist().index(rna.SEEK_CODE) + 1)
    return sum(int(bit) << place for place, bit in enumerate(at.peek("query").tolist()))
