"""The package's face: its names, and the functions behind them. That its import is cheap is a rule
of the house; that every name has an example, of `tests/test_examples.py`.
"""

import inspect
import json
from dataclasses import replace
from pathlib import Path

import pytest

import bitpim
from bitpim.config.entry import parts_of
from bitpim.errors import BitpimError, ConfigError, MismatchError, ResultError
from bitpim.machine.registry import entry_of
from bitpim.report.text import as_json
from bitpim_traces import write_trace
from tests.strategies import small_trace

KINDS = ["conv2d", "max_pool2d", "add", "activation", "flatten", "linear"]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "net.h5"
    write_trace(small_trace(9, kinds=KINDS, n_samples=4, float_noise=True), path)
    return path


def test_every_name_is_there() -> None:
    for name in bitpim.__all__:
        assert getattr(bitpim, name) is not None
        assert name in dir(bitpim)
    assert bitpim.BitpimError is BitpimError
    assert bitpim.__version__[0].isdigit()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'replai'"):
        bitpim.replai  # noqa: B018


@pytest.mark.parametrize("name", bitpim.machines())
def test_no_setting_hides_behind_an_argument(name: str) -> None:
    """A setting is changed by keyword, so none may be called as an argument is."""
    keys = {key for part in parts_of(entry_of(name).settings).values() for key in part.model_fields}
    functions = (bitpim.make_machine, bitpim.plan, bitpim.replay, bitpim.verify)
    taken = {key for function in functions for key in inspect.signature(function).parameters}
    assert keys and not keys & taken


def test_what_there_is() -> None:
    assert set(bitpim.presets()) >= {p for m in bitpim.machines() for p in bitpim.presets(m)}
    with pytest.raises(ConfigError, match="did you mean 'isaac'"):
        bitpim.presets("isac")
    for machine in bitpim.machines():
        assert entry_of(machine).prices in bitpim.prices()


def test_settings_are_changed_by_keyword_by_whole_key_or_as_typed() -> None:
    made = [
        bitpim.make_machine("isaac", adc_bits=6),
        bitpim.make_machine("isaac", settings={"converter.adc_bits": 6}),
        bitpim.make_machine("isaac", settings=["converter.adc_bits=6"]),
        bitpim.make_machine("isaac", "isaac", {"adc_bits": 6}),
    ]
    assert [machine.settings for machine in made] == [made[0].settings] * 4
    both = bitpim.make_machine("isaac", settings={"converter.adc_bits": 6}, read_cycle_ns=200.0)
    assert (both.settings.converter.adc_bits, both.settings.timing.read_cycle_ns) == (6, 200.0)
    with pytest.raises(ConfigError, match="got both"):
        bitpim.make_machine("isaac", settings=["adc_bits=6"], rows=64)
    with pytest.raises(ConfigError, match="was made already"):
        bitpim.plan("none.h5", made[0], adc_bits=5)


def test_a_replay_is_a_result_that_prints_in_a_few_lines(net: Path) -> None:
    result = bitpim.replay(net, "isaac", adc_bits=6, samples=":2")
    text = repr(result)
    assert len(text.splitlines()) < 10 and len(text) < 800
    assert "preset isaac with converter.adc_bits=6" in text.splitlines()[0]
    assert "energy" in text and "by isaac" in text  # the machine's own prices, unless told
    assert len(repr(result.layers)) < 800
    assert list(net.parent.iterdir()) == [net]
    without = bitpim.replay(net, "isaac", adc_bits=6, samples=range(2), prices="none", jobs=1)
    assert "energy" not in repr(without)
    assert bitpim.compare(result, without).is_equal


def test_tables_and_values_name_the_run(net: Path) -> None:
    result = bitpim.replay(net, "isaac", adc_bits=6, samples=0, layers=[0, KINDS.index("linear")])
    rows = result.table()
    assert [row["index"] for row in rows] == [0, 5] and len({tuple(row) for row in rows}) == 1
    assert {row["settings"] for row in rows} == {"converter.adc_bits=6"}
    assert {row["samples"] for row in rows} == {"0:1"}
    assert not any(isinstance(value, dict | list) for row in rows for value in row.values())
    values = json.loads(as_json(result.to_dict()))
    assert values["settings"] == {"converter.adc_bits": 6} and len(values["layers"]) == 2
    assert sum(row["cycles"] for row in rows) == values["totals"]["cycles"]


