"""Float networks become codebooks and tables: what each layer has, and how near answers are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpim.proof.reference import run_network
from bitpim_traces import check_trace, write_trace
from bitpim_traces.codebook import Codebook
from bitpim_traces.errors import TraceDataError
from bitpim_traces.network import FloatLayer, FloatNetwork, fuse_activations
from bitpim_traces.numbers.affine import decode, encode, same_quantization
from bitpim_traces.quantize import (
    CodebookSettings,
    LayerCodes,
    codebooks_of_trace,
    quantize_codebooks,
)
from bitpim_traces.records import Geometry, LayerRecord, Params, Trace
from bitpim_traces.synthetic import synthetic_float_network, synthetic_images, synthetic_network
from tests.naive.codebook import tree as naive_tree

POINT = Geometry((1, 1))


def tiny(settings: CodebookSettings | None = None, n: int = 6, **more: Any) -> Trace:
    network = synthetic_float_network("tiny", 1)
    images = synthetic_images(n, network.input_shape, 1)
    return quantize_codebooks(network, images, settings=settings, **more)


def by_name(trace: Trace) -> dict[str, LayerRecord]:
    return {layer.name: layer for layer in trace.layers}


def errors(trace: Trace) -> dict[str, float]:
    """Relative error of each layer's real outputs."""
    codes = run_network(trace, trace.samples.codes.read(), keep="all")
    found = {}
    for layer in trace.layers:
        assert layer.output_float is not None
        real = layer.output_float.read()
        error = decode(codes[layer.index][: len(real)], layer.output) - real
        found[layer.name] = float(np.linalg.norm(error) / np.linalg.norm(real))
    return found


def net(*layers: FloatLayer, shape: tuple[int, ...] = (4,)) -> FloatNetwork:
    return FloatNetwork("net", layers, shape)


def fc(name: str, source: int = -1, n_in: int = 4, n_out: int = 4, **more: Any) -> FloatLayer:
    weight = np.random.default_rng(len(name)).normal(size=(n_out, n_in)).astype(np.float32)
    return FloatLayer(name, "linear", (source,), weight=weight, **more)


SAMPLES = np.random.default_rng(5).normal(size=(40, 4)).astype(np.float32)


# --- the numbers


def test_all_of_a_small_network_is_legal_and_near(tmp_path: Path) -> None:
    trace = tiny()
    write_trace(trace, tmp_path / "net.h5")
    assert check_trace(tmp_path / "net.h5", deep=True) == []
    assert max(errors(trace).values()) < 0.08
    coarse = errors(tiny(CodebookSettings(weight_codes=8, input_codes=8)))
    assert errors(trace)["fc"] < 0.5 * coarse["fc"]


@pytest.mark.parametrize(
    "settings",
    [
        CodebookSettings(relu="table"),
        CodebookSettings(product_bits=16),
        CodebookSettings(product_fraction_bits=9),
        CodebookSettings(value_bits=9),
        CodebookSettings(raw_output=False),
        CodebookSettings(weight_codes=256, input_codes=2),
    ],
    ids=["relu", "product_bits", "product_fraction_bits", "value_bits", "encoded", "sizes"],
)
def test_other_settings_are_legal(settings: CodebookSettings, tmp_path: Path) -> None:
    trace = tiny(settings)
    write_trace(trace, tmp_path / "net.h5")
    assert check_trace(tmp_path / "net.h5", deep=True) == []
    most = {"weight": settings.weight_codes, "output": settings.input_codes}
    for where, codebook in trace.codebooks:
        assert codebook.n_codes <= most["weight" if where.endswith("weight") else "output"]
        assert codebook.value_bits == settings.value_bits
    for layer in trace.layers:
        if layer.product_table is not None:
            assert layer.product_table.bits == settings.product_bits
            if settings.product_fraction_bits is not None:
                assert layer.product_table.fraction_bits <= settings.product_fraction_bits
            if layer.output.codebook is not None and layer.product_table.points is None:
                assert layer.output.codebook.fraction_bits <= layer.product_table.fraction_bits
    if settings.input_codes > 2:
        assert errors(trace)["fc"] < 0.2


