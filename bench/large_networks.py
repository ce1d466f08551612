"""`python -m bench.large_networks`: what networks of the usual size take, on every machine.

VGG-16 at 224 x 224 pixels and AlexNet, random weights. Each machine plans one, then replays one
image at both fidelities, by the command line as a user would. The table has the peak memory of each
process; exit code 4 where one has more than the limit. `isaac` gets as many tiles as it asks for.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import bitpim
from bench.whole_command import Run, measure
from bench.whole_command import bitpim as command_line

__all__ = ["LIMIT_BYTES", "NETWORKS", "Row", "faults_of", "measured", "table"]

LIMIT_BYTES = 2 << 30
NETWORKS = ("vgg16", "alexnet")
STEPS = ("plan", "integer", "bit")


@dataclass(frozen=True, slots=True)
class Row:
    """What a machine takes for one network; bytes and seconds of the steps in turn."""

    network: str
    machine: str
    settings: tuple[str, ...]
    peak_bytes: tuple[int, ...]
    seconds: tuple[float, ...]


def measured(network: str, trace: Path, machine: str, folder: Path) -> Row:
    """Plan and replay one image; each step in a process of its own.

    Where the plan is refused for a setting, and names one that works, that is set.
    """
    result = str(folder / "result.h5")
    where = (str(trace), "-m", machine)
    plan = measure(command_line("plan", *where))
    advised = re.search(r"`?(--set) ([\w.]+=\w+)", plan.stderr) if plan.exit_code == 3 else None
    settings = advised.groups() if advised else ()
    replay = ("replay", *where, *settings, "--samples", "0", "-o", result, "--overwrite")
    runs: list[Run] = [
        measure(command_line("plan", *where, *settings)).require_success(),
        *(
            measure(command_line(*replay, "--fidelity", fidelity)).require_success()
            for fidelity in STEPS[1:]
        ),
    ]
    peaks, seconds = zip(*((run.peak_bytes, run.seconds) for run in runs), strict=True)
    return Row(network, machine, settings[1:], peaks, seconds)


def faults_of(row: Row) -> list[str]:
    """Say which steps took more than the limit."""
    limit = LIMIT_BYTES >> 20
    return [
        f"{row.network} on {row.machine}, {step}: peak {peak >> 20} MiB, at most {limit}"
        for step, peak in zip(STEPS, row.peak_bytes, strict=True)
        if peak > LIMIT_BYTES
    ]


def table(rows: Sequence[Row]) -> str:
    """Return the rows in Markdown: MiB, and seconds, of each step."""
    lines = [
        f"| network | machine | {' | '.join(f'{step}, MiB (s)' for step in STEPS)} |",
        "|---|---|" + "---:|" * len(STEPS),
    ]
    for row in rows:
        name = " ".join((row.machine, *(f"`{setting}`" for setting in row.settings)))
        pairs = zip(row.peak_bytes, row.seconds, strict=True)
        cells = " | ".join(f"{peak / 2**20:,.0f} ({seconds:.0f})" for peak, seconds in pairs)
        lines.append(f"| {row.network} | {name} | {cells} |")
    return "\n".join(lines)


def main() -> int:
    """Measure the networks named on the command line on all machines, or on those named."""
    parser = argparse.ArgumentParser(prog="bench.large_networks", description=__doc__)
    parser.add_argument("networks", nargs="*", default=NETWORKS, help="names of synthetic networks")
    parser.add_argument("-m", "--machine", action="append", help="machine; all by default")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="bitpim-") as place:
        folder = Path(place)
        for network in options.networks:
            trace = folder / f"{network}.h5"
            measure(command_line("trace", "synth", network, "-o", str(trace))).require_success()
            for machine in options.machine or bitpim.machines():
                rows.append(measured(network, trace, machine, folder))
                print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
            trace.unlink()
    print(table(rows))
    faults = [fault for row in rows for fault in faults_of(row)]
    print("\n".join(faults), end="\n" * bool(faults))
    return 4 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
