"""`python -m bench.vector_pack FOLDER`: the published pack of test vectors, by kind of array.

What lies in `traces/vectors` was made so; a test makes it again and compares every word.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bitpim import CamWords, record, sample_path
from bitpim.golden.program_steps import catalogue_trace
from bitpim.golden.vectors import after_steps, make_vectors
from bitpim.lookup.stepped_cam import (
    ANSWER,
    QUERY,
    SEARCH_BEST,
    SEARCH_TERNARY,
    SEARCH_THRESHOLD,
    WRITE,
    SteppedCam,
)
from bitpim.recorded import Recording
from bitpim_traces.program_trace.records import ProgramTrace

__all__ = ["make_pack", "programs"]

_TABLES = Path(__file__).parents[1] / "traces" / "samples" / "v1.2" / "mnist_codebooks.h5"
_ROWS = ("0000000000000000", "0101010101010101", "1111111100000000", "XXXXXXXX11111111")
_QUERIES = ("0101010101010111", "1111111111111111", "XXXXXXXX00000000")


def programs() -> Mapping[str, tuple[ProgramTrace, str]]:
    """Return the programs of the pack by the folder they lie in, and after which steps it looks."""
    net = sample_path()
    small = {"array_rows": 36, "array_columns": 48, "ou_rows": 36, "ou_columns": 48}
    return {
        "sram_multiply": (catalogue_trace("multiply", bits=4, n_columns=70, seed=0), "10,40,65"),
        "sram_divide": (catalogue_trace("divide", bits=4, n_columns=65, seed=1), "end"),
        "sram_tile": (record(net, "neural_cache", "conv2", 0).program, "end"),
        "crossbar_tile": (record(net, "isaac", "conv2", 3, settings=small).program, "end"),
        "cam_searches": (_searches(), "marks"),
        "magic_add": (catalogue_trace("nor_add", bits=4, n_columns=65, seed=2), "10,40,72"),
        "rna_neuron": (record(_TABLES, "rapidnn", "conv2", 0).program, "marks"),
    }


def _searches() -> ProgramTrace:
    """Store four words, some bits not cared for, and search for three, in three ways each."""
    rows, queries = CamWords.from_text(_ROWS), CamWords.from_text(_QUERIES)
    array = SteppedCam(len(rows), rows.n_bits)
    recording = Recording(array, array.made_of)
    recording.mark("rows")
    for row in range(len(rows)):
        recording.step(WRITE, dst=row, port=_port(array, rows, row))
    for query in range(len(queries)):
        recording.mark(f"query {query}")
        recording.step(QUERY, port=_port(array, queries, query))
        for code, number in ((SEARCH_TERNARY, -1), (SEARCH_THRESHOLD, 4), (SEARCH_BEST, -1)):
            recording.step(code, number)
            recording.step(ANSWER)
    return recording.finish("searches of 16 bits")


def _port(array: SteppedCam, words: CamWords, which: int) -> np.ndarray:
    row = np.zeros(array.port.shape, np.uint64)
    row[:2] = words.bits[which, 0], words.care[which, 0]
    return row


def make_pack(folder: Path) -> None:
    """Make all folders of the pack in a new folder."""
    folder.mkdir()
    for name, (program, after) in programs().items():
        make_vectors(
            program, folder / name, formats=["readmemh"], after=after_steps(program, after)
        )


def main() -> None:
    """Make the pack where the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    make_pack(parser.parse_args().folder)


if __name__ == "__main__":
    main()
