from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim_kernels import nearest
from tests.naive import cam as naive

Form = Callable[[Any], Callable[..., Any]]
JITTED: Form = lambda kernel: kernel  # noqa: E731
TOP = (1 << 64) - 1


def numbers(values: list[int]) -> npt.NDArray[np.uint64]:
    return np.array(values, np.uint64)


def found(search: Callable[..., Any], *inputs: Any, n: int) -> list[tuple[int, int]]:
    """Distance and row of each query."""
    rows, distances = np.full(n, -9), np.full(n, 9, np.uint64)
    search(*inputs, rows, distances)
    return list(zip(distances.tolist(), rows.tolist(), strict=True))


def by_difference(form: Form, values: list[int], queries: list[int]) -> list[tuple[int, int]]:
    table = nearest.breaks_of(numbers(values))
    pairs = found(form(nearest.nearest_abs), table, numbers(queries), n=len(queries))
    signed, codes = [q for q in queries if q < 1 << 63], np.zeros(len(queries), np.uint16)
    limits, chosen = (-7, TOP >> 1), codes[: len(signed)]
    form(nearest.encode_abs)(table, np.array(signed, np.int64) - 7, 0, limits, 7, chosen)
    wanted = [row for q, (_, row) in zip(queries, pairs, strict=True) if q < 1 << 63]
    assert chosen.tolist() == wanted
    return pairs


def by_xor(form: Form, values: list[int], queries: list[int]) -> list[tuple[int, int]]:
    tree = nearest.xor_tree(numbers(values))
    return found(form(nearest.nearest_xor), tree, numbers(queries), n=len(queries))


