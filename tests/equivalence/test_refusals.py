"""What one machine or fidelity refuses, all refuse; and every refusal says what would work."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitpim.errors import AccumulatorError, BitpimError, MappingError, TraceDataError
from bitpim.machine.machine import FIDELITIES
from bitpim.machine.registry import make_machine
from bitpim.proof.reference import run_network
from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.records import (
    Geometry,
    LayerRecord,
    Params,
    Quantization,
    Requantize,
    Samples,
    TensorRecord,
    Trace,
)
from tests.every_machine import lossless_presets, outcome, settled
from tests.one_layer import code_array, one_layer, quantization

PRESETS = lossless_presets()


def on_every_machine(trace: Trace) -> dict[str, type[BitpimError] | None]:
    """Return what each machine, fidelity and the referee raise, None for nothing."""
    found: dict[str, type[BitpimError] | None] = {}
    for name, preset in PRESETS:
        for fidelity in FIDELITIES:
            machine, _ = settled(name, preset, trace)
            refusal = outcome(machine, trace, fidelity).refusal
            found[f"{preset} {fidelity}"] = refusal and refusal[0]
    try:
        run_network(trace, trace.samples.codes.read())
        found["referee"] = None
    except AccumulatorError:
        found["referee"] = AccumulatorError
    return found


def assert_all(trace: Trace, error: type[BitpimError] | None) -> None:
    found = on_every_machine(trace)
    assert found == dict.fromkeys(found, error)


# sums


def with_layer(trace: Trace, **parts: Any) -> Trace:
    return replace(trace, layers=(replace(trace.layers[0], **parts),))


def shift_step(n: int = 1, shift: int = 0) -> Requantize:
    return Requantize("truncate_shift", np.full(n, 1, np.int32), np.full(n, shift, np.int32))


def averages(bits: int, mode: str = "truncate_shift") -> Trace:
    """Sums of 4 codes of 255 less 3: 1,008; of raw codes, as the mode that divides has: 1,020."""
    source = quantization(8, 3)
    step = Requantize(mode) if mode == "fixed_point_half_away" else shift_step(4, 2)
    layer = LayerRecord(
        0, "pool", "avg_pool2d", (-1,), ((1, 2, 2),), (1, 1, 1), source,
        Geometry((2, 2)), clamp=(0, 255), requantize=step, accumulator_bits=bits, pad_code=3,
    )  # fmt: skip
    codes = TensorRecord.of(np.full((2, 1, 2, 2), 255, np.uint8), axes="NCHW", role="codes")
    return Trace("averages", (layer,), Samples(codes, source), {})


@pytest.mark.parametrize("mode", ["truncate_shift", "fixed_point_half_away"])
@pytest.mark.parametrize(("bits", "error"), [(10, AccumulatorError), (11, None)])
def test_the_sum_of_an_average_fits_its_accumulator(mode: str, bits: int, error: Any) -> None:
    assert_all(averages(bits, mode), error)


def code_by_code(kind: str, shift: int, code: int, n: int = 1) -> Trace:
    """Codes less 0, shifted left within int32 by the fixed-point mode: 2 << 30 leaves it."""
    source = quantization(8, 0)
    half = np.full(n, 2**30, np.int32)
    step = Requantize("fixed_point_half_away", half, np.full(n, shift, np.int32))
    if kind == "add":
        step = replace(step, output_multiplier=2**30, output_shift=0)
    shape = (2 * n, 1, 1) if kind == "concat" else (2, 1, 1)
    layer = LayerRecord(
        0, kind, kind, (-1,) * n, ((2, 1, 1),) * n, shape, quantization(8, 0, signed=True),
        activation="clamp" if kind == "activation" else "none", clamp=(-128, 127),
        requantize=step, accumulator_bits=2,
        params=Params(concat_axis=0) if kind == "concat" else Params(),
    )  # fmt: skip
    codes = TensorRecord.of(np.full((1, 2, 1, 1), code, np.uint8), axes="NCHW", role="codes")
    return Trace(kind, (layer,), Samples(codes, source), {})


@pytest.mark.parametrize(("kind", "n"), [("activation", 1), ("concat", 2), ("add", 2)])
@pytest.mark.parametrize(
    ("shift", "code", "error"),
    [(30, 2, AccumulatorError), (30, 1, None), (29, 4, AccumulatorError), (29, 3, None)],
)
def test_codes_fit_32_bits_when_they_are_shifted(
    kind: str, n: int, shift: int, code: int, error: Any
) -> None:
    assert_all(code_by_code(kind, shift, code, n), error)


def test_the_sum_of_shifted_terms_fits_32_bits() -> None:
    """Three terms of 2^30 - 2^22 less than their sum's 2^31; each alone would fit."""
    trace = code_by_code("add", 23, 255, 3)
    step = replace(trace.layers[0].requantize, multiplier=np.full(3, 2**31 - 1, np.int32))  # type: ignore[type-var]
    assert_all(with_layer(trace, requantize=step), AccumulatorError)
    two = code_by_code("add", 23, 127, 2)
    assert_all(two, None)


