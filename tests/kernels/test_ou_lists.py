from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim_kernels import ou_lists
from bitpim_kernels.list_tile import NARROW_LANES, PUT_AT_ONCE, WIDE_LANES, Converter, OpenRows
from bitpim_kernels.ou_lists import RowLists, RowSets
from tests.naive import ou_lists as naive

Form = Callable[[Any], Callable[..., Any]]
Ints = npt.NDArray[np.int64]
NO_TABLE = np.zeros(0, np.int32)


def sets_of(lists: list[list[int]]) -> RowSets:
    """Sets of rows by their definition."""
    masks, starts = [], [0]
    for rows in lists:
        first = rows[0] // 64
        words = [0] * (rows[-1] // 64 - first + 1)
        for row in rows:
            words[row // 64 - first] |= 1 << row % 64
        masks += words
        starts.append(len(masks))
    firsts = np.array([rows[0] for rows in lists])
    return RowSets(firsts, np.array(starts), np.array(masks, np.uint64))


def words_of(inputs: Ints, n_slices: int, n_planes: int) -> npt.NDArray[np.uint64]:
    """Bits of rows, by slice and plane; slice s has the bits from s * n_planes on."""
    words = np.zeros((len(inputs), n_slices, n_planes, -(-inputs.shape[1] // 64)), np.uint64)
    for p, s, k, row in np.ndindex(*words.shape[:3], inputs.shape[1]):
        bit = (int(inputs[p, row]) >> (s * n_planes + k)) & 1
        words[p, s, k, row // 64] |= np.uint64(bit << row % 64)
    return words


class Case:
    """Random cells, lists and inputs: columns of list i are its own."""

    def __init__(self, n_planes: int, widths: list[int], dtype: Any, signed: bool = False) -> None:
        rng = np.random.default_rng(n_planes)
        self.ou_rows, self.n_outputs, self.n_slices, self.n_planes = 3, 7, 2, n_planes
        self.lists = [[0], [1, 2, 3, 62, 63], [63, 64, 65, 66, 129], list(range(2, 133))]
        self.lists = self.lists[: len(widths)]
        self.dtype, self.widths = dtype, widths
        self.cells = rng.integers(-3 if signed else 0, 4, (140, sum(widths)))
        self.factors = rng.choice([-4, -1, 1, 2], sum(widths))
        edges = np.cumsum([0, *widths])
        self.columns = [list(range(edges[i], edges[i + 1])) for i in range(len(widths))]
        self.inputs = rng.integers(0, 1 << 2 * n_planes, (5, 140)) * (rng.random((5, 140)) < 0.4)
        self.inputs[0], self.inputs[1] = 0, (1 << 2 * n_planes) - 1
        self.slice_factors = np.array([1, -(1 << n_planes)])
        self.most = 3 * 3 * ((1 << n_planes) - 1)

    def laid(self) -> RowLists:
        parts: dict[str, list[Any]] = {"cuts": [], "cells": [], "outputs": [], "factors": []}
        starts: dict[str, list[int]] = {"cuts": [0], "cells": [0], "outputs": [0]}
        for rows, columns in zip(self.lists, self.columns, strict=True):
            full = -(-len(columns) // NARROW_LANES) * NARROW_LANES
            cells = np.zeros((rows[-1] + 1 - rows[0], full), self.dtype)
            for row in rows:
                cells[row - rows[0], : len(columns)] = self.cells[row, columns]
            at = 0
            while at < full:
                lanes = WIDE_LANES if full - at >= WIDE_LANES else NARROW_LANES
                parts["cells"] += cells[:, at : at + lanes].ravel().tolist()
                at += lanes
            parts["cuts"] += [part[-1] + 1 for part in naive.reads_of([], rows, 3, False)]
            pad = [0] * (full - len(columns))
            parts["outputs"] += [c % self.n_outputs for c in columns] + pad
            parts["factors"] += [*self.factors[columns].tolist(), *pad]
            for name, at_list in starts.items():
                at_list.append(len(parts[name]))
        return RowLists(
            sets_of(self.lists),
            np.array(starts["cuts"]),
            np.array(parts["cuts"]),
            np.array(starts["cells"]),
            np.array(parts["cells"], self.dtype),
            np.array(starts["outputs"]),
            np.array(parts["outputs"], np.int32),
            np.array(parts["factors"], np.int32),
        )

    def scratch(self) -> OpenRows:
        n = max(len(rows) for rows in self.lists)
        return OpenRows(
            np.full(n + PUT_AT_ONCE, 77, np.int32), np.full(n, 77, np.int16), np.zeros(n, np.int32)
        )

    def words(self) -> npt.NDArray[np.uint64]:
        return words_of(self.inputs, self.n_slices, self.n_planes)

    def expected(self, packed: bool, convert: Callable[[int], int]) -> list[naive.Found]:
        slices = [(0, self.n_planes, 1), (self.n_planes, self.n_planes, -(1 << self.n_planes))]
        return [
            naive.read_vector(
                x,
                self.cells.tolist(),
                lambda _, c: int(self.factors[c]),
                list(zip(self.lists, self.columns, strict=True)),
                self.n_outputs,
                slices,
                self.ou_rows,
                packed,
                convert,
            )
            for x in self.inputs.tolist()
        ]


WIDTHS = [[1, 16, 17, 70], [64], [65, 3], [130, 15, 16, 5]]


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("n_planes", [1, 2, 4])
@pytest.mark.parametrize("packed", [False, True])
def test_lists_are_read_as_by_plain_loops(
    widths: list[int], n_planes: int, packed: bool, form: Form
) -> None:
    for dtype, signed in ((np.int16, False), (np.int8, n_planes < 4)):
        if dtype == np.int8 and n_planes == 4:
            continue  # sums to 135
        case = Case(n_planes, widths, dtype, signed)
        table = np.random.default_rng(1).integers(-50, 50, 2 * case.most + 1).astype(np.int32)
        converters: list[tuple[Converter, Callable[[int], int]]] = [
            (Converter(-2, 5, NO_TABLE, 0), lambda y: min(max(y, -2), 5)),
            (Converter(1, 4, NO_TABLE, 0), lambda y: min(max(y, 1), 4)),
            (
                Converter(0, 0, table, -case.most),
                lambda y, table=table, most=case.most: int(table[y + most]),  # type: ignore[misc]
            ),
        ]
        for adc, convert in converters:
            out = np.full((5, 7), 1000)
            form(ou_lists.read_lists)(
                case.words(),
                case.laid(),
                adc,
                case.slice_factors,
                case.ou_rows if packed else 0,
                case.scratch(),
                np.full(200, 77),
                out,
            )
            found = case.expected(packed, convert)
            assert np.array_equal(out - 1000, [one.sums for one in found])


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("n_planes", [1, 2])
@pytest.mark.parametrize("packed", [False, True])
def test_partial_sums_are_tallied(
    widths: list[int], n_planes: int, packed: bool, form: Form
) -> None:
    case = Case(n_planes, widths, np.int8, True)
    out = np.zeros(2 * case.most + 1, np.int64)
    packed_rows, once = 3 if packed else 0, np.ones(2, np.int64)
    form(ou_lists.tally_lists)(
        case.words(), once, case.laid(), packed_rows, -case.most, case.scratch(), out
    )
    found = case.expected(packed, int)
    seen = np.array([y for one in found for y in one.partials])
    expected = np.bincount(seen + case.most, minlength=len(out))
    if not packed:  # reads of rows without any input are left to the caller to count
        expected[case.most] += out.sum() - expected.sum()
    assert np.array_equal(out, expected)


@pytest.mark.parametrize("packed", [False, True])
def test_slices_that_stand_for_several_are_tallied_so_often(packed: bool, form: Form) -> None:
    case = Case(2, [16, 5], np.int8, True)
    words, repeats, packed_rows = case.words(), np.array([1, 3]), 3 if packed else 0
    out, expected = np.zeros((2, 2 * case.most + 1), np.int64)
    form(ou_lists.tally_lists)(
        words, repeats, case.laid(), packed_rows, -case.most, case.scratch(), out
    )
    each = np.ascontiguousarray(words[:, [0, 1, 1, 1]])
    form(ou_lists.tally_lists)(
        each, np.ones(4, np.int64), case.laid(), packed_rows, -case.most, case.scratch(), expected
    )
    assert out.any() and np.array_equal(out, expected)


@pytest.mark.parametrize("n_planes", [1, 3])
def test_active_rows_are_counted_by_sample_and_set(n_planes: int, form: Form) -> None:
    case = Case(n_planes, [1, 1, 1, 1], np.int8)
    out, repeats = np.zeros((3, 4, 4), np.int64), np.array([1, 5])
    form(ou_lists.count_active_rows)(case.words(), repeats, sets_of(case.lists), 3, 2, 1, out)
    expected = np.zeros_like(out)  # positions 0 to 4 lie in samples 0, 1, 1, 2, 2
    for p, i in np.ndindex(5, 4):
        n_busy = 0
        for s in range(2):
            digits = (case.inputs[p, case.lists[i]] >> s * n_planes) & ((1 << n_planes) - 1)
            n = int(np.count_nonzero(digits))
            n_busy += n > 0
            expected[(1 + p) // 2, i] += repeats[s] * np.array([n > 0, 0, n, -(-n // 3)])
        expected[(1 + p) // 2, i, 1] += n_busy > 0
    assert np.array_equal(out, expected)
