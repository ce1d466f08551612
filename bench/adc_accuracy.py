"""`python -m bench.adc_accuracy --network NAME -o FILE.json`: accuracy against the bits of the ADC.

Each crossbar machine runs the first images of a real network at each width of its converter. Where
the converter is lossless the machine says so and the run is at integer fidelity, whose answers are
the same; elsewhere every OU read is executed. A sum that a lossy converter drives out of its
accumulator saturates. Finished points are kept in a file of JSON lines and are not run again while
trace, images and settings are the same.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.adc_figure import draw_accuracy
from bench.finished_points import Journal
from bench.networks import NETWORKS
from bench.real_networks import Network, make_trace
from bitpim import make_machine, open_trace
from bitpim.crossbar.adc import adc_models
from bitpim.digital.layers import prepare_layer
from bitpim.errors import BitpimError, ConfigError
from bitpim.machine.machine import Machine
from bitpim.machine.schedule import run_layers
from bitpim.report.figure_file import FORMATS, write_figure
from bitpim.threads import use_threads
from bitpim_traces.records import Trace

__all__ = [
    "Advance",
    "Baseline",
    "Point",
    "Wanted",
    "accuracies",
    "baseline",
    "choices",
    "measure",
    "table",
    "watched",
]

MACHINES = ("dense_crossbar", "isaac", "sre", "pattern_crossbar")
MODELS = adc_models(lambda model: model.takes_bits)
BITS = tuple(range(3, 10))
BATCH = 50

Classes = npt.NDArray[np.int64]
Advance = Callable[[str, int], None]
"""Called with what is being run and how many more images are done."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One point to be measured; `assignments` are settings beside the converter's."""

    machine: str
    adc_model: str
    adc_bits: int
    preset: str | None = None
    assignments: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What is run, in a few words."""
        return f"{self.machine}, {self.adc_model} {self.adc_bits} bits"

    def make(self) -> Machine:
        """Make the machine; its own assignments come last."""
        converter = (f"converter.adc_model={self.adc_model}", f"converter.adc_bits={self.adc_bits}")
        given = ("numbers.overflow=saturate", *converter, *self.assignments)
        return make_machine(self.machine, self.preset, given)


@dataclass(frozen=True, slots=True)
class Point:
    """What came out of one machine with one converter.

    `n_same` counts the images whose choice is that of exact arithmetic. `key` is a digest of the
    trace, the images and every setting of the machine.
    """

    machine: str
    preset: str
    adc_model: str
    adc_bits: int
    n_images: int
    n_right: int
    n_same: int
    lossless: bool
    seconds: float
    key: str

    @property
    def curve(self) -> str:
        """Name of the line the point lies on."""
        return f"{self.preset or self.machine} {self.adc_model}"


@dataclass(frozen=True, slots=True)
class Baseline:
    """A trace's first images: labels, and the choices of float and of exact arithmetic."""

    network: str
    digest: str
    labels: Classes
    exact: Classes
    real: Classes | None

    @property
    def n_images(self) -> int:
        """Number of images."""
        return self.labels.size

    @property
    def integer_accuracy(self) -> float:
        """Share of right answers in exact integer arithmetic."""
        return float(np.mean(self.exact == self.labels))

    @property
    def float_accuracy(self) -> float | None:
        """Share of right answers of the float network; None where the trace has too few."""
        return None if self.real is None else float(np.mean(self.real == self.labels))


def choices(codes: npt.NDArray[Any]) -> Classes:
    """Yield the class each sample's outputs choose, the first of equals."""
    chosen: Classes = codes.reshape(codes.shape[0], -1).argmax(axis=1)
    return chosen


def baseline(trace: Trace, n_images: int) -> Baseline:
    """Run the first images in exact arithmetic, and look up what the float network answers.

    Raises
    ------
    ConfigError
        The trace has no labels, no image is asked for, or more than there are.
    """
    if trace.samples.labels is None or not 1 <= n_images <= trace.n_samples:
        got = "no labels" if trace.samples.labels is None else f"--images {n_images}"
        raise ConfigError(
            f"trace {trace.name}: need labels, and 1 to {trace.n_samples} images, got {got}"
        )
    prepared = [prepare_layer(x, trace.input_quantizations(x)) for x in trace.layers]
    exact = []
    for start in range(0, n_images, BATCH):
        codes = trace.samples.codes.read(start, min(start + BATCH, n_images))
        layers = run_layers(trace, codes, lambda x, inputs: prepared[x.index].run(inputs))
        *_, (_, out) = layers
        exact.append(choices(out))
    floats = trace.layers[-1].output_float
    known = floats is not None and floats.shape[0] >= n_images
    return Baseline(
        trace.name,
        trace.digest,
        trace.samples.labels.read(0, n_images).astype(np.int64),
        np.concatenate(exact),
        choices(floats.read(0, n_images)) if floats is not None and known else None,
    )


def measure(
    trace: Trace, base: Baseline, wanted: Wanted, *, jobs: int = 1, advance: Advance | None = None
) -> Point:
    """Run the images of the baseline on one machine."""
    machine = wanted.make()
    lossless = is_lossless(machine, trace)
    network = machine.prepare(trace, fidelity="integer" if lossless else "bit", jobs=jobs)
    began = time.perf_counter()
    found = []
    for start in range(0, base.n_images, BATCH):
        stop = min(start + BATCH, base.n_images)
        *_, last = network.run_batch(trace.samples.codes.read(start, stop))
        found.append(choices(last.codes))
        if advance is not None:
            advance(wanted.title, stop - start)
    chosen = np.concatenate(found)
    return Point(
        wanted.machine,
        wanted.preset or "",
        wanted.adc_model,
        wanted.adc_bits,
        base.n_images,
        int(np.count_nonzero(chosen == base.labels)),
        int(np.count_nonzero(chosen == base.exact)),
        lossless,
        round(time.perf_counter() - began, 3),
        key_of(machine, base),
    )