def near_the_end(bias: int, code: int, weight: int, bits: int = 64) -> Trace:
    """One product and a bias of 64 bits."""
    base = one_layer(
        0, (1,), 2, inputs=quantization(8, 0), weights=quantization(8, 0, signed=True),
        mode="float_scale_half_even", accumulator_bits=bits, n_samples=1,
    )  # fmt: skip
    source = base.samples.quantization
    codes = TensorRecord.of(code_array(np.full((1, 1), code), source), axes="NC", role="codes")
    weights = np.array([[weight], [0]], np.int8)
    trace = replace(base, samples=Samples(codes, source))
    return with_layer(
        trace,
        weight=TensorRecord.of(weights, axes="OI", role="weight"),
        bias=TensorRecord.of(np.array([bias, 0], np.int64), axes="O", role="bias"),
    )


@pytest.mark.parametrize(
    ("bias", "weight", "error"),
    [
        (2**63 - 1, 1, AccumulatorError),
        (2**63 - 1, 0, None),
        (2**63 - 1, -1, None),
        (2**63 - 255, 1, AccumulatorError),
        (2**63 - 256, 1, None),
        (-(2**63), -1, AccumulatorError),
        (-(2**63), 0, None),
        (-(2**63), 1, None),
        (-(2**63) + 254, -1, AccumulatorError),
        (-(2**63) + 255, -1, None),
    ],
)
def test_sums_do_not_wrap_at_the_ends_of_64_bits(bias: int, weight: int, error: Any) -> None:
    assert_all(near_the_end(bias, 255, weight), error)


def test_the_deep_check_sees_what_could_wrap(tmp_path: Any) -> None:
    trace = near_the_end(2**63 - 1, 255, 1)
    write_trace(trace, tmp_path / "t.h5")
    (fault,) = check_trace(tmp_path / "t.h5", deep=True)
    assert fault.where == "/layers/0000" and "64 bits" in fault.need
    assert str(2**63 - 1 + 255) in fault.got


def test_saturated_sums_stop_at_the_end_they_left() -> None:
    """What leaves 64 bits upwards is not taken for a negative sum."""
    settings = ("numbers.overflow=saturate",)
    codes = {}
    for bias, weight in ((2**63 - 1, 1), (-(2**63), -1)):
        trace = near_the_end(bias, 255, weight)
        machine = make_machine("dense_crossbar", "dense_crossbar_8bit", settings)
        (run,) = machine.prepare(trace).run_batch(trace.samples.codes.read())
        codes[bias > 0] = int(run.codes[0, 0])
    assert codes == {True: 127, False: -128}


# codes beyond their width

FORGED: dict[str, Callable[[Trace], Trace]] = {
    "samples": lambda t: replace(
        t,
        samples=Samples(
            TensorRecord.of(changed(t.samples.codes, (1, 2), 16), axes="NC", role="codes"),
            t.samples.quantization,
        ),
    ),
    "weight": lambda t: with_layer(
        t,
        weight=TensorRecord.of(changed(t.layers[0].weight, (3, 1), -5), axes="OI", role="weight"),
    ),
}


def changed(tensor: Any, place: tuple[int, ...], value: int) -> Any:
    values = tensor.load(0, tensor.shape[0]).copy()
    values[place] = value
    return values


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("samples", r"samples: need unsigned 4-bit codes 0\.\.15, got 16 at \(1, 2\); make"),
        ("weight", r"layer 0 'only' weight: need signed 3-bit codes -4\.\.3, got -5 at \(3, 1\);"),
    ],
)
def test_codes_beyond_their_width_are_named_by_every_machine(
    name: str, message: str, tmp_path: Any
) -> None:
    sound = one_layer(
        3, (5,), 4, inputs=quantization(4, 0), weights=quantization(3, 0, signed=True), n_samples=2
    )
    forged = FORGED[name](sound)
    write_trace(forged, tmp_path / "t.h5")
    read = open_trace(tmp_path / "t.h5")
    raw = read.samples.codes.load(0, read.n_samples)
    for machine, preset in PRESETS:
        _, settings = settled(machine, preset, sound)
        for fidelity in FIDELITIES:
            with pytest.raises(TraceDataError, match=message):
                made = make_machine(machine, preset, settings)
                list(made.prepare(read, fidelity=fidelity).run_batch(raw))
    with pytest.raises(TraceDataError, match=message):
        run_network(read, raw)
    with pytest.raises(TraceDataError, match=message):
        run_network(read, read.samples.codes.read())
    (fault,) = check_trace(tmp_path / "t.h5", deep=True)
    assert fault.where.endswith(("codes", "weight"))


