"""Codebooks and product tables in files: there and back, every rule; the arithmetic of tables."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim_traces.builder import TraceBuilder, WeightCodes, quantization_of
from bitpim_traces.check import check_trace
from bitpim_traces.codebook import Codebook, ProductTable
from bitpim_traces.codebook_rules import check_product_table
from bitpim_traces.errors import TraceDataError, TraceError
from bitpim_traces.numbers.affine import decode, encode, real_values, same_quantization
from bitpim_traces.numbers.product_tables import (
    nearest,
    products_of,
    shares_of,
    terms_of,
)
from bitpim_traces.reader import open_trace
from bitpim_traces.records import Geometry, LayerRecord, Quantization, Trace
from bitpim_traces.rules import check_rules
from bitpim_traces.versions import minor_of
from bitpim_traces.writer import write_trace
from tests.codebook_traces import codebook_trace, random_codebook
from tests.naive import looked_up as naive

# --- there and back


@pytest.mark.parametrize("seed", range(8))
def test_a_file_gives_back_what_was_written(seed: int, tmp_path: Path) -> None:
    trace = codebook_trace(seed, n_layers=4)
    path = tmp_path / "net.h5"
    write_trace(trace, path)
    assert check_trace(path, deep=True) == []
    with open_trace(path) as found:
        assert [w for w, _ in found.codebooks] == [w for w, _ in trace.codebooks]
        for (_, one), (_, other) in zip(found.codebooks, trace.codebooks, strict=True):
            assert one.same_as(other)
        for layer, its in zip(found.layers, trace.layers, strict=True):
            assert _table_values(layer) == _table_values(its)
            assert same_quantization(layer.output, its.output)
    with h5py.File(path) as file:
        assert file.attrs["format_version"].tolist() == [1, 2]
        assert file["samples/quantization"].attrs["signed"] == 3  # older readers refuse it


def _table_values(layer: LayerRecord) -> Any:
    table = layer.product_table
    if table is None:
        return None
    points = None if table.points is None else table.points.tolist()
    return table.products.tolist(), table.fraction_bits, table.bits, points


def test_levels_are_kept(tmp_path: Path) -> None:
    levels = np.array([[-4, 0, 0, 0], [-4, 0, 3, 3]], np.int64)
    book = Codebook(np.array([-4, 0, 2, 5]), 3, 8, levels)
    trace = _with_samples(codebook_trace(1), book)
    write_trace(trace, tmp_path / "net.h5")
    with open_trace(tmp_path / "net.h5") as found:
        kept = found.samples.quantization.codebook
        assert kept is not None
        assert kept.levels is not None
        assert kept.levels.tolist() == levels.tolist()
        assert (kept.q_format, kept.bits, kept.zero_code, kept.scale) == ("Q5.3", 2, 1, 0.125)


def _with_samples(trace: Trace, book: Codebook) -> Trace:
    """Make a network that only flattens samples of a codebook."""
    builder = TraceBuilder("flat", (2, 1, 1), Quantization.of_codebook(book))
    builder.flatten("flat", -1)
    return builder.build(np.array([[[[0]], [[book.n_codes - 1]]]]))


def test_an_older_minor_is_stated_where_there_is_no_codebook() -> None:
    builder = TraceBuilder("flat", (2, 1, 1), quantization_of(0.5))
    builder.flatten("flat", -1)
    assert minor_of(builder.build(np.zeros((1, 2, 1, 1), np.int64))) == 0
    assert minor_of(codebook_trace(0)) == 2


# --- rules


def _faults(trace: Trace) -> list[str]:
    found: list[Any] = []
    check_rules(trace, found.append)
    return [f"{fault.where}: {fault.need}: {fault.got}" for fault in found]


def _edit(trace: Trace, kind: str, **changes: Any) -> Trace:
    index = next(
        la.index for la in trace.layers if la.kind == kind and la.product_table is not None
    )
    layers = list(trace.layers)
    layers[index] = replace(layers[index], **changes)
    return replace(trace, layers=tuple(layers))


BOOK = Codebook(np.array([-4, 0, 2, 5], np.int64), 3, 8)


@pytest.mark.parametrize(
    ("changes", "need"),
    [
        ({"values": np.array([0])}, "2 to 65536 values"),
        ({"values": np.array([-4, 0, 0, 5])}, "rise, no two equal"),
        ({"values": np.array([-4, 1, 2, 5])}, "0 among them"),
        ({"values": np.array([-4, 0, 2, 128])}, "signed 8-bit values"),
        ({"value_bits": 1}, "value_bits 2 to 32"),
        ({"value_bits": 33}, "value_bits 2 to 32"),
        ({"fraction_bits": 65}, "fraction_bits -64 to 64"),
        ({"levels": np.zeros((1, 3), np.int64)}, "rows of 4 values"),
        ({"levels": np.zeros((0, 4), np.int64)}, "rows of 4 values"),
        ({"levels": np.array([[-1, 0, 5, 4]])}, "never fall"),
        ({"levels": np.array([[-1, 1, 1, 1]])}, "0 above value 0"),
        ({"levels": np.array([[-1, 0, 0, 2], [-1, 0, 1, 1]])}, "one ancestor"),
        ({"levels": np.array([[-1, 0, 0, 200]])}, "signed 8-bit values"),
    ],
)
def test_what_a_codebook_has_to_be(changes: dict[str, Any], need: str) -> None:
    trace = _with_samples(codebook_trace(1), BOOK)
    book = replace(BOOK, **changes)
    quantization = replace(trace.samples.quantization, codebook=book)
    bad = replace(trace, samples=replace(trace.samples, quantization=quantization))
    (fault, *_) = _faults(bad)
    assert need in fault
    assert fault.startswith("/samples/quantization/")
    with pytest.raises(TraceDataError, match="need"):
        TraceBuilder("x", (2, 1, 1), Quantization.of_codebook(book))


@pytest.mark.parametrize(
    ("changes", "need"),
    [
        ({"fraction_bits": -(1 << 62)}, "fraction_bits -64 to 64"),
        ({"fraction_bits": 1 << 62}, "fraction_bits -64 to 64"),
        ({"values": np.zeros((0, 3), np.int64)}, "2 to 65536 values"),
        ({"values": np.full(4, -(1 << 62))}, "signed"),
    ],
)
@pytest.mark.parametrize("of", ["weight_quantization", "output"])
def test_a_table_is_not_made_again_of_a_codebook_that_is_at_fault(
    of: str, changes: dict[str, Any], need: str
) -> None:
    trace = _trace()
    quantization = getattr(trace.layers[0], of)
    book = replace(quantization.codebook, **changes)
    faults = _faults(_edit(trace, "conv2d", **{of: replace(quantization, codebook=book)}))
    assert any(need in fault and of.split("_")[0] in fault for fault in faults)
    assert not any("product_table" in fault for fault in faults)


@pytest.mark.parametrize(
    ("changes", "need"),
    [
        ({"bits": 3}, "2 bits, unsigned"),
        ({"signed": True}, "2 bits, unsigned"),
        ({"axis": 0}, "2 bits, unsigned"),
        ({"binary": True}, "2 bits, unsigned"),
        ({"scale": np.array([0.25])}, "[0.125], that of its values"),
        ({"zero_point": np.array([0])}, "[1], the code of value 0"),
    ],
)
def test_what_lies_beside_a_codebook(changes: dict[str, Any], need: str) -> None:
    trace = _with_samples(codebook_trace(1), BOOK)
    quantization = replace(trace.samples.quantization, **changes)
    bad = replace(trace, samples=replace(trace.samples, quantization=quantization))
    assert need in _faults(bad)[0]


def _trace() -> Trace:
    """A network whose first layer is a convolution without points."""
    made = (codebook_trace(s, n_layers=2, kinds=("conv2d",), raw=True) for s in range(20))
    return next(t for t in made if _table(t).points is None)


def _table(trace: Trace, **changes: Any) -> ProductTable:
    table = trace.layers[0].product_table
    assert table is not None
    return replace(table, **changes)


def _other_product(trace: Trace) -> ProductTable:
    table = _table(trace)
    products = table.products.copy()
    products[-1, 0] += 1
    return replace(table, products=products)


def _affine(trace: Trace) -> Quantization:
    return quantization_of(0.5, bits=8)


_X = np.array([[0, 1], [4, 2]], np.int64)
CASES: list[tuple[Callable[[Trace], dict[str, Any]], str]] = [
    (lambda t: {"product_table": None}, "one where inputs have codebooks"),
    (lambda t: {"product_table": _other_product(t)}, "by the codebooks"),
    (lambda t: {"product_table": _table(t, bits=63)}, "bits 2 to 62"),
    (lambda t: {"product_table": _table(t, bits=2)}, "products of the codebooks"),
    (lambda t: {"product_table": _table(t, fraction_bits=129)}, "fraction_bits -128 to 128"),
    (lambda t: {"product_table": _table(t, products=_table(t).products[:-1])}, "shape"),
    (lambda t: {"product_table": _table(t, points=_X[:1])}, "2 points or more"),
    (lambda t: {"product_table": _table(t, points=_X[::-1])}, "x that rises"),
    (lambda t: {"product_table": _table(t, points=_X << 60)}, "within 62 bits"),
    (lambda t: {"activation": "sigmoid"}, "one of none, relu"),
    (
        lambda t: {"activation": "no name", "product_table": _table(t, points=_X)},
        "a function's small name",
    ),
    (lambda t: {"weight_quantization": replace(_affine(t), bits=8)}, "a codebook, as the input"),
    (lambda t: {"output": _affine(t)}, "a step where the output is affine"),
    (lambda t: {"requantize": t.layers[-1].requantize}, "a step where the output is affine"),
]


@pytest.mark.parametrize(("changes", "need"), CASES)
def test_what_a_layer_of_codebooks_has_to_be(
    changes: Callable[[Trace], dict[str, Any]], need: str
) -> None:
    trace = _trace()
    assert _faults(trace) == []
    assert any(need in fault for fault in _faults(_edit(trace, "conv2d", **changes(trace))))


def test_codebooks_and_affine_codes_do_not_mix() -> None:
    book = Quantization.of_codebook(BOOK)
    builder = TraceBuilder("mixed", (1, 2, 2), quantization_of(0.5))
    weight = WeightCodes(np.zeros((1, 1, 1, 1), np.int64), book)
    with pytest.raises(TraceDataError, match="need codebooks of all inputs and weights or of none"):
        builder.conv2d("conv", -1, weight, book, Geometry((1, 1)))
    builder = TraceBuilder("mixed", (1, 2, 2), book)
    affine = WeightCodes(np.zeros((1, 1, 1, 1), np.int64), quantization_of(0.5))
    with pytest.raises(TraceDataError, match="need codebooks of all inputs and weights or of none"):
        builder.conv2d("conv", -1, affine, book, Geometry((1, 1)))
    with pytest.raises(TraceDataError, match="need an output with a codebook"):
        builder.avg_pool2d("mean", -1, Geometry((2, 2)), output=quantization_of(0.5))
    with pytest.raises(TraceDataError, match="need inputs of affine codes"):
        builder.multiply("product", [-1, -1], quantization_of(0.5))


def test_a_table_that_cannot_hold_its_products_says_how_wide_it_has_to_be() -> None:
    book = Codebook(np.array([-128, 0, 127], np.int64), 4, 8)
    with pytest.raises(TraceDataError, match=r"need 16 bits for products .* product_bits=16"):
        products_of(book, book, bits=15)
    assert products_of(book, book, bits=16).products.max() == 128 * 128
    assert products_of(book, book, bits=15, fraction_bits=7).products.max() == 64 * 128
    with pytest.raises(TraceDataError, match="need 2 to 62 bits"):
        products_of(book, book, bits=63)


def test_unknown_and_missing_members_of_a_codebook(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    edits: list[tuple[Callable[[Any], None], str]] = [
        (lambda g: g.attrs.modify("signed", 0), "values where signed is 3"),
        (lambda g: g.__delitem__("values"), "values where signed is 3"),
        (lambda g: g["values"].attrs.__delitem__("value_bits"), "value_bits"),
    ]
    for edit, need in edits:
        write_trace(codebook_trace(0), path, overwrite=True)
        with h5py.File(path, "r+") as file:
            edit(file["samples/quantization"])
        assert any(need in f"{f.where} {f.need}" for f in check_trace(path))
        with pytest.raises(TraceError):
            open_trace(path)


# --- the arithmetic of tables


SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(-30, 4), st.integers(2, 32))
def test_products_are_rounded_once(seed: int, more: int, value_bits: int) -> None:
    rng = np.random.default_rng(seed)
    n = min(4, (1 << value_bits) - 1)
    w, u = (random_codebook(rng, n, value_bits) for _ in range(2))
    fraction = w.fraction_bits + u.fraction_bits + more
    try:
        table = products_of(w, u, fraction_bits=fraction, bits=62)
    except TraceDataError:
        largest = max(abs(int(w.values[i]) * int(u.values[j])) for i in (0, -1) for j in (0, -1))
        assert largest << max(more, 0) >= 1 << 61
        return
    for i, j in np.ndindex(table.products.shape):
        exact = naive.exact_product(w, i, u, j) * Fraction(2) ** fraction
        assert int(table.products[i, j]) == naive.round_half_away(exact)


@given(SEEDS, st.integers(1, 9), st.integers(-8, 8))
def test_shares_are_values_divided(seed: int, n: int, more: int) -> None:
    book = random_codebook(np.random.default_rng(seed), 5)
    table = shares_of(book, n, fraction_bits=book.fraction_bits + more)
    for row, column in np.ndindex(n, 5):
        exact = Fraction(int(book.values[column]), row + 1) * Fraction(2) ** more
        assert int(table.products[row, column]) == naive.round_half_away(exact)
    usual = shares_of(book, n)
    assert usual.fraction_bits == book.fraction_bits + 8


@given(SEEDS)
def test_terms_have_one_fraction(seed: int) -> None:
    rng = np.random.default_rng(seed)
    books = [random_codebook(rng, int(rng.integers(2, 6))) for _ in range(3)]
    table = terms_of(books)
    assert table.fraction_bits == max(book.fraction_bits for book in books)
    for row, book in zip(table.products, books, strict=True):
        up = table.fraction_bits - book.fraction_bits
        assert row[: book.n_codes].tolist() == [int(v) << up for v in book.values]
        assert not row[book.n_codes :].any()


@given(SEEDS)
def test_the_nearest_place(seed: int) -> None:
    rng = np.random.default_rng(seed)
    book = random_codebook(rng, 6)
    queries = rng.integers(-5000, 5000, 20)
    values = [Fraction(int(v)) for v in book.values]
    need = [naive.nearest(values, Fraction(int(q))) for q in queries]
    assert nearest(book.values, queries).tolist() == need


@given(SEEDS)
def test_real_numbers_become_codes_and_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    quantization = Quantization.of_codebook(random_codebook(rng, 7))
    book = quantization.codebook
    assert book is not None
    codes = np.arange(7)
    real = decode(codes, quantization)
    assert real.tolist() == [float(np.float32(int(v) * book.scale)) for v in book.values]
    assert encode(real_values(codes, quantization), quantization).tolist() == codes.tolist()
    middle = (real_values(codes, quantization)[1:] + real_values(codes, quantization)[:-1]) / 2
    assert encode(middle, quantization).tolist() == codes[:-1].tolist()
    assert encode(np.array([-np.inf, np.inf]), quantization).tolist() == [0, 6]
    with pytest.raises(TraceDataError, match="NaN"):
        encode(np.array([np.nan]), quantization)


def test_a_codebook_is_like_no_affine_codes() -> None:
    book = Quantization.of_codebook(BOOK)
    affine = quantization_of(0.125, 1, bits=2)
    assert not same_quantization(book, affine)
    assert not same_quantization(affine, book)
    assert same_quantization(book, Quantization.of_codebook(replace(BOOK, levels=None)))
    assert not same_quantization(book, Quantization.of_codebook(replace(BOOK, fraction_bits=2)))


# --- ends


def test_tables_of_too_many_products_are_refused_before_they_are_made() -> None:
    """Two codebooks of 65,536 values are a small file; their products would take 32 GiB."""
    large = Codebook(np.arange(-32768, 32768, dtype=np.int64), 0, 17)
    makers: list[Callable[[], ProductTable]] = [
        lambda: products_of(large, large),
        lambda: shares_of(large, 257),
        lambda: terms_of([large] * 257),
    ]
    for make in makers:
        with pytest.raises(TraceDataError, match=r"at most 16777216 products, got \d+ x 65536"):
            make()


def test_a_file_with_a_table_of_another_size_makes_none() -> None:
    coded = Quantization.of_codebook(Codebook(np.array([0, 1], np.int64), 0, 8))
    large = Codebook(np.arange(-32768, 32768, dtype=np.int64), 0, 17)
    builder = TraceBuilder("small", (4,), coded)
    builder.linear("fc", -1, WeightCodes(np.ones((2, 4), np.int64), coded), coded)
    layer = builder.build(np.ones((1, 4), np.int64)).layers[0]
    found: list[tuple[Any, ...]] = []
    wide = Quantization.of_codebook(large)
    check_product_table(
        replace(layer, weight_quantization=wide), [wide], lambda *fault: found.append(fault)
    )
    assert found == [("product_table/products", "shape (65536, 65536)", (2, 2))]


def test_products_far_below_the_last_place_are_zero() -> None:
    """-2^31 squared, 2^62, is a half 63 places below, and a quarter 64 places below."""
    least = Codebook(np.array([-(2**31), 0], np.int64), 64, 32)
    for fraction_bits, need in ((66, 1), (65, 1), (64, 0), (0, 0)):
        table = products_of(least, least, fraction_bits=fraction_bits)
        assert table.products[0, 0] == need


def test_products_that_no_width_holds_name_no_width() -> None:
    books = [Codebook(np.array([0, 1], np.int64), places, 8) for places in (64, -64)]
    with pytest.raises(TraceDataError, match=r"130 bits .*, got 32; use product_fraction_bits=-34"):
        terms_of(books)
    assert terms_of(books, fraction_bits=-34).products.max() == 1 << 30


def test_a_builder_refuses_sums_that_are_not_comparable() -> None:
    source = Quantization.of_codebook(Codebook(np.array([0, 2**31 - 1], np.int64), 0, 32))
    output = Quantization.of_codebook(Codebook(np.array([0, 1], np.int64), 30, 8))
    builder = TraceBuilder("far", (4,), source, accumulator_bits=48)
    with pytest.raises(TraceDataError, match=r"'sum' .* within 62 bits at one fraction, got sums"):
        builder.add("sum", [-1, -1], output)