def is_lossless(machine: Machine, trace: Trace) -> bool:
    """Tell whether a machine's reads are exact: only then it runs at integer fidelity."""
    try:
        for _ in machine.prepare(trace, fidelity="integer").run_batch(
            trace.samples.codes.read(0, 1)
        ):
            pass
    except ConfigError:
        return False
    return True


def key_of(machine: Machine, base: Baseline) -> str:
    """Yield a digest of all that decides a point."""
    settings = machine.settings.model_dump(mode="json")
    given = [base.digest, base.n_images, machine.name, settings]
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:32]


def accuracies(
    trace: Trace,
    base: Baseline,
    all_wanted: Sequence[Wanted],
    journal: Journal[Point],
    *,
    jobs: int = 1,
    advance: Advance | None = None,
) -> list[Point]:
    """Yield every point wanted; those of the journal are not run again."""
    points = []
    for wanted in all_wanted:
        key = key_of(wanted.make(), base)
        if key in journal.points:
            if advance is not None:
                advance(wanted.title, base.n_images)
        else:
            journal.add(measure(trace, base, wanted, jobs=jobs, advance=advance))
        points.append(journal.points[key])
    return points


def table(base: Baseline, points: Sequence[Point]) -> str:
    """Write accuracies in per cent, a row a width, a column a machine and model."""
    curves = list(dict.fromkeys(p.curve for p in points))
    heads = ["bits", *curves]
    found = {(p.curve, p.adc_bits): p for p in points}
    rows = [heads]
    for bits in sorted({p.adc_bits for p in points}):
        cells = [found.get((curve, bits)) for curve in curves]
        rows.append([str(bits), *("-" if p is None else _per_cent(p) for p in cells)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    real = "-" if base.float_accuracy is None else f"{100 * base.float_accuracy:.2f} %"
    title = f"{base.network}, {base.n_images} images: float {real}, exact integers"
    last = "= lossless: the answers are those of exact integers"
    return "\n".join([f"{title} {100 * base.integer_accuracy:.2f} %", *lines, last])


def _per_cent(point: Point) -> str:
    return f"{100 * point.n_right / point.n_images:.2f}{'=' if point.lossless else ' '}"


def plain(base: Baseline, points: Sequence[Point]) -> dict[str, Any]:
    """Everything as plain values; `lossless_bits` is the least measured width that is lossless."""
    lossless: dict[str, int] = {}
    for p in sorted(points, key=lambda p: p.adc_bits, reverse=True):
        if p.lossless:
            lossless[p.curve] = p.adc_bits
    return {
        "network": base.network,
        "trace_digest": base.digest,
        "n_images": base.n_images,
        "float_accuracy": base.float_accuracy,
        "integer_accuracy": base.integer_accuracy,
        "lossless_bits": lossless,
        "points": [{"accuracy": p.n_right / p.n_images, **asdict(p)} for p in points],
    }


@contextmanager
def watched(n_images: int) -> Iterator[Advance | None]:
    """Yield what a measurement reports to: a bar on stderr, or None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(None), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=n_images)
        yield lambda title, n: bar.update(task, description=title, advance=n)


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.adc_accuracy", description=__doc__)
    parser.add_argument("--network", choices=tuple(NETWORKS), default="vgg16q_pattern")
    parser.add_argument("--trace", type=Path, help="a trace file instead of a network by name")
    parser.add_argument("--traces", type=Path, help="folder of traces, kept; missing ones are made")
    parser.add_argument(
        "--real-data",
        type=Path,
        default=os.environ.get("BITPIM_REAL_DATA"),
        help="folder of the real networks and images (default: BITPIM_REAL_DATA)",
    )
    parser.add_argument("--machines", nargs="+", default=MACHINES, metavar="NAME[=PRESET]")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=("clip",))
    parser.add_argument("--bits", nargs="+", type=int, default=BITS)
    parser.add_argument("--set", nargs="+", default=(), metavar="PART.KEY=VALUE", dest="assigned")
    parser.add_argument("--images", type=int, default=1000, help="so many of the first images")
    parser.add_argument("--jobs", type=int, default=2, help="threads")
    parser.add_argument("-o", "--output", type=Path, help="JSON; its points lie in FILE.jsonl")
    parser.add_argument("--figure", type=Path, help=f"a file in one of {', '.join(FORMATS)}")
    return parser


def wanted_of(options: argparse.Namespace) -> list[Wanted]:
    """Yield every point that the command line names."""
    machines = [machine.partition("=") for machine in options.machines]
    return [
        Wanted(name, model, bits, preset or None, tuple(options.assigned))
        for name, _, preset in machines
        for model in options.models
        for bits in options.bits
    ]


def _run(options: argparse.Namespace, folder: Path) -> None:
    path = options.trace
    if path is None:
        path = folder / f"{options.network}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        real_data = None if options.real_data is None else Path(options.real_data)
        make_trace(Network(options.network, 0, None), real_data, path)
    trace, every = open_trace(path), wanted_of(options)
    use_threads(options.jobs)
    base = baseline(trace, options.images)
    journal = Journal(Point, options.output and options.output.with_suffix(".jsonl"))
    with watched(len(every) * base.n_images) as advance:
        points = accuracies(trace, base, every, journal, jobs=options.jobs, advance=advance)
    found = plain(base, points)
    if options.output is not None:
        options.output.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if options.figure is not None:
        write_figure(options.figure, lambda: draw_accuracy(found))
    print(table(base, points))


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
