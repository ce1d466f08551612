"""Layers of trace 1.1 that do not fit: one error, by the operator's record, wherever they come."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bitpim.proof.reference import run_network
from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.builder import TraceBuilder, WeightCodes, quantization_of
from bitpim_traces.errors import TraceDataError, TraceError
from bitpim_traces.faults import Fault
from bitpim_traces.functions import FUNCTIONS
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.operators import OPERATORS
from bitpim_traces.quantize import Settings, calibrate, quantize_network
from bitpim_traces.records import (
    Geometry,
    LayerRecord,
    Params,
    Requantize,
    TensorRecord,
    Trace,
)
from bitpim_traces.rules import check_rules
from bitpim_traces.versions import minor_of
from tests.every_machine import check_on_every_machine
from tests.strategies import KINDS_OF_1_0, small_trace

SHAPE = (2, 4, 5)
CODES = quantization_of(0.5, 3, bits=4)

# kind: params that fit an input of SHAPE, and what makes them not fit: member, value, words
GOOD: dict[str, Params] = {
    "slice": Params(starts=(0, 1, 0), stops=(2, 3, 5), steps=(1, 1, 2)),
    "permute": Params(axes=(2, 0, 1)),
    "reshape": Params(shape=(4, 10)),
    "extend": Params(pads=(0, 0, 1, 2, 3, 4), border="reflect"),
    "dilate": Params(steps=(2, 3)),
    "resize_nearest": Params(size=(3, 7), centred=0),
    "resize_bilinear": Params(size=(3, 7), align_corners=1, share_bits=10),
}
BAD: list[tuple[str, str, Any, str]] = [
    ("slice", "starts", (0, 3, 0), "start < stop"),
    ("slice", "starts", (0, -1, 0), "start < stop"),
    ("slice", "stops", (2, 5, 5), "<= 4 on axis 1"),
    ("slice", "stops", (2, 3), "3 numbers"),
    ("slice", "steps", (1, 0, 1), "at least 1"),
    ("slice", "steps", 1, "whole numbers"),
    ("permute", "axes", (0, 1, 1), "each of 0 to 2 once"),
    ("permute", "axes", (0, 1), "each of 0 to 2 once"),
    ("permute", "axes", (1, 2, 3), "each of 0 to 2 once"),
    ("reshape", "shape", (4, 11), "40 values"),
    ("reshape", "shape", (-4, -10), "40 values"),
    ("reshape", "shape", (), "40 values"),
    ("reshape", "shape", (1, 1, 1, 1, 1, 40), "at most 5 axes"),
    ("extend", "pads", (0, 0, 4, 0, 0, 0), "0 to 3 on axis 1 to reflect"),
    ("extend", "pads", (0, 0, 0, 0, 0, -1), "0 to 4 on axis 2"),
    ("extend", "pads", (0, 0, 0, 0), "6 whole numbers"),
    ("extend", "border", "wrap", "one of reflect, replicate, circular"),
    ("dilate", "steps", (0, 1), "1 to 65536"),
    ("dilate", "steps", (1, 65537), "1 to 65536"),
    ("resize_nearest", "size", (0, 3), "1 to "),
    ("resize_nearest", "size", (1, 2**31), "1 to "),
    ("resize_nearest", "centred", 2, "0 or 1"),
    ("resize_bilinear", "size", (3, 3, 3), "2 whole numbers"),
    ("resize_bilinear", "share_bits", 0, "1 to 12"),
    ("resize_bilinear", "share_bits", 13, "1 to 12"),
]


def layer_of(kind: str, params: Params) -> FloatLayer:
    return FloatLayer("it", kind, (-1,), params=params)


def built(kind: str, params: Params, shape: tuple[int, ...] = SHAPE) -> Trace:
    builder = TraceBuilder("net", shape, CODES)
    if OPERATORS[kind].keeps_codes:
        builder.keep(layer_of(kind, params))
    else:
        builder.accumulate(layer_of(kind, params), CODES)
    return builder.build(np.zeros((1, *shape), np.uint8))


def faults_of(trace: Trace) -> list[Fault]:
    found: list[Fault] = []
    check_rules(trace, found.append)
    return found


@pytest.mark.parametrize("kind", GOOD)
def test_what_fits_is_taken(kind: str, tmp_path: Path) -> None:
    trace = built(kind, GOOD[kind])
    assert faults_of(trace) == []
    write_trace(trace, tmp_path / "net.h5")
    assert check_trace(tmp_path / "net.h5", deep=True) == []
    assert open_trace(tmp_path / "net.h5").layers[0].params == GOOD[kind]


@pytest.mark.parametrize(("kind", "member", "value", "said"), BAD)
def test_builder_network_checker_and_writer_refuse_alike(
    kind: str, member: str, value: Any, said: str, tmp_path: Path
) -> None:
    params = Params({**GOOD[kind], member: value})
    for make in (
        lambda: built(kind, params),
        lambda: FloatNetwork("net", (layer_of(kind, params),), SHAPE),
    ):
        with pytest.raises(TraceDataError, match="layer 0 'it'") as caught:
            make()
        assert said in str(caught.value)
    good = built(kind, GOOD[kind])
    wrong = replace(good, layers=(replace(good.layers[0], params=params),))
    faults = faults_of(wrong)
    assert len(faults) == 1
    assert said in faults[0].need or said in str(faults[0])
    with pytest.raises(TraceError):
        write_trace(wrong, tmp_path / "net.h5")
    assert not (tmp_path / "net.h5").exists()


def test_more_values_than_can_be_counted_are_refused(tmp_path: Path) -> None:
    most, more = ((2**24, 2**n) for n in (23, 24))
    for size in (most, more):
        trace = built("resize_nearest", Params(size=size, centred=0))
        said = [str(fault) for fault in faults_of(trace)]
        assert len(said) == (size == more)
        assert all(
            "output_shape: need a shape of at most 281474976710656 values" in s for s in said
        )
    with pytest.raises(TraceError, match="281474976710656 values"):
        write_trace(trace, tmp_path / "net.h5")


@pytest.mark.parametrize("kind", [kind for kind in GOOD if OPERATORS[kind].rank == 3])
@pytest.mark.parametrize("shape", [(6,), (2, 3), (2, 3, 2, 2)])
def test_images_alone_are_taken(kind: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(TraceDataError, match="channels, rows and columns"):
        built(kind, GOOD[kind], shape)


@pytest.mark.parametrize("kind", ["add", "multiply"])
def test_shapes_that_do_not_broadcast_are_refused(kind: str) -> None:
    builder = TraceBuilder("net", SHAPE, CODES)
    for name, axes in (("mean", (2, 1, 5)), ("flat", (40,)), ("two", (2, 2, 10))):
        params = Params(shape=axes)
        if name == "mean":
            params = Params(starts=(0, 0, 0), stops=(2, 1, 5), steps=(1, 1, 1))
        builder.keep(
            FloatLayer(name, "slice" if name == "mean" else "reshape", (-1,), params=params)
        )
    append = getattr(builder, kind)
    assert builder.shape(append("fits", [-1, 0], CODES)) == SHAPE
    for i in (1, 2):
        with pytest.raises(TraceDataError, match="of one rank; where lengths differ each is"):
            append(f"with {i}", [-1, i], CODES)


def with_layer(trace: Trace, **changes: Any) -> list[str]:
    """Change the last layer, and yield what is wrong with the trace then."""
    last = replace(trace.layers[-1], **changes)
    return [str(fault) for fault in faults_of(replace(trace, layers=(*trace.layers[:-1], last)))]


def table_of(*shape: int) -> TensorRecord:
    return TensorRecord.of(np.zeros(shape, np.uint8), axes="CK"[-len(shape) :], role="table")


def test_tables_have_a_code_for_every_code() -> None:
    builder = TraceBuilder("net", SHAPE, CODES)
    builder.lookup("silu", -1, "silu", CODES)
    trace = builder.build(np.zeros((0, *SHAPE), np.uint8))
    assert with_layer(trace) == []
    assert with_layer(trace, table=table_of(2, 16)) == []
    for shape in ((15,), (17,), (3, 16), (2, 15), (16, 2)):
        (said,) = with_layer(trace, table=table_of(*shape))
        assert "16 entries of uint8, or such a row a channel" in said
    assert any("a table for a function" in said for said in with_layer(trace, table=None))
    for name in ("Silu", "", "a b", "x" * 65, "silu-2", "1st", "none"):
        assert any("@activation" in said for said in with_layer(trace, activation=name)), name
    assert with_layer(trace, activation="anything_2") == []
    constants = TensorRecord.of(np.ones((3, 1), np.float32), axes="CP", role="constants")
    all_said = with_layer(trace, tensors={"constants": constants})
    assert any("constants of each of 2 channels" in one for one in all_said)
    all_said = with_layer(trace, tensors={"values": constants})
    assert any("only what activation has" in one for one in all_said)


@pytest.mark.parametrize("shape", [(15,), (3, 16), (2, 17)])
def test_a_builder_refuses_tables_of_another_length(shape: tuple[int, ...]) -> None:
    builder = TraceBuilder("net", SHAPE, CODES)
    with pytest.raises(TraceDataError, match="table of 16 codes, or one a channel"):
        builder.lookup("it", -1, "any", CODES, table=np.zeros(shape, np.uint8))
    with pytest.raises(TraceDataError, match="codes from 0 to 15, got 16"):
        builder.lookup("it", -1, "any", CODES, table=np.full(16, 16))
    with pytest.raises(TraceDataError, match=r"whose real values are known.*got 'any'"):
        builder.lookup("it", -1, "any", CODES)


def test_constants_are_codes_of_their_shape() -> None:
    builder = TraceBuilder("net", SHAPE, CODES)
    builder.constant("it", np.full(SHAPE, 7), CODES)
    trace = builder.build(np.zeros((0, *SHAPE), np.uint8))
    assert with_layer(trace) == []
    (said,) = with_layer(trace, tensors={})
    assert "values" in said
    assert any("clamp" in said for said in with_layer(trace, clamp=(0, 7)))
    real = trace.layers[0].tensors["values_float"]
    wide = TensorRecord.of(np.zeros(SHAPE, np.int16), axes="CHW", role="values")
    (said,) = with_layer(trace, tensors={"values": wide, "values_float": real})
    assert "dtype uint8" in said
    less = TensorRecord.of(np.zeros((1, 4, 5), np.float32), axes="CHW", role="values_float")
    values = trace.layers[0].tensors["values"]
    (said,) = with_layer(trace, tensors={"values": values, "values_float": less})
    assert "values_float" in said and str(SHAPE) in said
    with pytest.raises(TraceDataError, match="codes from 0 to 15, got 16"):
        builder.constant("more", np.full(SHAPE, 16), CODES)


def test_values_beyond_their_width_are_listed(tmp_path: Path) -> None:
    builder = TraceBuilder("net", SHAPE, CODES)
    builder.constant("it", np.full(SHAPE, 7), CODES)
    trace = builder.build(np.zeros((1, *SHAPE), np.uint8))
    values = TensorRecord.of(np.full(SHAPE, 16, np.uint8), axes="CHW", role="values")
    layer = replace(trace.layers[0], tensors={"values": values})
    write_trace(replace(trace, layers=(layer,)), tmp_path / "net.h5")
    (fault,) = check_trace(tmp_path / "net.h5", deep=True)
    assert (fault.where, fault.need) == ("/layers/0000/values", "4-bit codes 0..15")
    with pytest.raises(TraceDataError, match=r"codes 0\.\.15, got 16"):
        open_trace(tmp_path / "net.h5").layers[0].tensors["values"].read()


def test_products_beyond_their_integers_are_refused_and_listed(tmp_path: Path) -> None:
    wide = quantization_of(1.0, 0, bits=16)
    builder = TraceBuilder("net", (2,), wide, requantize="fixed_point_half_away")
    with pytest.raises(TraceDataError, match=r"fit 32 bits.*another requantize mode"):
        builder.multiply("it", [-1, -1], quantization_of(2.0**17, bits=16))
    builder = TraceBuilder("net", (2,), wide)
    builder.multiply("it", [-1, -1], quantization_of(2.0**17, bits=16))
    trace = builder.build(np.zeros((1, 2), np.uint16))
    step = trace.layers[0].requantize
    assert step is not None
    high = replace(step, multiplier=np.array([2**31 - 1], np.int32))
    write_trace(
        replace(trace, layers=(replace(trace.layers[0], requantize=high),)), tmp_path / "net.h5"
    )
    (fault,) = check_trace(tmp_path / "net.h5", deep=True)
    assert fault.need == "sums x multiplier below 2^62"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_tables_hold_the_function_of_every_code(name: str) -> None:
    function = FUNCTIONS[name]
    constants = np.array([0.5, 1.5, 2.0][: len(function.constants)], np.float32)
    before = quantization_of(0.25, 20, bits=6)
    ends = function.ends if function.is_bounded else (-4.0, 4.0)
    after = quantization_of((ends[1] - ends[0]) / 255, round(-ends[0] * 255 / (ends[1] - ends[0])))
    builder = TraceBuilder("net", (3,), before)
    builder.lookup("it", -1, name, after, constants=constants if constants.size else None)
    table = builder.layers[0].table
    assert table is not None
    codes = table.read()
    for code in range(64):
        x = np.array([[0.25 * (code - 20)]])
        value = float(function.of(x, constants if constants.size else None)[0, 0])
        if np.isnan(value):
            need = int(after.zero_point[0])
        else:
            scaled = np.clip(value / after.scale[0], -1e6, 1e6) + after.zero_point[0]
            need = int(np.clip(np.rint(scaled), 0, 255))
        assert int(codes[code]) == need, (code, value)


@pytest.mark.parametrize("seed", range(6))
def test_a_file_states_the_least_version_that_knows_it(seed: int, tmp_path: Path) -> None:
    old, new = small_trace(seed, minor=0), small_trace(seed)
    for number, trace in enumerate((old, new)):
        path = tmp_path / f"{number}.h5"
        write_trace(trace, path)
        kinds = {layer.kind for layer in trace.layers}
        if not kinds <= set(KINDS_OF_1_0):
            assert minor_of(trace) == 1
        with open_trace(path) as read:
            assert minor_of(read) == minor_of(trace)
            assert read.digest


def newer_parts() -> list[tuple[str, Trace]]:
    """Traces that need 1.1 for one reason each."""
    found = []
    builder = TraceBuilder("net", (2, 6), CODES)
    builder.flatten("flat", -1)
    found.append(("rank", builder.build(np.zeros((1, 2, 6), np.uint8))))
    builder = TraceBuilder("net", SHAPE, CODES)
    builder.lookup("it", -1, "silu", CODES)
    found.append(("function", builder.build(np.zeros((1, *SHAPE), np.uint8))))
    builder = TraceBuilder("net", SHAPE, CODES)
    builder.lookup("it", -1, "tanh", CODES, table=np.zeros((2, 16), np.uint8))
    found.append(("rows", builder.build(np.zeros((1, *SHAPE), np.uint8))))
    builder = TraceBuilder("net", SHAPE, CODES)
    builder.avg_pool2d("mean", -1, Geometry((4, 5)))
    builder.add("it", [-1, 0], CODES)
    found.append(("add", builder.build(np.zeros((1, *SHAPE), np.uint8))))
    return found


@pytest.mark.parametrize("number", range(4))
def test_a_file_that_states_too_little_is_refused(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, trace = newer_parts()[number]
    assert minor_of(trace) == 1
    monkeypatch.setattr("bitpim_traces.encode.minor_of", lambda trace: 0)
    write_trace(trace, tmp_path / "net.h5")
    monkeypatch.undo()
    with pytest.raises(TraceError, match=r"1\.1, which first had what the file uses.*1\.0"):
        open_trace(tmp_path / "net.h5")


def test_1_0_keeps_its_version_and_bytes(tmp_path: Path) -> None:
    builder = TraceBuilder("net", SHAPE, CODES)
    builder.lookup("it", -1, "tanh", CODES)
    builder.flatten("flat", 0)
    trace = builder.build(np.zeros((1, *SHAPE), np.uint8))
    assert minor_of(trace) == 0
    write_trace(trace, tmp_path / "net.h5")
    assert open_trace(tmp_path / "net.h5").layers[0].activation == "tanh"


def test_records_of_newer_kinds_are_read_back_whole(tmp_path: Path) -> None:
    for seed in range(8):
        trace = small_trace(seed, float_noise=True)
        write_trace(trace, tmp_path / "net.h5")
        with open_trace(tmp_path / "net.h5") as read:
            for one, other in zip(trace.layers, read.layers, strict=True):
                assert_same(one, other)


def assert_same(one: LayerRecord, other: LayerRecord) -> None:
    assert (one.kind, one.params, one.activation) == (other.kind, other.params, other.activation)
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        np.testing.assert_array_equal(tensor.read(), other.tensors[name].read())


def raw_trace(mode: str = "half_up_shift", bits: int = 32) -> Trace:
    """A linear layer that puts out its accumulators."""
    weight = WeightCodes(np.array([[1, -2], [3, 7]]), quantization_of(0.25, bits=4, signed=True))
    builder = TraceBuilder("net", (2,), CODES)
    one = np.ones(1, np.int32)
    step = Requantize(mode, multiplier=one, shift=0 * one)
    output = quantization_of(0.125, bits=bits, signed=True)
    builder.linear("it", -1, weight, output, requantize=step)
    return builder.build(np.array([[15, 0], [3, 4]], np.uint8))


@pytest.mark.parametrize("bits", [17, 32])
def test_raw_accumulators_are_an_output(bits: int, tmp_path: Path) -> None:
    trace = raw_trace(bits=bits)
    assert minor_of(trace) == 1
    write_trace(trace, tmp_path / "net.h5")
    assert check_trace(tmp_path / "net.h5", deep=True) == []
    with open_trace(tmp_path / "net.h5") as read:
        check_on_every_machine(read)
        codes = run_network(read, read.samples.codes.read())[0]
    assert codes.dtype == np.int32
    np.testing.assert_array_equal(codes, [[12 + 6, 36 - 21], [-2, 7]])


def test_raw_accumulators_are_read_by_nobody_and_never_rounded() -> None:
    trace = raw_trace()
    assert with_layer(trace) == []
    builder = TraceBuilder("net", (2,), CODES)
    weight = WeightCodes(np.eye(2, dtype=np.int8), quantization_of(0.25, bits=4, signed=True))
    one = np.ones(1, np.int32)
    step = Requantize("half_up_shift", multiplier=one, shift=0 * one)
    builder.linear("it", -1, weight, quantization_of(1.0, bits=20, signed=True), requantize=step)
    with pytest.raises(TraceDataError, match=r"at most 16 bits, got the 20 bits of layer 'it'"):
        builder.flatten("flat", 0)
    flat = LayerRecord(1, "flat", "flatten", (0,), ((2,),), (2,), trace.layers[0].output)
    faults = faults_of(replace(trace, layers=(*trace.layers, flat)))
    assert any("layers whose codes have at most 16 bits" in str(fault) for fault in faults)
    with pytest.raises(TraceDataError, match="need signed codes"):
        builder.linear("more", -1, weight, quantization_of(1.0, bits=20), requantize=step)
    with pytest.raises(TraceDataError, match="1 to 32 bits, got 33"):
        builder.linear("more", -1, weight, quantization_of(1.0, bits=33), requantize=step)
    with pytest.raises(TraceDataError, match="1 to 16 bits, got 17"):
        builder.add("more", [-1, -1], quantization_of(1.0, bits=17))
    for mode in ("fixed_point_half_away", "float_scale_half_even"):
        wide = quantization_of(1.0, bits=20, signed=True)
        with pytest.raises(TraceDataError, match="mode with shifts"):
            builder.linear("more", -1, weight, wide, requantize=mode)
        changed = with_layer(trace, requantize=Requantize(mode, scale=np.ones(1, np.float32)))
        assert any("output@bits" in said for said in changed)


@pytest.mark.parametrize("bits", [0, 65, 20_000, 2**40])
def test_widths_without_a_dtype_are_faults_and_nothing_else(bits: int) -> None:
    trace = raw_trace()
    layer, wide = trace.layers[0], replace(trace.layers[0].output, bits=bits)
    codes = replace(trace.samples, quantization=wide)
    for wrong in (
        replace(trace, layers=(replace(layer, output=wide, accumulator_bits=bits),)),
        replace(trace, layers=(replace(layer, weight_quantization=wide),)),
        replace(trace, samples=codes),
    ):
        faults = [str(fault) for fault in faults_of(wrong)]
        assert any("@bits: need 1 to" in fault for fault in faults)


def test_raw_output_of_a_float_network_is_its_sums() -> None:
    weight = np.array([[0.5, -1.0], [0.25, 1.0]], np.float32)
    bias = np.array([0.5, -0.25], np.float32)
    layers = (
        FloatLayer("relu", "activation", (-1,), activation="relu"),
        FloatLayer("fc", "linear", (0,), weight=weight, bias=bias),
    )
    network = FloatNetwork("net", layers, (2,))
    inputs = np.array([[0.5, 1.0], [-1.0, 0.75], [0.0, 0.0]], np.float32)
    settings = Settings(raw_output=True)
    trace = quantize_network(
        network, calibrate(network, inputs, settings), inputs, settings=settings
    )
    output = trace.layers[-1].output
    assert (output.bits, output.signed, output.scale.size) == (32, True, 1)
    codes = run_network(trace, trace.samples.codes.read())[1]
    np.testing.assert_allclose(codes * output.scale, network.outputs(inputs)[1], atol=0.01)
    moved = FloatNetwork("net", layers[:1], (2,))
    with pytest.raises(TraceDataError, match="ends in a conv2d or linear for raw_output, got act"):
        quantize_network(moved, calibrate(moved, inputs, settings), inputs, settings=settings)


SIGNS = quantization_of(0.5, binary=True)


def signs(*shape: int) -> Any:
    return np.where(np.random.default_rng(len(shape)).random(shape) < 0.5, -1, 1)


def binary_trace() -> Trace:
    """Samples, a function's values, a constant and weights of -1 and 1."""
    builder = TraceBuilder("net", (4, 3, 3), SIGNS)
    window = Geometry((2, 2), padding=(1, 0, 0, 1))
    hidden = quantization_of(0.25, 100)
    builder.conv2d("conv", -1, WeightCodes(signs(4, 4, 2, 2), SIGNS), hidden, window)
    table = np.where(np.arange(256) >= 100, 1, -1)
    builder.lookup("plus_or_minus", 0, "plus_or_minus", SIGNS, table=table)
    builder.constant("constant", signs(4, 1, 3), SIGNS)
    builder.multiply("both", [1, 2], quantization_of(0.25, bits=3, signed=True))
    builder.flatten("flat", 1)
    weight = WeightCodes(signs(3, 36), quantization_of([0.5, 0.25, 2.0], axis=0, binary=True))
    builder.linear("fc", 4, weight, quantization_of(1.0, 64))
    return builder.build(signs(2, 4, 3, 3))


