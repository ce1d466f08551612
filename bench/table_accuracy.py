"""`python -m bench.table_accuracy --network NAME... -o FILE.json`: accuracy against codebook sizes.

Real networks run on `rapidnn` with codebooks of 4 to 64 values: nearest values by difference in
exact arithmetic, and other ways of matching at fidelity bit, where every search is executed. Before
that, on the first images, the machine must give the same codes at both fidelities, and exact
arithmetic (`exact_tables`) those of the machine.
Traces are made once, into a folder; see `codebook_traces`. Finished points are kept in a file of
JSON lines and are not run again while trace, images and settings are the same.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.adc_accuracy import Advance, choices, watched
from bench.codebook_traces import LARGEST, at_size, codebook_trace
from bench.exact_tables import ExactTables
from bench.finished_points import Journal
from bench.networks.float_networks import FLOAT_NETWORKS
from bench.table_figure import draw_accuracy
from bench.table_text import Point, plain, table
from bitpim import make_machine
from bitpim.errors import BitpimError, ConfigError, MismatchError
from bitpim.lookup.nearest_table import MATCH_MODES
from bitpim.machine.machine import Codes, Machine
from bitpim.report.figure_file import FORMATS, write_figure
from bitpim.threads import use_threads
from bitpim_traces.exporter import Retraining
from bitpim_traces.records import Trace

__all__ = [
    "SIZES",
    "Baseline",
    "Point",
    "Wanted",
    "accuracies",
    "baseline",
    "measure",
    "need_equal",
]

SIZES = (4, 8, 16, 32, 64)
N_EQUAL = 16
"""Images on which bit fidelity must give what integer fidelity gives."""

BATCH = 50

Classes = npt.NDArray[np.int64]
Open = Callable[[str, int, bool], Trace]
"""Yields the trace of a network: its name, the size of codebooks, whether it is re-trained."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One measurement; `n_images` are counts of first images, each a point of its own."""

    network: str
    size: int
    mode: str
    n_images: tuple[int, ...]
    retrained: bool = False
    assignments: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What is run, in a few words."""
        trained = ", re-trained" if self.retrained else ""
        return f"{self.network}, {self.size} values, {self.mode}{trained}"

    def make(self) -> Machine:
        """Make the machine; its own assignments come last."""
        return make_machine("rapidnn", None, (f"match.mode={self.mode}", *self.assignments))


@dataclass(frozen=True, slots=True)
class Baseline:
    """A trace's images: labels, and the choices of the float network."""

    digest: str
    labels: Classes
    real: Classes

    @property
    def n_images(self) -> int:
        """Number of images."""
        return self.labels.size


def baseline(trace: Trace) -> Baseline:
    """Look up labels, and what the float network answers to all images.

    Raises
    ------
    ConfigError
        The trace has no labels, or not all answers of the float network.
    """
    labels, floats = trace.samples.labels, trace.layers[-1].output_float
    if labels is None or floats is None or floats.shape[0] < trace.n_samples:
        raise ConfigError(
            f"trace {trace.name}: need labels and the float network's answers to all samples, as "
            "bench.codebook_traces makes, got fewer"
        )
    return Baseline(trace.digest, labels.read().astype(np.int64), choices(floats.read()))


def need_equal(
    trace: Trace, machine: Machine, exact: ExactTables, n_images: int = N_EQUAL, jobs: int = 1
) -> None:
    """Hold bit against integer fidelity, codes and counts of every layer; and exact arithmetic.

    Raises
    ------
    MismatchError
        They differ.
    """
    codes = trace.samples.codes.read(0, min(n_images, trace.n_samples))
    bit, integer = (
        machine.prepare(trace, fidelity=fidelity, jobs=jobs).run_batch(codes)
        for fidelity in ("bit", "integer")
    )
    for one, other in zip(bit, integer, strict=True):
        if not np.array_equal(one.codes, other.codes) or one.counts != other.counts:
            name = trace.layers[one.index].name
            raise MismatchError(
                f"{trace.name}: layer {one.index} {name!r}: bit and integer fidelity differ on "
                f"the first {len(codes)} images"
            )
        last = one.codes
    if not np.array_equal(last, exact.run(codes)):
        raise MismatchError(
            f"{trace.name}: machine and exact arithmetic differ on the first {len(codes)} images"
        )


def measure(
    trace: Trace, base: Baseline, wanted: Wanted, *, jobs: int = 1, advance: Advance | None = None
) -> list[Point]:
    """Run the first images on one machine; yield a point for each count of them.

    Raises
    ------
    ConfigError
        A count of images is not from 1 to as many as there are.
    """
    _need_images(trace, wanted)
    machine = wanted.make()
    run, fidelity = _runner(trace, machine, jobs)
    began, found = time.perf_counter(), []
    n_images = max(wanted.n_images)
    for start in range(0, n_images, BATCH):
        stop = min(start + BATCH, n_images)
        found.append(choices(run(trace.samples.codes.read(start, stop))))
        if advance is not None:
            advance(wanted.title, stop - start)
    chosen, spent = np.concatenate(found), time.perf_counter() - began
    return [
        Point(
            wanted.network,
            wanted.size,
            wanted.mode,
            wanted.retrained,
            fidelity,
            n,
            int(np.count_nonzero(chosen[:n] == base.labels[:n])),
            int(np.count_nonzero(base.real[:n] == base.labels[:n])),
            int(np.count_nonzero(chosen[:n] == base.real[:n])),
            round(spent * n / n_images, 3),
            key_of(wanted, base, n),
        )
        for n in wanted.n_images
    ]