def test_values_are_those_of_the_tree_written_out() -> None:
    network = net(fc("a"), fc("b", 0))
    trace = quantize_codebooks(
        network, SAMPLES, settings=CodebookSettings(weight_codes=4, input_codes=8)
    )
    seen = {**network.outputs(SAMPLES, [0]), -1: SAMPLES, 10: network.layers[1].weight}
    depths = {-1: 3, 0: 3, 10: 2}
    for index, real in seen.items():
        assert real is not None
        weight = trace.layers[1].weight_quantization
        assert weight is not None
        codebook = (weight if index == 10 else trace.quantization_of(index)).codebook
        assert codebook is not None
        steps = np.floor(real.astype(float) * 2.0**codebook.fraction_bits + 0.5).astype(int)
        leaves, levels = naive_tree(steps.ravel().tolist(), depths[index])
        assert codebook.values.tolist() == leaves
        assert codebook.levels is not None
        assert codebook.levels.tolist() == levels
        assert 1 << 10 <= np.abs(steps).max() < 1 << 11
    assert (
        trace.samples.codes.read().tolist() == encode(SAMPLES, trace.samples.quantization).tolist()
    )


def test_bias_is_at_the_fraction_of_products_and_codes_are_nearest() -> None:
    bias = np.array([0.5, -1.25, 3.0, 0.1], np.float32)
    layer = by_name(quantize_codebooks(net(fc("a", bias=bias)), SAMPLES))["a"]
    assert layer.product_table is not None
    assert layer.bias is not None
    expected = np.rint(bias.astype(float) * 2.0**layer.product_table.fraction_bits)
    assert layer.bias.read().tolist() == expected.tolist()
    assert layer.weight_quantization is not None
    assert layer.weight_quantization.codebook is not None
    assert layer.weight is not None
    assert layer.weight_float is not None
    values = layer.weight_quantization.codebook.values * layer.weight_quantization.codebook.scale
    near = np.abs(layer.weight_float.read()[..., None] - values).argmin(axis=-1)
    assert layer.weight.read().tolist() == near.tolist()


def test_the_largest_product_fits_when_it_is_rounded_up() -> None:
    weight = np.full((4, 4), np.float32(32767 / 32768))
    samples = np.array([[32767 / 32768] * 4, [0.5] * 4], np.float32)
    settings = CodebookSettings(product_bits=8)
    trace = quantize_codebooks(net(replace(fc("a"), weight=weight)), samples, settings=settings)
    table = trace.layers[0].product_table
    assert table is not None
    assert (table.products.max(), table.fraction_bits) == (64, 6)


def test_the_same_samples_in_another_order_give_the_same_codebooks() -> None:
    one, other = (quantize_codebooks(net(fc("a")), x) for x in (SAMPLES, SAMPLES[::-1].copy()))
    for (_, a), (_, b) in zip(one.codebooks, other.codebooks, strict=True):
        assert a.same_as(b)


def test_the_seed_draws_the_samples_that_are_seen() -> None:
    few = [CodebookSettings(calibration_samples=5, seed=seed) for seed in (0, 0, 1)]
    made = [quantize_codebooks(net(fc("a")), SAMPLES, settings=s) for s in few]
    books = [trace.samples.quantization.codebook for trace in made]
    assert books[0] is not None
    assert books[0].same_as(books[1])
    assert not books[0].same_as(books[2])
    assert all(trace.n_samples == 40 for trace in made)


def test_values_are_seen_of_the_calibration_not_of_the_samples() -> None:
    seen: list[tuple[int, int]] = []
    trace = quantize_codebooks(
        net(fc("a")), SAMPLES, calibration=SAMPLES[:20], progress=lambda *at: seen.append(at)
    )
    alone = quantize_codebooks(net(fc("a")), SAMPLES[:20])
    assert same_quantization(trace.samples.quantization, alone.samples.quantization)
    assert trace.n_samples == 40
    assert seen == [(16, 20), (20, 20)]


# --- which layers have what


def layered() -> FloatNetwork:
    weight = np.random.default_rng(2).normal(size=(2, 2, 1, 1)).astype(np.float32)
    return FloatNetwork(
        "net",
        (
            FloatLayer("conv", "conv2d", (-1,), POINT, weight),
            FloatLayer("tanh", "activation", (0,), activation="tanh"),
            FloatLayer("pool", "max_pool2d", (1,), Geometry((3, 3), padding=(1, 1, 1, 1))),
            FloatLayer("both", "concat", (1, 2), params=Params(concat_axis=1)),
            FloatLayer("mean", "avg_pool2d", (3,), Geometry((3, 3), padding=(1, 1, 1, 1))),
            FloatLayer("either", "concat", (3, 4), params=Params(concat_axis=1)),
            FloatLayer("relu", "activation", (5,), activation="relu"),
            FloatLayer("erf", "activation", (5,), activation="erf"),
            FloatLayer("sum", "add", (6, 7)),
        ),
        (2, 4, 4),
    )