# settings that work


def lowest_code(bits: int = 8) -> Trace:
    trace = one_layer(5, (6,), 3, weights=quantization(bits, 0, signed=True))
    weight = trace.layers[0].weight
    record = TensorRecord.of(changed(weight, (0, 0), -(1 << (bits - 1))), axes="OI", role="weight")
    return with_layer(trace, weight=record)


def of_widths(inputs: int, weights: int, shape: tuple[int, ...] = (6,)) -> Trace:
    return one_layer(
        6, shape, 3, inputs=quantization(inputs, 0), weights=quantization(weights, 0),
        accumulator_bits=48, bias=False,
    )  # fmt: skip


REFUSED = {
    "sre": (lowest_code(), "sre", "sre", (), "numbers.weight_bits=9"),
    "sre of 16 bits": (lowest_code(16), "sre", "sre", (), "numbers.encoding=offset"),
    "narrow cells": (
        of_widths(8, 12), "isaac", "isaac_8bit", ("numbers.weight_bits=8",),
        "numbers.weight_bits=12",
    ),
    "narrow inputs": (
        of_widths(12, 8), "isaac", "isaac_8bit", ("numbers.input_bits=8",),
        "numbers.input_bits=12",
    ),
    "wide operands": (
        of_widths(12, 8), "neural_cache", "neural_cache", ("arithmetic.max_operand_bits=8",),
        "arithmetic.max_operand_bits=12",
    ),
    "other operands": (
        of_widths(4, 8), "neural_cache", "neural_cache_calibrated", (),
        "timing.cost_mode=nc_formula",
    ),
    "narrow sums": (
        of_widths(8, 8, (40,)), "neural_cache", "neural_cache", ("mapping.partial_sum_bits=16",),
        "mapping.partial_sum_bits=20",
    ),
    "few rows": (
        of_widths(8, 8, (40,)), "neural_cache", "neural_cache", ("geometry.array_rows=64",),
        "geometry.array_rows=256",
    ),
    "few lanes": (
        of_widths(8, 8, (60_000,)), "neural_cache", "neural_cache",
        (
            "geometry.n_cache_slices=1", "geometry.ways_per_cache_slice=3",
            "geometry.banks_per_way=1", "geometry.arrays_per_bank=1",
        ),
        "geometry.n_cache_slices=16",
    ),
    "no host": (
        one_layer(7, (6,), 3, mode="float_scale_half_even"), "neural_cache", "neural_cache",
        ("arithmetic.host_requantize=false",), "arithmetic.host_requantize=true",
    ),
    "few tiles": (
        of_widths(8, 8, (4_000,)), "isaac", "isaac", ("chip.tiles=1", "chip.imas_per_tile=1"),
        "chip.tiles=4",
    ),
    "a wide window": (
        one_layer(8, (1, 9, 9), 2, Geometry((7, 7))), "pattern_crossbar", "pattern_crossbar_8bit",
        ("mapping.other_kernels=patterns",), "mapping.other_kernels=dense",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_a_setting_that_works(case: str) -> None:
    """Plan and replay refuse alike; with what the message says set, both run."""
    trace, name, preset, given, remedy = REFUSED[case]
    machine = make_machine(name, preset, given)
    said = []
    for refused in (machine.plan, machine.prepare):
        with pytest.raises(BitpimError) as error:
            refused(trace)
        said.append(str(error.value))
    assert said[0] == said[1]
    mended, was_set = settled(name, preset, trace, given)
    assert was_set[0] == remedy
    for fidelity in FIDELITIES:
        assert outcome(mended, trace, fidelity).refusal is None


def test_one_setting_serves_all_layers() -> None:
    """The first layer that does not fit is named; the setting is that of the widest."""
    first, second = of_widths(8, 4), of_widths(8, 9)
    widened = replace(second.layers[0], index=1, name="second", inputs=(-1,))
    trace = replace(first, layers=(first.layers[0], widened))
    machine = make_machine("isaac", "isaac_8bit", ("numbers.weight_bits=2",))
    with pytest.raises(MappingError, match=r"layer 0 .* got 2; use `--set numbers.weight_bits=9`"):
        machine.plan(trace)


def one_bit(signed: bool, zero: int) -> Quantization:
    return quantization(1, zero, signed=signed)


@pytest.mark.parametrize(("signed", "zero"), [(False, 0), (False, 1), (True, 0), (True, -1)])
def test_weights_of_one_bit_run_where_they_are_planned(signed: bool, zero: int) -> None:
    trace = one_layer(9, (7,), 4, weights=one_bit(signed, zero))
    assert_all(trace, None)
