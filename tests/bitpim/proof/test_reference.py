"""The referee against naive code, worked examples, and torch for the geometry of windows."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.errors import AccumulatorError, TraceDataError
from bitpim.proof import reference, windows
from bitpim.proof.reference import code_dtype, iter_network, requantize, run_layer, run_network
from bitpim_traces.records import (
    Geometry,
    LayerRecord,
    Quantization,
    Requantize,
    TensorRecord,
)
from tests.naive import network as naive_network
from tests.naive import requantize as naive
from tests.strategies import small_trace

Array = npt.NDArray[Any]
INT32 = st.integers(-(2**31), 2**31 - 1)
MULTIPLIERS = st.integers(2**30, 2**31 - 1)


def _one(value: int) -> Array:
    return np.array([value], dtype=np.int64)


# --- requantize


@given(INT32, st.floats(2.0**-40, 4.0, width=32))
def test_float_scale_equals_fractions(acc: int, scale: float) -> None:
    got = requantize(_one(acc), "float_scale_half_even", scale=np.array([scale], np.float32))
    expected = naive.float_scale_half_even(acc, scale)
    assert int(got[0]) == min(max(expected, -(2**32)), 2**32)


@given(st.integers(-300, 300), st.integers(0, 20))
def test_float_scale_takes_ties_to_even(halves: int, exponent: int) -> None:
    acc = halves << exponent
    scale = np.array([2.0 ** -(exponent + 1)], np.float32)
    got = int(requantize(_one(acc), "float_scale_half_even", scale=scale)[0])
    assert abs(2 * got - halves) <= 1
    assert halves % 2 == 0 or got % 2 == 0


@given(INT32, MULTIPLIERS, st.integers(-31, 8))
def test_fixed_point_equals_fractions(acc: int, multiplier: int, shift: int) -> None:
    arrays = np.array([multiplier], np.int32), np.array([shift], np.int32)
    if not -(2**31) <= acc << max(shift, 0) < 2**31:
        with pytest.raises(AccumulatorError, match="signed 32 bits"):
            requantize(_one(acc), "fixed_point_half_away", *arrays)
        return
    got = requantize(_one(acc), "fixed_point_half_away", *arrays)
    assert int(got[0]) == naive.fixed_point_half_away(acc, multiplier, shift)


@pytest.mark.parametrize(
    ("acc", "multiplier", "shift", "expected"),
    [  # values that follow from gemmlowp's definitions of the two rounding steps
        (1, 2**30, 0, 1),  # high multiplication: 0.5 goes up
        (-1, 2**30, 0, 0),  # and so does -0.5
        (-3, 2**30, 0, -1),
        (3, 2**30, 0, 2),
        (2**31 - 1, 2**31 - 1, 0, 2**31 - 2),
        (-(2**31), 2**31 - 1, 0, -(2**31) + 1),
        (10, 2**30, -1, 3),  # 5 / 2 = 2.5: the division rounds away from zero
        (-10, 2**30, -1, -3),
        (-9, 2**30, -1, -2),  # -4.5 -> -4 -> -2: twice rounded
        (11, 2**30, -2, 2),  # 5.5 -> 6 -> 1.5 -> 2; rounded once it would be 1
        (-7, 2**30, -1, -2),  # -3.5 -> -3 -> -1.5 -> -2
        (100, 2**30, 1, 100),
        (100, 2**30, 2, 200),
        (-(2**31), 2**30, -31, -1),  # -2**30 / 2**31 = -0.5, away from zero
        (2**31 - 1, 2**30, -31, 1),
    ],
)
def test_fixed_point_worked_examples(acc: int, multiplier: int, shift: int, expected: int) -> None:
    arrays = np.array([multiplier], np.int32), np.array([shift], np.int32)
    assert requantize(_one(acc), "fixed_point_half_away", *arrays).tolist() == [expected]
    assert naive.fixed_point_half_away(acc, multiplier, shift) == expected


@given(INT32, st.integers(0, 2**30 - 1), st.integers(0, 62))
def test_shift_modes_equal_fractions(acc: int, multiplier: int, shift: int) -> None:
    arrays = np.array([multiplier], np.int32), np.array([shift], np.int32)
    floored = requantize(_one(acc), "truncate_shift", *arrays)
    nearest = requantize(_one(acc), "half_up_shift", *arrays)
    assert int(floored[0]) == naive.truncate_shift(acc, multiplier, shift)
    assert int(nearest[0]) == naive.half_up_shift(acc, multiplier, shift)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [  # accumulators -7..7 step 2 over 2: -3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5
        ("truncate_shift", [-4, -3, -2, -1, 0, 1, 2, 3]),
        ("half_up_shift", [-3, -2, -1, 0, 1, 2, 3, 4]),
        ("float_scale_half_even", [-4, -2, -2, 0, 0, 2, 2, 4]),
        ("fixed_point_half_away", [-4, -3, -2, -1, 1, 2, 3, 4]),
    ],
)
def test_each_mode_has_its_own_ties(mode: str, expected: list[int]) -> None:
    acc = np.arange(-7, 8, 2, dtype=np.int64)
    if mode == "float_scale_half_even":
        got = requantize(acc, mode, scale=np.array([0.5], np.float32))
    elif mode == "fixed_point_half_away":  # 2**30 with shift 0 would tie in the first step
        got = requantize(acc << 1, mode, np.array([2**30]), np.array([-1]))
    else:
        got = requantize(acc, mode, np.array([1]), np.array([1]))
    assert got.tolist() == expected


def test_products_beyond_int64_are_refused() -> None:
    for mode in ("truncate_shift", "half_up_shift"):
        with pytest.raises(AccumulatorError, match="below 2\\*\\*62"):
            requantize(_one(2**40), mode, np.array([2**30]), np.array([20]))


def test_unknown_modes_and_missing_arrays_are_faults_of_the_trace() -> None:
    with pytest.raises(TraceDataError, match="known requantize mode"):
        requantize(_one(1), "stochastic", np.array([1]), np.array([1]))
    for scale in (None, np.array([np.nan], np.float32), np.array([np.inf], np.float32)):
        with pytest.raises(TraceDataError, match="need finite scales"):
            requantize(_one(1), "float_scale_half_even", scale=scale)
    for mode, shift in (
        ("truncate_shift", 63),
        ("half_up_shift", -1),
        ("fixed_point_half_away", 32),
    ):
        with pytest.raises(TraceDataError, match="need requantize shift within"):
            requantize(_one(1), mode, np.array([1]), np.array([shift]))
    with pytest.raises(TraceDataError, match="need requantize multiplier within"):
        requantize(_one(1), "truncate_shift", np.array([-1]), np.array([0]))
    with pytest.raises(TraceDataError, match="multiplier and shift"):
        requantize(_one(1), "truncate_shift", np.array([1]))


# --- whole networks against one element at a time


@pytest.mark.parametrize("seed", range(72))
def test_networks_equal_naive_ones(seed: int) -> None:
    trace = small_trace(seed, n_layers=4)
    codes = trace.samples.codes.read()
    got = run_network(trace, codes, keep="all")
    for index, expected in naive_network.run_network(trace, codes).items():
        assert got[index].dtype == code_dtype(trace.layers[index].output)
        np.testing.assert_array_equal(got[index], expected, err_msg=trace.layers[index].name)


@pytest.mark.parametrize("seed", range(8))
def test_wide_codes_equal_naive_ones(seed: int) -> None:
    trace = small_trace(seed, n_layers=3, bits=(1, 12), n_samples=1)
    codes = trace.samples.codes.read()
    got = run_network(trace, codes, keep="all")
    for index, expected in naive_network.run_network(trace, codes).items():
        np.testing.assert_array_equal(got[index], expected)


def test_blocks_and_kept_layers_do_not_change_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(12):
        trace = small_trace(seed, n_samples=3)
        codes = trace.samples.codes.read()
        everything = run_network(trace, codes, keep="all")
        assert list(everything) == [layer.index for layer in trace.layers]
        monkeypatch.setattr(reference, "BLOCK_ELEMENTS", 1)
        for index, out in run_network(trace, codes, keep=[0, 2]).items():
            np.testing.assert_array_equal(out, everything[index])
        monkeypatch.undo()
        last = run_network(trace, codes)
        assert len(trace.layers) - 1 in last
        assert all(i not in layer.inputs for i in last for layer in trace.layers)


def test_an_empty_batch_yields_empty_outputs() -> None:
    for seed in range(9):
        trace = small_trace(seed)
        for index, out in iter_network(trace, trace.samples.codes.read(0, 0)):
            assert out.shape == (0, *trace.layers[index].output_shape)


# --- geometry against torch


def _quantization(zero: int = 0, *, bits: int = 8, signed: bool = True) -> Quantization:
    return Quantization(bits, signed, np.ones(1), np.array([zero]))


def _layer(kind: str, shape: tuple[int, ...], out: tuple[int, ...], **more: Any) -> LayerRecord:
    return LayerRecord(
        0,
        "one",
        kind,
        (-1,),
        (shape,),
        out,
        more.pop("output", _quantization(bits=16)),
        clamp=more.pop("clamp", (-32768, 32767)),
        **more,
    )


def _conv(
    weight: Array, geometry: Geometry, shape: tuple[int, ...], zero: int, **more: Any
) -> LayerRecord:
    more.setdefault("requantize", Requantize("truncate_shift", np.array([1]), np.array([0])))
    return _layer(
        "conv2d",
        shape,
        (weight.shape[0], *geometry.output_size(*shape[1:])),
        geometry=geometry,
        pad_code=zero,
        weight=TensorRecord.of(weight, axes="OIHW", role="weight"),
        weight_quantization=_quantization(),
        **more,
    )


@st.composite
def _windows(draw: st.DrawFn, *, pool: bool) -> tuple[Geometry, tuple[int, int, int, int], int]:
    pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
    kernel, stride, dilation = draw(pair), draw(pair), draw(pair)
    if pool:  # torch pads the two sides alike, by at most half a window
        dilation = (1, 1)
        up, across = (draw(st.integers(0, kernel[axis] // 2)) for axis in range(2))
        padding = (up, up, across, across)
    else:
        padding = draw(st.tuples(*[st.integers(0, 4)] * 4))
    groups = 1 if pool else draw(st.sampled_from([1, 2, 3]))
    shape = (
        draw(st.integers(0, 2)),
        groups * draw(st.integers(1, 2)),
        *draw(st.tuples(st.integers(1, 9), st.integers(1, 9))),
    )
    geometry = Geometry(
        kernel,
        stride,
        padding,
        dilation,
        groups,
        ceil_mode=pool and draw(st.booleans()),
        count_include_pad=pool and draw(st.booleans()),
    )
    return geometry, shape, draw(st.integers(0, 2**32 - 1))


@given(_windows(pool=False))
@settings(max_examples=150, deadline=None)
def test_convolutions_equal_torch(case: tuple[Geometry, tuple[int, int, int, int], int]) -> None:
    torch = pytest.importorskip("torch")
    geometry, shape, seed = case
    if min(geometry.output_size(*shape[2:])) < 1:
        return
    rng = np.random.default_rng(seed)
    n_out = geometry.groups * int(rng.integers(1, 3))
    codes = rng.integers(-8, 8, shape).astype(np.int8)
    weight = rng.integers(-8, 8, (n_out, shape[1] // geometry.groups, *geometry.kernel))
    weight = weight.astype(np.int8)
    zero = int(rng.integers(-8, 8))
    top, bottom, left, right = geometry.padding
    centred = torch.from_numpy(codes.astype(np.float64) - zero)
    padded = torch.nn.functional.pad(centred, (left, right, top, bottom))
    expected = torch.nn.functional.conv2d(
        padded,
        torch.from_numpy(weight.astype(np.float64)),
        stride=geometry.stride,
        dilation=geometry.dilation,
        groups=geometry.groups,
    )
    got = run_layer(_conv(weight, geometry, shape[1:], zero), [codes], [_quantization(zero)])
    np.testing.assert_array_equal(got, expected.numpy())


@given(_windows(pool=True))
@settings(max_examples=150, deadline=None)
def test_pools_equal_torch(case: tuple[Geometry, tuple[int, int, int, int], int]) -> None:
    torch = pytest.importorskip("torch")
    geometry, (n, channels, height, width), seed = case
    if (
        min(
            height + 2 * geometry.padding[0] - geometry.kernel[0],
            width + 2 * geometry.padding[2] - geometry.kernel[1],
        )
        < 0
    ):
        return  # torch refuses windows larger than the padded image
    rng = np.random.default_rng(seed)
    codes = rng.integers(-128, 128, (n, channels, height, width)).astype(np.int8)
    out = (channels, *geometry.output_size(height, width))
    images = torch.from_numpy(codes.astype(np.float64))
    padding = geometry.padding[0], geometry.padding[2]
    pooled = (
        torch.nn.functional.max_pool2d(
            images, geometry.kernel, geometry.stride, padding, ceil_mode=geometry.ceil_mode
        )
        if n
        else images.new_zeros((0, *out))
    )
    plain = _quantization()
    layer = _layer(
        "max_pool2d", codes.shape[1:], out, geometry=geometry, output=plain, pad_code=-128
    )
    np.testing.assert_array_equal(run_layer(layer, [codes], [plain]), pooled.numpy())
    averages = (
        torch.nn.functional.avg_pool2d(
            images,
            geometry.kernel,
            geometry.stride,
            padding,
            ceil_mode=geometry.ceil_mode,
            count_include_pad=geometry.count_include_pad,
        )
        if n
        else images.new_zeros((0, *out))
    )
    rule = Requantize(
        "float_scale_half_even",
        scale=(64 / np.arange(1, geometry.kernel[0] * geometry.kernel[1] + 1)).astype(np.float32),
    )
    wide = _quantization(bits=16)
    layer = _layer(
        "avg_pool2d", codes.shape[1:], out, geometry=geometry, requantize=rule, output=wide
    )
    got = run_layer(layer, [codes], [plain])
    assert np.abs(got - averages.numpy() * 64).max(initial=0) <= 0.5 + 1e-2  # 64ths, rounded


def test_ceil_mode_keeps_a_window_that_torch_drops_only_in_the_padding() -> None:
    codes = np.arange(5, dtype=np.int8).reshape(1, 1, 1, 5)
    geometry = Geometry((1, 2), (1, 2), ceil_mode=True)
    plain = _quantization()
    layer = _layer(
        "max_pool2d", (1, 1, 5), (1, 1, 3), geometry=geometry, output=plain, pad_code=-128
    )
    assert run_layer(layer, [codes], [plain]).ravel().tolist() == [1, 3, 4]


# --- arithmetic at its limits


def test_sums_beyond_float64_are_exact() -> None:
    codes = np.full((1, 600_000), 65535, dtype=np.uint16)
    weight = np.full((1, 600_000), 65535, dtype=np.uint16)
    weight[0, 0] = 65534
    quant = _quantization(bits=16, signed=False)
    layer = _layer(
        "linear",
        (600_000,),
        (1,),
        weight=TensorRecord.of(weight, axes="OI", role="weight"),
        weight_quantization=quant,
        bias=TensorRecord.of(np.array([-(599_999 * 65535**2)]), axes="O", role="bias"),
        accumulator_bits=63,
        requantize=Requantize("truncate_shift", np.array([1]), np.array([17])),
    )
    assert 600_000 * 65535**2 < 2**53  # so float64 is allowed here
    assert run_layer(layer, [codes], [quant]).tolist() == [[65535 * 65534 >> 17]]
    wide = np.array([[2**30 + 1]] * 5).T, np.array([[2**30 + 1]] * 5)
    assert windows.exact_matmul(*wide).tolist() == [[5 * (2**30 + 1) ** 2]]  # and here not


@pytest.mark.parametrize(
    ("total", "fits"), [(127, True), (128, False), (-128, True), (-129, False)]
)
def test_accumulators_must_fit(total: int, fits: bool) -> None:
    weight = np.ones((1, 1, 1, 1), dtype=np.int8)
    bias = TensorRecord.of(np.array([total], np.int32), axes="O", role="bias")
    layer = _conv(weight, Geometry((1, 1)), (1, 1, 1), 0, bias=bias, accumulator_bits=8)
    codes = np.zeros((1, 1, 1, 1), np.int8)
    if fits:
        assert run_layer(layer, [codes], [_quantization()]).item() == total
        return
    with pytest.raises(AccumulatorError, match=r"layer 0 'one' \(conv2d\).*signed 8 bits"):
        run_layer(layer, [codes], [_quantization()])


@pytest.mark.parametrize(
    "mode", ["float_scale_half_even", "truncate_shift", "half_up_shift", "fixed_point_half_away"]
)
@pytest.mark.parametrize(("bits", "signed"), [(8, True), (8, False), (1, False), (5, True)])
def test_codes_saturate_at_both_ends(mode: str, bits: int, signed: bool) -> None:
    output = Quantization(bits, signed, np.ones(1), np.array([0]))
    rule = Requantize(mode, np.array([1]), np.array([0]))
    if mode == "fixed_point_half_away":
        rule = Requantize(mode, np.array([2**30]), np.array([1]))
    if mode == "float_scale_half_even":
        rule = Requantize(mode, scale=np.ones(1, np.float32))
    weight = np.ones((2, 1, 1, 1), dtype=np.int8)
    bias = np.array([2**30 - 1, -(2**30)], np.int32)
    layer = _conv(
        weight,
        Geometry((1, 1)),
        (1, 1, 1),
        0,
        requantize=rule,
        output=output,
        clamp=(output.code_min, output.code_max),
        bias=TensorRecord.of(bias, axes="O", role="bias"),
    )
    got = run_layer(layer, [np.zeros((1, 1, 1, 1), np.int8)], [_quantization()])
    assert got.dtype == code_dtype(output)
    assert got.ravel().tolist() == [output.code_max, output.code_min]


def test_float_overflow_saturates() -> None:
    acc = np.array([2**31 - 1, -(2**31)], np.int64)
    with np.errstate(over="ignore"):
        got = requantize(acc, "float_scale_half_even", scale=np.array([3e38], np.float32))
    assert got.tolist() == [2**32, -(2**32)]


# --- traces that contradict themselves


def _fault(layer: LayerRecord, codes: Array, match: str) -> None:
    with pytest.raises(TraceDataError, match=match) as caught:
        run_layer(layer, [codes], [_quantization()])
    assert "layer 0 'one'" in str(caught.value) and "\n" not in str(caught.value)


def test_contradictions_are_named() -> None:
    codes = np.zeros((1, 2, 4, 4), np.int8)
    good = _conv(
        np.ones((1, 2, 3, 3), np.int8), Geometry((3, 3), padding=(1, 1, 1, 1)), (2, 4, 4), 0
    )
    run_layer(good, [codes], [_quantization()])
    _fault(replace(good, kind="attention"), codes, "need a kind of")
    _fault(replace(good, pad_code=5), codes, "need pad_code 0, got 5")
    _fault(replace(good, requantize=None), codes, "need a requantize step")
    _fault(replace(good, weight=None), codes, "need a weight")
    _fault(replace(good, geometry=None), codes, "need a geometry")
    _fault(replace(good, output_shape=(1, 4, 5)), codes, "need output shape")
    _fault(good, codes[:, :, :3], "need input codes of shape")
    thin = TensorRecord.of(np.ones((1, 1, 3, 3), np.int8), axes="OIHW", role="weight")
    _fault(replace(good, weight=thin), codes, "does not fit")
    bias = TensorRecord.of(np.zeros(2, np.int32), axes="O", role="bias")
    _fault(replace(good, bias=bias), codes, r"need a bias of shape \(1,\)")
    for n in (0, 2):
        rule = Requantize("truncate_shift", np.ones(1, np.int64), np.ones(n, np.int64))
        _fault(replace(good, requantize=rule), codes, f"requantize shift, got {n}")
    _fault(replace(good, requantize=Requantize("truncate_shift")), codes, "multiplier, got none")
    sigmoid = _layer("activation", (2, 4, 4), (2, 4, 4), activation="sigmoid")
    _fault(sigmoid, codes, "need a table for sigmoid")
    table = TensorRecord.of(np.zeros(255, np.int8), axes="K", role="table")
    _fault(replace(sigmoid, table=table), codes, "need a table of 256 codes")


def test_a_window_that_sees_nothing_has_no_average() -> None:
    rule = Requantize("float_scale_half_even", scale=np.ones(4, np.float32))
    layer = _layer(
        "avg_pool2d",
        (1, 1, 1),
        (1, 2, 2),
        geometry=Geometry((2, 2), (2, 2), (2, 1, 2, 1)),
        requantize=rule,
    )
    _fault(layer, np.zeros((1, 1, 1, 1), np.int8), "sees none")


@pytest.mark.parametrize("mode", ["float_scale_half_even", "fixed_point_half_away"])
def test_sums_of_averages_must_fit_too(mode: str) -> None:
    # The float mode sums distances from the zero point, TFLite the raw codes.
    rule = Requantize(mode, scale=np.ones(4, np.float32))
    layer = _layer(
        "avg_pool2d",
        (1, 2, 2),
        (1, 1, 1),
        geometry=Geometry((2, 2)),
        requantize=rule,
        accumulator_bits=9,
    )
    zero = 100
    fine, beyond = (100, 30) if mode == "float_scale_half_even" else (60, 100)
    for code in (fine, beyond):
        codes = np.full((1, 1, 2, 2), code, np.int8)
        if code == fine:
            run_layer(layer, [codes], [_quantization(zero)])
            continue
        with pytest.raises(AccumulatorError, match="signed 9 bits"):
            run_layer(layer, [codes], [_quantization(zero)])