def test_moves_keep_codebooks_and_a_function_alone_behind_sums_joins_them() -> None:
    images = np.random.default_rng(3).normal(size=(40, 2, 4, 4)).astype(np.float32)
    network = layered()
    trace = quantize_codebooks(network, images)
    layers = by_name(trace)
    assert "tanh" not in layers
    conv = layers["conv"]
    assert conv.activation == "tanh"
    assert conv.product_table is not None
    assert conv.product_table.points is not None
    assert 32 <= len(conv.product_table.points) <= 64
    sums = network.outputs(images, [0])[0]
    ends = np.array([sums.min(), sums.max()], float) * 2.0**conv.product_table.fraction_bits
    assert conv.product_table.points[[0, -1], 0].tolist() == np.rint(ends).tolist()
    for name, source in (("pool", "conv"), ("both", "conv"), ("relu", "either")):
        assert layers[name].product_table is None
        assert same_quantization(layers[name].output, layers[source].output)
    assert layers["either"].product_table is not None
    assert layers["erf"].table is not None
    assert layers["sum"].requantize is None  # it has no weights, so it is not raw
    found = errors(trace)
    assert max(found.values()) < 0.08
    # float outputs are those of the joined layer
    assert conv.output_float is not None
    np.testing.assert_array_equal(conv.output_float.read(), network.outputs(images[:32], [1])[1])


def test_float_outputs_that_are_given_find_their_layers() -> None:
    network = net(fc("a"), FloatLayer("t", "activation", (0,), activation="tanh"), fc("b", 1))
    given = {i: np.full((3, 4), float(i), np.float32) for i in range(3)}
    for references in (given, given.get):
        settings = CodebookSettings(reference_samples=3)
        trace = quantize_codebooks(network, SAMPLES, settings=settings, references=references)
        held = [layer.output_float for layer in trace.layers]
        assert [float(t.read()[0, 0]) for t in held if t is not None] == [1.0, 2.0]


def test_relu_by_table_clamps_beyond_what_was_seen() -> None:
    network = fuse_activations(
        net(fc("a"), FloatLayer("r", "activation", (0,), activation="relu"), fc("b", 1))
    )
    assert len(network.layers) == 2
    plain = quantize_codebooks(network, SAMPLES)
    trace = quantize_codebooks(network, SAMPLES, settings=CodebookSettings(relu="table"))
    for made, has in ((plain, False), (trace, True)):
        layer = made.layers[0]
        assert (layer.name, layer.activation) == ("a", "relu")
        assert layer.product_table is not None
        assert (layer.product_table.points is not None) == has
        assert (layer.output.codebook or 0) and layer.clamp[0] == layer.output.zero_point[0]
    assert trace.layers[1].activation == "none"
    assert trace.layers[1].requantize is not None  # raw
    reference = trace.layers[0].output_float
    assert reference is not None
    assert reference.read().min() == 0


@pytest.mark.parametrize("alone", [True, False])
def test_a_function_whose_sum_others_read_stays_a_layer(alone: bool) -> None:
    more = () if alone else (FloatLayer("s", "add", (0, 1)),)
    network = net(fc("a"), FloatLayer("t", "activation", (0,), activation="tanh"), *more)
    names = [layer.name for layer in quantize_codebooks(network, SAMPLES).layers]
    assert names == (["a"] if alone else ["a", "t", "s"])


def test_a_function_with_constants_keeps_them() -> None:
    slope = {"constants": np.array([[0.1], [0.2], [0.3], [0.4]], np.float32)}
    leaky = FloatLayer("p", "activation", (0,), activation="prelu", tensors=slope)
    trace = quantize_codebooks(net(fc("a"), leaky), SAMPLES)
    assert [layer.name for layer in trace.layers] == ["a", "p"]
    assert trace.layers[1].table is not None
    assert trace.layers[1].table.shape[0] == 4
    assert errors(trace)["p"] < 0.05


