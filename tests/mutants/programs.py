"""Damaged and hostile program traces, each determined by a seed; what opens is replayed too."""

import json
import random
import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bitpim.errors import BitpimError
from bitpim.golden.replaying import replay_program
from bitpim_traces.footer import FOOTER_BYTES
from bitpim_traces.program_trace.reader import open_program
from bitpim_traces.program_trace.records import ProgramTrace
from bitpim_traces.program_trace.writer import write_program
from tests.mutants.fingerprint import fingerprint
from tests.mutants.hdf5_bytes import checksummed_blocks
from tests.mutants.json_values import changed_json
from tests.mutants.objects import OBJECT_MUTATIONS, remade
from tests.mutants.traces import TraceMutants
from tests.program_traces import random_program, random_share

__all__ = ["PROGRAM_MUTATIONS", "ProgramMutants"]

_FILTERED: dict[str, Any] = {"compression": "gzip", "shuffle": True, "fletcher32": True}
_NUMBERS = (-(2**31), -65536, -71, -2, -1, 0, 1, 2, 63, 64, 65, 511, 516, 65535, 2**30, 2**31 - 1)
_PARAMETERS = ("n_rows", "n_columns", "array_columns", "move_cycles")


def change_header(dice: random.Random, file: Any) -> None:
    """Change one value of the header, whatever it is."""
    _header(file, changed_json(dice, _text(file)))


def change_parameter(dice: random.Random, file: Any) -> None:
    """Make an array of another size, absurd ones among them."""
    header = json.loads(_text(file))
    name = dice.choice(_PARAMETERS)
    header["parameters"][name] = dice.choice([*_NUMBERS, 2**26 - 1, 2**26, 2**40, 2**100, "6"])
    _header(file, json.dumps(header))


def change_step(dice: random.Random, file: Any) -> None:
    """Change one number of a step, or all of a column."""
    steps = np.array(file["steps"][...]) if "steps" in file else np.zeros((0, 5), np.int32)
    if not steps.size:
        return
    place, column = dice.randrange(len(steps)), dice.randrange(5)
    own = np.flatnonzero(steps[:, 0] >= 512)
    if dice.random() < 0.5 and len(own):  # those that move rows and use the port
        place = int(dice.choice(own.tolist()))
    if dice.random() < 0.1:
        steps[:, column] = dice.choice(_NUMBERS)
    else:
        steps[place, column] = dice.choice(_NUMBERS)
    _values(file, "steps", steps)


def other_steps(dice: random.Random, file: Any) -> None:
    """Leave steps out, take them twice, in another order, or very many."""
    steps = np.array(file["steps"][...])
    way = dice.randrange(5)
    if way == 0:
        steps = steps[: dice.randrange(1, len(steps))]
    elif way == 1:
        steps = np.concatenate([steps, steps])
    elif way == 2:
        steps = steps[::-1]
    elif way == 3:
        steps = np.tile(steps[:1], (dice.choice([1, 70_000, 2**20]), 1))
    else:
        steps = np.zeros((dice.choice([2**20, 2**22]), 5), np.int32)
    _values(file, "steps", steps)


def other_rows(dice: random.Random, file: Any) -> None:
    """Give the port or a state more rows, fewer, wider ones or other bits."""
    paths: list[str] = []
    file.visititems(lambda name, item: paths.append(name) if name[:5] != "steps" else None)
    paths = [p for p in paths if isinstance(file[p], h5py.Dataset) and file[p].dtype.kind in "iu"]
    path = dice.choice(paths or ["header"])
    if path == "header":
        return
    values = np.array(file[path][...])
    way = dice.randrange(4)
    if way == 0:
        values = values[: max(1, len(values) - 1)]
    elif way == 1:
        values = np.concatenate([values, values[-1:]])
    elif way == 2:
        values = np.concatenate([values, values], axis=-1)
    else:
        values.reshape(-1)[dice.randrange(values.size)] ^= values.dtype.type(
            1 << dice.randrange(min(63, 8 * values.itemsize - 1))
        )
    _values(file, path, values)


def other_array(dice: random.Random, file: Any) -> None:
    """Name another array."""
    name = dice.choice([b"sram", b"crossbar", b"cam", b"rna", b"dram", b"SRAM", b"s\xc3\xa9", b"x"])
    file.attrs.create("array", np.bytes_(name))


def _text(file: Any) -> str:
    return bytes(file["header"][0]).decode() if "header" in file else "{}"


def _header(file: Any, text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass") or b" "
    remade(file, "header", data=np.array([raw], f"S{len(raw)}"), chunks=(1,), **_FILTERED)


def _values(file: Any, path: str, values: Any) -> None:
    chunks = (min(len(values), 2**14), *values.shape[1:])
    remade(file, path, data=values, chunks=chunks, track_times=False, **_FILTERED)


PROGRAM_MUTATIONS: tuple[Callable[[random.Random, Any], None], ...] = (
    *OBJECT_MUTATIONS,
    *(change_header, change_parameter, change_step, change_step, other_steps, other_rows) * 5,
    other_array,
)


class ProgramMutants(TraceMutants):
    """Mutants of random tiles on a small compute SRAM, with states after marks or every step."""

    name = "tile.h5"
    mutations = PROGRAM_MUTATIONS

    def __init__(self, folder: Path) -> None:
        self.original = folder / "original.h5"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("bitpim_traces.tree_writer._CHUNK_BYTES", self.chunk_bytes)
            write_program(self._program(folder), self.original)
        raw = self.original.read_bytes()
        self.body, self.footer = raw[:-FOOTER_BYTES], raw[-FOOTER_BYTES:]
        self.blocks = checksummed_blocks(self.body)
        self.expected = fingerprint(open_program(self.original))
        self.run = replay_program(open_program(self.original)).to_dict()

    def _program(self, folder: Path) -> ProgramTrace:
        is_first = folder.name.strip(string.ascii_letters) == "0"
        program = random_program(3, n_steps=24, after="marks" if is_first else "every")
        return replace(program, layer=random_share(3))

    def outcome(self, path: Path, *, may_differ: bool, thorough: bool) -> str:
        """Open a mutant, read everything and replay it; say what came of it."""
        try:
            program = open_program(path)
            found = fingerprint(program)
            run = replay_program(program)
        except BitpimError as error:
            said = str(error)
            if "\n" in said or len(said) > 2000:
                return f"BAD message: {error!r}"
            return "refused"
        if found == self.expected:
            return "same" if run.to_dict() == self.run else "BAD replayed otherwise"
        if not may_differ:
            return "BAD accepted with another content"
        return "other" if run.equal else "faulty"
