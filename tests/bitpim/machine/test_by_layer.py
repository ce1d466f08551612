"""Settings by layer on the machines: a layer is as on a machine that has its settings for all.

Each layer of a run is run again alone, on the inputs that it had, by a machine whose general
settings are those of the layer.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from bitpim.config import keys_by_layer, override, setting_rows, toml_text
from bitpim.errors import BitpimError, ConfigError, MappingError
from bitpim.machine.machine import LayerRun, losses_on
from bitpim.machine.registry import entry_of, load_preset, make_machine
from bitpim.proof.reference import run_network
from bitpim_traces.records import NETWORK_INPUT, LayerRecord, Samples, TensorRecord, Trace
from tests.bitpim.machine.crossbar_runs import (
    COUNTING,
    NETWORK,
    PRESETS,
    assignments,
    prune,
    run,
)
from tests.every_machine import remedies
from tests.strategies import small_trace

WEIGHTED = ("conv2d", "linear")
SMALL = small_trace(
    42, kinds=["conv2d", "max_pool2d", "conv2d", "flatten", "linear"], mode="half_up_shift",
    bits=(8, 8),
)  # fmt: skip
PRUNED = prune(SMALL, 5)
LAYERS = [layer for layer in SMALL.layers if layer.kind in WEIGHTED]
CHIP = ("geometry.", "timing.", "chip.", "memory.")


def made(name: str, assigned: Mapping[str, Any], preset: str | None = None) -> Any:
    """A machine with settings of which some may be of no use."""
    general = load_preset(name, preset or (PRESETS | COUNTING).get(name))
    return entry_of(name).make(override(general, assigned))


def at(layer: LayerRecord, assigned: Mapping[str, Any]) -> dict[str, Any]:
    """What a layer may have of its own."""
    return {f"{k}@{layer.name}": v for k, v in assigned.items() if not k.startswith(CHIP)}


def alone(trace: Trace, layer: LayerRecord, runs: list[LayerRun]) -> Trace:
    """The layer as a network of its own, on the inputs that it had."""
    (source,) = layer.inputs
    codes = trace.samples.codes.read() if source == NETWORK_INPUT else runs[source].codes
    axes = "NCHW"[: codes.ndim]
    given_ = TensorRecord.of(np.ascontiguousarray(codes), axes=axes, role="samples")
    samples = Samples(given_, trace.input_quantizations(layer)[0], dataset="inputs")
    only = replace(layer, index=0, inputs=(NETWORK_INPUT,))
    return replace(trace, layers=(only,), samples=samples)


def same_alone(chosen: Any, trace: Trace, by_layer: Mapping[str, Any], fidelity: str) -> None:
    """See that each layer with weights gives what it gives alone on its machine of `by_layer`."""
    plan, runs = chosen.plan(trace), run(chosen, trace, fidelity=fidelity)
    for layer in trace.layers:
        if layer.kind not in WEIGHTED:
            continue
        single, general = alone(trace, layer, runs), by_layer[layer.name]
        (found,) = run(general, single, fidelity=fidelity)
        assert np.array_equal(found.codes, runs[layer.index].codes), layer.name
        assert found.counts == runs[layer.index].counts, layer.name
        (expected,) = general.plan(single).table()
        row = plan.table()[layer.index]
        assert {k: row[k] for k in expected if k != "index"} == {
            k: v for k, v in expected.items() if k != "index"
        }
        assert plan.counts(layer.index, 3) == general.plan(single).counts(0, 3)


@st.composite
def own(draw: st.DrawFn, name: str, *, lossy: bool) -> dict[str, Any]:
    found = draw(assignments(name, lossy=lossy))
    found["geometry.array_rows"] += 8  # or a draw takes seconds
    found["geometry.array_columns"] += 8
    found["numbers.weight_bits"] = draw(st.sampled_from([9, 10]))
    found["numbers.input_bits"] = draw(st.sampled_from(["trace", 9]))
    return found


@pytest.mark.parametrize("lossy", [True, False], ids=["lossy", "lossless"])
@pytest.mark.parametrize("name", [*PRESETS, *COUNTING])
def test_a_layer_on_crossbars_is_as_with_its_settings_for_all(name: str, lossy: bool) -> None:
    trace = PRUNED if name in ("sre", "pattern_crossbar") else SMALL

    @settings(max_examples=6)
    @given(own(name, lossy=lossy), own(name, lossy=lossy), st.sampled_from(LAYERS))
    def check(general: dict[str, Any], mine: dict[str, Any], layer: LayerRecord) -> None:
        chip = {key: value for key, value in general.items() if key.startswith(CHIP)}
        try:
            with_mine = made(name, {**general, **mine, **chip})
        except ConfigError as error:  # refused alike, with the layer
            event("refused")
            with pytest.raises(ConfigError) as found:
                made(name, general | at(layer, mine)).plan(trace)
            fault = str(error).rpartition("--set: ")[2]
            assert found.value.args[0].startswith(f"layer {layer.index} '{layer.name}' (")
            assert fault.split(";")[0] in str(found.value)
            return
        event("runs")
        machines = {each.name: made(name, general) for each in LAYERS} | {layer.name: with_mine}
        chosen = made(name, general | at(layer, mine))
        for fidelity in ("bit",) if lossy else ("bit", "integer"):
            same_alone(chosen, trace, machines, fidelity)

    check()


LANES = st.fixed_dictionaries(
    {
        "mapping.filter_split_limit_taps": st.sampled_from([1, 2, 4, 9]),
        "mapping.filter_pack_limit_channels": st.sampled_from([1, 2, 16]),
        "mapping.pad_channels_to_power_of_two": st.booleans(),
        "mapping.partial_sum_bits": st.integers(24, 32),
        "mapping.reduction_bits": st.sampled_from(["grow", "fixed"]),
        "mapping.requantize_packing": st.sampled_from(["packed", "in_place"]),
        "mapping.requantize_schedule": st.sampled_from(["at_once", "in_turn"]),
    }
)


@settings(max_examples=8)
@given(LANES, LANES, st.sampled_from(LAYERS))
def test_a_layer_in_a_cache_is_as_with_its_settings_for_all(
    general: dict[str, Any], mine: dict[str, Any], layer: LayerRecord
) -> None:
    machines = {each.name: made("neural_cache", general) for each in LAYERS}
    machines[layer.name] = made("neural_cache", general | mine)
    same_alone(made("neural_cache", general | at(layer, mine)), SMALL, machines, "integer")


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_a_layer_runs_in_a_cache_as_with_its_settings_for_all(layer: LayerRecord) -> None:
    mine = {"mapping.filter_pack_limit_channels": 4, "mapping.pad_channels_to_power_of_two": False,
            "mapping.requantize_packing": "in_place"}  # fmt: skip
    machines = {each.name: made("neural_cache", {}) for each in LAYERS}
    machines[layer.name] = made("neural_cache", mine)
    same_alone(made("neural_cache", at(layer, mine)), SMALL, machines, "bit")


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_a_converter_is_calibrated_for_a_layer_alone(layer: LayerRecord) -> None:
    """Its first sample is all zeros, so that it matters how many are seen."""
    codes = SMALL.samples.codes.read().copy()
    codes[0] = SMALL.samples.quantization.code_min
    samples = TensorRecord.of(codes, axes="NCHW", role="samples")
    trace = replace(SMALL, samples=replace(SMALL.samples, codes=samples))
    found: list[Any] = []
    for n_samples in (1, 2):
        own = {f"converter.{key}": value for key, value in {
            "adc_model": "round", "adc_bits": 3, "adc_range": "calibrated",
            "calibration_samples": n_samples, "calibration_coverage": 0.9}.items()
        } | {"numbers.overflow": "saturate"}  # fmt: skip
        machines = {each.name: made("dense_crossbar", {}) for each in LAYERS}
        machines[layer.name] = made("dense_crossbar", own)
        chosen = made("dense_crossbar", at(layer, own))
        same_alone(chosen, trace, machines, "bit")
        found.append(run(chosen, trace)[layer.index].codes)
    if layer.index == 0:
        assert not np.array_equal(found[0], found[1])
        other = {**own, "converter.calibration_samples": 2}  # sees more, for itself alone
        few = {**own, "converter.calibration_samples": 1}
        both = made("dense_crossbar", at(layer, few) | at(LAYERS[1], other))
        assert np.array_equal(run(both, trace)[0].codes, found[0])


def test_a_plan_says_where_reads_are_left_out() -> None:
    first, *others = (layer.name for layer in LAYERS)
    says = "that skips nothing"
    for assigned, said in (
        ([], ""),
        ([f"zero_skip@{others[1]}=vector"], says),
        ([f"zero_skip@{first}=vector", f"digital@{others[1]}=true"], says),
        (["zero_skip=vector", f"zero_skip@{first}=none"], says),
        (["zero_skip=vector", "zero_skip@*=none"], ""),
        (["zero_skip=vector", f"zero_skip@{first}=none", f"digital@{others[0]}=true",
          f"digital@{others[1]}=true"], ""),
    ):  # fmt: skip
        assert make_machine("dense_crossbar", None, assigned).plan(SMALL).assumes == said


def test_a_general_setting_is_of_use_where_one_layer_uses_it() -> None:
    assigned = ["adc_full_scale=20", f"adc_range@{LAYERS[0].name}=given", "adc_model=round"]
    plan = make_machine("dense_crossbar", "dense_crossbar_8bit", assigned).plan(SMALL)
    assert plan.table()[0]["own_settings"] == "converter.adc_range=given"
    with pytest.raises(ConfigError, match=r"adc_full_scale: nothing uses it but conv"):
        make_machine("dense_crossbar", None, ["adc_full_scale=20", "adc_bits@*=9"]).plan(SMALL)


def test_what_is_one_fact_of_a_machine_is_refused_by_layer() -> None:
    for name in (*PRESETS, *COUNTING, "neural_cache"):
        general = load_preset(name)
        by_layer = keys_by_layer(type(general))
        one = {row.key for row in setting_rows(general)} - by_layer.keys()
        parts = {"geometry", "timing", "chip", "transfer", "arithmetic", "memory"}
        schedule = {f"schedule.{key}" for key in ("replication", "arrays", "pipeline")}
        assert {key for key in one if key.partition(".")[0] not in parts} == {
            "neural_cache": {"mapping.batch_size"},
            "isaac": schedule,
            "pipelayer": schedule,
        }.get(name, set())
        assert not {key for key in by_layer if key.partition(".")[0] in parts}
        for key in one:
            value = toml_text(getattr(getattr(general, key.partition(".")[0]), key.split(".")[1]))
            with pytest.raises(ConfigError, match=rf"{re.escape(key)} is one for all layers; "):
                make_machine(name, None, [f"{key}@*={value}"])


# Layers left digital.


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_layer_left_digital_is_the_referees_and_takes_no_crossbar(name: str) -> None:
    first, _, last = LAYERS
    lossy = {"converter.adc_bits": 2, "numbers.overflow": "saturate", "numbers.weight_bits": 9}
    digital = {f"layers.digital@{layer.name}": True for layer in (first, last)}
    chosen = made(name, lossy | digital)
    plan, runs, dense = chosen.plan(SMALL), run(chosen, SMALL), made(name, lossy).plan(SMALL)
    for layer in LAYERS:
        row, counts = plan.table()[layer.index], runs[layer.index].counts
        exact = run_network(
            alone(SMALL, layer, runs), alone(SMALL, layer, runs).samples.codes.read()
        )
        is_equal = np.array_equal(exact[0], runs[layer.index].codes)
        if layer.name == LAYERS[1].name:
            assert not is_equal and "read" in counts and row["own_settings"] == ""
            continue
        assert is_equal and row["own_settings"] == "layers.digital=true"
        assert (row["rule"], row["arrays"], row["ou_reads"], row["utilization"]) == (
            "digital",
            0,
            0,
            0,
        )
        buffer = dense.counts(layer.index, SMALL.n_samples)["buffer"]
        assert counts == plan.counts(layer.index, SMALL.n_samples) == {"buffer": buffer}
        with pytest.raises(ConfigError, match="got one left digital; name another"):
            plan.placements(layer.index)
    assert plan.n_crossbars < dense.n_crossbars
    assert plan.totals()["arrays"] == plan.table()[LAYERS[1].index]["arrays"]


def test_a_layer_left_digital_in_a_cache_is_the_hosts() -> None:
    first = LAYERS[0]
    chosen = made("neural_cache", {f"layers.digital@{first.name}": True})
    expected = run_network(SMALL, SMALL.samples.codes.read(), keep="all")
    by_fidelity = [run(chosen, SMALL, fidelity=fidelity) for fidelity in ("bit", "integer")]
    for runs in by_fidelity:
        assert all(np.array_equal(got.codes, expected[got.index]) for got in runs)
    assert [a.counts for a in by_fidelity[0]] == [b.counts for b in by_fidelity[1]]
    (host,) = by_fidelity[0][0].counts.items()
    n_bytes = sum(int(np.prod(s)) for s in (*first.input_shapes, first.output_shape))
    assert host[0] == "host" and host[1]["bus_byte"] == SMALL.n_samples * n_bytes
    assert host[1].keys() == {"cycles", "bus_byte"}
    row = chosen.plan(SMALL).table()[0]
    assert (row["arrays"], row["lanes"], row["passes"]) == (0, 0, 0)
    assert row["own_settings"] == "layers.digital=true"
    others = make_machine("neural_cache").plan(SMALL)
    assert by_fidelity[0][2].counts == others.counts(2, SMALL.n_samples)


def test_a_cache_without_a_host_leaves_no_layer_digital() -> None:
    own = {f"layers.digital@{LAYERS[0].name}": True, "arithmetic.host_requantize": False}
    with pytest.raises(
        ConfigError, match=r"layer 0 .*need the CPU .* or leave out layers\.digital"
    ):
        made("neural_cache", own).plan(SMALL)


def test_codes_that_no_array_holds_may_be_left_digital() -> None:
    first, second, last = LAYERS
    narrow = {"arithmetic.max_operand_bits": 4}
    with pytest.raises(MappingError, match="codes of at most 4 bits, got 8"):
        made("neural_cache", narrow | {f"layers.digital@{first.name}": True}).plan(SMALL)
    digital = {f"layers.digital@{layer.name}": True for layer in (first, second)}
    expected = run_network(SMALL, SMALL.samples.codes.read(), keep="all")
    for name, key, enough in (("isaac", "weight_bits", 8), ("sre", "input_bits", 8)):
        general = {"numbers.encoding": "offset", f"numbers.{key}": 4}
        wide = {f"numbers.{key}@{last.name}": enough}
        with pytest.raises(MappingError, match=f"layer {second.index} "):
            made(name, general | wide | {f"layers.digital@{first.name}": True}).plan(SMALL)
        chosen = made(name, general | wide | digital)
        for fidelity in ("bit", "integer"):
            runs = run(chosen, SMALL, fidelity=fidelity)
            assert all(np.array_equal(got.codes, expected[got.index]) for got in runs)


def test_a_network_left_digital_has_no_crossbars_and_loses_nothing() -> None:
    expected = run_network(SMALL, SMALL.samples.codes.read(), keep="all")
    general = load_preset("dense_crossbar", "dense_crossbar_128rows")
    chosen = entry_of("dense_crossbar").make(override(general, ["digital@*=true"]))
    for fidelity in ("bit", "integer"):
        runs = run(chosen, SMALL, fidelity=fidelity)
        assert all(np.array_equal(got.codes, expected[got.index]) for got in runs)
    assert chosen.plan(SMALL).assumes == "" and chosen.plan(SMALL).n_crossbars == 0
    useless = make_machine("dense_crossbar", None, ["adc_bits=3", "digital@*=true"])
    with pytest.raises(
        ConfigError, match=r"converter\.adc_bits: nothing uses it but layers\.digital="
    ):
        useless.plan(SMALL)


# What is said.


def test_what_may_be_lost_is_said_of_the_layers_that_lose() -> None:
    first, second, last = LAYERS
    clip = "ADC clip of {} bits, partial sums 0 to 27 of OUs of 9 rows"

    def lossy(*assigned: str) -> str | None:
        return losses_on(make_machine("dense_crossbar", PRESETS["dense_crossbar"], assigned), SMALL)

    assert lossy() is None and lossy("adc_bits=3") == clip.format(3)
    assert lossy(f"adc_bits@{first.name}=3") == f"{clip.format(3)} (in {first.name!r})"
    assert lossy("adc_bits@*=3") == clip.format(3)
    assert lossy("adc_bits=3", f"adc_bits@{last.name}=5") == (
        f"{clip.format(3)} (in {first.name!r}, {second.name!r})"
    )
    assert lossy(f"adc_bits@{first.name}=3", f"adc_bits@{last.name}=2") == (
        f"{clip.format(3)} (in {first.name!r}); {clip.format(2)} (in {last.name!r})"
    )
    assert lossy("adc_bits=3", f"digital@{first.name}=true", f"adc_bits@{last.name}=5") == (
        f"{clip.format(3)} (in {second.name!r})"
    )
    assert lossy("adc_bits=3", "adc_bits@*=5") is None
    assert lossy(f"digital@{first.name}=true") is None
    chosen = make_machine("dense_crossbar", None, [f"adc_bits@{first.name}=3"])
    assert chosen.losses() == f"settings by layer, such as converter.adc_bits@{first.name}=3"
    assert make_machine("isaac", None, ["weight_bits@*=9"]).losses() is None
    assert losses_on(make_machine("neural_cache", None, ["digital@*=true"]), SMALL) is None


@pytest.mark.parametrize(
    ("name", "assigned", "key"),
    [
        ("isaac", ["weight_bits@{0}=4"], "numbers.weight_bits@{0}"),
        ("isaac", ["weight_bits@*=4"], "numbers.weight_bits@*"),
        ("sre", ["weight_bits=9", "input_bits@{2}=3"], "numbers.input_bits@{2}"),
        ("sre", ["encoding@{0}=differential", "weight_bits@{0}=4"], "numbers.weight_bits@{0}"),
        ("pattern_crossbar", ["encoding@{1}=column_flip"], "numbers.encoding@{1}"),
        ("dense_crossbar", ["encoding@{1}=differential_paired", "adc_model@{1}=floor"],
         "converter.adc_model@{1}"),
        ("neural_cache", ["partial_sum_bits@{0}=4"], "mapping.partial_sum_bits@{0}"),
        ("neural_cache", ["partial_sum_bits@{0}=4", "partial_sum_bits@*=5"],
         "mapping.partial_sum_bits@*"),
    ],
)  # fmt: skip
def test_a_refusal_names_a_setting_that_works(name: str, assigned: list[str], key: str) -> None:
    """It wins over what the layer has, and what is then planned runs."""
    names = [layer.name for layer in LAYERS]
    said: list[str] = [text.format(*names) for text in assigned]
    followed: list[str] = []
    for _ in range(6):
        chosen = make_machine(name, PRESETS.get(name), said)
        try:
            chosen.plan(SMALL)
        except BitpimError as error:
            followed += remedies(error)[:1]
            assert str(error).startswith("layer "), error
            said = [*said, followed[-1]]
        else:
            break
    assert followed[0].startswith(f"{key.format(*names)}=")
    for fidelity in ("integer",) if name == "neural_cache" else ("bit", "integer"):
        codes = run(chosen, SMALL, fidelity=fidelity)[-1].codes
        assert np.array_equal(codes, run_network(SMALL, SMALL.samples.codes.read())[4])


def test_integer_fidelity_names_the_layer_that_loses() -> None:
    last = LAYERS[-1]
    lossy = [f"adc_model@{last.name}=clip", f"adc_bits@{last.name}=3"]
    chosen = make_machine("dense_crossbar", PRESETS["dense_crossbar"], lossy)
    with pytest.raises(ConfigError) as error:
        run(chosen, SMALL, fidelity="integer")
    assert str(error.value).startswith(f"layer {last.index} {last.name!r} (linear): fidelity")
    assert f"`--set converter.adc_model@{last.name}=exact`" in str(error.value)


def test_a_layout_that_lacks_an_argument_says_so() -> None:
    from bitpim.machine.crossbar_machine import CrossbarMachine
    from tests.bitpim.machine.test_crossbar_machine import UpendedLayout

    def upended(*assigned: str) -> CrossbarMachine:
        preset = load_preset("dense_crossbar", "dense_crossbar_8bit")
        return CrossbarMachine(override(preset, assigned), UpendedLayout())

    assert (
        upended("adc_bits@*=4").plan(NETWORK).table()[0]["own_settings"] == "converter.adc_bits=4"
    )
    with pytest.raises(
        ConfigError, match=r"mapping\.row_blocks is one for all layers, no argument"
    ):
        upended("row_blocks@*=window").plan(NETWORK)


def test_values_that_settings_have_are_typed_as_presets_spell_them() -> None:
    layer = LAYERS[0].name
    table = [f"adc_model@{layer}=code_table", f"adc_thresholds@{layer}=[1, 3]",
             f"adc_levels@{layer}=[0, '3/2', 4]"]  # fmt: skip
    chosen = make_machine("dense_crossbar", PRESETS["dense_crossbar"], table)
    assert chosen.plan(SMALL).table()[0]["own_settings"] == (
        "converter.adc_model=code_table converter.adc_thresholds=[1, 3] "
        'converter.adc_levels=[0, "3/2", 4]'
    )
    assert toml_text(chosen.settings.layer_settings[1].value) == "[1, 3]"
