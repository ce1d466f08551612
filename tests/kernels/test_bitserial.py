"""Fused dot products against products and sums of integers."""

import types
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim import programs
from bitpim.programs.program import Field
from bitpim_kernels.bitserial import (
    BLOCK_WORDS,
    dot_products_kernel,
    level_rows,
    pick_block_words,
    tree_order,
)
from bitpim_kernels.layout import from_planes, to_planes

Codes = npt.NDArray[np.int64]


def fields(a_bits: int, b_bits: int, sum_bits: int) -> tuple[Any, range, range]:
    """Yield the table of one tap and the rows of its operands."""
    x, w = Field("x", 0, a_bits), Field("w", a_bits, b_bits)
    product = Field("product", w.stop, a_bits + b_bits)
    total = Field("sum", product.stop, sum_bits)
    table = programs.multiply_accumulate(x, w, product, total).table
    return table, range(x.start, x.stop), range(w.start, w.stop)


def run_dots(
    widths: tuple[int, int],
    *,
    source: Codes,
    n_lanes: int,
    block: int,
    n_entries: int,
    n_outer: int,
    seed: int,
    decides: bool,
    compiled: bool = True,
) -> tuple[Codes, Codes]:
    """Run random codes; the operand in lanes is added where it does not decide (`decides`)."""
    rng = np.random.default_rng(seed)
    a_bits, b_bits = widths
    largest = source.shape[1] * ((1 << a_bits) - 1) * ((1 << b_bits) - 1)
    rows = level_rows(largest, n_lanes, source.shape[0])
    sum_bits = a_bits + b_bits + 5
    first = 2 * a_bits + 2 * b_bits
    final = range(first, first + min(sum_bits, int(rows[0])))
    table, added, deciding = fields(a_bits, b_bits, sum_bits)
    vector, scalar = (deciding, added) if decides else (added, deciding)
    in_lanes = rng.integers(0, 1 << len(vector), (n_entries, 64 * block))
    shared = rng.integers(0, 1 << len(scalar), (n_outer, n_entries))
    in_lanes[0], shared[:, 0] = (1 << len(vector)) - 1, (1 << len(scalar)) - 1
    planes = np.ascontiguousarray(to_planes(in_lanes, len(vector)))
    kernel = dot_products_kernel(table, vector, scalar, final, block)
    order = tree_order(n_lanes)
    assert rows.size == order.size.bit_length()
    work = rng.integers(0, 2**64, (rows.size + 2, rows[-1] * block), dtype=np.uint64)
    out = np.zeros((n_outer, rows[-1] * block), np.uint64)
    places = np.array([0, len(source)])
    shared = shared.astype(np.uint16)
    operands = (planes.reshape(-1), shared, source, places, order, rows, work, out)
    if compiled:
        kernel(*operands)
    else:
        run_plain(kernel, *operands)
    got = from_planes(out.reshape(n_outer, rows[-1], block), 64 * block, dtype=np.int64)
    taps = source[source >= 0]
    return got, shared[:, taps] @ in_lanes[taps]


def run_plain(kernel: Any, *operands: Any) -> None:
    """Run the generated text as Python, all its functions."""
    names = dict(kernel.py_func.__globals__)
    names = {**names["add"].py_func.__globals__, **names}
    plain = {n: v.py_func for n, v in names.items() if hasattr(v, "py_func")}
    functions = {
        n: types.FunctionType(f.__code__, names, n, f.__defaults__) for n, f in plain.items()
    }
    names |= functions
    with np.errstate(over="ignore"):  # 0 - 1 is all ones
        functions["dot_products"](*operands)


def random_source(rng: np.random.Generator, n_used: int, n_taps: int, n_entries: int) -> Codes:
    source = rng.integers(0, n_entries, (n_used, n_taps))
    source[rng.random(source.shape) < 0.2] = -1
    source[0, 0] = 0
    return source


@pytest.mark.parametrize("decides", [False, True])
@pytest.mark.parametrize("widths", [(1, 1), (16, 16), (3, 11), (12, 2), (1, 16), (7, 8)])
def test_text_of_every_kind_of_width(widths: tuple[int, int], decides: bool) -> None:
    """As plain Python: wide kernels take long to compile."""
    rng = np.random.default_rng(sum(widths))
    for n_lanes in (1, 3):
        source = random_source(rng, n_lanes, 2, 3)
        got, expected = run_dots(
            widths,
            source=source,
            n_lanes=n_lanes,
            block=2,
            n_entries=3,
            n_outer=2,
            seed=n_lanes,
            decides=decides,
            compiled=False,
        )
        assert np.array_equal(got, expected), n_lanes


