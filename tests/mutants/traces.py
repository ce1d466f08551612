"""Damaged and hostile trace files, each determined by a seed.

Byte mutants see the file as bytes; object mutants are edits that any HDF5 tool could make. Some get
the seal, and some the digests put right again, so that only schema and rules can object.
"""

import contextlib
import hashlib
import random
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.errors import TraceError
from bitpim_traces.footer import FOOTER_BYTES, seal
from bitpim_traces.masks import LayerMask, with_masks
from bitpim_traces.quantize import Clustering, cluster_trace
from bitpim_traces.records import TensorRecord, Trace
from bitpim_traces.schema import FOOTER_MAGIC
from tests.mutants.fingerprint import fingerprint
from tests.mutants.hdf5_bytes import checksummed_blocks, damaged
from tests.mutants.objects import OBJECT_MUTATIONS
from tests.strategies import small_trace
from tests.traces.edits import redo_digests

__all__ = ["TraceMutants"]


_KINDS = ["conv2d", "add", "resize_bilinear", "slice", "multiply", "constant"]


class TraceMutants:
    """Mutants of one small trace with every structure of HDF5 that a trace can have.

    Cut chunks need a fixed array; the nine members of `extra` a heap and a B-tree.
    """

    name = "net.h5"
    chunk_bytes = 64
    mutations = OBJECT_MUTATIONS

    def __init__(self, folder: Path) -> None:
        self.original = folder / "original.h5"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("bitpim_traces.tree_writer._CHUNK_BYTES", self.chunk_bytes)
            write_trace(self.original_trace(folder), self.original)
        raw = self.original.read_bytes()
        self.body, self.footer = raw[:-FOOTER_BYTES], raw[-FOOTER_BYTES:]
        self.blocks = checksummed_blocks(self.body)
        self.expected = fingerprint(open_trace(self.original))

    def original_trace(self, folder: Path) -> Trace:
        """Yield the trace whose mutants these are."""
        trace = small_trace(1, n_samples=3, kinds=_KINDS)
        one = TensorRecord.of(np.ones(1, np.uint8), axes="K", role="mask", units="1")
        conv = replace(trace.layers[0], extra={f"mask{k}": one for k in range(9)})
        trace = replace(trace, layers=(conv, *trace.layers[1:]))
        last = max((r for r in trace.layers if r.weight is not None), key=lambda r: r.index)
        assert last.weight is not None
        groups = np.arange(last.weight.shape[0], dtype=np.int32)
        masked = with_masks(
            trace, {last.name: LayerMask(np.ones(last.weight.shape, np.uint8), groups=groups)}
        )
        return cluster_trace(masked, Clustering(2, layers=(last.name,)))[0]

    def make(self, seed: int, path: Path) -> bool:
        """Write a mutant; say whether it may be another sound trace."""
        dice = random.Random(seed)
        if not seed % 2:
            return self._object_mutant(dice, path)
        body = damaged(dice, self.body, self.blocks)
        digest = hashlib.sha256(body).digest()
        new = FOOTER_MAGIC + len(body).to_bytes(8, "little") + digest
        path.write_bytes(body + dice.choice([self.footer, b"", new, new]))
        return False

    def _object_mutant(self, dice: random.Random, path: Path) -> bool:
        shutil.copyfile(self.original, path)
        with h5py.File(path, "r+", libver=("v110", "v110")) as file:
            dice.choice(self.mutations)(dice, file)
        redone = dice.random() < 0.6
        if redone:
            with contextlib.suppress(Exception):  # the scan may have met what h5py cannot edit
                redo_digests(path)
        if dice.random() < 0.5:
            seal(path)
        return redone

    def outcome(self, path: Path, *, may_differ: bool, thorough: bool) -> str:
        """Check one mutant, open it and read everything; say what came of it.

        Opening and checking run the same code, so that only some of the faulty ones are opened too.
        """
        faults = check_trace(path, deep=True)
        if faults and not thorough:
            return "refused"
        try:
            found = fingerprint(open_trace(path))
        except TraceError as error:
            return "refused" if "\n" not in str(error) else f"BAD message of two lines: {error!r}"
        if found == self.expected:
            return "same"
        if may_differ:
            return "other" if not faults else "faulty"
        return "BAD accepted with another content"
