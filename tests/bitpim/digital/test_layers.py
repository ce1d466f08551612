from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.digital.layers import PreparedLayer, prepare_layer
from bitpim.digital.weighted import prepare_weighted, sums_fit_int32
from bitpim.errors import AccumulatorError, MappingError, TraceDataError
from bitpim_traces.operators import LAYER_KINDS
from bitpim_traces.records import (
    REQUANTIZE_MODES,
    Geometry,
    LayerRecord,
    Params,
    Quantization,
    Requantize,
    TensorRecord,
)
from tests.naive.network import run_layer
from tests.strategies import small_trace

Array = npt.NDArray[Any]


def quantization(bits: int = 8, *, signed: bool = True, zero: int = 0) -> Quantization:
    return Quantization(bits, signed, np.ones(1), np.array([zero]))


def unit(n: int = 1) -> Requantize:
    return Requantize(
        "truncate_shift", multiplier=np.ones(n, np.int32), shift=np.zeros(n, np.int32)
    )


def conv_layer(weight: Array, shape: tuple[int, int, int], **more: Any) -> LayerRecord:
    geometry = more.pop("geometry", Geometry((weight.shape[2], weight.shape[3])))
    bits = more.pop("weight_bits", 8)
    zero = more.pop("weight_zero", np.zeros(1, np.int64))
    output = more.pop("output", quantization(16))
    more.setdefault("clamp", (output.code_min, output.code_max))
    more.setdefault("requantize", unit())
    return LayerRecord(
        0,
        "conv",
        "conv2d",
        (-1,),
        (shape,),
        (weight.shape[0], *geometry.output_size(*shape[1:])),
        output,
        geometry,
        weight=TensorRecord.of(weight, axes="OIHW", role="weight"),
        weight_quantization=Quantization(bits, True, np.ones(1), zero),
        **more,
    )


def assert_equals_naive(layer: LayerRecord, quants: Any, inputs: list[Array]) -> None:
    found = prepare_layer(layer, quants).run(inputs)
    assert found.shape == (inputs[0].shape[0], *layer.output_shape)
    assert np.array_equal(found, run_layer(layer, inputs, quants))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(LAYER_KINDS),
    st.sampled_from(REQUANTIZE_MODES),
    st.sampled_from([(2, 8), (8, 16), (1, 4)]),
)
def test_random_networks_equal_the_naive_ones(
    seed: int, kind: str, mode: str, bits: tuple[int, int]
) -> None:
    trace = small_trace(seed, mode=mode, kinds=[kind, "conv2d", "add", "linear"], bits=bits)
    outputs = {-1: trace.samples.codes.read()}
    for layer in trace.layers:
        inputs = [outputs[i] for i in layer.inputs]
        quants = trace.input_quantizations(layer)
        outputs[layer.index] = prepare_layer(layer, quants).run(inputs)
        assert np.array_equal(outputs[layer.index], run_layer(layer, inputs, quants)), layer.kind


GEOMETRIES = [
    ((1, 1), Geometry((1, 1))),
    ((1, 1), Geometry((3, 3), (1, 1), (1, 1, 1, 1))),
    ((5, 1), Geometry((2, 3), (2, 1), (0, 1, 2, 0))),
    ((4, 7), Geometry((3, 2), (1, 2), (2, 0, 0, 3), (1, 2))),
    ((6, 6), Geometry((2, 2), (3, 3), (0, 0, 0, 0), (2, 2))),
    ((3, 37), Geometry((1, 5), (1, 1), (0, 0, 2, 2))),
    ((3, 3), Geometry((5, 5), (1, 1), (2, 2, 2, 2))),
]