def _runner(trace: Trace, machine: Machine, jobs: int) -> tuple[Callable[[Codes], Codes], str]:
    """Return what gives the last layer's codes, and its fidelity."""
    if machine.losses() is None:
        exact = ExactTables(trace)
        need_equal(trace, machine, exact, jobs=jobs)
        return exact.run, "integer"
    network = machine.prepare(trace, fidelity="bit", jobs=jobs)

    def run(codes: Codes) -> Codes:
        *_, last = network.run_batch(codes)
        return last.codes

    return run, "bit"


def _need_images(trace: Trace, wanted: Wanted) -> None:
    for n in wanted.n_images:
        if not 1 <= n <= trace.n_samples:
            raise ConfigError(
                f"{wanted.title}: need 1 to {trace.n_samples} images, got --images {n}"
            )


def key_of(wanted: Wanted, base: Baseline, n_images: int) -> str:
    """Yield a digest of all that decides a point; the trace is that of the largest codebooks."""
    settings = wanted.make().settings.model_dump(mode="json")
    given = [base.digest, wanted.size, wanted.retrained, n_images, settings]
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:32]


def accuracies(
    open_one: Open,
    all_wanted: Sequence[Wanted],
    journal: Journal[Point],
    *,
    jobs: int = 1,
    advance: Advance | None = None,
) -> list[Point]:
    """Yield every point wanted; those of the journal are not run again."""
    points = []
    for wanted in all_wanted:
        trace = open_one(wanted.network, wanted.size, wanted.retrained)
        base = baseline(trace)
        keys = [key_of(wanted, base, n) for n in wanted.n_images]
        if all(key in journal.points for key in keys):
            if advance is not None:
                advance(wanted.title, max(wanted.n_images))
        else:
            sized = (
                trace if wanted.retrained or wanted.size == LARGEST else at_size(trace, wanted.size)
            )
            for point in measure(sized, base, wanted, jobs=jobs, advance=advance):
                journal.add(point)
        points += [journal.points[key] for key in keys]
    return points


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.table_accuracy", description=__doc__)
    names = tuple(FLOAT_NETWORKS)
    parser.add_argument("--network", nargs="+", choices=names, default=names)
    parser.add_argument("--traces", type=Path, help="folder of traces, kept; missing ones are made")
    parser.add_argument(
        "--real-data",
        type=Path,
        default=os.environ.get("BITPIM_REAL_DATA"),
        help="folder of the real networks and images (default: BITPIM_REAL_DATA)",
    )
    parser.add_argument("--sizes", nargs="+", type=int, choices=SIZES, default=SIZES)
    parser.add_argument("--modes", nargs="+", choices=MATCH_MODES, default=MATCH_MODES)
    parser.add_argument("--set", nargs="+", default=(), metavar="PART.KEY=VALUE", dest="assigned")
    parser.add_argument("--images", type=int, default=2000, help="so many of the first images")
    parser.add_argument(
        "--match-images", type=int, default=500, help="so many for modes other than abs"
    )
    parser.add_argument("--all", action="store_true", help="all images for the largest size, too")
    parser.add_argument(
        "--retrain", type=int, default=0, metavar="EPOCHS", help="after training on, too"
    )
    parser.add_argument("--taught", type=int, help="so many training images (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="threads")
    parser.add_argument("-o", "--output", type=Path, help="JSON; its points lie in FILE.jsonl")
    parser.add_argument("--figure", type=Path, help=f"a file in one of {', '.join(FORMATS)}")
    return parser


def wanted_of(options: argparse.Namespace, n_samples: Callable[[str], int]) -> list[Wanted]:
    """Yield every point that the command line names; the best known way first."""
    found = []
    for name in options.network:
        for retrained in (False, True) if options.retrain else (False,):
            for mode in ("abs",) if retrained else options.modes:
                for size in options.sizes:
                    n = options.images if mode == "abs" else options.match_images
                    every = options.all and mode == "abs" and size == max(options.sizes)
                    counts = (n, n_samples(name)) if every and n < n_samples(name) else (n,)
                    found.append(
                        Wanted(name, size, mode, counts, retrained, tuple(options.assigned))
                    )
    return found


def _run(options: argparse.Namespace, folder: Path) -> None:
    real_data = None if options.real_data is None else Path(options.real_data)
    training = Retraining(epochs=options.retrain) if options.retrain else None

    def open_one(name: str, size: int, retrained: bool) -> Trace:
        if retrained:
            return codebook_trace(name, folder, real_data, size, training, options.taught)
        return codebook_trace(name, folder, real_data)

    every = wanted_of(options, lambda name: open_one(name, LARGEST, False).n_samples)
    use_threads(options.jobs)
    journal = Journal(Point, options.output and options.output.with_suffix(".jsonl"))
    with watched(sum(max(wanted.n_images) for wanted in every)) as advance:
        points = accuracies(open_one, every, journal, jobs=options.jobs, advance=advance)
    found: dict[str, Any] = plain(points)
    if options.output is not None:
        options.output.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if options.figure is not None:
        write_figure(options.figure, lambda: draw_accuracy(found))
    print(table(points))


def main() -> int:
    """Measure what the command line names."""
    options = arguments().parse_args()
    with tempfile.TemporaryDirectory(prefix="bitpim-") as name:
        try:
            _run(options, options.traces or Path(name))
        except (BitpimError, RuntimeError, OSError) as error:
            print(error, file=sys.stderr)
            return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
