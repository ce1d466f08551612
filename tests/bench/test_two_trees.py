"""Two versions compared: equal ones are equal, and what differs is named."""

import contextlib
import io
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.two_trees import Case, Version, cases_of, examine
from bench.whole_command import Run
from bitpim.cli.app import run
from bitpim_traces import write_trace
from tests.strategies import small_trace


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small trace file."""
    path = tmp_path_factory.mktemp("two_trees") / "net.h5"
    kinds = ["conv2d", "max_pool2d", "flatten", "linear"]
    write_trace(small_trace(9, kinds=kinds, n_samples=3, float_noise=True), path)
    return path


@dataclass(frozen=True)
class Here(Version):
    """This version, run in this process, with words added to one of its commands."""

    python: str = sys.executable
    added: tuple[str, ...] = ()
    command: str = "replay"

    def run(self, *arguments: str) -> Run:
        words = (*arguments, *(self.added if self.command in arguments else ()))
        out, err = io.StringIO(), io.StringIO()
        began = time.perf_counter()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(words)
        seconds = time.perf_counter() - began
        return Run(words, seconds, 1, code, out.getvalue(), err.getvalue())


@pytest.mark.slow
def test_a_version_equals_itself_and_differs_from_one_that_counts_otherwise(
    net: Path, tmp_path: Path
) -> None:
    this = Version(sys.executable)
    case = Case(net, "dense_crossbar", "dense_crossbar_8bit", "bit", ":2")
    found = examine(case, this, this, tmp_path)
    assert (found.differences, found.n_layers, found.n_samples) == ((), 4, 2)
    assert found.ratio is not None and not list(tmp_path.iterdir())
    other = Here(added=("--set", "geometry.ou_columns=4"))
    found = examine(case, other, Here(), tmp_path)
    assert any(text.startswith("counts: layer 0") for text in found.differences)
    other = Here(added=("--set", "converter.adc_bits=1", "--set", "numbers.overflow=saturate"))
    found = examine(case, Here(), other, tmp_path)
    assert any(text.startswith("outputs: layer 0") for text in found.differences)


def test_plans_and_refusals_are_compared_too(net: Path, tmp_path: Path) -> None:
    this = Here()
    case = Case(net, "isaac", "isaac_8bit", "integer", ":9")
    found = examine(case, this, this, tmp_path)
    assert (found.differences, found.ratio) == ((), None)
    assert "samples 0:9" in found.refusal
    wide = Here(added=("--set", "geometry.cell_bits=1"), command="plan")
    found = examine(Case(net, "isaac", "isaac_8bit", "integer", ":1"), this, wide, tmp_path)
    assert found.differences == ("plans differ",)
    fewer = Here(added=("--set", "converter.adc_bits=2"))
    found = examine(Case(net, "isaac", "isaac_8bit", "integer", ":1"), fewer, this, tmp_path)
    assert found.differences == ("exit codes 3 and 0",)


def test_cases_are_all_traces_on_all_presets_at_each_fidelity() -> None:
    traces, presets = [Path("a.h5"), Path("b.h5")], {"isaac_8bit": "isaac", "sre": "sre"}
    cases = list(cases_of(traces, presets, {"bit": ":2"}))
    assert [case.name for case in cases] == [
        "a-isaac_8bit-bit", "a-sre-bit", "b-isaac_8bit-bit", "b-sre-bit",
    ]  # fmt: skip
    assert cases[0].machine_arguments == ("--machine", "isaac", "--preset", "isaac_8bit")


def test_presets_are_those_installed() -> None:
    presets = Version(sys.executable).presets()
    assert presets["neural_cache_mve"] == "neural_cache"
    with pytest.raises(RuntimeError, match="has no bitpim"):
        Version("/bin/false").presets()


def test_a_bitpim_in_the_folder_we_stand_in_is_not_the_one_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bitpim").mkdir()
    (tmp_path / "bitpim" / "__init__.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    assert Version(sys.executable).run("--version").exit_code == 0
    assert "isaac" in Version(sys.executable).presets()