def test_codes_of_plus_and_minus_one_take_a_bit_in_a_file(tmp_path: Path) -> None:
    trace = binary_trace()
    assert minor_of(trace) == 1
    write_trace(trace, tmp_path / "net.h5")
    assert check_trace(tmp_path / "net.h5", deep=True) == []
    with h5py.File(tmp_path / "net.h5") as file:
        for name in ("samples/codes", "layers/0000/weight", "layers/0001/table"):
            assert file[name].dtype == np.uint8
            assert set(np.unique(file[name])) == {0, 1}
        for name in (
            "samples/quantization",
            "layers/0001/output",
            "layers/0000/weight_quantization",
        ):
            assert dict(file[name].attrs) == {"bits": 1, "signed": 2, "axis": -1}
        stored = file["layers/0000/weight"][...].astype(int)
    with open_trace(tmp_path / "net.h5") as read:
        np.testing.assert_array_equal(read.layers[0].weight.read(), 2 * stored - 1)  # type: ignore[union-attr]
        assert read.layers[0].weight_quantization == replace(
            SIGNS,
            scale=read.layers[0].weight_quantization.scale,  # type: ignore[union-attr]
            zero_point=read.layers[0].weight_quantization.zero_point,  # type: ignore[union-attr]
        )
        codes = read.samples.codes.read()
        found, need = run_network(read, codes, keep="all"), run_network(trace, codes, keep="all")
        for index, values in need.items():
            np.testing.assert_array_equal(found[index], values)
        check_on_every_machine(read)
        assert write_trace(read, tmp_path / "again.h5") == read.digest


