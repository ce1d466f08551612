"""Thousands of damaged files of words: one clear error, or words that are sound.

An .npz has checksums over its arrays, but none over their names: what is still read is what was
written, or lacks the care whose name was lost. The other kinds have no checksums, or only over
some, so that a changed bit may be another word.
"""

import io
import random
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bitpim.errors import BitpimError
from bitpim.lookup.word_files import read_words
from bitpim.lookup.words import CamWords

N_MUTANTS = {
    "text": 400,
    "integers": 200,
    "npy": 250,
    "npz": 250,
    "classic": 600,
    "newer": 300,
}
"""Of some fifty times as many, run by hand, none was at fault."""
DENSE = ("npy", "integers")
"""Kinds of which nearly every byte means something."""
MOST_BYTES, MOST_SECONDS = 2**23, 2.0
PARTS = ["X", "2", "_", "\n", "\r\n", "#", "\0", "0x", "-", " ", "é", "9" * 5000, "\ufeff", "01X0"]

BITS = np.random.default_rng(5).integers(0, 2, (40, 33)).astype(np.uint8)


def text() -> bytes:
    return "\n".join(CamWords.from_bits(BITS, BITS[::-1]).to_text()).encode()


def integers() -> bytes:
    return b"\n".join(str(int(n)).encode() for n in np.arange(-99, 99))


def npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, BITS)
    return stream.getvalue()


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, stored=BITS, stored_care=BITS[::-1], queries=BITS[:3])
    return stream.getvalue()


def hdf5(libver: Any) -> bytes:
    """Every way in which values are kept: at once, in chunks, filtered; in groups."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver=libver) as file:
        file["plain/words"] = BITS
        filtered = {"compression": "gzip", "shuffle": True, "fletcher32": True}
        file.create_dataset("stored", data=BITS, chunks=(16, 33), **filtered)
        file.create_dataset("stored_care", data=BITS.astype(bool)[::-1], chunks=(7, 8))
        file["queries"] = np.arange(9)
        file["queries"].attrs["n_bits"] = 12
    return stream.getvalue()


MAKERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "text": (text, "w.txt"),
    "integers": (integers, "w.txt"),
    "npy": (npy, "w.npy"),
    "npz": (npz, "w.npz"),
    "classic": (lambda: hdf5("earliest"), "w.h5"),
    "newer": (lambda: hdf5("v110"), "w.h5"),
}
ARRAYS = {"classic": ("stored", "queries", "plain/words"), "newer": ("stored", "queries")}


def mutant(dice: random.Random, whole: bytes, kind: str) -> bytes:
    content = bytearray(whole)
    for _ in range(dice.choice([1, 1, 1, 2, 6])):
        at, way = dice.randrange(len(content)), dice.randrange(6)
        if way == 0:
            content[at] ^= 1 << dice.randrange(8)
        elif way == 1:
            del content[at : at + dice.choice([1, 8, 10**9])]
        elif way == 2:
            content[at : at + 8] = dice.choice([bytes(8), b"\xff" * 8, dice.randbytes(8)])
        elif way == 3:
            content[at:at] = dice.randbytes(dice.choice([1, 4, 50]))
        elif way == 4:
            other = dice.randrange(len(content))
            content[at : at + 8] = content[other : other + 8]
        elif kind in ("text", "integers"):
            content[at:at] = dice.choice(PARTS).encode()
        else:
            content[at : at + 8] = dice.choice([1, 16, 2**31, 2**62]).to_bytes(8, "little")
        if not content:
            break
    return bytes(content)


@pytest.mark.parametrize("kind", N_MUTANTS)
def test_mutants_are_refused_or_words(kind: str, tmp_path: Path) -> None:
    make, name = MAKERS[kind]
    whole, path = make(), tmp_path / name
    n_bits = 8 if kind == "integers" else None
    arrays = ARRAYS.get(kind, ("",))
    path.write_bytes(whole)

    def read(array: str) -> CamWords:
        return read_words(f"{path}:{array}" if array else str(path), n_bits=n_bits)

    originals = {array: read(array).to_text() for array in arrays}
    outcomes = Counter[str]()
    tracemalloc.start()
    for seed in range(N_MUTANTS[kind]):
        dice = random.Random(seed)
        path.write_bytes(mutant(dice, whole, kind))
        array = dice.choice(arrays)
        tracemalloc.reset_peak()
        began = time.process_time()
        try:
            words = read(array)
        except BitpimError as error:
            said = str(error)
            assert str(path) in said and len(said) < len(str(path)) + 400, (seed, said)
            assert said.isprintable(), (seed, said)
            outcomes["refused"] += 1
        else:
            assert len(words) and words.n_bits
            is_same = words.to_text() == originals[array]
            outcomes["same" if is_same else "other"] += 1
            if kind == "npz" and not is_same:
                assert words.to_text() == CamWords.from_bits(BITS).to_text(), seed
        assert time.process_time() - began < MOST_SECONDS, seed
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES, seed
    tracemalloc.stop()
    assert outcomes["refused"] > N_MUTANTS[kind] // 8, outcomes
    assert outcomes["same"] > N_MUTANTS[kind] // 100 or kind in DENSE, outcomes
