"""A machine from a package outside the tree: found, planned, run, verified, reported, priced.

It touches its own files only: `my_toy` beside this test, which is copied away from the tree and put
on the path of a fresh interpreter as an installed package would be.
"""

import json
import shutil
from collections.abc import Sequence
from math import prod
from pathlib import Path

import pytest

from bitpim.report.result_file import open_result
from bitpim_traces import write_trace
from bitpim_traces.records import Trace
from tests.additions.outside import Ended, register, run_commands
from tests.strategies import small_trace

KINDS = ["conv2d", "max_pool2d", "add", "activation", "flatten", "linear"]
N = 5
Line = Sequence[object]


@pytest.fixture(scope="module")
def trace() -> Trace:
    return small_trace(9, kinds=KINDS, n_samples=N, bits=(4, 8), float_noise=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the package and the record of its installation."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(Path(__file__).parent / "my_toy", folder / "my_toy")
    register(folder, "my-toy", {"toy": "my_toy.toy:ENTRY"})
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, trace: Trace) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_trace(trace, folder / "net.h5")
    return folder


def lines(work: Path) -> dict[str, Line]:
    """Name every command that a machine has to work with; the order is that of their needs."""
    net, toy, other = work / "net.h5", work / "toy.h5", work / "other.h5"
    lossy = ("--set", "arithmetic.dropped_bits=2")
    return {
        "plan": ("plan", net, "-m", "toy"),
        "drawn": ("plan", net, "-m", "toy", "--plot", work / "plan.svg"),
        "replay": ("replay", net, "-m", "toy", "-o", toy),
        "resumed": ("replay", net, "-m", "toy", "-o", toy, "--resume"),
        "verify": ("verify", net, "-m", "toy", "--fidelity", "integer"),
        "verify result": ("verify", net, toy),
        "lossy": ("verify", net, "-m", "toy", *lossy),
        "replay lossy": ("replay", net, "-m", "toy", "-o", work / "lossy.h5", *lossy),
        "verify lossy result": ("verify", net, work / "lossy.h5"),
        "other": ("replay", net, "-m", "neural_cache", "-o", other, "--fidelity", "integer"),
        "report": ("report", toy),
        "report json": ("report", toy, "--json"),
        "compare": ("compare", toy, other),
        "cost": ("cost", toy),
        "cost by another": ("cost", toy, "--prices", "toy_cheap", "--json"),
        "replay by another": (
            *("replay", net, "-m", "toy", "-o", work / "cheap.h5"),
            *("--preset", "toy_large", "--prices", "toy_cheap", "--json"),
        ),
        "by layer": ("plan", net, "-m", "toy", "--set", "arithmetic.dropped_bits@*=2"),
        "left digital": ("plan", net, "-m", "toy", "--set", "layers.digital@*=true"),
        "show": ("config", "show", "toy", "-p", "toy_large"),
        "default": ("config", "default", "toy"),
        "schema": ("config", "schema", "toy"),
        "misspelt": ("config", "show", "toyy"),
        "unused name": ("replay", net, "-m", "toy", "-o", toy, "--prices", "toy_cheep"),
    }


@pytest.fixture(scope="module")
def ended(place: Path, work: Path) -> dict[str, Ended]:
    """Run all commands in one interpreter that has the package on its path, twice as it happens."""
    named = lines(work)
    return dict(zip(named, run_commands(list(named.values()), place, place), strict=True))


def n_outputs(trace: Trace) -> int:
    return N * sum(prod(layer.output_shape) for layer in trace.layers)


def said(ended: Ended) -> str:
    assert (ended.code, ended.err) == (0, ""), ended
    return ended.out


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_it_is_planned_with_its_own_columns_sums_and_words(
    ended: dict[str, Ended], trace: Trace
) -> None:
    lines = said(ended["plan"]).splitlines()
    assert lines[0].endswith("on toy, preset toy; cycles of one sample of any content, by phase")
    assert lines[2].split()[-6:] == ["entries", "table", "fill", "look", "up", "cycles"]
    n, n_looks = len(trace.layers), n_outputs(trace) // N
    fills = 16 * n
    sums = ["all", n, fills, fills, n_looks, fills + n_looks]
    assert lines[-1].split() == [str(x) for x in sums]
    assert ended["drawn"].code == 3 and "no weights to draw" in ended["drawn"].err


def test_it_runs_and_is_exact(ended: dict[str, Ended], trace: Trace) -> None:
    text = said(ended["replay"])
    n_looks, n_writes = n_outputs(trace), 16 * N * len(trace.layers)
    assert (
        f"events      {n_looks:,} look-ups, {n_looks / n_writes:.1f} look-ups an entry, "
        f"{100 * n_writes / (n_looks + n_writes):.1f} % writes" in text
    )
    assert "by toy (prices 100 % assumed)" in text and "at 500 MHz" in text
    assert said(ended["resumed"]) == text
    for name in ("verify", "verify result"):
        assert said(ended[name]).splitlines()[-1].startswith("L0: ")