def test_html_is_escaped(net: Path) -> None:
    result = bitpim.replay(net, "isaac", samples=0)
    layer = replace(result.layers[0], name="<script>")
    shown = replace(result, layers=(layer,))._repr_html_()
    assert "&lt;script&gt;" in shown and "<script>" not in shown and "<table>" in shown
    for told in (
        bitpim.plan(net, "isaac"),
        bitpim.verify(net, result),
        bitpim.compare(result, result),
    ):
        assert "<table>" in told._repr_html_()


def test_plans(net: Path, tmp_path: Path) -> None:
    plan = bitpim.plan(net, "dense_crossbar", preset="dense_crossbar_8bit", adc_bits=7)
    assert "preset dense_crossbar_8bit with converter.adc_bits=7" in repr(plan).splitlines()[0]
    rows, values = plan.table(), plan.to_dict()
    assert [row["name"] for row in rows] == [layer["name"] for layer in values["layers"]]
    assert rows[0]["cycles.read"] == values["layers"][0]["cycles"]["read"] > 0
    assert plan.counts(0, 3)["read"]["cycles"] == 3 * rows[0]["cycles.read"]
    for layer in (None, 0, rows[0]["name"]):
        plan.plot(tmp_path / f"{layer}.png", layer)
        assert (tmp_path / f"{layer}.png").stat().st_size
    with pytest.raises(ConfigError, match="need one layer to draw, got 2"):
        plan.plot(tmp_path / "x.png", "0,1")


def test_verifications(net: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.h5"
    result = bitpim.replay(net, "isaac", out, fidelity="integer")
    machine = bitpim.make_machine("isaac")
    for what in (result, out, str(out), "isaac", machine):
        found = bitpim.verify(net, what)
        assert found.equal and found.exactness == "L0" and found.lossy is None
        assert [row["n_samples"] for row in found.table()] == [4] * len(KINDS)
        assert "isaac, preset isaac, " in repr(found).splitlines()[0]
        found.require_equal()
    with pytest.raises(ConfigError, match="rerun: a machine runs once"):
        bitpim.verify(net, "isaac", rerun=False)
    lossy = bitpim.verify(net, "isaac", adc_bits=2, samples=":1")
    assert not lossy.equal and lossy.lossy is not None and "ADC" in lossy.lossy
    assert "NO" in repr(lossy) and lossy.to_dict()["equal"] is False
    with pytest.raises(MismatchError):
        lossy.require_equal()
    for given in ({"samples": ":1"}, {"fidelity": "bit"}, {"preset": "isaac"}, {"adc_bits": 3}):
        with pytest.raises(ConfigError, match="a result has its own settings"):
            bitpim.verify(net, out, **given)


def test_files_are_kept_resumed_and_replaced(net: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.h5"
    first = bitpim.replay(net, "isaac", out, samples=":2")
    with pytest.raises(ResultError, match="--overwrite replaces it"):
        bitpim.replay(net, "isaac", out)
    assert bitpim.compare(first, bitpim.replay(net, "isaac", out, samples=":2", resume=True))
    longer = bitpim.replay(net, "isaac", out, overwrite=True)
    assert longer.header.n_samples == 4
    with pytest.raises(ConfigError, match="resume: need out"):
        bitpim.replay(net, "isaac", resume=True)
    found = bitpim.compare(first, out)
    assert not found.is_equal and "run: stop: 2 and 4" in repr(found)
    assert found.table() == [] and found.to_dict()["equal"] is False


def test_progress_is_told(net: Path) -> None:
    replayed: list[float] = []
    verified: list[float] = []
    result = bitpim.replay(net, "isaac", batch=2, progress=lambda p: replayed.append(p.share))
    bitpim.verify(net, result, progress=lambda p: verified.append(p.share))
    for shares in (replayed, verified):
        assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) > 2
