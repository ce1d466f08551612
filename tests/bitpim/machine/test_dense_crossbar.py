"""Dense crossbars against the referee where nothing is lost, against a naive machine elsewhere."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from bitpim.crossbar import layers as crossbar_layers
from bitpim.errors import AccumulatorError, ConfigError, MappingError
from bitpim.machine.registry import make_machine
from bitpim_traces.records import REQUANTIZE_MODES, Geometry, Samples, TensorRecord, Trace
from tests.bitpim.machine.crossbar_runs import (
    NETWORK,
    Case,
    calibrated_scales,
    cases,
    check_lossless,
    check_naive,
    machine,
    run,
    total,
)
from tests.one_layer import code_array, one_layer, quantization
from tests.strategies import small_trace

ENCODINGS = ("offset", "differential", "differential_paired", "twos_complement", "column_flip")
SMALL = (
    "geometry.array_rows=20",
    "geometry.array_columns=24",
    "geometry.ou_rows=6",
    "geometry.ou_columns=5",
)
WIDER = ("numbers.weight_bits=10",)  # holds a difference of 8-bit codes in every encoding

CALIBRATED = (
    *SMALL,
    *WIDER,
    "converter.adc_model=round",
    "converter.adc_bits=3",
    "converter.adc_range=calibrated",
    "converter.calibration_samples=1",
    "numbers.overflow=saturate",
)


def dense(*assigned: str) -> Any:
    return machine("dense_crossbar", *assigned)


@settings(max_examples=60)
@given(cases("dense_crossbar"))
def test_nothing_is_lost_without_a_converter(case: Case) -> None:
    """L0 at both fidelities: any settings, codes, window; counts are those of single reads."""
    check_lossless(dense(*case.assigned), case.trace)


@settings(max_examples=60)
@given(cases("dense_crossbar", lossy=True))
def test_a_converter_loses_what_a_naive_machine_loses(case: Case) -> None:
    """L1: every model, few bits, any range."""
    check_naive(dense(*case.assigned), case.trace)


# networks


@pytest.mark.parametrize("seed", [0, 1, 4, 9, 19, 23, 29, 34])
def test_networks_of_every_kind_equal_the_referee(seed: int) -> None:
    trace = small_trace(seed, bits=(2, 8))
    check_lossless(dense(*SMALL, *WIDER), trace)


def test_a_network_with_a_residual_loses_what_a_naive_machine_loses() -> None:
    exact = run(dense(*WIDER), NETWORK)
    lossy = dense(*SMALL, *WIDER, "converter.adc_bits=3", "numbers.overflow=saturate")
    check_naive(lossy, NETWORK)
    assert any(
        not np.array_equal(a.codes, b.codes)
        for a, b in zip(exact, run(lossy, NETWORK), strict=True)
    )


# shapes, zero points, widths


SHAPES: dict[str, Trace] = {
    "one channel, one pixel": one_layer(30, (1, 1, 1), 1, Geometry((1, 1))),
    "rows and columns not multiples": one_layer(31, (5, 4, 4), 7, Geometry((3, 3)), n_samples=2),
    "linear": one_layer(32, (65,), 11, n_samples=3),
    "one feature": one_layer(33, (1,), 1, n_samples=2),
    "kernel larger than the image": one_layer(
        34, (2, 1, 2), 3, Geometry((5, 5), padding=(4, 1, 3, 2))
    ),
    "window all in padding": one_layer(35, (2, 1, 1), 2, Geometry((1, 1), padding=(2, 1, 0, 3))),
    "asymmetric": one_layer(36, (2, 6, 7), 3, Geometry((3, 2), (1, 2), (6, 0, 1, 3), (2, 3))),
    "depthwise": one_layer(37, (6, 6, 6), 6, Geometry((3, 3), (2, 1), (1, 1, 1, 1), groups=6)),
    "two filters a group": one_layer(
        38, (6, 5, 5), 6, Geometry((2, 2), groups=3), weights=quantization(8, 99)
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: str) -> None:
    for encoding in ENCODINGS:
        for row_blocks in ("array", "window"):
            check_lossless(
                dense(
                    *SMALL,
                    *WIDER,
                    f"numbers.encoding={encoding}",
                    f"mapping.row_blocks={row_blocks}",
                    "mapping.zero_skip=bit_plane",
                ),
                SHAPES[shape],
                against_naive=encoding == "column_flip",
            )


@pytest.mark.parametrize("mode", REQUANTIZE_MODES)
@pytest.mark.parametrize("ends", [(0, 0), (255, 255), (-128, -128), (127, 127)])
def test_zero_points_at_both_ends(mode: str, ends: tuple[int, int]) -> None:
    signed = ends in ((-128, -128), (127, 127))
    trace = one_layer(
        20,
        (3, 4, 4),
        4,
        Geometry((3, 3), padding=(1, 1, 1, 1)),
        inputs=quantization(8, ends[0], signed=signed),
        weights=quantization(8, [ends[1], 0, -1 if signed else 1, ends[1]], signed=signed),
        mode=mode,
    )
    check_lossless(dense(), trace, against_naive=False)  # codes as they are
    check_lossless(dense(*WIDER, "numbers.encoding=differential"), trace, against_naive=False)


@pytest.mark.parametrize("input_bits", [1, 2, 7, 9, 16])
@pytest.mark.parametrize("weight_bits", [2, 9, 16])
def test_widths(input_bits: int, weight_bits: int) -> None:
    for signed in (False, True):
        trace = one_layer(
            40,
            (5, 2, 2),
            3,
            Geometry((2, 2)),
            inputs=quantization(input_bits, 0, signed=signed),
            weights=quantization(weight_bits, 0, signed=True),
            n_samples=2,
            accumulator_bits=48,
            bias=False,
        )
        for assigned in ((), ("numbers.input_bits=16", "numbers.weight_bits=16")):
            for dac_bits, cell_bits in ((1, 1), (3, 2), (8, 8)):
                chosen = dense(
                    *SMALL,
                    *assigned,
                    f"converter.dac_bits={dac_bits}",
                    f"geometry.cell_bits={cell_bits}",
                    "converter.adc_model=exact",
                )
                check_lossless(chosen, trace, against_naive=False)


@pytest.mark.parametrize(
    "preset", ["dense_crossbar", "dense_crossbar_8bit", "dense_crossbar_128rows"]
)
def test_packaged_presets_lose_nothing(preset: str) -> None:
    check_lossless(make_machine("dense_crossbar", preset), NETWORK, against_naive=False)


# counts


@pytest.mark.parametrize("skip", ["none", "bit_plane", "vector"])
def test_batches_split_anywhere_count_the_same(skip: str) -> None:
    trace = replace(NETWORK, samples=small_trace_samples(NETWORK, 5))
    codes = trace.samples.codes.read()
    network = dense(*SMALL, *WIDER, f"mapping.zero_skip={skip}").prepare(trace)
    whole = list(network.run_batch(codes))
    parts = [list(network.run_batch(codes[a:b])) for a, b in ((0, 1), (1, 4), (4, 5))]
    for got, *by_part in zip(whole, *parts, strict=True):
        assert np.array_equal(got.codes, np.concatenate([part.codes for part in by_part]))
        assert total([got.counts]) == total(part.counts for part in by_part)


@pytest.mark.parametrize("assigned", [(*SMALL, *WIDER, "mapping.zero_skip=bit_plane"), CALIBRATED])
def test_samples_read_together_or_in_turn_give_the_same(
    assigned: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fits the working memory decides how many samples are read at once, and nothing else."""
    trace = replace(NETWORK, samples=small_trace_samples(NETWORK, 5))
    if "converter.adc_range=calibrated" in assigned:
        assigned = (*assigned, "converter.calibration_samples=5")
    together = run(dense(*assigned), trace)
    monkeypatch.setattr(crossbar_layers, "_WORK_BYTES", 1)
    for a, b in zip(together, run(dense(*assigned), trace), strict=True):
        assert np.array_equal(a.codes, b.codes) and a.counts == b.counts


