"""Damaged and hostile files of codebooks and product tables, seeded by the samples."""

import random
import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bitpim.errors import BitpimError
from bitpim.proof.reference import run_network
from bitpim_traces import open_trace
from bitpim_traces.records import TensorRecord, Trace
from tests.mutants.objects import OBJECT_MUTATIONS, remade
from tests.mutants.traces import TraceMutants

__all__ = ["CODEBOOK_MUTATIONS", "CodebookMutants"]

SAMPLES = Path(__file__).parents[2] / "traces" / "samples" / "v1.2"
TABLES = ("values", "levels", "products", "points")

Values = np.ndarray[Any, np.dtype[Any]]


def _table(dice: random.Random, file: Any, names: tuple[str, ...] = TABLES) -> str:
    """Choose a dataset of a codebook or a product table."""
    found: list[str] = []
    file.visititems(
        lambda name, item: (
            found.append(name)
            if isinstance(item, h5py.Dataset)
            and name.rpartition("/")[2] in names
            and name.split("/")[-2] != "layers"
            else None
        )
    )
    return dice.choice(found or ["provenance"])


def _changed(dice: random.Random, file: Any, change: Callable[[Values], Values], *of: str) -> None:
    """Put other values into a table, of the shape that they have."""
    path = _table(dice, file, of or TABLES)
    if file[path].dtype.kind != "i" or 0 in file[path].shape:
        return
    values = change(np.array(file[path][...]))
    if 0 in values.shape:
        remade(file, path, shape=values.shape, dtype=values.dtype)
        return
    how = {"compression": "gzip", "shuffle": True, "fletcher32": True, "track_times": False}
    remade(file, path, data=values, chunks=values.shape, **how)


def nudge(dice: random.Random, file: Any) -> None:
    def change(values: Values) -> Values:
        at = dice.randrange(values.size)
        values.reshape(-1)[at] += dice.choice([-1, 1, 2, -(2**30), 2**40, 2**61, -(2**62)])
        return values

    _changed(dice, file, change)


def swap_two(dice: random.Random, file: Any) -> None:
    def change(values: Values) -> Values:
        flat = values.reshape(-1)
        one, other = dice.randrange(flat.size), dice.randrange(flat.size)
        flat[[one, other]] = flat[[other, one]]
        return values

    _changed(dice, file, change)


def repeat_one(dice: random.Random, file: Any) -> None:
    def change(values: Values) -> Values:
        at = dice.randrange(max(1, len(values) - 1))
        values[at] = values[min(at + 1, len(values) - 1)]
        return values

    _changed(dice, file, change)


def constant_values(dice: random.Random, file: Any) -> None:
    limits = np.iinfo(np.int64)
    fill = dice.choice([0, 1, limits.min, limits.max])
    _changed(dice, file, lambda values: np.full_like(values, fill))


def scaled(dice: random.Random, file: Any) -> None:
    by = dice.choice([-1, 2, 3, 2**20, 2**31])
    _changed(dice, file, lambda values: values * by)


def transposed(dice: random.Random, file: Any) -> None:
    _changed(dice, file, lambda values: np.ascontiguousarray(values.T))


def shorter(dice: random.Random, file: Any) -> None:
    n = dice.choice([0, 1, 2])
    _changed(
        dice, file, lambda values: values[: len(values) - n] if dice.random() < 0.5 else values[:n]
    )


def longer(dice: random.Random, file: Any) -> None:
    n = dice.choice([2, 3, 300, 70_000])
    _changed(dice, file, lambda values: np.tile(values, (n,) + (1,) * (values.ndim - 1)))


def many_values(dice: random.Random, file: Any) -> None:
    n = dice.choice([1 << 16, (1 << 16) + 1, 1 << 20])
    _changed(dice, file, lambda _: np.arange(-n // 2, n // 2), "values")


def reshaped(dice: random.Random, file: Any) -> None:
    shape: tuple[int, ...] = dice.choice([(-1,), (1, -1), (-1, 1), (1, 1, -1), (1,) * 5 + (-1,)])
    _changed(dice, file, lambda values: values.reshape(shape))


def form(dice: random.Random, file: Any) -> None:
    """Change the format of values or of products."""
    path = _table(dice, file, dice.choice([("values",), ("products",)]))
    holder = file[path] if path.endswith("values") else file[path].parent
    name = dice.choice(["fraction_bits", "value_bits", "bits"])
    if name in holder.attrs:
        by = dice.choice([-1, 1, 2, -40, 40, 200, -(2**31), 2**62])
        number = int(holder.attrs[name]) + by
        holder.attrs.create(name, np.array(number, np.int64), dtype="<i8")


def without_a_table(dice: random.Random, file: Any) -> None:
    path = _table(dice, file)
    del file[path if dice.random() < 0.5 else path.rpartition("/")[0] or path]


def of_another(dice: random.Random, file: Any) -> None:
    """Give a group the tables of another."""
    one, other = _table(dice, file), _table(dice, file)
    here, there = one.rpartition("/")[0], other.rpartition("/")[0]
    if here and there and here != there:
        file.move(here, "kept")
        file.copy(there, here)
        del file["kept"]


CODEBOOK_MUTATIONS: tuple[Callable[[random.Random, Any], None], ...] = (
    *(nudge, nudge, nudge, swap_two, repeat_one, constant_values, scaled, transposed, shorter),
    *(longer, many_values, reshaped, form, form, without_a_table, of_another),
)


class CodebookMutants(TraceMutants):
    """Mutants of the samples of format 1.2; those that pass for sound are run by the referee too.

    Most are edits of tables with digests put right again, for bytes are those of any trace.
    """

    chunk_bytes = 1 << 10
    mutations = (*OBJECT_MUTATIONS, *CODEBOOK_MUTATIONS, *CODEBOOK_MUTATIONS)

    def original_trace(self, folder: Path) -> Trace:
        """Yield the sample that a folder's mutants come from, with one of its images."""
        is_first = folder.name.strip(string.ascii_letters) == "0"
        name = "mnist_codebooks" if is_first else "every_table"
        return shortened(open_trace(SAMPLES / f"{name}.h5"))

    def outcome(self, path: Path, *, may_differ: bool, thorough: bool) -> str:
        """Check one mutant and read everything; run it where it is another sound trace."""
        came = super().outcome(path, may_differ=may_differ, thorough=thorough)
        if came == "other":
            trace = open_trace(path)
            try:
                run_network(trace, trace.samples.codes.read())
            except BitpimError as error:
                return f"BAD passed for sound, but the referee says: {error}"
        return came


def shortened(trace: Trace) -> Trace:
    """Keep one image, and no float outputs but the last."""

    def first(tensor: TensorRecord | None) -> TensorRecord | None:
        if tensor is None:
            return None
        how = {"axes": tensor.axes, "role": tensor.role, "units": tensor.units}
        return TensorRecord.of(tensor.read(0, 1), **how)

    last = len(trace.layers) - 1
    layers = tuple(
        replace(layer, output_float=first(layer.output_float) if layer.index == last else None)
        for layer in trace.layers
    )
    codes, labels = first(trace.samples.codes), first(trace.samples.labels)
    assert codes is not None
    return replace(trace, layers=layers, samples=replace(trace.samples, codes=codes, labels=labels))