def by_stages(
    form: Form, values: list[int], queries: list[int], n_bits: int, stage_bits: int
) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    n, n_stages = len(queries), -(-n_bits // stage_bits)
    rows, distances = np.full(n, -9), np.full(n, 9, np.uint64)
    standing, fell = np.full(n_stages, -9), np.full(n_stages, -9)
    form(nearest.nearest_staged)(
        nearest.ordered(numbers(values)),
        numbers(queries),
        n_bits,
        stage_bits,
        rows,
        distances,
        standing,
        fell,
    )
    pairs = list(zip(distances.tolist(), rows.tolist(), strict=True))
    return pairs, standing.tolist(), fell.tolist()


def check(form: Form, values: list[int], queries: list[int], n_bits: int) -> None:
    """All three searches against their naive forms, in stages of every width."""
    plain = [naive.nearest(values, q) for q in queries]
    assert by_difference(form, values, queries) == plain
    assert by_xor(form, values, queries) == [naive.nearest(values, q, xor=True) for q in queries]
    widths = range(1, n_bits + 1) if n_bits < 9 else (1, 5, 8, n_bits - 1, n_bits)
    for stage_bits in widths:
        expected = [naive.nearest_staged(values, q, n_bits, stage_bits) for q in queries]
        pairs, standing, fell = by_stages(form, values, queries, n_bits, stage_bits)
        assert [row for _, row in pairs] == [e.row for e in expected]
        assert [d for d, _ in pairs] == [
            abs(q - values[e.row]) for q, e in zip(queries, expected, strict=True)
        ]
        assert standing == [sum(e.standing[s] for e in expected) for s in range(len(standing))]
        assert fell == [sum(e.fell[s] for e in expected) for s in range(len(fell))]
        if stage_bits == n_bits:
            assert pairs == plain


def test_the_most_significant_bit_decides_by_xor_and_not_by_difference(form: Form) -> None:
    values = [0b1000, 0b0000]
    assert by_difference(form, values, [0b0111]) == [(1, 0)]
    assert by_xor(form, values, [0b0111]) == [(7, 1)]
    # stage 1: 01 against 10 and 00, one apart both; stage 2: 11 against 00 and 00, three apart both
    assert by_stages(form, values, [0b0111], 4, 2) == ([(1, 0)], [2, 2], [2, 2])
    # stage 1: 0 against 1 and 0: the second is left, and stays
    assert by_stages(form, values, [0b0111], 4, 1) == ([(7, 1)], [1, 1, 1, 1], [1, 1, 1, 1])


def test_a_stage_counts_all_rows_of_one_number(form: Form) -> None:
    # 1100 twice, 1111, 0100: stage 1 keeps three, of which the query differs from none;
    # stage 2 has 01 against 00, 11 and 00
    assert by_stages(form, [0b1100, 0b1111, 0b1100, 0b0100], [0b1101], 4, 2) == (
        [(1, 0)],
        [3, 2],
        [1, 3],
    )


@pytest.mark.parametrize("values", [[4, 8], [8, 4]])
def test_half_way_the_lower_row_wins(values: list[int], form: Form) -> None:
    assert by_difference(form, values, [5, 6, 7]) == [
        (1, values.index(4)),
        (2, 0),
        (1, values.index(8)),
    ]


@pytest.mark.parametrize(
    "values",
    [
        [0],
        [200, 3],
        [255, 0, 128, 127, 255],
        [7, 7, 7],
        list(range(0, 256, 5))[::-1],
        [17, 16, 64, 65, 64, 191, 80, 4, 4, 251],
    ],
)
def test_every_query_of_8_bits(values: list[int], form: Form) -> None:
    check(form, values, list(range(256)), 8)


@pytest.mark.parametrize("n_values", [1, 2, 3])
def test_every_small_memory(n_values: int, form: Form) -> None:
    for memory in np.ndindex(*[8] * n_values):
        values, queries = list(memory), list(range(8))
        assert by_difference(form, values, queries) == [naive.nearest(values, q) for q in queries]
        expected = [naive.nearest(values, q, xor=True) for q in queries]
        assert by_xor(form, values, queries) == expected
        if n_values < 3:
            check(form, values, queries, 3)


def test_numbers_of_64_bits(form: Form) -> None:
    middle = 1 << 63
    values = [TOP, middle, 0, middle - 1, TOP - 1, 1, middle + 6]
    queries = [0, 1, 2, middle - 1, middle, middle + 1, middle + 3, TOP - 2, TOP, TOP // 4, 3 << 62]
    check(form, values, queries, 64)
    check(form, [0, TOP], [middle - 1, middle], 64)
    check(form, [TOP], [0, TOP], 64)


def test_all_kernels_in_python(in_python: Callable[..., None]) -> None:
    in_python(nearest)
    assert isinstance(nearest.nearest_abs, FunctionType)
    check(JITTED, [TOP, 1 << 63, 0, 0, 7, TOP >> 1], [0, 3, 4, 1 << 62, 3 << 62, TOP], 64)
    check(JITTED, [5, 9, 14, 9, 1], list(range(16)), 4)


def test_more_queries_than_are_searched_together() -> None:
    rng = np.random.default_rng(2)
    values, queries = rng.integers(0, 1 << 16, 64), rng.integers(0, 1 << 16, 1500)
    expected = np.abs(values[None, :] - queries[:, None]).argmin(1)
    pairs = by_difference(JITTED, values.tolist(), queries.tolist())
    assert [row for _, row in pairs] == expected.tolist()


@pytest.mark.parametrize("n_values", [2, 300, 3000])
def test_numbers_that_crowd_in_few_buckets(n_values: int, form: Form) -> None:
    """Half of the numbers lie side by side, far from the others."""
    rng = np.random.default_rng(n_values)
    close = (1 << 40) + np.arange(n_values // 2)
    values = np.concatenate([close, rng.integers(0, 1 << 62, n_values - len(close))])
    rng.shuffle(values)
    queries = np.concatenate([values[:50] + 1, close[:50], rng.integers(0, 1 << 63, 50)])
    pairs = by_difference(form, values.tolist(), queries.tolist())
    expected = [naive.nearest(values.tolist(), q) for q in queries.tolist()]
    assert pairs == expected


def test_what_is_searched_for_is_shifted_and_limited(form: Form) -> None:
    table = nearest.breaks_of(numbers([0, 8, 16, 24]))  # -16, -8, 0, 8
    codes = np.full(5, 99, np.uint8)
    sums = np.array([-99, -3, 1, 2, 99])
    form(nearest.encode_abs)(table, sums, 2, (-12, 3), 16, codes)
    assert codes.tolist() == [0, 0, 2, 2, 2]
    form(nearest.encode_abs)(table, sums, 1, (-16, 15), 16, codes)
    assert codes.tolist() == [0, 1, 2, 2, 3]


def test_no_queries(form: Form) -> None:
    assert by_difference(form, [1, 2], []) == []
    assert by_xor(form, [1, 2], []) == []
    assert by_stages(form, [1, 2], [], 2, 1) == ([], [0, 0], [0, 0])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), n_bits=st.integers(1, 64), jitted=st.booleans())
def test_searches_equal_naive_ones(data: st.DataObject, n_bits: int, jitted: bool) -> None:
    number = st.integers(0, (1 << n_bits) - 1)
    values = data.draw(st.lists(number, min_size=1, max_size=20))
    near = st.builds(
        lambda v, step: min(max(v + step, 0), (1 << n_bits) - 1),
        st.sampled_from(values),
        st.integers(-3, 3),
    )
    queries = data.draw(st.lists(number | near, min_size=1, max_size=8))
    check(lambda kernel: kernel if jitted else kernel.py_func, values, queries, n_bits)
