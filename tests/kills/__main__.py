"""End runs at random moments, and print the table of tests/README.md.

PYTHONPATH=.:kernels:traces python -m tests.kills 200       # of each kind, over all cases
"""

import signal
import sys

from tests.kills.cases import CASES
from tests.kills.runs import INTERRUPTS, end_runs

COLUMNS = ("ended", "had finished", "had finished batches", "went on to the same bytes", "left")


def main() -> None:
    """Spread so many kills, and as many interrupts, over the cases."""
    n_runs = int(sys.argv[1])
    for number in INTERRUPTS:  # what was started in the background ignores some, and so would runs
        signal.signal(number, signal.SIG_DFL)
    print("|  | runs |", " | ".join(COLUMNS), "|")
    print("|---" * (2 + len(COLUMNS)) + "|")
    for words, numbers in (("kills", [signal.SIGKILL]), ("interrupts", INTERRUPTS)):
        for k, case in enumerate(CASES):
            n_here = n_runs // len(CASES) + (k < n_runs % len(CASES))
            found = end_runs(case, numbers, n_here, 0)
            cells = " | ".join(str(found[column]) for column in COLUMNS)
            print(f"| {words} of {case.name} | {n_here} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
