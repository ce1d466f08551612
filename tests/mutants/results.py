"""Damaged and hostile result files behind their seal, each determined by a seed."""

import json
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bitpim.errors import ResultError
from bitpim.report.result_file import open_result
from bitpim.report.seal import SEAL_BYTES, seal_of
from bitpim.report.tables import as_csv, as_text
from tests.bitpim.report.small_run import run
from tests.mutants.fingerprint import fingerprint
from tests.mutants.hdf5_bytes import checksummed_blocks, damaged
from tests.mutants.json_values import changed_json
from tests.mutants.objects import OBJECT_MUTATIONS

__all__ = ["ResultMutants"]


def change_text(dice: random.Random, file: Any) -> None:
    """Change a value inside one of the texts that hold JSON."""
    places = [("/", n) for n in ("options", "provenance", "legend")]
    places += [(f"/layers/{k:04d}", "plan") for k in range(3)] + [("/figures", "figures")]
    place, name = dice.choice(places)
    file[place].attrs[name] = changed_json(dice, file[place].attrs[name])


def change_words(dice: random.Random, file: Any) -> None:
    """Change phases, events, names or prices."""
    words = ["", "load", "é", "x" * 5000, "\x1b[31m", "a\nb", "[bold]"]
    name = dice.choice(["phases", "events", "name", "table", "preset", "machine"])
    if name in ("phases", "events"):
        n = dice.choice([0, 1, 2, 3, 50])
        values = np.array([dice.choice(words) for _ in range(n)], h5py.string_dtype())
        file["layers"].attrs[name] = values
    elif name in ("preset", "machine"):
        file.attrs[name] = dice.choice(words)
    else:
        file["prices"].attrs[name] = dice.choice(words)


def change_number(dice: random.Random, file: Any) -> None:
    """Change samples, an index, or a value of a dataset to something absurd."""
    absurd = [-1, 0, 1, 2**31, 2**62, -(2**63), 9999, 10000]
    if dice.random() < 0.5:
        file["layers"][f"{dice.randrange(3):04d}"].attrs["index"] = np.int64(dice.choice(absurd))
    else:
        file.attrs["samples"] = np.array([dice.choice(absurd), dice.choice(absurd)])


MUTATIONS: tuple[Callable[[random.Random, Any], None], ...] = (
    *OBJECT_MUTATIONS,
    *(change_text, change_words, change_number) * 4,
)


class ResultMutants:
    """Mutants of one small result."""

    name = "net.res"

    def __init__(self, folder: Path) -> None:
        self.original = folder / "original.res"
        self.raw = run(self.original)
        self.body = self.raw[SEAL_BYTES:]
        self.blocks = checksummed_blocks(self.body)
        self.expected = fingerprint(open_result(self.original))

    def make(self, seed: int, path: Path) -> bool:
        """Write a mutant; say whether it may be another sound result."""
        dice = random.Random(seed)
        if seed % 2:
            body = damaged(dice, self.body, self.blocks)
        else:
            path.write_bytes(self.raw)
            with h5py.File(path, "r+", libver=("v110", "v110")) as file:
                dice.choice(MUTATIONS)(dice, file)
            body = path.read_bytes()[SEAL_BYTES:]
        path.write_bytes(seal_of(body) + body)
        return True  # the seal says nothing of who sealed it

    def outcome(self, path: Path, *, may_differ: bool, thorough: bool) -> str:
        """Open a mutant and print all that a report prints; say what came of it."""
        try:
            result = open_result(path)
        except ResultError as error:
            return "refused" if "\n" not in str(error) else f"BAD message of two lines: {error!r}"
        text = as_text(result) + as_csv(result) + json.dumps(result.to_dict())
        assert all(layer.n_cycles >= 0 for layer in result.layers)
        text.encode("utf-8")
        if fingerprint(result) == self.expected:
            return "same"
        return "other" if asdict(result.header) and may_differ else "BAD another content"