def small_trace_samples(trace: Trace, n: int) -> Samples:
    samples = trace.samples
    rng = np.random.default_rng(n)
    shape = (n, *samples.codes.shape[1:])
    drawn = rng.integers(samples.quantization.code_min, samples.quantization.code_max + 1, shape)
    drawn *= rng.random(shape) < 0.5
    codes = TensorRecord.of(
        code_array(drawn, samples.quantization), axes=samples.codes.axes, role="samples"
    )
    return replace(samples, codes=codes, labels=None)


@pytest.mark.parametrize("fidelity", ["bit", "integer"])
def test_no_samples_cost_nothing(fidelity: str) -> None:
    chosen = dense(*SMALL, *WIDER, "mapping.zero_skip=vector")
    runs = run(chosen, NETWORK, NETWORK.samples.codes.read()[:0], fidelity=fidelity)
    for got, layer in zip(runs, NETWORK.layers, strict=True):
        assert got.codes.shape == (0, *layer.output_shape)
        assert total([got.counts]) == {phase: {} for phase in got.counts}


def test_quiet_inputs_are_left_out() -> None:
    """Codes 4 and 8 in two rows of six: two of eight input slices, or all of one OU of rows."""
    trace = one_layer(
        41,
        (8,),
        2,
        inputs=quantization(8, 0),
        weights=quantization(8, 0, signed=True),
        n_samples=2,
    )
    codes = np.zeros((2, 8), np.uint8)
    codes[0, :2] = 4, 8
    n_columns = 2 * 4  # 2-bit cells
    n_units = -(-n_columns // 5)
    skipped = {"none": 0, "bit_plane": 2 * 16 - 2, "vector": 2 * 16 - 8}
    for skip, n in skipped.items():
        (got,) = run(dense(*SMALL, f"mapping.zero_skip={skip}"), trace, codes)
        read = got.counts["read"]
        assert read.get("ou_skipped", 0) == n * n_units
        assert read["ou_activation"] == (32 - n) * n_units
        assert read["cycles"] == read["ou_activation"]  # one crossbar
        assert read["adc_conv_5"] == read["shift_add"] == (32 - n) * n_columns


# threads and calibration


@pytest.mark.parametrize("assigned", [(*SMALL, *WIDER, "mapping.zero_skip=bit_plane"), CALIBRATED])
def test_threads_change_nothing(assigned: tuple[str, ...]) -> None:
    for trace in (NETWORK, SHAPES["depthwise"], SHAPES["rows and columns not multiples"]):
        alone = run(dense(*assigned), trace, jobs=1)
        for jobs in (2, 3):
            for a, b in zip(alone, run(dense(*assigned), trace, jobs=jobs), strict=True):
                assert np.array_equal(a.codes, b.codes)
                assert a.counts == b.counts


@pytest.mark.parametrize("coverage", [1.0, 0.9])
@pytest.mark.parametrize("model", ["round", "floor", "sign_magnitude", "symmetric"])
def test_a_calibrated_range_holds_what_the_first_samples_gave(model: str, coverage: float) -> None:
    """It is found with exact sums; batches and the samples that are run do not change it."""
    assigned = (
        *CALIBRATED,
        f"converter.adc_model={model}",
        f"converter.calibration_coverage={coverage}",
    )
    exact = dense(*SMALL, *WIDER, "converter.adc_model=exact")
    check_naive(dense(*assigned), NETWORK, calibrated_scales(exact, NETWORK, 1, coverage))
    network = dense(*assigned).prepare(NETWORK)
    last = list(network.run_batch(NETWORK.samples.codes.read()[1:]))
    for got, part in zip(run(dense(*assigned), NETWORK), last, strict=True):
        assert np.array_equal(got.codes[1:], part.codes)


# errors


def test_integer_fidelity_needs_a_lossless_converter() -> None:
    """Four bits read 0 to 15: what the cells of a layer can sum to decides, not its unit's size."""
    lossy = dense(*WIDER, "converter.adc_bits=4").prepare(NETWORK, fidelity="integer")
    need = (
        "layer 2 'conv2d_2' (conv2d): fidelity integer needs a lossless ADC, got clip of 4 bits "
        "for OUs of 9 rows; use `--fidelity bit`, or "
        "`--set converter.adc_model=exact` with `--prices none`"
    )
    with pytest.raises(ConfigError, match=re.escape(need)):
        list(lossy.run_batch(NETWORK.samples.codes.read()))


@pytest.mark.parametrize(
    ("assigned", "error", "message"),
    [
        (["converter.adc_bits=0"], ConfigError, "converter.adc_bits: need 1 to 16 bits, got 0"),
        (["converter.adc_bits=17"], ConfigError, "converter.adc_bits: need 1 to 16 bits, got 17"),
        (["geometry.ou_rows=129"], ConfigError, "ou_rows needs 1 to array_rows = 128, got 129"),
        (["geometry.ou_columns=200"], ConfigError, "needs 1 to array_columns = 128, got 200"),
        (["geometry.cell_bits=9"], ConfigError, "geometry.cell_bits"),
        (["converter.adc_range=given"], ConfigError, "adc_range needs maximal for adc_model clip"),
        (
            ["numbers.weight_bits=4"],
            MappingError,
            "layer 0 'conv2d_0' (conv2d): need 8 bits for weights in encoding offset, "
            "got 4; use `--set numbers.weight_bits=8`",
        ),
        (
            ["numbers.input_bits=7"],
            MappingError,
            "layer 0 'conv2d_0' (conv2d): need inputs of at most 7 bits, got 8; use "
            "`--set numbers.input_bits=8`",
        ),
    ],
)
def test_bad_settings_are_one_line(
    assigned: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as told:
        dense(*assigned).plan(NETWORK)
    assert message in str(told.value) and "\n" not in str(told.value)


def test_cells_that_cannot_hold_the_weight() -> None:
    trace = one_layer(42, (9,), 4, weights=quantization(8, 0, signed=True))
    assert trace.layers[0].weight is not None and trace.layers[0].weight.read().min() == -128
    check_lossless(dense("numbers.encoding=twos_complement"), trace)
    message = r"layer 0 'only' \(linear\): need 9 bits .*got 8; use `--set numbers.weight_bits=9`"
    for encoding in ("differential", "differential_paired"):
        with pytest.raises(MappingError, match=message):
            dense(f"numbers.encoding={encoding}").plan(trace)
        check_lossless(dense(f"numbers.encoding={encoding}", "numbers.weight_bits=9"), trace)


@pytest.mark.parametrize(
    ("assigned", "message"),
    [
        (
            ["converter.adc_model=floor", "numbers.encoding=differential_paired", *WIDER],
            "dense_crossbar: converter.adc_model floor reads no partial sums below 0",
        ),
        (
            ["converter.adc_model=symmetric", "converter.adc_bits=2", "mapping.zero_skip=vector"],
            "symmetric does not read 0 as 0, so no read of zero inputs can be left out; use "
            "`--set mapping.zero_skip=none`",
        ),
    ],
)
def test_converters_that_do_not_fit(assigned: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        dense(*assigned)


def test_wrong_requests_are_one_line() -> None:
    for request, message in (
        ({"fidelity": "exact"}, "fidelity: need one of bit, integer, got 'exact'"),
        ({"jobs": 0}, "jobs: need at least 1, got 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            dense(*WIDER).prepare(NETWORK, **request)


def test_calibration_needs_samples() -> None:
    trace = replace(NETWORK, samples=small_trace_samples(NETWORK, 0))
    codes = NETWORK.samples.codes.read()
    with pytest.raises(ConfigError, match="need samples in the trace to calibrate with, got none"):
        list(dense(*CALIBRATED).prepare(trace).run_batch(codes))


@pytest.mark.parametrize("mode", REQUANTIZE_MODES)
def test_sums_that_a_converter_drives_out_of_the_accumulator(mode: str) -> None:
    """A symmetric converter of one bit reads a sum of 0 as its range: no input, large sums."""
    trace = one_layer(
        43,
        (30,),
        3,
        inputs=quantization(8, 0),
        weights=quantization(8, 0, signed=True),
        mode=mode,
        accumulator_bits=16,
        bias=False,
    )
    codes = np.zeros((2, 30), np.uint8)
    trace = replace(trace, samples=replace(trace.samples, codes=tensor(codes)))
    check_lossless(dense(), trace)
    lossy = (*SMALL, "converter.adc_model=symmetric", "converter.adc_bits=1")
    message = r"layer 0 'only' \(linear\): need sums within -32768\.\.32767 \(16 bits.*got (\d+) in"
    with pytest.raises(AccumulatorError, match=message):
        run(dense(*lossy), trace)
    check_naive(dense(*lossy, "numbers.overflow=saturate"), trace)


def tensor(codes: Any) -> TensorRecord:
    return TensorRecord.of(codes, axes="NC", role="samples")
