"""Settings by layer from a run to its file and back: stated wherever settings are."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bitpim
from bitpim.errors import ConfigError, ResultError
from bitpim.report.tables import as_csv, as_text
from bitpim.run import Progress
from bitpim_traces import write_trace
from tests.strategies import small_trace

ON: dict[str, Any] = {"machine": "dense_crossbar", "preset": "dense_crossbar_8bit"}
TRACE = small_trace(
    42, kinds=["conv2d", "max_pool2d", "conv2d", "flatten", "linear"], mode="half_up_shift",
    bits=(8, 8), float_noise=True,
)  # fmt: skip
FIRST = "conv2d_0"
SETTINGS = {f"layers.digital@{FIRST}": True, "converter.adc_bits@lin*": 3,
            "numbers.overflow": "saturate"}  # fmt: skip
TYPED = "converter.adc_bits@lin*=3 numbers.overflow=saturate layers.digital@conv2d_0=true"
OWN = ["layers.digital=true", "", "", "", "converter.adc_bits=3"]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "net.h5"
    write_trace(TRACE, path)
    return path


@pytest.fixture(scope="module")
def kept(net: Path) -> Path:
    path = net.with_name("kept.h5")
    bitpim.replay(net, out=path, settings=SETTINGS, **ON)
    return path


def test_a_result_states_them_in_its_header_and_in_each_row(net: Path, kept: Path) -> None:
    result = bitpim.open_result(kept)
    assert f"preset dense_crossbar_8bit with {TYPED}, bit" in repr(result).splitlines()[0]
    lines = result.header.preset.splitlines()
    spelt = '"adc_bits@lin*" = { value = 3, source = "set by hand", confidence = "assumed" }'
    assert spelt in lines and any(line.startswith('"digital@conv2d_0" = ') for line in lines)
    assert [layer.plan["own_settings"] for layer in result.layers] == OWN
    assert [layer.plan["rule"] for layer in result.layers] == ["digital", "", "dense", "", "dense"]
    values = result.to_dict()
    assert values["settings"] == {"converter.adc_bits@lin*": 3, "numbers.overflow": "saturate",
                                  "layers.digital@conv2d_0": True}  # fmt: skip
    assert [layer["own_settings"] for layer in values["layers"]] == OWN
    for row, own in zip(result.table(), OWN, strict=True):
        assert (row["settings"], row["own_settings"]) == (TYPED, own)
    rows = list(csv.DictReader(io.StringIO(as_csv(result))))
    assert [row["own_settings"] for row in rows] == OWN
    text = as_text(result)
    assert "settings of its own" in text and "  converter.adc_bits=3" in text
    assert "<th>own_settings</th>" in result._repr_html_()
    plan = bitpim.plan(net, settings=SETTINGS, **ON)
    assert TYPED in plan.title and [row["own_settings"] for row in plan.table()] == OWN
    assert [layer["own_settings"] for layer in plan.to_dict()["layers"]] == OWN


def test_without_any_there_is_no_column_of_them(net: Path) -> None:
    plain = bitpim.replay(net, fidelity="integer", **ON)
    assert "own_settings" not in plain.table()[0] and "own_settings" not in as_text(plain)
    assert "own_settings" not in plain.layers[0].plan
    assert "own_settings" not in bitpim.plan(net, **ON).table()[0]


def test_a_layer_left_digital_costs_no_array(kept: Path) -> None:
    first, *_, last = bitpim.open_result(kept).layers
    assert first.counts.keys() == {"buffer"} and first.n_cycles == 0
    assert first.energy_pj == {"buffer": 0.0} and last.total_energy_pj > 0
    assert last.events()["adc_conv_3"] > 0 and "adc_conv_5" not in last.events()


def test_a_run_with_others_is_another_run(net: Path, kept: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.h5"
    out.write_bytes(kept.read_bytes())
    bitpim.replay(net, out=out, settings=SETTINGS, resume=True, **ON)
    assert out.read_bytes() == kept.read_bytes()
    for other in ({"layers.digital@conv2d_2": True}, {"converter.adc_bits@lin*": 4}, {}):
        with pytest.raises(ResultError, match=r"r\.h5: .*preset"):
            changed = SETTINGS | other if other else {}
            bitpim.replay(net, out=out, settings=changed, resume=True, **ON)


def test_what_is_left_of_a_run_is_of_its_settings(net: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.h5"

    def stop(progress: Progress) -> None:
        if progress.start:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bitpim.replay(net, out=out, settings=SETTINGS, batch=1, progress=stop, **ON)
    with pytest.raises(ResultError, match="preset"):
        bitpim.replay(net, out=out, settings={"overflow": "saturate"}, resume=True, **ON)
    found = bitpim.replay(net, out=out, settings=SETTINGS, resume=True, **ON)
    assert [layer.plan["own_settings"] for layer in found.layers] == OWN


def test_a_comparison_names_both(net: Path, kept: Path, tmp_path: Path) -> None:
    other = bitpim.replay(net, settings={"overflow": "saturate"}, **ON)
    found = bitpim.compare(kept, other)
    assert f"preset dense_crossbar_8bit with {TYPED} and preset dense_crossbar_8bit with" in str(
        found.notes
    )
    assert not found.is_equal


def test_a_result_is_computed_again_from_what_it_states(net: Path, kept: Path) -> None:
    found = bitpim.verify(net, kept)
    outcomes = {claim.what: (claim.outcome, claim.detail) for claim in found.claims}
    for what in ("run", "outputs", "counts and cycles", "plan", "energies", "preset"):
        assert outcomes[what][0] == "equal", outcomes
    lossy = "ADC clip of 3 bits, partial sums 0 to 27 of OUs of 9 rows (in 'linear_4')"
    assert found.lossy == lossy == bitpim.verify(net, settings=SETTINGS, what=ON["machine"],
                                                 preset=ON["preset"]).lossy  # fmt: skip
    digital = {f"digital@{FIRST}": True}
    again = bitpim.verify(net, bitpim.replay(net, settings=digital, **ON))
    assert again.lossy is None and again.exactness == "L0"


def test_a_preset_file_may_state_them(net: Path, tmp_path: Path) -> None:
    """Then they are none that were changed by hand, and stand in the rows."""
    path = tmp_path / "mine.toml"
    origin = 'source = "a paper", confidence = "recalled"'
    path.write_text(
        '[preset]\nmachine = "dense_crossbar"\nname = "mine"\nextends = "dense_crossbar_8bit"\n'
        f'[layers]\n"digital@{FIRST}" = {{ value = true, {origin} }}\n'
        f'[converter]\n"adc_bits@lin*" = {{ value = 3, {origin} }}\n'
        f'[numbers]\noverflow = {{ value = "saturate", {origin} }}\n'
    )
    result = bitpim.replay(net, "dense_crossbar", preset=path)
    assert "preset mine, bit fidelity" in repr(result).splitlines()[0]
    assert [layer.plan["own_settings"] for layer in result.layers] == OWN
    by_hand = bitpim.replay(net, settings=SETTINGS, **ON)
    assert np.array_equal(result.layers[-1].digests, by_hand.layers[-1].digests)
    assert bitpim.replay(net, "dense_crossbar", preset=path, settings=["digital@*=true"]).table()[
        -1]["own_settings"] == "layers.digital=true"  # fmt: skip


def test_by_keyword_by_whole_key_or_as_typed() -> None:
    by_keyword: dict[str, Any] = {"adc_bits@conv*": 6}
    made = [
        bitpim.make_machine("isaac", **by_keyword),
        bitpim.make_machine("isaac", settings={"converter.adc_bits@conv*": 6}),
        bitpim.make_machine("isaac", settings=["adc_bits@conv*=6"]),
    ]
    assert [machine.settings for machine in made] == [made[0].settings] * 3
    with pytest.raises(ConfigError, match=r"setting rows@conv1: unknown key 'rows'"):
        bitpim.make_machine("isaac", settings={"rows@conv1": 6})


@pytest.mark.parametrize("run", [bitpim.plan, bitpim.replay, bitpim.verify])
def test_each_function_refuses_a_pattern_that_fits_no_layer(run: Any, net: Path) -> None:
    with pytest.raises(ConfigError, match=r"adc_bits@conf2d_0: need .*closest are 'conv2d_0'"):
        run(net, "isaac", **{"adc_bits@conf2d_0": 6})