def test_sizes_by_layer() -> None:
    sizes = {"input": LayerCodes(output_codes=4), "a": LayerCodes(weight_codes=2, output_codes=8)}
    settings = CodebookSettings(weight_codes=16, input_codes=32, overrides=sizes)
    trace = quantize_codebooks(net(fc("a"), fc("b", 0), fc("c", 1)), SAMPLES, settings=settings)
    found = {where: codebook.n_codes for where, codebook in trace.codebooks}
    assert found["samples"] == 4
    assert found["layer 0 'a' weight"] == 2
    assert found["layer 0 'a'"] == 8
    assert found["layer 1 'b'"] == 32
    assert 8 < found["layer 1 'b' weight"] <= 16
    assert trace.provenance["codebooks"]["overrides"]["a"] == {"weight_codes": 2, "output_codes": 8}


# --- degenerate numbers


@pytest.mark.parametrize("size", [0.0, 1e-40, 1e-6, 2.0**40])
def test_networks_of_any_size_of_numbers_are_legal(size: float, tmp_path: Path) -> None:
    weight = np.full((4, 4), np.float32(size))
    network = net(replace(fc("a"), weight=weight), fc("b", 0))
    trace = quantize_codebooks(network, SAMPLES[:1])
    write_trace(trace, tmp_path / "net.h5")
    assert check_trace(tmp_path / "net.h5", deep=True) == []
    assert all(codebook.n_codes >= 2 for _, codebook in trace.codebooks)


def test_constants_have_a_codebook() -> None:
    values = np.array([1.0, -2.0, 0.25, 7.0], np.float32)
    constant = FloatLayer("k", "constant", (-1,), tensors={"values": values})
    trace = quantize_codebooks(net(constant, FloatLayer("s", "add", (-1, 0))), SAMPLES)
    codebook = trace.layers[0].output.codebook
    assert codebook is not None
    assert (codebook.values * codebook.scale).tolist() == [-2.0, 0.0, 0.25, 1.0, 7.0]
    assert errors(trace)["s"] < 0.05


# --- errors


def test_what_tables_cannot_compute_is_named() -> None:
    network = net(fc("a"), FloatLayer("m", "multiply", (-1, 0)))
    with pytest.raises(TraceDataError, match=r"layer 1 'm' \(multiply\): need kinds that tables"):
        quantize_codebooks(network, SAMPLES)


@pytest.mark.parametrize("place", ["sample", "weight", "bias", "sum"])
def test_numbers_that_are_not_finite_are_refused_by_name(place: str) -> None:
    bad = np.full((4, 4), np.nan, np.float32)
    layers = {
        "weight": replace(fc("a"), weight=bad),
        "bias": fc("a", bias=np.array([0, 0, np.inf, 0], np.float32)),
        "sum": replace(fc("a"), weight=np.full((4, 4), 3e38, np.float32)),
    }
    where = {
        "sample": "network input",
        "weight": "layer 0 'a' (weight|output)",
        "bias": "layer 0 'a' (bias|output)",
        "sum": "layer 0 'a'",
    }
    tanh = FloatLayer("t", "activation", (0,), activation="tanh")
    for more in ((), (tanh,)):
        network = net(layers.get(place, fc("a")), *more)
        with pytest.raises(TraceDataError, match=where[place]), np.errstate(all="ignore"):
            quantize_codebooks(network, bad if place == "sample" else SAMPLES)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"aa": LayerCodes(2)}, "unknown layer 'aa'; did you mean 'a'"),
        ({"input": LayerCodes(2)}, "weight_codes to 'input', without weight"),
        ({"r": LayerCodes(None, 2)}, "output_codes to 'r', which has no codebook of its own"),
        ({"b": LayerCodes(None, 2)}, "output_codes to 'b', which has no codebook of its own"),
    ],
)
def test_sizes_of_what_has_none_are_refused(overrides: dict[str, LayerCodes], message: str) -> None:
    network = net(fc("a"), FloatLayer("r", "activation", (0,), activation="relu"), fc("b", 1))
    with pytest.raises(TraceDataError, match=message):
        quantize_codebooks(network, SAMPLES, settings=CodebookSettings(overrides=overrides))