@pytest.mark.parametrize(("size", "geometry"), GEOMETRIES)
@pytest.mark.parametrize(
    ("channels", "groups", "n_filters"),
    [(4, 1, 5), (4, 1, 16), (4, 1, 17), (4, 2, 6), (4, 4, 4), (4, 4, 8), (1, 1, 1), (1, 1, 2)],
)
@pytest.mark.parametrize("zero", [-128, 127, 3])
def test_convolutions_of_awkward_shapes(
    size: tuple[int, int],
    geometry: Geometry,
    channels: int,
    groups: int,
    n_filters: int,
    zero: int,
) -> None:
    rng = np.random.default_rng(1)
    geometry = replace(geometry, groups=groups)
    shape = (n_filters, channels // groups, *geometry.kernel)
    weight = rng.integers(-128, 128, shape, dtype=np.int8)
    scale = np.full(n_filters, 2**10, np.int32)
    layer = conv_layer(
        weight,
        (channels, *size),
        geometry=geometry,
        pad_code=zero,
        weight_zero=rng.integers(-128, 128, n_filters),
        bias=TensorRecord.of(rng.integers(-999, 999, n_filters), axes="O", role="bias"),
        requantize=Requantize("half_up_shift", scale, np.full(n_filters, 15, np.int32)),
    )
    codes = rng.integers(-128, 128, (3, channels, *size), dtype=np.int8)
    assert_equals_naive(layer, [quantization(zero=zero)], [codes])


@pytest.mark.parametrize("bits", [8, 16])
def test_the_form_follows_the_proof(bits: int) -> None:
    """1x1 filters whose l1 norm times the reach is the last int32, or one step beyond."""
    reach = 2 ** (bits - 1)
    rest = 2**31 - 1
    small = np.ones((2, 2, 1, 1), np.int8)
    for bias, form in ((rest - 2 * reach, "narrow"), (rest - 2 * reach + 1, "wide")):
        layer = conv_layer(
            small,
            (2, 1, 1),
            accumulator_bits=40,
            bias=TensorRecord.of(np.array([0, -bias]), axes="O", role="bias"),
            requantize=Requantize("float_scale_half_even", scale=np.ones(1, np.float32)),
        )
        if bits == 16 and form == "narrow":
            form = "wide"  # -32768 has no absolute value in 16 bits
        quant = quantization(bits)
        assert prepare_weighted(layer, quant).form == form
        codes = np.array([[quant.code_min] * 2], f"int{bits}").reshape(1, 2, 1, 1)
        assert_equals_naive(layer, [quant], [codes])


def test_the_proof_holds_at_its_edge() -> None:
    zero = np.zeros(2, np.int64)
    limit = np.iinfo(np.int32).max
    l1 = np.array([5, limit // 255])
    assert sums_fit_int32(l1, zero, 255, 127)
    assert sums_fit_int32(l1, np.array([0, -(limit % 255)]), 255, 127)
    assert not sums_fit_int32(l1, np.array([0, -(limit % 255) - 1]), 255, 127)
    assert not sums_fit_int32(l1 + 1, zero, 255, 127)
    assert sums_fit_int32(np.ones(1, np.int64), zero[:1], 32767, 32767)
    assert not sums_fit_int32(np.ones(1, np.int64), zero[:1], 32768, 1)
    assert not sums_fit_int32(np.ones(1, np.int64), zero[:1], 1, 32768)
    assert sums_fit_int32(zero[:0], zero[:0], 255, 255)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_depthwise_is_chosen_when_it_may_be(bits: int) -> None:
    weight = np.full((3, 1, 2, 2), 100, np.int8)
    layer = conv_layer(weight, (3, 4, 5), geometry=Geometry((2, 2), groups=3), accumulator_bits=32)
    quant = quantization(bits)
    assert prepare_weighted(layer, quant).form == ("wide" if bits == 16 else "depthwise")
    codes = np.random.default_rng(0).integers(quant.code_min, quant.code_max, (2, 3, 4, 5))
    assert_equals_naive(layer, [quant], [codes])


@pytest.mark.parametrize("form", ["narrow", "depthwise", "wide"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_beyond_the_accumulator_raises_only_when_it_occurs(form: str, sign: int) -> None:
    n, channels = 2, 2 if form == "depthwise" else 1
    weight = np.full((n, 1, 1, 1), 127, np.int8)
    bias = TensorRecord.of(np.full(n, 2**40 if form == "wide" else 0), axes="O", role="bias")
    highest = (2**41 if form == "wide" else 2**13) - 1
    bits = 42 if form == "wide" else 14
    layer = conv_layer(
        weight,
        (channels, 2, 2),
        geometry=Geometry((1, 1), groups=channels),
        accumulator_bits=bits,
        bias=bias,
        requantize=Requantize("float_scale_half_even", scale=np.ones(1, np.float32)),
    )
    if form == "wide":  # the bias alone leaves room for 2**40 - 1; a large bias leaves none
        bias = TensorRecord.of(np.full(n, sign * (highest - 127 * 64)), axes="O", role="bias")
        layer = replace(layer, bias=bias)
    prepared = prepare_layer(layer, [quantization()])
    assert prepare_weighted(layer, quantization()).form == form
    codes = np.full((1, channels, 2, 2), sign * 64, np.int8)
    assert prepared.run([codes]).shape == (1, n, 2, 2)
    codes[0, 0, 1, 1] += sign
    with pytest.raises(AccumulatorError, match=f"{bits} bits"):
        prepared.run([codes])


@pytest.mark.parametrize(
    ("bits", "bias", "remedy"),
    [
        (8, 127, "; widen the accumulator or narrow the codes"),
        (64, 2**63 - 1, "; narrow the codes"),
        (64, 2**62, "; use a smaller multiplier and shift"),
    ],
)
def test_the_remedy_is_of_the_bound_that_was_left(bits: int, bias: int, remedy: str) -> None:
    layer = conv_layer(
        np.ones((1, 1, 1, 1), np.int8), (1, 1, 1), accumulator_bits=bits,
        bias=TensorRecord.of(np.array([bias], np.int64), axes="O", role="bias"),
        requantize=Requantize("truncate_shift", np.array([2]), np.array([1], np.int32)),
    )  # fmt: skip
    prepared = prepare_layer(layer, [quantization()])
    with pytest.raises(AccumulatorError, match=f"{bias + 1} in channel 0{remedy}$"):
        prepared.run([np.ones((1, 1, 1, 1), np.int8)])


def test_a_requantize_step_that_would_wrap_raises() -> None:
    fixed = Requantize("fixed_point_half_away", np.array([2**30]), np.array([20], np.int32))
    layer = conv_layer(np.ones((1, 1, 1, 1), np.int8), (1, 1, 1), requantize=fixed)
    prepared = prepare_layer(layer, [quantization(16)])
    assert prepared.run([np.full((1, 1, 1, 1), 2047, np.int16)])[0, 0, 0, 0] == 32767
    with pytest.raises(AccumulatorError, match="2048"):
        prepared.run([np.full((1, 1, 1, 1), 2048, np.int16)])


def elementwise(kind: str, rule: Requantize | None, shape: tuple[int, ...] = (2,)) -> LayerRecord:
    n = 2 if kind == "add" else 1
    return LayerRecord(
        0, kind, kind, (-1,) * n, (shape,) * n, shape, quantization(16), clamp=(-9999, 9999),
        requantize=rule,
    )  # fmt: skip


def test_terms_of_a_sum_that_would_wrap_raise() -> None:
    rule = Requantize(
        "fixed_point_half_away",
        np.full(2, 2**30, np.int32),
        np.zeros(2, np.int32),
        output_multiplier=2**30,
        output_shift=-20,
        left_shift=20,
    )
    quants = [quantization(16)] * 2
    prepared = prepare_layer(elementwise("add", rule), quants)
    codes = np.array([[2047, -2048]], np.int16)
    assert prepared.may_overflow
    assert prepared.run([codes, codes * 0]).tolist() == [[512, -512]]
    with pytest.raises(AccumulatorError, match="input 1"):
        prepared.run([codes, codes * 0 + 2048])
    narrow = prepare_layer(elementwise("add", rule), [quantization(12)] * 2)
    assert not narrow.may_overflow  # neither a term nor the halves' sum leaves 32 bits
    whole = replace(rule, multiplier=np.full(2, 2**31 - 1, np.int32))
    prepared = prepare_layer(elementwise("add", whole), [quantization(12)] * 2)
    assert prepared.may_overflow  # each term fits, two of them do not
    with pytest.raises(AccumulatorError, match=str(-(2**32 - 2))):
        prepared.run([np.array([[0, -2048]], np.int16)] * 2)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), n=st.integers(1, 3))
def test_float_sums_take_the_last_input_first(data: st.DataObject, n: int) -> None:
    scales = data.draw(st.lists(st.floats(2**-4, 8, width=32), min_size=n, max_size=n))
    zeros = data.draw(st.lists(st.integers(-128, 127), min_size=n, max_size=n))
    rule = Requantize("float_scale_half_even", scale=np.array(scales, np.float32))
    layer = replace(
        elementwise("add", rule, (6,)), inputs=(-1,) * n, input_shapes=((6,),) * n,
        output=quantization(16, zero=data.draw(st.integers(-500, 500))),
    )  # fmt: skip
    draw = st.lists(st.sampled_from([-128, -1, 0, 1, 3, 127]), min_size=6, max_size=6)
    codes = [np.array([data.draw(draw)], np.int8) for _ in range(n)]
    assert_equals_naive(layer, [quantization(zero=zero) for zero in zeros], codes)


def test_a_table_entry_that_would_wrap_raises_only_when_it_is_read() -> None:
    rule = Requantize("fixed_point_half_away", np.array([2**30]), np.array([18], np.int32))
    prepared = prepare_layer(elementwise("activation", rule), [quantization(16)])
    assert prepared.run([np.array([[8191, -8192]], np.int16)]).tolist() == [[9999, -9999]]
    with pytest.raises(AccumulatorError, match="8192"):
        prepared.run([np.array([[8192, 0]], np.int16)])
    unsigned = prepare_layer(elementwise("activation", rule), [quantization(16, signed=False)])
    with pytest.raises(AccumulatorError, match="8192"):  # where the lowest code is never too low
        unsigned.run([np.array([[8192, 0]], np.uint16)])


def test_an_average_beyond_the_accumulator_raises() -> None:
    layer = LayerRecord(
        0, "mean", "avg_pool2d", (-1,), ((1, 1, 4),), (1, 1, 1), quantization(16),
        Geometry((1, 4)), clamp=(-500, 500), requantize=unit(4), accumulator_bits=9,
    )  # fmt: skip
    prepared = prepare_layer(layer, [quantization()])
    assert prepared.may_overflow
    assert prepared.run([np.full((1, 1, 1, 4), 63, np.int8)]).item() == 252
    with pytest.raises(AccumulatorError, match="256"):
        prepared.run([np.full((1, 1, 1, 4), 64, np.int8)])


@pytest.mark.parametrize(("zero", "end"), [(100, -9999), (0, 9999)])
def test_a_float_sum_beyond_float32_saturates(zero: int, end: int) -> None:
    rule = Requantize("float_scale_half_even", scale=np.full(2, 3e38, np.float32))
    prepared = prepare_layer(elementwise("add", rule), [quantization(zero=zero)] * 2)
    codes = np.array([[1, 127]], np.int8)
    assert prepared.run([codes, codes]).tolist() == [[end, end]]


@pytest.mark.parametrize("kind", ["flatten", "max_pool2d", "pad"])
def test_what_adds_nothing_never_overflows(kind: str) -> None:
    layer = small_trace(5, mode="half_up_shift", kinds=[kind]).layers[-1]
    assert not prepare_layer(layer, [quantization()]).may_overflow


def test_tables_whose_codes_all_fit_never_overflow() -> None:
    rule = Requantize("fixed_point_half_away", np.array([2**30]), np.array([0], np.int32))
    layer = elementwise("activation", rule)
    assert not prepare_layer(layer, [quantization(8, zero=5)]).may_overflow
    layer = replace(
        layer, kind="concat", inputs=(-1, -1), input_shapes=((1,), (1,)),
        params=Params(concat_axis=0),
        requantize=Requantize(rule.mode, np.full(2, 2**30), np.zeros(2, np.int32)),
    )  # fmt: skip
    assert not prepare_layer(layer, [quantization(8), quantization(6)]).may_overflow


@pytest.mark.parametrize("kind", LAYER_KINDS)
def test_an_empty_batch_yields_an_empty_batch(kind: str) -> None:
    trace = small_trace(5, mode="half_up_shift", kinds=[kind])
    layer = trace.layers[-1]
    quants = trace.input_quantizations(layer)
    inputs = [np.zeros((0, *shape), np.int8) for shape in layer.input_shapes]
    assert prepare_layer(layer, quants).run(inputs).shape == (0, *layer.output_shape)


def test_memory_order_and_batch_cuts_change_nothing() -> None:
    """33 large images are cut by threads and by cache blocks."""
    rng = np.random.default_rng(2)
    weight = rng.integers(-8, 8, (3, 5, 3, 3), dtype=np.int8)
    geometry = Geometry((3, 3), padding=(1, 1, 1, 1))
    layer = conv_layer(weight, (5, 64, 64), geometry=geometry)
    codes = rng.integers(-8, 8, (67, 5, 64, 64), dtype=np.int8)
    prepared = prepare_layer(layer, [quantization()])
    whole = prepared.run([codes])
    last = np.ascontiguousarray(codes.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert np.array_equal(prepared.run([last]), whole)
    assert np.array_equal(prepared.run([codes[:, :, ::-1][:, :, ::-1]]), whole)
    for i in (0, 32, 33, 66):
        assert np.array_equal(prepared.run([codes[i : i + 1]]), whole[i : i + 1])


def test_concat_joins_along_every_axis() -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 200, (2, 3, 4, 5), dtype=np.uint8)
    quant = quantization(signed=False, zero=9)
    for axis in range(3):
        shape = list(codes.shape[1:])
        shape[axis] *= 2
        layer = LayerRecord(
            0, "join", "concat", (-1, -1), (codes.shape[1:],) * 2, tuple(shape), quant,
            clamp=(0, 255), params=Params(concat_axis=axis),
        )  # fmt: skip
        assert_equals_naive(layer, [quant, quant], [codes, codes // 2])


def small_conv() -> PreparedLayer:
    layer = conv_layer(np.ones((1, 1, 1, 1), np.int8), (1, 2, 2))
    return prepare_layer(layer, [quantization(4)])


@pytest.mark.parametrize(
    ("inputs", "needs"),
    [
        ([np.zeros((1, 1, 2, 2))], "float64"),
        ([np.zeros((1, 1, 2, 3), np.int8)], "shape"),
        ([np.full((1, 1, 2, 2), 8, np.int8)], "-8..7"),
        ([np.full((1, 1, 2, 2), -9)], "-8..7"),
        ([], "1 inputs"),
    ],
)
def test_wrong_inputs_are_named(inputs: list[Array], needs: str) -> None:
    with pytest.raises(TraceDataError, match=needs):
        small_conv().run(inputs)


@pytest.mark.parametrize(
    ("changes", "needs"),
    [
        ({"weight": None}, "weight"),
        ({"requantize": None}, "requantize"),
        ({"requantize": unit(3)}, "1 or 2 entries"),
        ({"requantize": Requantize("wrap")}, "wrap"),
        ({"requantize": Requantize("float_scale_half_even")}, "scale"),
        ({"geometry": Geometry((2, 2))}, "fits"),
        ({"geometry": Geometry((1, 1), groups=2)}, "fits"),
        ({"geometry": Geometry((1, 1), padding=(1, 0, 0, 0)), "pad_code": 5}, "pad_code"),
        ({"geometry": None}, "geometry"),
    ],
)
def test_contradictions_in_a_layer_are_named(changes: dict[str, Any], needs: str) -> None:
    layer = replace(conv_layer(np.ones((2, 1, 1, 1), np.int8), (1, 2, 2)), **changes)
    with pytest.raises(TraceDataError, match=needs):
        prepare_layer(layer, [quantization()])


def test_a_kind_that_no_machine_has_is_refused() -> None:
    layer = replace(conv_layer(np.ones((2, 1, 1, 1), np.int8), (1, 2, 2)), kind="softmax")
    with pytest.raises(MappingError, match=r"\(softmax\): need a kind .*, got 'softmax'"):
        prepare_layer(layer, [quantization()])


def test_a_param_that_is_missing_is_named() -> None:
    layer = elementwise("concat", None, (2, 1, 1))
    with pytest.raises(TraceDataError, match="params: need a number concat_axis, got None"):
        prepare_layer(layer, [quantization(16)])
    with pytest.raises(TraceDataError, match="params: need numbers pads, got 3"):
        Params(pads=3).integers("pads")


def test_a_mean_of_raw_codes_may_leave_32_bits_where_its_accumulator_does_not() -> None:
    """190 x 190 codes of 65535 sum to 2.4e9; the mode divides them, and scales nothing."""
    source = quantization(16, signed=False)
    layer = LayerRecord(
        0, "mean", "avg_pool2d", (-1,), ((1, 190, 190),), (1, 1, 1), source,
        Geometry((190, 190)), clamp=(0, 65535), requantize=Requantize("fixed_point_half_away"),
        accumulator_bits=33,
    )  # fmt: skip
    codes = np.full((1, 1, 190, 190), 65535, np.uint16)
    assert prepare_layer(layer, [source]).run([codes]).tolist() == [[[[65535]]]]
    narrow = replace(layer, accumulator_bits=32)
    with pytest.raises(AccumulatorError, match=r"got 2365813500 in channel 0"):
        prepare_layer(narrow, [source]).run([codes])