@pytest.mark.parametrize("decides", [False, True])
@pytest.mark.parametrize("widths", [(8, 8), (2, 1)])
def test_compiled_dot_products(widths: tuple[int, int], decides: bool) -> None:
    rng = np.random.default_rng(sum(widths))
    for n_lanes in (1, 2, 3, 5, 16):
        source = random_source(rng, n_lanes, 4, 9)
        got, expected = run_dots(
            widths,
            source=source,
            n_lanes=n_lanes,
            block=16,
            n_entries=9,
            n_outer=3,
            seed=n_lanes,
            decides=decides,
        )
        assert np.array_equal(got, expected), n_lanes


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_lanes=st.integers(1, 16), n_taps=st.integers(1, 9))
def test_any_layout_of_taps(seed: int, n_lanes: int, n_taps: int) -> None:
    rng = np.random.default_rng(seed)
    idle = int(rng.integers(0, (1 << (n_lanes - 1).bit_length()) // 2)) if n_lanes > 1 else 0
    n_used = max(n_lanes - idle, (1 << (n_lanes - 1).bit_length()) // 2, 1)
    got, expected = run_dots(
        (8, 8),
        source=random_source(rng, n_used, n_taps, 12),
        n_lanes=n_lanes,
        block=16,
        n_entries=12,
        n_outer=int(rng.integers(0, 3)),
        seed=seed,
        decides=bool(seed % 2),
    )
    assert np.array_equal(got, expected)


@pytest.mark.parametrize(("block", "compiled"), [(4, False), (16, False), (64, False), (32, True)])
def test_every_block_size(block: int, compiled: bool) -> None:
    source = random_source(np.random.default_rng(block), 3, 3, 5)
    got, expected = run_dots(
        (4, 3),
        source=source,
        n_lanes=4,
        block=block,
        n_entries=5,
        n_outer=2,
        seed=block,
        decides=False,
        compiled=compiled,
    )
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("n_lanes", [1, 4, 7])
def test_sums_of_codes_without_weights(n_lanes: int) -> None:
    x, total = Field("x", 0, 5), Field("sum", 5, 9)
    table = programs.accumulate(x, total).table
    rows = level_rows(3 * 31, n_lanes, n_lanes)
    kernel = dot_products_kernel(table, range(5), range(5, 5), range(5, 5 + rows[0]), 16)
    rng = np.random.default_rng(n_lanes)
    codes = rng.integers(0, 32, (6, 1024))
    source = random_source(rng, n_lanes, 3, 6)
    order = tree_order(n_lanes)
    work = rng.integers(0, 2**64, (rows.size + 2, rows[-1] * 16), dtype=np.uint64)
    out = np.empty((1, rows[-1] * 16), np.uint64)
    ones = np.ones((1, 6), np.uint8)
    places = np.array([0, n_lanes])
    kernel(to_planes(codes, 5).reshape(-1), ones, source, places, order, rows, work, out)
    got = from_planes(out.reshape(-1, 16), 1024, dtype=np.int64)
    assert np.array_equal(got, codes[source[source >= 0]].sum(axis=0))


@pytest.mark.parametrize("n_lanes", [*range(1, 18), 31, 32, 33, 512, 513])
def test_the_walk_of_the_tree_is_counting_with_reversed_bits(n_lanes: int) -> None:
    levels = (n_lanes - 1).bit_length()
    reverse = [int(f"{i:0{levels}b}"[::-1], 2) if levels else 0 for i in range(1 << levels)]
    assert tree_order(n_lanes).tolist() == reverse


@settings(max_examples=50, deadline=None)
@given(levels=st.integers(0, 7))
def test_the_walk_adds_in_the_order_of_literal_halving(levels: int) -> None:
    """Each lane is a text, so that which is added to which, and when, can be seen."""
    lanes = [str(c) for c in range(1 << levels)]
    for level in range(levels):
        half = len(lanes) // 2
        lanes = [f"({lanes[c]}+{lanes[c + half]})" for c in range(half)]
        assert len(lanes) == 1 << (levels - level - 1)
    work: list[str] = [""] * (levels + 1)
    top = ""
    for i, lane in enumerate(tree_order(1 << levels).tolist()):
        top, level = str(lane), 0
        while (i >> level) & 1:
            top, level = f"({work[level]}+{top})", level + 1
        work[level] = top
    assert top == lanes[0]


def test_block_sizes_cover_all_words() -> None:
    assert [pick_block_words(n) for n in (1, 16, 17, 64, 65, 10_000)] == [16, 16, 32, 32, 128, 128]
    assert {pick_block_words(n) for n in range(1, 200)} == set(BLOCK_WORDS)
    assert [pick_block_words(200, n) for n in (585, 586, 2343, 2344)] == [128, 32, 32, 16]
