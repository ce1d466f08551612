"""`python -m bench.two_trees BEFORE TRACE...`: what a change of the code changed, and what it cost.

BEFORE is a Python interpreter in whose environment another version of bitpim is installed. Each
trace is planned and replayed by that version and by this one, on every preset of every machine
that both know, at both fidelities, as whole processes. Plans, outputs of every layer, counts,
figures and refusals must be equal; the time of the replays is compared pair by pair. Exit code 4
where anything differs.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.whole_command import Run, measure
from bitpim import compare, open_result

__all__ = ["Case", "Found", "Version", "cases_of", "examine"]

_LIST_PRESETS = """
import json, tomllib
from importlib import resources
folder = resources.files("bitpim").joinpath("presets")
texts = {f.name.removesuffix(".toml"): f.read_text("utf-8") for f in folder.iterdir()
         if f.name.endswith(".toml")}
print(json.dumps({name: tomllib.loads(text)["preset"]["machine"] for name, text in texts.items()}))
"""


@dataclass(frozen=True, slots=True)
class Version:
    """An installed bitpim, by the interpreter that finds it.

    What lies in the folder we stand in is not looked at (-P), as that is a bitpim, too.
    """

    python: str

    def run(self, *arguments: str) -> Run:
        """Run a command of it."""
        return measure([self.python, "-P", "-m", "bitpim", *arguments], places=())

    def presets(self) -> dict[str, str]:
        """Return its packaged presets, each with its machine."""
        done = subprocess.run(
            [self.python, "-P", "-c", _LIST_PRESETS], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{self.python}: has no bitpim that can be asked: {done.stderr}")
        found: dict[str, str] = json.loads(done.stdout)
        return found


@dataclass(frozen=True, slots=True)
class Case:
    """One replay that both versions make."""

    trace: Path
    machine: str
    preset: str
    fidelity: str
    samples: str

    @property
    def name(self) -> str:
        """What the case is called, in tables and files."""
        return f"{self.trace.stem}-{self.preset}-{self.fidelity}"

    @property
    def machine_arguments(self) -> tuple[str, ...]:
        """Words of the command line that choose the machine."""
        return ("--machine", self.machine, "--preset", self.preset)


@dataclass(frozen=True, slots=True)
class Found:
    """What came out of a case: layers compared, differences, and seconds before over after.

    `refusal` is what this version says of a case that it does not run.
    """

    case: str
    n_layers: int
    n_samples: int
    differences: tuple[str, ...]
    ratio: float | None
    before_s: float | None
    after_s: float | None
    refusal: str = ""


def cases_of(
    traces: Sequence[Path], presets: dict[str, str], samples: dict[str, str]
) -> Iterator[Case]:
    """Yield the cases: every trace on every preset, at each fidelity that has samples."""
    for trace in traces:
        for preset, machine in sorted(presets.items()):
            for fidelity, chosen in samples.items():
                yield Case(trace, machine, preset, fidelity, chosen)


def examine(case: Case, before: Version, after: Version, folder: Path, n_pairs: int = 1) -> Found:
    """Plan and replay a case by both versions, in turn, and compare what they gave."""
    plans = [version.run(*_planning(case)) for version in (before, after)]
    if any(plan.exit_code for plan in plans):
        return _refused(case, plans)
    differences = [] if _rows(plans[0]) == _rows(plans[1]) else ["plans differ"]
    files = [folder / f"{case.name}.{side}.h5" for side in ("before", "after")]
    seconds: list[tuple[float, float]] = []
    for n in range(n_pairs + 1):
        runs = []
        for version, file in zip((before, after), files, strict=True):
            file.unlink(missing_ok=True)
            samples = case.samples if n else ":1"  # the first pair compiles and is not timed
            runs.append(version.run(*_replaying(case, file, samples)))
        if any(run.exit_code for run in runs):
            return _refused(case, runs)
        if n:
            seconds.append((runs[0].seconds, runs[1].seconds))
    results = [open_result(file) for file in files]
    found = compare(*results, limit=1000)
    differences += [f"{d.kind}: {d}" for d in found.differences]
    for file in files:
        file.unlink()
    return Found(
        case.name,
        len(results[0].layers),
        results[0].header.n_samples,
        tuple(differences),
        statistics.median(first / second for first, second in seconds),
        statistics.median(first for first, _ in seconds),
        statistics.median(second for _, second in seconds),
    )


def _planning(case: Case) -> list[str]:
    return ["plan", str(case.trace), *case.machine_arguments, "--json"]


def _replaying(case: Case, file: Path, samples: str) -> list[str]:
    how = ["--fidelity", case.fidelity, "--samples", samples, "--prices", "none"]
    return ["replay", str(case.trace), *case.machine_arguments, *how, "-o", str(file)]


def _rows(plan: Run) -> object:
    return json.loads(plan.stdout)["layers"]


def _refused(case: Case, runs: Sequence[Run]) -> Found:
    """Compare refusals: the exit codes must agree; words may be mended."""
    codes = [run.exit_code for run in runs]
    differences = () if codes[0] == codes[1] else (f"exit codes {codes[0]} and {codes[1]}",)
    refusal = " ".join(runs[-1].stderr.strip().splitlines()[-1:])
    return Found(case.name, 0, 0, differences, None, None, None, refusal)


_HEAD = ("case", "layers", "samples", "equal", "before s", "after s", "before/after")


def _cells(found: Found) -> tuple[str, ...]:
    equal = "NO" if found.differences else "yes"
    if found.ratio is None:
        return (found.case, "-", "-", equal, "refused", "refused", "-")
    seconds = (f"{found.before_s:.2f}", f"{found.after_s:.2f}", f"{found.ratio:.3f}")
    return (found.case, str(found.n_layers), str(found.n_samples), equal, *seconds)


def main() -> int:
    """Examine all cases that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m bench.two_trees", description=__doc__)
    parser.add_argument("before", help="Python interpreter of the other version's environment")
    parser.add_argument("traces", nargs="+", type=Path, help="trace files")
    parser.add_argument("--after", default=sys.executable, help="this version's (default: this)")
    parser.add_argument("--preset", action="append", help="only these presets")
    parser.add_argument("--bit", default=":4", help="samples at bit fidelity (:4); '' for none")
    parser.add_argument("--integer", default=":", help="samples at integer fidelity (all)")
    parser.add_argument("--pairs", type=int, default=1, help="replays by each version, in turn")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    before, after = Version(options.before), Version(options.after)
    known = before.presets()
    presets = {p: m for p, m in after.presets().items() if known.get(p) == m}
    presets = {p: m for p, m in presets.items() if p in (options.preset or presets)}
    chosen = {"bit": options.bit, "integer": options.integer}
    samples = {fidelity: text for fidelity, text in chosen.items() if text}
    rows = []
    with tempfile.TemporaryDirectory(prefix="bitpim-") as folder:
        for case in cases_of(options.traces, presets, samples):
            rows.append(examine(case, before, after, Path(folder), options.pairs))
            print("  ".join(_cells(rows[-1])), file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        _print_table(rows)
    for row in rows:
        for text in (*row.differences[:5], *([row.refusal] if row.refusal else [])):
            print(f"{row.case}: {text}", file=sys.stderr)
    return 4 if any(row.differences for row in rows) else 0


def _print_table(rows: Sequence[Found]) -> None:
    lines = [_HEAD, *map(_cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_HEAD))]
    for line in lines:
        first, *others = (cell.ljust(w) for cell, w in zip(line, widths, strict=True))
        print("  ".join([first, *(cell.strip().rjust(len(cell)) for cell in others)]))
    ratios = [row.ratio for row in rows if row.ratio is not None]
    if ratios:
        n_equal, n_run = sum(not row.differences for row in rows), len(ratios)
        print(f"\n{n_equal} of {len(rows)} equal, {n_run} of them run; before over after: ", end="")
        print(f"median {statistics.median(ratios):.3f}, least {min(ratios):.3f}")


if __name__ == "__main__":
    sys.exit(main())