def test_codes_of_plus_and_minus_one_are_nothing_else(tmp_path: Path) -> None:
    builder = TraceBuilder("net", (4, 3, 3), SIGNS)
    with pytest.raises(TraceDataError, match="codes of -1 and 1 alone"):
        builder.constant("zero", np.zeros((4, 3, 3), int), SIGNS)
    with pytest.raises(TraceDataError, match="around 0"):
        wrong = replace(SIGNS, zero_point=np.ones(1, np.int64))
        builder.constant("one", signs(4, 3, 3), wrong)
    builder.pad("pad", -1, (0, 0, 1, 1, 1, 1))
    with pytest.raises(TraceError, match="codes of -1 and 1 come of tables, constants and moves"):
        write_trace(builder.build(signs(1, 4, 3, 3)), tmp_path / "net.h5")
    trace = binary_trace()
    weight = TensorRecord.of(np.zeros((4, 4, 2, 2), np.int8), axes="OIHW", role="weight")
    zero = replace(trace, layers=(replace(trace.layers[0], weight=weight), *trace.layers[1:]))
    with pytest.raises(TraceDataError, match="layers/0000/weight: need codes of -1 and 1 alone"):
        write_trace(zero, tmp_path / "net.h5")
    assert not (tmp_path / "net.h5").exists()


