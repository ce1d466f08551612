"""Networks at a coarser level: codes by their ancestors, tables of new values, all else kept."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpim.proof.reference import run_network
from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.codebook import Codebook
from bitpim_traces.errors import TraceDataError
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.numbers.affine import same_quantization
from bitpim_traces.quantize import CodebookSettings, at_level, quantize_codebooks
from bitpim_traces.records import Geometry, LayerRecord, Params, Quantization, Trace
from bitpim_traces.synthetic import synthetic_network
from tests.naive.codebook import half_away, nearest_code


@pytest.fixture(scope="module")
def fine() -> Trace:
    """All that levels touch: products of every kind, points, tables of codes, a constant, moves."""
    rng = np.random.default_rng(8)
    weight = rng.normal(size=(2, 2, 3, 3)).astype(np.float32)
    slope = {"constants": np.array([[0.5], [-0.5]], np.float32)}
    constant = {"values": rng.normal(size=(2, 4, 4)).astype(np.float32)}
    padded = Geometry((3, 3), padding=(1, 1, 1, 1))
    layers = (
        FloatLayer("conv", "conv2d", (-1,), padded, weight, np.array([0.3, -0.7], np.float32)),
        FloatLayer("tanh", "activation", (0,), activation="tanh"),
        FloatLayer("prelu", "activation", (1,), activation="prelu", tensors=slope),
        FloatLayer("k", "constant", (-1,), tensors=constant),
        FloatLayer("sum", "add", (2, 3), activation="relu"),
        FloatLayer("pool", "max_pool2d", (4,), padded),
        FloatLayer("mean", "avg_pool2d", (5,), padded),
        FloatLayer("both", "concat", (1, 6), params=Params(concat_axis=0), activation="relu6"),
        FloatLayer("flat", "flatten", (7,)),
        FloatLayer("fc", "linear", (8,), weight=rng.normal(size=(3, 64)).astype(np.float32)),
    )
    samples = rng.normal(size=(9, 2, 4, 4)).astype(np.float32)
    settings = CodebookSettings(weight_codes=16, input_codes=32, product_fraction_bits=20)
    network = FloatNetwork("net", layers, (2, 4, 4))
    return quantize_codebooks(network, samples, labels=np.arange(9) % 3, settings=settings)


def ancestors(before: Codebook, after: Codebook) -> Any:
    """New code by old one, of a tree that has the new one's values as a level."""
    rows = [*([] if before.levels is None else before.levels), before.values]
    row = next(row for row in rows if {*row.tolist()} == {*after.values.tolist()})
    return np.array([after.values.tolist().index(value) for value in row.tolist()])


def pair(before: Quantization, after: Quantization) -> tuple[Codebook, Codebook]:
    assert before.codebook is not None
    assert after.codebook is not None
    return before.codebook, after.codebook


@pytest.mark.parametrize("sizes", [(4, 8), (16, 2), (2, 32)])
def test_codes_go_to_ancestors_and_tables_are_made_of_the_new_values(
    fine: Trace, sizes: tuple[int, int], tmp_path: Path
) -> None:
    made = at_level(fine, weight_levels=sizes[0], input_levels=sizes[1])
    write_trace(made, tmp_path / "net.h5")
    assert check_trace(tmp_path / "net.h5", deep=True) == []
    for where, codebook in made.codebooks:
        assert codebook.n_codes <= sizes[not where.endswith("weight")]
    to = ancestors(*pair(fine.samples.quantization, made.samples.quantization))
    np.testing.assert_array_equal(made.samples.codes.read(), to[fine.samples.codes.read()])
    for old, new in zip(fine.layers, made.layers, strict=True):
        _check_layer(old, new, made)
    assert made.provenance["parameters"] == {"weight_levels": sizes[0], "input_levels": sizes[1]}
    assert made.provenance["level_of"]["provenance"] == fine.provenance


