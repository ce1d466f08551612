"""Fixtures that measure cases of `goals.toml`; what they find is shown and never asserted.

`ratio`: ours and a twin timed in turn. `limit`: whole commands against an absolute limit.
"""

import contextlib
import json
import os
import statistics
import time
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

Case = Callable[[], object]

GOALS = Path(__file__).with_name("goals.toml")
PAIRS = 7
"""Pairs timed per case; the median of seven stands three disturbed ones."""

RATIOS = ("speedup", "time")
LIMITS = ("s", "MiB")

_OUTCOMES = pytest.StashKey[list["Outcome"]]()


@dataclass(frozen=True, slots=True)
class Goal:
    """What a case must reach and the goal beyond; "speedup" is better large, all else small."""

    what: str
    measure: str
    must: float
    goal: float
    twin: str = ""

    def met(self, ratio: float) -> str:
        """Return "goal", "must" or "no"."""
        if self.measure == "speedup":
            return "goal" if ratio >= self.goal else "must" if ratio >= self.must else "no"
        return "goal" if ratio <= self.goal else "must" if ratio <= self.must else "no"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case as it was measured; `found` is a ratio, or seconds or MiB; times are medians."""

    case: str
    measure: str
    found: float
    must: float
    goal: float
    met: str
    each: list[float]
    ours_s: float | None = None
    twin_s: float | None = None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --bench-json and, where the tests' conftest has not done so, --real-data."""
    parser.addoption("--bench-json", metavar="FILE", help="write the table of results to FILE")
    with contextlib.suppress(ValueError):
        parser.addoption(
            "--real-data",
            default=os.environ.get("BITPIM_REAL_DATA"),
            help="folder with the real networks and images; synthetic ones stand in without it",
        )


def pytest_configure(config: pytest.Config) -> None:
    """Collect bench_*.py when the folder is named."""
    config.addinivalue_line("python_files", "bench_*.py")
    config.stash[_OUTCOMES] = []


def read_goals(path: Path = GOALS) -> dict[str, Goal]:
    """Return the goals by case name."""
    return {name: Goal(**entry) for name, entry in tomllib.loads(path.read_text()).items()}


def timed(case: Case) -> float:
    """Return the wall time of one call in seconds."""
    start = time.perf_counter()
    case()
    return time.perf_counter() - start


def alternate(ours: Case, twin: Case, n_pairs: int = PAIRS) -> list[tuple[float, float]]:
    """Return (ours, twin) seconds of each pair, after both were called twice to warm up."""
    for case in (ours, twin, ours, twin):
        case()
    return [(timed(ours), timed(twin)) for _ in range(n_pairs)]


@pytest.fixture(scope="session")
def real_folder(request: pytest.FixtureRequest) -> Path | None:
    """Folder of real networks and images, or None: cases then say what stands in."""
    named = request.config.getoption("--real-data")
    return Path(named) if named and Path(named).is_dir() else None


def _entry(name: str, measures: tuple[str, ...]) -> Goal:
    """Find the goal of a case, `name` of an entry or `name:variant`."""
    entry = read_goals().get(name.split(":")[0])
    if entry is None or entry.measure not in measures:
        pytest.fail(
            f"bench: need a case of {GOALS.name} measured in {' or '.join(measures)}, "
            f"got {name!r}; add its goal first"
        )
    return entry


@pytest.fixture
def ratio(request: pytest.FixtureRequest, benchmark: Any) -> Callable[[str, Case, Case], float]:
    """Yield a function that measures a case of goals.toml; returns the median of pairwise ratios.

    The case is `name` of an entry, or `name:variant`.
    """

    def measure(name: str, ours: Case, twin: Case) -> float:
        entry = _entry(name, RATIOS)
        pairs = alternate(ours, twin)
        each = [b / a if entry.measure == "speedup" else a / b for a, b in pairs]
        ours_s, twin_s = (statistics.median(times) for times in zip(*pairs, strict=True))
        outcome = _outcome(name, entry, each, ours_s, twin_s)
        request.config.stash[_OUTCOMES].append(outcome)
        benchmark.extra_info.update(asdict(outcome))
        benchmark.pedantic(ours, rounds=3)
        return outcome.found

    return measure


@pytest.fixture
def limit(request: pytest.FixtureRequest) -> Callable[[str, list[float]], float]:
    """Yield a function that holds measured seconds or MiB to a limit; returns their median."""

    def hold(name: str, each: list[float]) -> float:
        outcome = _outcome(name, _entry(name, LIMITS), each)
        request.config.stash[_OUTCOMES].append(outcome)
        return outcome.found

    return hold


def _outcome(
    name: str,
    entry: Goal,
    each: list[float],
    ours_s: float | None = None,
    twin_s: float | None = None,
) -> Outcome:
    found = statistics.median(each)
    met = entry.met(found)
    return Outcome(name, entry.measure, found, entry.must, entry.goal, met, each, ours_s, twin_s)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table of ratios; write it where --bench-json says."""
    outcomes = config.stash[_OUTCOMES]
    if not outcomes:
        return
    terminalreporter.section("results (speedup: larger is better; all else: smaller is better)")
    width = max(len(outcome.case) for outcome in outcomes)
    heads = f"{'case':{width}}  {'measure':8} {'found':>8} {'must':>7} {'goal':>7}  met"
    terminalreporter.write_line(heads + "        ours ms    twin ms   spread")
    for outcome in outcomes:
        ours, twin = (
            "" if s is None else f"{1e3 * s:.3g}" for s in (outcome.ours_s, outcome.twin_s)
        )
        terminalreporter.write_line(
            f"{outcome.case:{width}}  {outcome.measure:8} {outcome.found:8.3g} {outcome.must:7g} "
            f"{outcome.goal:7g}  {outcome.met:5} {ours:>10} {twin:>10}   "
            f"{min(outcome.each):.3g}..{max(outcome.each):.3g}"
        )
    path = config.getoption("--bench-json")
    if path:
        rows = [asdict(outcome) for outcome in outcomes]
        Path(path).write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