@pytest.mark.parametrize(
    ("name", "attribute", "value", "said"),
    [
        ("samples/quantization", "signed", 4, "0, 1, 2 or 3"),
        ("layers/0000/weight_quantization", "bits", 2, "1 for codes of -1 and 1"),
        ("layers/0005/output", "signed", 2, "1 for codes of -1 and 1"),
    ],
)
def test_signs_that_a_file_states_wrongly_are_faults(
    name: str, attribute: str, value: int, said: str, tmp_path: Path
) -> None:
    write_trace(binary_trace(), tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5", "a") as file:
        file[name].attrs[attribute] = value
    faults = [str(fault) for fault in check_trace(tmp_path / "net.h5")]
    assert any(said in fault for fault in faults), faults


def test_weights_of_one_bit_are_stored_in_one(tmp_path: Path) -> None:
    weight = np.array([[0.5, -1.0], [0.25, 1.0]], np.float32)
    network = FloatNetwork("net", (FloatLayer("fc", "linear", (-1,), weight=weight),), (2,))
    inputs = np.array([[0.5, 1.0], [0.25, 0.75]], np.float32)
    settings = Settings(weight_bits=1)
    trace = quantize_network(network, calibrate(network, inputs), inputs, settings=settings)
    write_trace(trace, tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5") as file:
        np.testing.assert_array_equal(file["layers/0000/weight"], [[1, 0], [1, 1]])
        np.testing.assert_allclose(
            file["layers/0000/weight_quantization/scale"], [0.75, 0.625], rtol=1e-6
        )
    check_on_every_machine(trace)
