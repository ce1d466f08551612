"""Program traces of one neuron of lookup tables, drawn by a seed and recorded as they run."""

from typing import Any

import numpy as np

from bitpim.lookup import stepped_rna as rna
from bitpim.lookup.stepped_rna import SteppedRna
from bitpim.recorded import Recording
from bitpim_traces.program_trace.records import ProgramTrace

__all__ = ["INWARD", "OUTWARD", "drawn_neuron", "random_rna_program"]

INWARD = (rna.COUNT, rna.OPERAND_IN, rna.TERM, rna.VALUE, rna.LOOK_UP, rna.CANDIDATE)
OUTWARD = (rna.GIVE_SUM, rna.GIVE_CODE)


def drawn_neuron(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw parameters and constants that go together."""
    rng = np.random.default_rng(seed)
    sum_bits = int(rng.choice([12, 20, 48, 64]))
    shape = rng.integers(1, 6, 2)
    n_points, n_values = int(rng.choice([0, 3, 9])), int(rng.choice([0, 1, 5, 70]))
    points = np.sort(rng.choice(2000, n_points, replace=False))[:, None] - 1000
    values = rng.choice(500, n_values, replace=False) - 250
    parameters = {
        "counter_bits": int(rng.choice([1, 2, 7, 62])),
        "digits": str(rng.choice(["binary", "signed"])),
        "n_operands": 40,
        "sum_bits": sum_bits,
        "cost": str(rng.choice(["aritpim", "simpler", "apim13", "floatpim"])),
        "match": str(rng.choice(["abs", "wxor", "staged"])),
        "stage_bits": int(rng.choice([1, 3, 8, 64])),
        "point_bits": sum_bits,
        "value_bits": 11,
        "up": int(rng.integers(0, 4)),
        "n_candidates": int(rng.choice([1, 9, 80])) if n_values else 0,
    }
    constants = {
        "products": rng.integers(-900, 900, shape),
        "points": np.hstack([points, rng.integers(-1000, 1000, (n_points, 1))]),
        "values": values,
        "limits": np.array([-600, 700]),
    }
    return parameters, constants


def random_rna_program(seed: int, *, after: str = "end") -> ProgramTrace:
    """Record pairs counted, operands listed and added, and searches, several times over."""
    rng = np.random.default_rng([seed, 1])
    array = SteppedRna(*drawn_neuron(seed))
    recording = Recording(array, array.made_of, array.made_with, after=after)
    n_weights, n_inputs = array.view("counters").shape

    def wires(number: int) -> Any:
        return np.array([number] + [0] * (n_weights - 1))

    for turn in range(2):
        recording.mark(f"count {turn}")
        for _ in range(int(rng.integers(0, 8))):
            recording.step(rna.COUNT, port=rng.integers(-1, n_inputs, n_weights))
        recording.mark(f"add {turn}")
        for kind in rng.choice(4, int(rng.integers(0, 9))).tolist():
            w, u = int(rng.integers(n_weights)), int(rng.integers(n_inputs))
            if kind == 0:
                recording.step(rna.OPERAND_IN, port=wires(int(rng.integers(-900, 900))))
            elif kind == 1:
                recording.step(rna.TERM, w, port=wires(u))
            else:
                recording.step(rna.READ_PRODUCT, w, u)
                for place in range(int(rng.integers(1, 4))):
                    recording.step(rna.OPERAND, place)
        for _ in range(int(rng.integers(0, 5)) or array.n_listed):
            recording.step(rna.LEVEL)
        if rng.random() < 0.8 and array.view("missing")[0] <= 1:
            recording.step(rna.ADD_LAST)
        else:
            recording.step(rna.VALUE, n_weights - 1, port=wires(0))
        _search(recording, array, points=True)
        _search(recording, array, points=False)
        recording.step(rna.GIVE_SUM)
        recording.step(rna.GIVE_CODE)
        _largest(recording, array, rng)
        if rng.random() < 0.5:
            row = int(rng.integers(n_weights))
            recording.step(rna.LOOK_UP, row, port=wires(int(rng.integers(n_inputs))))
            recording.step(rna.GIVE_CODE)
    return recording.finish(f"random rna {seed}", (), {"seed": seed})


def _largest(recording: Recording, array: SteppedRna, rng: np.random.Generator) -> None:
    """Search some candidates, fewer than there is room for or as many, twice the same by chance."""
    room, n_codes = int(array.made_of["n_candidates"]), len(array.made_with["values"])
    if not room:
        return
    for code in rng.integers(0, n_codes, int(rng.integers(1, room + 1))).tolist():
        recording.step(rna.CANDIDATE, port=[code] + [0] * (array.port.shape[0] - 1))
    recording.step(rna.SEEK_LARGEST)
    for number in range(array.n_stages(points=False)):
        recording.step(rna.STAGE_LARGEST, number)
    recording.step(rna.SETTLE_LARGEST)
    recording.step(rna.GIVE_CODE)


def _search(recording: Recording, array: SteppedRna, *, points: bool) -> None:
    seek, stage, settle = (
        (rna.SEEK_POINT, rna.STAGE_POINT, rna.SETTLE_POINT)
        if points
        else (rna.SEEK_CODE, rna.STAGE_CODE, rna.SETTLE_CODE)
    )
    if n_stages := array.n_stages(points=points):
        recording.step(seek)
        for number in range(n_stages):
            recording.step(stage, number)
        recording.step(settle)