def test_what_it_loses_by_its_settings_is_said(ended: dict[str, Ended]) -> None:
    said(ended["replay lossy"])
    for name in ("lossy", "verify lossy result"):
        code, out, err = ended[name]
        assert code == 4 and "layer 0" in err
        assert out.splitlines()[-1].startswith("L2: ")
        assert "as the settings have it: the lowest 2 bits of every code dropped" in out


def test_the_result_keeps_events_phases_and_legend(
    ended: dict[str, Ended], work: Path, trace: Trace
) -> None:
    said(ended["replay"])
    result = open_result(work / "toy.h5")
    n_looks, n_writes = n_outputs(trace), 16 * N * len(trace.layers)
    assert result.phases == ("table_fill", "look_up")
    assert result.events() == {"entry_read": n_looks, "entry_write": n_writes}
    assert result.total_energy_pj == 2.0 * n_looks + n_writes
    assert (result.legend.clock_ghz, result.legend.streaming) == (0.5, ("table_fill",))
    longer = [max(N * 16, N * prod(layer.output_shape)) for layer in trace.layers]
    assert result.elapsed_cycles == sum(longer) < result.n_cycles


def test_it_is_reported(ended: dict[str, Ended], trace: Trace) -> None:
    text = said(ended["report"])
    assert "(streaming beside computing)" in text and "by toy (prices" in text
    table = rows(text.split("Headlines\n")[1].split("\n\n")[0])
    assert table[0] == ["layer", "look-ups", "look-ups", "an", "entry", "writes"]
    assert [row[0] for row in table[1:]] == [*(layer.name for layer in trace.layers), "all"]
    assert ["layer", "table_fill", "look_up"] in rows(text)
    values = json.loads(said(ended["report json"]))
    assert values["totals"]["headlines"]["look-ups"] == n_outputs(trace)
    assert values["legend"]["overlaps"] is True


def test_it_is_compared_with_another(ended: dict[str, Ended], trace: Trace) -> None:
    said(ended["other"])
    code, out, err = ended["compare"]
    assert (code, err) == (4, "")
    assert "note: machine 'toy' and 'neural_cache'" in out
    assert ["entry_read", f"{n_outputs(trace):,}", "0", "-"] in rows(out)
    assert f"outputs equal in {len(trace.layers)} of {len(trace.layers)} layers" in out


def test_it_is_priced_by_its_own_tables(ended: dict[str, Ended], trace: Trace) -> None:
    n_looks, n_writes = n_outputs(trace), 16 * N * len(trace.layers)
    assert "price table toy: prices of a made-up machine" in said(ended["cost"])
    cheap = json.loads(said(ended["cost by another"]))
    assert (cheap["prices"], cheap["total_pj"]) == ("toy_cheap", 0.5 * n_looks + n_writes)
    large = json.loads(said(ended["replay by another"]))
    assert (large["prices"], large["totals"]["energy_pj"]) == (
        "toy_cheap",
        0.5 * n_looks + 4 * n_writes,
    )
    code, out, err = ended["unused name"]
    assert (code, out) == (3, "") and "did you mean 'toy_cheap'?" in err


def test_what_it_does_not_take_by_layer_is_refused(ended: dict[str, Ended]) -> None:
    code, out, err = ended["by layer"]
    assert (code, out) == (3, "")
    assert "arithmetic.dropped_bits is one for all layers, as is all that this machine has" in err
    code, out, err = ended["left digital"]
    assert (code, out) == (3, "") and "unknown key 'layers.digital'" in err
    assert "by layer" not in said(ended["show"])


def test_its_settings_are_shown_and_start_a_file(ended: dict[str, Ended]) -> None:
    text = said(ended["show"])
    assert "tables.entries" in text and "[made up]" in text
    assert text.splitlines()[-1] == "presets of toy: toy, toy_large"
    assert 'machine = "toy"' in said(ended["default"])
    assert (
        "dropped_bits" in json.loads(said(ended["schema"]))["properties"]["arithmetic"]["required"]
    )
    code, out, err = ended["misspelt"]
    assert (code, out) == (3, "") and "unknown machine 'toyy'; did you mean 'toy'?" in err


def test_its_results_outlive_the_package(ended: dict[str, Ended], work: Path) -> None:
    named = lines(work)
    kept = ("report", "report json", "compare", "cost")
    gone = ("replay", "show", "cost by another", "verify result")
    found = dict(zip([*kept, *gone], run_commands([named[n] for n in [*kept, *gone]]), strict=True))
    for name in kept:
        assert found[name] == ended[name]
    for name in ("replay", "show"):
        assert found[name].code == 3 and "unknown machine 'toy'" in found[name].err
    assert "unknown price table 'toy_cheap'" in found["cost by another"].err
    code, out, err = found["verify result"]
    assert (code, err) == (0, "") and "equal: run, final outputs, error figures, energies" in out
    assert "not checked: outputs, counts and cycles, plan (" in out
    assert "unknown machine 'toy'" in out and "L0: " in out
    assert "computed again and equal: run, outputs, " in said(ended["verify result"])
