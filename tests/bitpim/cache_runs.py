"""Replays on the real machine that are run to be killed; importing this compiles its kernels.

A process forked from one that has imported this starts at once, warm.
"""

import tempfile
from pathlib import Path

from bitpim.machine.registry import make_machine, prices_of
from bitpim.run import replay
from bitpim_traces.synthetic import synthetic_network

__all__ = ["run_bit_by_bit"]

_TRACE = synthetic_network("tiny", 0, n_samples=6)


def run_bit_by_bit(out: Path, resume: bool) -> None:
    prices = prices_of("neural_cache")
    machine = make_machine("neural_cache")
    replay(_TRACE, machine, out, batch=1, jobs=1, resume=resume, prices=prices)


with tempfile.TemporaryDirectory() as folder:
    run_bit_by_bit(Path(folder) / "warm.h5", False)