def test_raw_output_needs_weights_at_the_end() -> None:
    network = net(FloatLayer("s", "add", (-1, -1)))
    with pytest.raises(TraceDataError, match="need a network that ends in a conv2d or linear"):
        quantize_codebooks(network, SAMPLES, settings=CodebookSettings(raw_output=True))
    with pytest.raises(TraceDataError, match="need at least one sample"):
        quantize_codebooks(network, SAMPLES[:0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weight_codes": 48}, "settings: weight_codes: need a size among 2, 4"),
        ({"input_codes": 512}, "settings: input_codes: need a size among"),
        ({"value_bits": 17}, "value_bits from 4 to 16, got 17"),
        ({"product_bits": 49}, "product_bits from 8 to 48"),
        ({"product_fraction_bits": 129}, "product_fraction_bits from -128 to 128"),
        ({"accumulator_bits": 65}, "accumulator_bits from 8 to 64"),
        ({"activation_rows": 1}, "activation_rows from 2"),
        ({"relu": "clamp"}, "need relu among comparator, table, got 'clamp'"),
        ({"calibration_samples": 0}, "calibration_samples from 1"),
        ({"seed": -1}, "seed from 0"),
        ({"reference_samples": -1}, "reference_samples from 0"),
        ({"overrides": {"a": LayerCodes(3)}}, r"overrides\['a'\]: need a size among"),
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TraceDataError, match=message):
        CodebookSettings(**values)


# --- from a trace


def test_the_float_weights_inside_a_trace_are_clustered(tmp_path: Path) -> None:
    source = synthetic_network("tiny", 2, n_samples=5)
    trace = codebooks_of_trace(source, CodebookSettings(reference_samples=2))
    assert trace.provenance["quantized_from"]["digest"] == source.digest
    assert trace.samples.labels is not None
    held = [layer.output_float for layer in trace.layers]
    assert [None if t is None else t.shape[0] for t in held] == [2] * (len(held) - 1) + [5]
    assert source.layers[-1].output_float is not None
    again = codebooks_of_trace(trace, CodebookSettings(weight_codes=4))
    assert [layer.name for layer in again.layers] == [layer.name for layer in trace.layers]
    write_trace(again, tmp_path / "net.h5")
    assert check_trace(tmp_path / "net.h5", deep=True) == []
    write_trace(codebooks_of_trace(source), tmp_path / "one.h5")
    write_trace(codebooks_of_trace(source), tmp_path / "two.h5")
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_without_float_weights_there_is_one_error() -> None:
    source = synthetic_network("tiny", 2, n_samples=1)
    bare = replace(source, layers=(replace(source.layers[0], weight_float=None),))
    with pytest.raises(TraceDataError, match=r"need weights in float to quantize again.*export"):
        codebooks_of_trace(bare)


def test_codebooks_that_are_decided_are_kept() -> None:
    network, images = FloatNetwork("held", _held_layers(), (2, 4, 4)), _held_images()
    settings = CodebookSettings(weight_codes=4, input_codes=8)
    usual = quantize_codebooks(network, images, settings=settings)
    input_book = Codebook(np.array([-9, 0, 3, 40]), 4, 16)
    fine = Codebook(np.array([-(5 << 20), 0, 3, 7 << 20]), 24, 30)
    held = {"input": input_book, "a": input_book, "b": fine}
    trace = quantize_codebooks(network, images, settings=settings, codebooks=held)
    assert trace.samples.quantization.codebook is input_book
    assert trace.layers[0].output.codebook is input_book
    assert usual.layers[0].output.codebook is not input_book
    # one with more fraction bits than the sums have is rounded: 3 / 2**24 to 0 once more
    rounded, table = trace.layers[1].output.codebook, trace.layers[1].product_table
    assert rounded is not None and table is not None
    assert rounded.fraction_bits == table.fraction_bits < 24
    step = 2.0 ** (table.fraction_bits - 24)
    assert rounded.values.tolist() == [round(-(5 << 20) * step), 0, round((7 << 20) * step)]
    for name in ("flat", "c", "nobody"):
        with pytest.raises(TraceDataError, match=f"layers that have their own, got '{name}'"):
            quantize_codebooks(network, images, settings=settings, codebooks={name: fine})


def _held_layers() -> tuple[FloatLayer, ...]:
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in ((2, 2, 1, 1), (3, 32))]
    window = Geometry((1, 1))
    return (
        FloatLayer("a", "conv2d", (-1,), window, weights[0]),
        FloatLayer("b", "add", (0, -1)),
        FloatLayer("flat", "flatten", (1,)),
        FloatLayer("c", "linear", (2,), weight=weights[1]),
    )


def _held_images() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(1).normal(size=(5, 2, 4, 4)).astype(np.float32)