def _check_layer(old: LayerRecord, new: LayerRecord, made: Trace) -> None:
    kept = ("name", "kind", "inputs", "geometry", "activation", "accumulator_bits", "params")
    for name in kept:
        assert getattr(new, name) == getattr(old, name)
    for name in ("bias", "weight_float", "bias_float", "output_float"):
        assert getattr(new, name) is getattr(old, name)
    if old.output.codebook is not None:
        to = ancestors(*pair(old.output, new.output))
        assert new.clamp == (to[old.clamp[0]], to[old.clamp[1]])
        if "values" in old.tensors:
            values = to[old.tensors["values"].read()]
            np.testing.assert_array_equal(new.tensors["values"].read(), values)
    if old.weight is not None and old.weight_quantization is not None:
        assert new.weight is not None
        assert new.weight_quantization is not None
        to = ancestors(*pair(old.weight_quantization, new.weight_quantization))
        np.testing.assert_array_equal(new.weight.read(), to[old.weight.read()])
    if old.product_table is not None:
        table = new.product_table
        assert table is not None
        form = (table.fraction_bits, table.bits)
        assert form == (old.product_table.fraction_bits, old.product_table.bits)
        assert table.points is old.product_table.points
    if old.product_table is not None and new.weight_quantization is not None:
        weight, source = pair(new.weight_quantization, made.input_quantizations(new)[0])
        exact = weight.fraction_bits + source.fraction_bits
        assert new.product_table is not None
        down = Fraction(2) ** (exact - new.product_table.fraction_bits)
        expected = [
            [half_away(w * u / down) for u in source.values.tolist()]
            for w in weight.values.tolist()
        ]
        assert new.product_table.products.tolist() == expected


def test_a_table_of_codes_is_that_of_the_nearest_old_value(fine: Trace) -> None:
    made = at_level(fine, input_levels=8)
    old, new = (next(la for la in t.layers if la.name == "prelu") for t in (fine, made))
    assert old.table is not None
    assert new.table is not None
    to = ancestors(*pair(old.output, new.output))
    before, after = pair(fine.input_quantizations(old)[0], made.input_quantizations(new)[0])
    near = [nearest_code(Fraction(int(v)), before.values.tolist()) for v in after.values]
    np.testing.assert_array_equal(new.table.read(), to[old.table.read()[:, near]])


def test_only_one_sort_may_become_coarser(fine: Trace) -> None:
    weights, inputs = at_level(fine, weight_levels=4), at_level(fine, input_levels=4)
    both = at_level(weights, input_levels=4)
    swapped = at_level(inputs, weight_levels=4)
    for one, other in zip(both.codebooks, swapped.codebooks, strict=True):
        assert one[1].same_as(other[1])
    assert same_quantization(weights.samples.quantization, fine.samples.quantization)
    q = [t.layers[0].weight_quantization for t in (inputs, fine)]
    assert q[0] is q[1]


def test_answers_get_worse_step_by_step(fine: Trace) -> None:
    right = fine.layers[-1].output_float
    assert right is not None
    errors = []
    for size in (32, 8, 2):
        made = at_level(fine, input_levels=size)
        outputs = run_network(made, made.samples.codes.read(), keep="all")[len(made.layers) - 1]
        real = outputs * made.layers[-1].output.scale[0]
        errors.append(float(np.square(real - right.read()).sum()))
    assert errors[0] < 0.7 * errors[1] < 0.7 * errors[2]


def test_the_whole_trees_are_the_network_itself(fine: Trace, tmp_path: Path) -> None:
    same = replace(at_level(fine, weight_levels=16, input_levels=32), provenance=fine.provenance)
    assert write_trace(same, tmp_path / "one.h5") == write_trace(fine, tmp_path / "two.h5")


def test_a_file_is_read_when_the_level_is_written(fine: Trace, tmp_path: Path) -> None:
    write_trace(fine, tmp_path / "fine.h5")
    with open_trace(tmp_path / "fine.h5") as trace:
        made = at_level(trace, weight_levels=2, input_levels=4)
        write_trace(made, tmp_path / "coarse.h5")
        assert made.provenance["level_of"]["digest"] == trace.digest
    again = at_level(fine, weight_levels=2, input_levels=4)
    with open_trace(tmp_path / "coarse.h5") as read:
        codes = read.samples.codes.read()
        np.testing.assert_array_equal(codes, again.samples.codes.read())


def test_what_has_no_levels_is_refused(fine: Trace) -> None:
    with pytest.raises(TraceDataError, match="need weight_levels or input_levels, got none"):
        at_level(fine)
    with pytest.raises(TraceDataError, match="samples: need a size of at most 32"):
        at_level(fine, input_levels=64)
    with pytest.raises(TraceDataError, match=r"layer 0 'conv' \(conv2d\) weight: need a size of"):
        at_level(fine, weight_levels=32)
    with pytest.raises(TraceDataError, match="need a network of codebooks, got affine codes"):
        at_level(synthetic_network("tiny", 0), input_levels=4)
