"""Given codes become a trace unchanged; what contradicts itself is refused with its name."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.proof.reference import run_network
from bitpim_traces import open_trace, write_trace
from bitpim_traces.builder import Activation, TraceBuilder, WeightCodes, quantization_of
from bitpim_traces.errors import TraceDataError
from bitpim_traces.network import FloatLayer
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import (
    REQUANTIZE_MODES,
    Geometry,
    LayerRecord,
    Quantization,
    Requantize,
    TensorRecord,
    Trace,
)
from tests.strategies import small_trace

INPUT = quantization_of(0.5, 3)
WEIGHT = quantization_of([0.25, 0.5], signed=True, axis=0)
OUTPUT = quantization_of(2.0, 7)
EYE = np.eye(2, dtype=np.int8)


def builder(**options: Any) -> TraceBuilder:
    return TraceBuilder("net", (2,), INPUT, **options)


def image_builder(shape: tuple[int, ...] = (2, 4, 4), **options: Any) -> TraceBuilder:
    return TraceBuilder("net", shape, INPUT, **options)


def rebuild(trace: Trace) -> Trace:
    """Give every number of a trace to a builder, layer by layer."""
    made = TraceBuilder(trace.name, trace.shape_of(-1), trace.samples.quantization)
    for layer in trace.layers:
        made.accumulator_bits = layer.accumulator_bits
        _append(made, layer)
    labels = trace.samples.labels
    return made.build(
        trace.samples.codes.read(),
        labels=None if labels is None else labels.read(),
        dataset=trace.samples.dataset,
        provenance=trace.provenance,
    )


def _append(made: TraceBuilder, layer: LayerRecord) -> None:
    name, source, output = layer.name, layer.inputs[0], layer.output
    scale, zero = float(output.scale[0]), int(output.zero_point[0])
    real = (scale * (layer.clamp[0] - zero), scale * (layer.clamp[1] - zero))
    activation = Activation(layer.activation, real if layer.activation == "clamp" else None)
    step: Any = layer.requantize
    window: Any = layer.geometry
    if layer.kind in ("conv2d", "linear"):
        assert layer.weight is not None and layer.weight_quantization is not None
        bias = None if layer.bias is None else layer.bias.read()
        weight = WeightCodes(layer.weight.read(), layer.weight_quantization, bias)
        if layer.kind == "conv2d":
            made.conv2d(
                name, source, weight, output, window, activation=activation, requantize=step
            )
        else:
            made.linear(name, source, weight, output, activation=activation, requantize=step)
    elif layer.kind == "max_pool2d":
        made.max_pool2d(name, source, window)
    elif layer.kind == "avg_pool2d":
        made.avg_pool2d(name, source, window, output=output, activation=activation, requantize=step)
    elif layer.kind == "add":
        made.add(name, layer.inputs, output, activation=activation, requantize=step)
    elif layer.kind == "concat":
        made.concat(
            name,
            layer.inputs,
            axis=layer.params.integer("concat_axis"),
            output=output,
            requantize=step,
        )
    elif OPERATORS[layer.kind].accumulated is not None:
        sketch = FloatLayer(name, layer.kind, layer.inputs, params=layer.params)
        made.accumulate(sketch, output, activation=activation, requantize=step)
    elif OPERATORS[layer.kind].keeps_codes:
        made.keep(FloatLayer(name, layer.kind, layer.inputs, params=layer.params))
    elif layer.kind == "constant":
        made.constant(name, layer.tensors["values"].read(), output, source=source)
    elif layer.table is not None:
        made.lookup(name, source, layer.activation, output, table=layer.table.read())
    else:
        made.clip(name, source, activation)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_every_number_given_is_the_number_kept(seed: int) -> None:
    given_trace = small_trace(seed)
    made = rebuild(given_trace)
    for old, new in zip(given_trace.layers, made.layers, strict=True):
        for field in fields(LayerRecord):
            one, other = getattr(old, field.name), getattr(new, field.name)
            if isinstance(one, TensorRecord):
                assert one.dtype == other.dtype
                np.testing.assert_array_equal(one.read(), other.read())
            elif isinstance(one, Quantization | Requantize):
                for part in fields(one):
                    np.testing.assert_equal(getattr(one, part.name), getattr(other, part.name))
            elif field.name == "tensors":
                for key, tensor in one.items():
                    np.testing.assert_array_equal(tensor.read(), other[key].read())
            elif field.name == "pad_code" and old.kind not in ("conv2d", "pad"):
                if old.geometry is not None and any(old.geometry.padding):
                    assert one == other
            elif field.name == "pad_code" and old.kind == "conv2d":
                assert one == other
            elif field.name not in ("weight_float", "bias_float", "pad_code"):
                assert one == other, field.name
    codes = given_trace.samples.codes.read()
    need, got = run_network(given_trace, codes, keep="all"), run_network(made, codes, keep="all")
    for index, values in need.items():
        np.testing.assert_array_equal(got[index], values)


def test_derived_steps_come_from_the_scales() -> None:
    b = builder(multiplier_bits=8)
    index = b.linear("fc", -1, WeightCodes(EYE, WEIGHT, np.array([4, -4])), OUTPUT)
    step = b.layers[index].requantize
    assert step is not None and step.multiplier is not None and step.shift is not None
    # 0.5 * (0.25, 0.5) / 2.0
    assert step.multiplier.tolist() == [128, 128]
    assert step.shift.tolist() == [11, 10]
    trace = b.build(np.array([[3 + 32, 3]], np.uint8))
    out = run_network(trace, trace.samples.codes.read())[0]
    assert out.tolist() == [[(32 + 4) // 16 + 7, 7]]  # (36 / 16, -4 / 8 rounded up) + 7


@pytest.mark.parametrize("mode", REQUANTIZE_MODES)
def test_a_layer_may_name_another_mode(mode: str) -> None:
    b = builder(requantize="truncate_shift")
    one = b.linear("one", -1, WeightCodes(EYE, WEIGHT), OUTPUT, requantize=mode)
    other = b.linear("other", -1, WeightCodes(EYE, WEIGHT), quantization_of(1.0, 5))
    both = b.concat("cat", [one, other], requantize=mode)
    added = b.add("add", [one, other], OUTPUT, requantize=mode)
    steps = [b.layers[i].requantize for i in (one, other, both, added)]
    assert [step and step.mode for step in steps] == [mode, "truncate_shift", mode, mode]


def test_float_weights_and_biases_are_what_the_codes_stand_for() -> None:
    b = builder()
    codes = np.array([[2, -1], [0, 5]], np.int8)
    b.linear("fc", -1, WeightCodes(codes, WEIGHT, np.array([4, -4])), OUTPUT)
    record = b.layers[0]
    assert record.weight_float is not None and record.bias_float is not None
    assert record.weight_float.read().tolist() == [[0.5, -0.25], [0.0, 2.5]]
    assert record.weight_float.read(1, 2).tolist() == [[0.0, 2.5]]
    assert record.bias_float.read().tolist() == [4 * 0.5 * 0.25, -4 * 0.5 * 0.5]
    assert record.weight_float.dtype == record.bias_float.dtype == np.float32


def test_a_built_trace_is_written_and_read_back(tmp_path: Path) -> None:
    b = image_builder()
    q = quantization_of(0.01, 128)
    weight = np.random.default_rng(0).integers(0, 256, (3, 2, 3, 3)).astype(np.uint8)
    conv = b.conv2d(
        "conv",
        -1,
        WeightCodes(weight, q, np.array([1, 2, 3])),
        OUTPUT,
        Geometry((3, 3), (2, 2), (0, 1, 0, 1)),
        activation=Activation("relu6"),
    )
    both = b.concat("cat", [conv, conv])
    b.lookup("tanh", both, "tanh", quantization_of(1 / 128, 128))
    references = {i: np.zeros((1, *b.shape(i)), np.float32) for i in range(3)}
    trace = b.build(
        np.zeros((2, 2, 4, 4), np.uint8),
        labels=np.array([1, 2]),
        references=references,
        provenance={"maker": "test"},
    )
    digest = write_trace(trace, tmp_path / "net.h5")
    again = open_trace(tmp_path / "net.h5")
    assert again.digest == digest
    codes = trace.samples.codes.read()
    np.testing.assert_array_equal(run_network(again, codes)[2], run_network(trace, codes)[2])
    assert b.layers[conv].clamp == (7, 10)
    assert b.layers[both].requantize is None


@pytest.mark.parametrize("kind", ["sigmoid", "tanh"])
@pytest.mark.parametrize(("bits", "signed"), [(1, False), (4, True), (8, False), (16, True)])
def test_tables_hold_every_input_code(kind: str, bits: int, signed: bool) -> None:
    source = quantization_of(0.01 if bits == 16 else 0.5, 0, bits=bits, signed=signed)
    output = quantization_of(1 / 128, 0, bits=8, signed=True)
    b = TraceBuilder("net", (1,), source)
    b.lookup("f", -1, kind, output)
    table = b.layers[0].table
    assert table is not None
    real = float(source.scale[0]) * np.arange(source.code_min, source.code_max + 1)
    with np.errstate(over="ignore"):
        value = np.tanh(real) if kind == "tanh" else 1 / (1 + np.exp(-real))
    np.testing.assert_array_equal(table.read(), np.clip(np.rint(value * 128), -128, 127))


def fc(b: TraceBuilder, **change: Any) -> int:
    return b.linear("fc", -1, replace(WeightCodes(EYE, WEIGHT), **change), OUTPUT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": EYE.astype(np.float32)}, "need integer codes, got dtype float32"),
        ({"codes": EYE.astype(np.int16) * 300}, "need codes from -128 to 127, got 0 to 300"),
        ({"codes": np.ones((2, 3), np.int8)}, r"weight: need shape \(2, 2\), got \(2, 3\)"),
        ({"quantization": replace(WEIGHT, scale=np.array([1.0]))}, "scales and zero points"),
        ({"quantization": quantization_of([1, 1, 1], signed=True, axis=0)}, "or 2 along axis 0"),
        ({"quantization": quantization_of([1, 0], signed=True, axis=0)}, "scales above 0"),
        ({"quantization": quantization_of(1.0, 128, signed=True)}, "zero points from -128"),
        ({"quantization": quantization_of(1.0, bits=17)}, "1 to 16 bits, got 17"),
        ({"bias": np.array([1])}, "need 2 integer bias codes"),
        ({"bias": np.array([0.5, 1])}, "need 2 integer bias codes"),
        ({"bias": np.array([1 << 31, 1])}, "bias codes that fit int32"),
        ({"bias": np.array([(1 << 31) - 1, 0])}, "need an accumulator of 33 bits"),
        ({"bias_scale": np.array([0.125, 0.2])}, r"= 0.25, got 0.2 \(channel 1\)"),
        ({"bias_scale": np.array([0.125] * 3)}, "bias scale of shape"),
    ],
)
def test_weights_that_contradict_themselves_are_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(TraceDataError, match=message):
        fc(builder(), **change)


def test_a_bias_scale_that_agrees_is_taken() -> None:
    product = np.float32(0.5) * np.array([0.25, 0.5], np.float32)
    assert fc(builder(), bias=np.array([1, 2]), bias_scale=product) == 0


def two(*values: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.array(values, np.int32)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("round", "requantize mode among"),
        (Requantize("half_up_shift"), "needs .* multipliers"),
        (Requantize("half_up_shift", two(1, 1, 1), two(1, 1, 1)), "needs .* multipliers"),
        (Requantize("half_up_shift", two(1, 1), two(1)), "as many shifts as multipliers"),
        (Requantize("half_up_shift", two(-1, 1), two(1, 1)), "got -1 and 1"),
        (Requantize("half_up_shift", two(1, 1), two(1, 63)), "got 1 and 63"),
        (Requantize("fixed_point_half_away", two(5, 1 << 30), two(1, 1)), "got 5 and 1"),
        (Requantize("fixed_point_half_away", two(1 << 30), two(30)), "fit 32 bits"),
        (Requantize("float_scale_half_even"), "scales"),
        (
            Requantize("float_scale_half_even", scale=np.array([np.nan], np.float32)),
            "finite scales",
        ),
    ],
)
def test_steps_that_contradict_the_layer_are_refused(step: Any, message: str) -> None:
    with pytest.raises(TraceDataError, match=message):
        builder().linear("fc", -1, WeightCodes(EYE, WEIGHT), OUTPUT, requantize=step)


def test_layers_that_do_not_fit_are_refused() -> None:
    b = image_builder()
    with pytest.raises(TraceDataError, match="input from -1 to -1, got 0"):
        b.flatten("flat", 0)
    with pytest.raises(TraceDataError, match="need a window that fits"):
        b.max_pool2d("pool", -1, Geometry((5, 5)))
    with pytest.raises(TraceDataError, match="one scale per tensor"):
        b.add("add", [-1, -1], quantization_of([1, 1], axis=0))
    with pytest.raises(TraceDataError, match="2 or more inputs"):
        b.add("add", [-1], OUTPUT)
    with pytest.raises(TraceDataError, match="use lookup"):
        b.add("add", [-1, -1], OUTPUT, activation=Activation("tanh"))
    with pytest.raises(TraceDataError, match="needs a table"):
        b.clip("tanh", -1, Activation("tanh"))
    with pytest.raises(TraceDataError, match="a function's small name, got 'relu'"):
        b.lookup("relu", -1, "relu", OUTPUT)
    with pytest.raises(TraceDataError, match="table of 256 codes, or one a channel"):
        b.lookup("tanh", -1, "tanh", OUTPUT, table=np.zeros(255, np.uint8))
    with pytest.raises(TraceDataError, match="quantized alike"):
        b.avg_pool2d(
            "pool", -1, Geometry((2, 2)), output=OUTPUT, requantize="fixed_point_half_away"
        )
    assert b.layers == []
    b.flatten("flat", -1)
    for name in ("flat", ""):
        with pytest.raises(TraceDataError, match="name that no other layer has"):
            b.flatten(name, -1)


def test_sums_of_adds_and_averages_must_fit() -> None:
    b = image_builder(accumulator_bits=12)
    with pytest.raises(TraceDataError, match="need an accumulator of 13 bits"):
        b.avg_pool2d("pool", -1, Geometry((4, 4)))
    step = Requantize("half_up_shift", two(1000, 1000), two(4))
    with pytest.raises(TraceDataError, match="need an accumulator of 20 bits"):
        b.add("add", [-1, -1], OUTPUT, requantize=step)
    step = Requantize(
        "fixed_point_half_away", two(1 << 30, 1 << 30), two(0, 0), None, 1 << 30, 0, 24
    )
    with pytest.raises(TraceDataError, match="shifted left by 24"):
        b.add("add", [-1, -1], OUTPUT, requantize=step)


def test_samples_and_references_must_fit() -> None:
    b = builder()
    codes = np.zeros((2, 2), np.uint8)
    with pytest.raises(TraceDataError, match="at least one layer"):
        b.build(codes)
    fc(b)
    for bad, message in (
        ({"codes": codes[:, :1]}, "sample codes of shape"),
        ({"codes": codes - 1.0}, "integer codes"),
        ({"codes": codes.astype(np.int16) - 1}, "codes from 0 to 255, got -1"),
        ({"labels": np.zeros(3, np.int32)}, "need 2 integer labels"),
        ({"references": {0: np.zeros((3, 2), np.float32)}}, "float outputs of 1 to 2 samples"),
        ({"references": {0: np.zeros((1, 3), np.float32)}}, "float outputs of 1 to 2 samples"),
        ({"references": lambda i: None, "n_references": 3}, "references of 1 to 2 samples"),
    ):
        with pytest.raises(TraceDataError, match=message):
            b.build(**{"codes": codes, **bad})  # type: ignore[arg-type]
    trace = b.build(codes, references=lambda i: None, n_references=1)
    assert trace.layers[0].output_float is not None
    with pytest.raises(TraceDataError, match="need float outputs"):
        trace.layers[0].output_float.read()


# --- published quantized networks


def same_padding(size: int, conv_kernel: int, stride: int) -> tuple[int, int]:
    """Padding before and after of TensorFlow's "same"."""
    total = max((-(-size // stride) - 1) * stride + conv_kernel - size, 0)
    return total // 2, total - total // 2


def build_program(path: Path, shape: tuple[int, int, int], codes: Any, *, signed: bool) -> Trace:
    """Build a network of the `program` files described beside the real data."""
    with np.load(path) as z:
        numbers = dict(z)

    def quantization(name: str, scale: str, zero: str, axis: int | None = None) -> Quantization:
        return quantization_of(
            numbers[f"{name}.{scale}"], numbers[f"{name}.{zero}"], signed=signed, axis=axis
        )

    b = TraceBuilder(
        path.stem,
        shape,
        quantization("in", "scale", "zp"),
        requantize="fixed_point_half_away",
    )
    index = {"in": -1}
    for line in numbers["program"]:
        name, kind, inputs, stride, activation = str(line).split("|")
        sources = [index[i] for i in inputs.split(",")]
        output = quantization(name, "out_scale", "out_zp")
        channels, height, width = (*b.shape(sources[0]), 1, 1)[:3]
        if kind == "add":
            index[name] = b.add(name, sources, output, activation=Activation(activation))
        elif kind == "avg":
            index[name] = b.avg_pool2d(name, sources[0], Geometry((height, width)), output=output)
        else:
            codes_ = numbers[f"{name}.weight"]
            axis = 0 if numbers[f"{name}.w_scale"].size > 1 else None
            weight = WeightCodes(
                codes_, quantization(name, "w_scale", "w_zp", axis), numbers[f"{name}.bias"]
            )
            if kind == "fc":
                flat = b.flatten(f"{name}.flatten", sources[0])
                index[name] = b.linear(name, flat, weight, output)
                continue
            step = int(stride)
            padding = (
                *same_padding(height, codes_.shape[2], step),
                *same_padding(width, codes_.shape[3], step),
            )
            geometry = Geometry(
                (codes_.shape[2], codes_.shape[3]),
                (step, step),
                padding,
                groups=channels if kind == "dw" else 1,
            )
            index[name] = b.conv2d(
                name, sources[0], weight, output, geometry, activation=Activation(activation)
            )
    return b.build(codes)


@pytest.mark.real
def test_resnet8_int8_classifies_cifar10(real_data: Path) -> None:
    with np.load(real_data / "cifar10_test.npz") as z:
        codes = (z["images"][:64].astype(np.int16) - 128).astype(np.int8)
        labels = z["labels"][:64]
    trace = build_program(real_data / "resnet8_cifar10_int8.npz", (3, 32, 32), codes, signed=True)
    last = len(trace.layers) - 1
    answers = run_network(trace, codes)[last].reshape(64, -1).argmax(1)
    assert (answers == labels).sum() >= 52  # 86.9 % of all test images


@pytest.mark.real
def test_mobilenetv2_uint8_classifies_photos(real_data: Path) -> None:
    with np.load(real_data / "imagenet_sample64.npz") as z:
        codes, labels = z["images"][:3], z["labels"][:3]
    trace = build_program(
        real_data / "mobilenetv2_imagenet_uint8.npz", (3, 224, 224), codes, signed=False
    )
    paddings = {la.geometry.padding for la in trace.layers if la.geometry is not None}
    assert (0, 1, 0, 1) in paddings
    last = len(trace.layers) - 1
    answers = run_network(trace, codes)[last].reshape(3, -1).argmax(1) - 1
    assert (answers == labels).sum() >= 2
