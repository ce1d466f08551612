"""The `ratio` fixture: ours and a twin timed in turn, held against `goals.toml`, never asserted."""

import json
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

_OUTCOMES = pytest.StashKey[list["Outcome"]]()


@dataclass(frozen=True, slots=True)
class Goal:
    """What a case must reach and the goal beyond; "speedup" is better large, "time" small."""

    what: str
    twin: str
    measure: str
    must: float
    goal: float

    def met(self, ratio: float) -> str:
        """Return "goal", "must" or "no"."""
        if self.measure == "speedup":
            return "goal" if ratio >= self.goal else "must" if ratio >= self.must else "no"
        return "goal" if ratio <= self.goal else "must" if ratio <= self.must else "no"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case as it was measured; times are medians."""

    case: str
    measure: str
    ratio: float
    must: float
    goal: float
    met: str
    ours_s: float
    twin_s: float
    ratios: list[float]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --bench-json."""
    parser.addoption("--bench-json", metavar="FILE", help="write the table of ratios to FILE")


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


@pytest.fixture
def ratio(request: pytest.FixtureRequest, benchmark: Any) -> Callable[[str, Case, Case], float]:
    """Yield a function that measures a case of goals.toml; returns the median of pairwise ratios.

    The case is `name` of an entry, or `name:variant`.
    """
    goals = read_goals()

    def measure(name: str, ours: Case, twin: Case) -> float:
        entry = goals.get(name.split(":")[0])
        if entry is None:
            pytest.fail(f"bench: need a case of {GOALS.name}, got {name!r}; add its goal first")
        pairs = alternate(ours, twin)
        quotients = [b / a if entry.measure == "speedup" else a / b for a, b in pairs]
        found = statistics.median(quotients)
        ours_s, twin_s = (statistics.median(times) for times in zip(*pairs, strict=True))
        outcome = Outcome(
            name,
            entry.measure,
            found,
            entry.must,
            entry.goal,
            entry.met(found),
            ours_s,
            twin_s,
            quotients,
        )
        request.config.stash[_OUTCOMES].append(outcome)
        benchmark.extra_info.update(asdict(outcome))
        benchmark.pedantic(ours, rounds=3)
        return found

    return measure


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table of ratios; write it where --bench-json says."""
    outcomes = config.stash[_OUTCOMES]
    if not outcomes:
        return
    terminalreporter.section("ratios (speedup: larger is better; time: smaller is better)")
    width = max(len(outcome.case) for outcome in outcomes)
    heads = f"{'case':{width}}  {'measure':8} {'ratio':>8} {'must':>7} {'goal':>7}  met"
    terminalreporter.write_line(heads + "        ours ms    twin ms   spread")
    for outcome in outcomes:
        spread = f"{min(outcome.ratios):.3g}..{max(outcome.ratios):.3g}"
        terminalreporter.write_line(
            f"{outcome.case:{width}}  {outcome.measure:8} {outcome.ratio:8.3g} {outcome.must:7g} "
            f"{outcome.goal:7g}  {outcome.met:5} {1e3 * outcome.ours_s:10.3g} "
            f"{1e3 * outcome.twin_s:10.3g}   {spread}"
        )
    path = config.getoption("--bench-json")
    if path:
        rows = [asdict(outcome) for outcome in outcomes]
        Path(path).write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
