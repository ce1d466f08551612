"""Runs mutants in limited processes and counts what came of them.

By hand: `PYTHONPATH=.:kernels:traces python tests/mutants/runs.py 10000` prints the table of
tests/README.md.
"""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

__all__ = ["KINDS", "run_mutants"]

KINDS = ("trace", "codebooks", "program", "result", "journal")
ROOT = Path(__file__).parents[2]
OUTCOMES = ("refused", "same", "other", "faulty")


def _worker(kind: str, folder: Path, start: int, stop: int) -> "subprocess.Popen[str]":
    folders = os.pathsep.join(str(ROOT / f) for f in (".", "kernels", "traces"))
    script = Path(__file__).with_name("worker.py")
    folder.mkdir()
    return subprocess.Popen(
        [sys.executable, str(script), kind, str(folder), str(start), str(stop)],
        env={**os.environ, "PYTHONPATH": folders, "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_mutants(kind: str, n_mutants: int, folder: Path, n_workers: int = 2) -> Counter[str]:
    """Count the outcomes of mutants 0 .. n; a crash, a hang and a wrong outcome name their seed."""
    step = -(-n_mutants // n_workers)
    workers = [
        _worker(kind, folder / f"{kind}{k}", k, min(k + step, n_mutants))
        for k in range(0, n_mutants, step)
    ]
    outcomes: Counter[str] = Counter()
    for worker in workers:
        out, err = worker.communicate()
        lines = out.splitlines()
        assert worker.returncode == 0, f"died ({worker.returncode}) after {lines[-1:]}: {err}"
        bad = [line for line in lines if " BAD " in line]
        assert not bad, bad[:5]
        outcomes.update(line.split()[2] for line in lines if line.startswith("end "))
    assert sum(outcomes.values()) == n_mutants
    return outcomes


def main() -> None:
    n_mutants = int(sys.argv[1])
    print("| mutants of | made |", " | ".join(OUTCOMES), "|")
    print("|---" * (2 + len(OUTCOMES)) + "|")
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            outcomes = run_mutants(kind, n_mutants, Path(folder))
        cells = " | ".join(f"{outcomes[outcome]:,}" for outcome in OUTCOMES)
        print(f"| a {kind} | {n_mutants:,} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
