"""Program traces for tests: random steps on a small compute SRAM, recorded as they run."""

import numpy as np
import numpy.typing as npt

from bitpim.lookup import stepped_cam as cam
from bitpim.lookup.stepped_cam import SteppedCam
from bitpim.recorded import Recording
from bitpim.sram.stepped import (
    MOVE_WHERE,
    MOVE_WHERE_AND_CLEAR,
    PORT_READ,
    PORT_WRITE,
    SteppedSubarray,
)
from bitpim_kernels import opcodes as op
from bitpim_kernels.layout import pack, words_for
from bitpim_traces.program_trace.records import LayerShare, ProgramTrace, RowField
from bitpim_traces.records import TensorRecord
from tests.random_tables import random_table

__all__ = [
    "INWARD",
    "random_cam_program",
    "random_port_steps",
    "random_program",
    "random_share",
    "random_steps",
    "sizes_of",
]

Steps = npt.NDArray[np.int32]
_CAM_STEPS = (
    cam.WRITE, cam.QUERY, cam.QUERY, cam.ANSWER, cam.SEARCH_TERNARY, cam.SEARCH_PREFIX,
    cam.SEARCH_THRESHOLD, cam.SEARCH_BEST, cam.SEARCH_BEST,
)  # fmt: skip
INWARD = (PORT_WRITE, MOVE_WHERE, MOVE_WHERE_AND_CLEAR)
"""Steps of an array sram that take in a row of the port."""
FIELDS = (RowField("x", 0, 3), RowField("y", 3, 2))


def sizes_of(n_rows: int, n_columns: int, move_cycles: int = 1) -> dict[str, int | str]:
    """Parameters of an array sram."""
    return {
        "n_rows": n_rows,
        "n_columns": n_columns,
        "array_columns": 256,
        "move_cycles": move_cycles,
    }


def random_port_steps(rng: np.random.Generator, n: int, n_rows: int, n_columns: int) -> Steps:
    """Draw writes, reads and moves."""
    steps = []
    for code in rng.choice(range(PORT_WRITE, MOVE_WHERE_AND_CLEAR + 1), n).tolist():
        a, dst = (int(row) for row in rng.integers(0, n_rows, 2))
        b, group = int(rng.integers(-70, 71)), int(rng.choice([0, 1, 2, 7, 64, n_columns + 3]))
        if code == PORT_WRITE:
            steps.append((code, op.NO_ROW, op.NO_ROW, dst, 0))
        elif code == PORT_READ:
            steps.append((code, a, op.NO_ROW, op.NO_ROW, 0))
        else:
            steps.append((code, a, b, dst, group))
    return np.array(steps, np.int32).reshape(-1, 5)


def random_steps(seed: int, n: int, n_rows: int, n_columns: int) -> Steps:
    """Draw steps of all kinds in any order."""
    rng = np.random.default_rng(seed)
    table = random_table(seed, op.SRAM, n, n_rows)
    both = np.concatenate([table, random_port_steps(rng, n // 2, n_rows, n_columns)])
    shuffled: Steps = rng.permutation(both)
    return shuffled


def random_program(
    seed: int, *, n_steps: int = 60, n_rows: int = 6, n_columns: int = 70, after: str = "end"
) -> ProgramTrace:
    """Record random steps, in three parts with a mark before each."""
    rng = np.random.default_rng(seed)
    sizes = sizes_of(n_rows, n_columns)
    recording = Recording(SteppedSubarray(n_rows, n_columns), sizes, after=after)
    steps = random_steps(seed, n_steps, n_rows, n_columns)
    for number, part in enumerate(np.array_split(steps, 3)):
        recording.mark(f"part {number}")
        writes = int(np.isin(part[:, 0], INWARD).sum())
        rows = pack(rng.integers(0, 2, (writes, n_columns), np.uint8))
        recording.steps(part, rows)
    return recording.finish(f"random {seed}", FIELDS, {"seed": seed})


def random_share(seed: int, n_inputs: int = 7, n_outputs: int = 3) -> LayerShare:
    """Draw what a tile might have of a layer of two images."""
    rng = np.random.default_rng(seed)
    shapes = {
        "input_places": (n_inputs, 5),
        "inputs": (n_inputs,),
        "output_places": (n_outputs, 4),
        "sums": (n_outputs,),
        "outputs": (n_outputs,),
    }
    kinds = {"inputs": np.uint8, "sums": np.int64, "outputs": np.int8}
    drawn = {
        name: rng.integers(0, 50, shape).astype(kinds.get(name, np.int32))
        for name, shape in shapes.items()
    }
    tensors = {n: TensorRecord.of(v, axes="", role="", units="1") for n, v in drawn.items()}
    return LayerShare(**tensors)


def random_cam_program(
    seed: int, *, n_steps: int = 30, n_rows: int = 5, n_bits: int = 9, after: str = "end"
) -> ProgramTrace:
    """Record rows written, and then queries, searches, answers and more rows in any order."""
    rng = np.random.default_rng(seed)
    array = SteppedCam(n_rows, n_bits)
    recording = Recording(array, array.made_of, after=after)

    def word(rare: int) -> npt.NDArray[np.uint64]:
        care = (rng.integers(0, rare, (1, n_bits)) > 0).astype(np.uint8)
        bits = rng.integers(0, 2, (1, n_bits), np.uint8) & care
        row = np.zeros(array.port.shape, np.uint64)
        row[: 2 * words_for(n_bits)] = np.concatenate([pack(bits)[0], pack(care)[0]])
        return row

    recording.mark("rows")
    for row in range(n_rows):
        recording.step(cam.WRITE, dst=row, port=word(8))
    recording.mark("searches")
    for code in rng.choice(_CAM_STEPS, n_steps).tolist():
        ties = int(rng.integers(0, 2))
        if code == cam.WRITE:
            recording.step(code, dst=int(rng.integers(n_rows)), port=word(8))
        elif code == cam.QUERY:
            recording.step(code, port=word(8))
        elif code == cam.SEARCH_PREFIX:
            recording.step(code, int(rng.integers(1, n_bits + 1)), predicate=ties)
        elif code == cam.SEARCH_THRESHOLD:
            recording.step(code, int(rng.integers(0, 5)), predicate=ties)
        else:
            recording.step(code, predicate=0 if code == cam.ANSWER else ties)
    return recording.finish(f"random cam {seed}", (), {"seed": seed})
