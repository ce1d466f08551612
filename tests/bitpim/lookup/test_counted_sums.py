"""Sums whose pairs are counted: direct sum = counts times products = what the tree of NORs adds."""

from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.errors import AccumulatorError, ArrayBoundsError, ConfigError, LayoutError
from bitpim.lookup.counted_sums import CountedSums, Events
from bitpim.programs.nor_sums import csa_levels
from bitpim.threads import thread_limit, use_threads
from tests.naive.rapidnn import Neuron, neuron

Array = npt.NDArray[Any]
PLAIN = np.array([[3, -5], [7, 0]])


def run(sums: CountedSums, codes: Array) -> tuple[Array, Events]:
    out = np.full((len(codes), sums.n_filters), 99)
    return out, sums.run(codes, out)


def same(a: Events, b: Events) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Events))


def check(
    weights: Array,
    products: Array,
    bias: Array | None,
    codes: Array,
    *,
    n_naive: int = 10**9,
    sum_bits: int = 64,
    **settings: Any,
) -> Events:
    """The identity at every step, for every neuron; gate by gate for the first positions."""
    sums = CountedSums(weights, products, bias, sum_bits=sum_bits, **settings)
    out, events = run(sums, codes)
    signed, counter_bits = settings.get("digits") == "signed", settings.get("counter_bits")
    biases = [None] * len(weights) if bias is None else bias.tolist()
    found: list[list[Neuron]] = [
        [
            neuron(w, u, products.tolist(), b, signed=signed, counter_bits=counter_bits,
                   width=sum_bits)
            for w, b in zip(weights.tolist(), biases, strict=True)
        ]
        for u in codes[:n_naive].tolist()
    ]  # fmt: skip
    assert out[:n_naive].tolist() == [[neuron.total for neuron in row] for row in found]
    levels = [[neuron.levels for neuron in row] for row in found]
    assert events.levels[:n_naive].tolist() == levels
    if counter_bits is None:
        extra = 0 if bias is None else bias
        direct = np.stack([products[w[None], codes].sum(1) for w in weights], 1) + extra
        assert out.tolist() == direct.tolist()
        for row, totals in zip(found, direct.tolist(), strict=False):
            for m, total, b in zip(row, totals, biases, strict=True):
                pairs = sum(n * int(products[pair]) for pair, n in m.counts.items())
                assert pairs + (b or 0) == total
    if n_naive >= len(codes):
        every = [neuron for row in found for neuron in row]
        assert (events.table_reads, events.operands, events.adders, events.negatives) == (
            sum(len(neuron.counts) for neuron in every),
            sum(neuron.operands for neuron in every),
            sum(neuron.adders for neuron in every),
            sum(neuron.negatives for neuron in every),
        )
        assert events.saturated == sum(neuron.saturated for neuron in every)
        assert events.largest == max((neuron.largest for neuron in every), default=0)
        assert all(m.levels == csa_levels(m.operands) for m in every)
        assert all(m.adders == max(0, m.operands - 2) for m in every)
    if counter_bits is None:
        assert same(sums.count(codes), events)
    return events


def drawn(
    rng: np.random.Generator, n: int, taps: int, filters: int, w: int, u: int, top: int = 30
) -> tuple[Array, Array, Array, Array]:
    weights = rng.integers(0, w, (filters, taps))
    codes = np.where(rng.random((n, taps)) < 0.5, 0, rng.integers(0, u, (n, taps)))
    dtype = np.uint8 if u <= 256 else np.uint16
    return (
        weights,
        rng.integers(-top, top + 1, (w, u)),
        rng.integers(-9, 9, filters),
        codes.astype(dtype),
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data(), signed=st.booleans(), has_bias=st.booleans())
def test_sums_of_any_neurons(data: st.DataObject, signed: bool, has_bias: bool) -> None:
    n, taps = data.draw(st.integers(0, 3)), data.draw(st.integers(1, 40))
    filters, w, u = (data.draw(st.integers(1, 4)) for _ in range(3))
    bits = data.draw(st.sampled_from([None, None, 1, 2, 3]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    weights, products, bias, codes = drawn(rng, n, taps, filters, w, u)
    check(
        weights,
        products,
        bias if has_bias else None,
        codes,
        digits="signed" if signed else "binary",
        counter_bits=bits,
        sum_bits=data.draw(st.sampled_from([12, 13, 33])),
    )


@pytest.mark.parametrize("digits", ["binary", "signed"])
@pytest.mark.parametrize("n", [1, 63, 64, 65, 130])
def test_positions_on_either_side_of_a_tile(n: int, digits: str) -> None:
    case = drawn(np.random.default_rng(n), n, 5, 2, 3, 3)
    check(*case, digits=digits, sum_bits=9)


@pytest.mark.parametrize("digits", ["binary", "signed"])
@pytest.mark.parametrize(
    ("taps", "w", "u"),
    [(1, 1, 1), (300, 1, 1), (170, 1, 256), (171, 1, 256), (256, 1, 256), (171, 1, 2), (600, 2, 3),
     (300, 1, 200), (90, 256, 256), (90, 5, 256), (400, 64, 64), (300, 2, 300), (60, 4, 300)],
)  # fmt: skip
def test_codebooks_and_groups_of_any_size(taps: int, w: int, u: int, digits: str) -> None:
    case = drawn(np.random.default_rng(taps), 66, taps, 2, w, u)
    check(*case, digits=digits, n_naive=1, sum_bits=20)


@pytest.mark.parametrize("digits", ["binary", "signed"])
@pytest.mark.parametrize("n_taps", [*range(1, 17), 127, 170, 171, 255, 256, 511])
def test_all_codes_equal(n_taps: int, digits: str) -> None:
    """One pair is met at every tap: its count has the digits of n_taps."""
    weights, codes = np.ones((1, n_taps), np.int64), np.ones((1, n_taps), np.uint8)
    events = check(weights, np.array([[1, 2], [3, -4]]), None, codes, digits=digits, sum_bits=16)
    by_hand = {1: 1, 3: 2, 7: 3, 15: 4, 127: 7, 255: 8, 511: 9}
    if digits == "binary" and n_taps in by_hand:
        assert (events.operands, events.negatives) == (by_hand[n_taps], 0)
    if digits == "signed" and n_taps in by_hand and n_taps > 1:
        assert (events.operands, events.negatives, events.adders) == (2, 1, 0)
    assert (events.table_reads, events.largest, events.saturated) == (1, n_taps, 0)


def test_sums_of_64_bits() -> None:
    top = 2**63 - 1
    products = np.array([[top, -top]])
    for code, total in ((0, top), (1, -top)):
        codes = np.full((3, 1), code, np.uint8)
        check(np.zeros((1, 1), np.int64), products, None, codes, digits="signed")
        assert run(CountedSums([[0]], products, None), codes)[0].tolist() == [[total]] * 3
    half = 2**61
    events = check(
        np.zeros((2, 3), np.int64), np.array([[-half, half]]), np.array([half - 1, 1 - half]),
        np.array([[0, 0, 0], [1, 1, 1], [1, 0, 1]], np.uint8), digits="signed",
    )  # fmt: skip
    assert events.negatives == 4


def test_events_by_hand() -> None:
    """Weights 0 0 0 1 meet codes 1 1 1 0: 3 of (0, 1), 1 of (1, 0), and a bias of 0."""
    weights, codes = np.array([[0, 0, 0, 1]]), np.array([[1, 1, 1, 0]], np.uint8)
    out, events = run(CountedSums(weights, PLAIN, np.array([0])), codes)
    assert out.tolist() == [[3 * -5 + 7]]
    assert (events.table_reads, events.operands, events.adders) == (2, 4, 2)  # 3 = 2 + 1; 1; bias
    assert (events.levels.tolist(), events.largest, events.negatives) == ([[2]], 3, 0)
    out, events = run(CountedSums(weights, PLAIN, None, digits="signed"), codes)
    assert out.tolist() == [[3 * -5 + 7]]
    assert (events.table_reads, events.operands, events.adders) == (2, 3, 1)  # 3 = 4 - 1; 1
    assert (events.levels.tolist(), events.largest, events.negatives) == ([[1]], 3, 1)
    out, events = run(CountedSums(weights, PLAIN, None, counter_bits=1), codes)
    assert out.tolist() == [[-5 + 7]]
    assert (events.operands, events.adders, events.saturated, events.largest) == (2, 0, 1, 3)


def test_group_lengths() -> None:
    weights = np.array([[0, 1, 0, 1, 1], [1, 1, 1, 1, 1], [0, 1, 1, 0, 0]])
    assert CountedSums(weights, PLAIN, None).group_lengths.tolist() == [3, 5, 3]
    assert CountedSums([[1]], PLAIN, None).group_lengths.tolist() == [1]


def test_threads_share_positions() -> None:
    case = drawn(np.random.default_rng(1), 300, 20, 3, 4, 9)
    n_threads = thread_limit()
    found = []
    try:
        for n in (1, 3):
            use_threads(n)
            found.append(run(CountedSums(*case[:3]), case[3]))
    finally:
        use_threads(n_threads)
    assert np.array_equal(found[0][0], found[1][0]) and same(found[0][1], found[1][1])


def test_codes_may_be_wider_or_read_only() -> None:
    weights, products, bias, codes = drawn(np.random.default_rng(2), 70, 9, 2, 3, 3)
    sums = CountedSums(weights, products, bias)
    expected, events = run(sums, codes)
    frozen = codes.copy()
    frozen.flags.writeable = False
    for given_codes in (codes.astype(np.uint16), frozen):
        out, again = run(sums, given_codes)
        assert np.array_equal(out, expected) and same(again, events)
        assert same(sums.count(given_codes), events)


def test_tables_of_other_integers() -> None:
    codes = np.array([[0, 1]], np.uint8)
    for dtype in (np.int8, np.int32, np.uint8):
        products = np.array([[100], [27]], dtype).repeat(2, 1)
        assert run(CountedSums(np.array([[1, 0]], np.uint8), products, None), codes)[0] == [[127]]


@pytest.mark.parametrize("bias", [None, np.array([0, 2, 0])])
def test_a_sum_that_may_not_fit_is_refused(bias: Array | None) -> None:
    """Filter 1 may reach 7 + 7 + 3, with its bias 19: 6 bits; then filter 0 -33, which needs 7."""
    weights = np.array([[0, 0, 0], [1, 1, 0], [0, 0, 0]])
    ends = "-5 to 17" if bias is None else "-3 to 19"
    with pytest.raises(
        AccumulatorError,
        match=rf"filter 1: need sums of 6 bits, from {ends}, got sum_bits 5; take sum_bits 6$",
    ):
        CountedSums(weights, PLAIN, bias, sum_bits=5)
    CountedSums(weights, PLAIN, bias, sum_bits=6)
    with pytest.raises(AccumulatorError, match=r"filter 0: need sums of 7 bits"):
        CountedSums(weights, np.array([[1, -11], [7, 0]]), bias, sum_bits=6)


def test_sums_of_one_sign_need_no_room_for_the_other() -> None:
    codes = np.array([[0, 0]], np.uint8)
    down = np.array([[-64, 0]])
    assert run(CountedSums(np.array([[0, 0]]), down, None, sum_bits=8), codes)[0] == [[-128]]
    with pytest.raises(AccumulatorError, match=r"from 0 to 128, got sum_bits 8; take sum_bits 9"):
        CountedSums(np.array([[0, 0]]), -down, None, sum_bits=8)
    near = CountedSums(np.array([[0, 0]]), -down, None, sum_bits=8, reach=(0, 64))
    assert run(near, np.array([[0, 1]], np.uint8))[0] == [[64]]


def test_a_sum_that_no_width_holds_is_refused() -> None:
    for low in (-(2**63), 2**62):
        with pytest.raises(AccumulatorError, match=r"got sum_bits 64; take products of fewer bits"):
            CountedSums([[0, 0]], np.array([[low, 0]]), None)


def test_counts_of_counters_that_saturate_are_refused() -> None:
    weights, codes = np.array([[0, 0, 0, 1]]), np.zeros((1, 4), np.uint8)
    with pytest.raises(ConfigError, match=r"got 1 bits for 3 taps .* run, .* or counter_bits 2$"):
        CountedSums(weights, PLAIN, None, counter_bits=1).count(codes)
    wide = CountedSums(weights, PLAIN, None)
    assert same(CountedSums(weights, PLAIN, None, counter_bits=2).count(codes), wide.count(codes))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"digits": "decimal"}, ConfigError, "need binary or signed, got 'decimal'"),
        ({"sum_bits": 1}, ConfigError, "sum_bits: need 2..64, got 1"),
        ({"sum_bits": 65}, ConfigError, "sum_bits: need 2..64, got 65"),
        ({"sum_bits": True}, ConfigError, "sum_bits: need 2..64, got True"),
        ({"counter_bits": 0}, ConfigError, "counter_bits: need 1..62, got 0"),
        ({"counter_bits": 63}, ConfigError, "counter_bits: need 1..62, got 63"),
        ({"counter_bits": 2.0}, ConfigError, "counter_bits: need 1..62, got 2.0"),
        ({"weights": [0, 1]}, LayoutError, "weights: need integers on 2 axes"),
        ({"weights": np.zeros((1, 0), int)}, LayoutError, "weights: need integers"),
        ({"weights": [[0.0]]}, LayoutError, "weights: need integers on 2 axes"),
        ({"weights": [[0, 2]]}, ArrayBoundsError, r"weight code: need 0\.\.1, .* got 2"),
        ({"weights": [[-1, 0]]}, ArrayBoundsError, r"weight code: need 0\.\.1, .* got -1"),
        ({"products": np.zeros((2, 0), int)}, LayoutError, "products: need integers"),
        ({"products": np.array([[2**63], [0]], np.uint64)}, LayoutError, "products: need int64"),
        ({"products": np.zeros((2, 65537), int)}, LayoutError, "need 65536 input codes at most"),
        ({"bias": [1, 2]}, LayoutError, "bias: need one a filter, 1, got 2"),
        ({"bias": [[1]]}, LayoutError, "bias: need integers on 1 axis"),
    ],
)
def test_what_makes_no_sums(change: dict[str, Any], error: type[Exception], text: str) -> None:
    given_now: dict[str, Any] = {"weights": [[0, 1]], "products": PLAIN, "bias": [4]} | change
    with pytest.raises(error, match=text):
        CountedSums(**given_now)


@pytest.mark.parametrize(
    ("codes", "error"),
    [
        (np.zeros((2, 3), np.uint8), LayoutError),
        (np.zeros(2, np.uint8), LayoutError),
        (np.zeros((2, 2), np.int8), LayoutError),
        (np.zeros((2, 2), np.uint8, order="F"), LayoutError),
        (np.array([[0, 2]], np.uint8), ArrayBoundsError),
        (np.array([[0, 256]], np.uint16), ArrayBoundsError),
    ],
)
def test_codes_that_are_refused(codes: Array, error: type[Exception]) -> None:
    sums = CountedSums([[0, 1]], PLAIN, None)
    for ask in (lambda: run(sums, codes), lambda: sums.count(codes)):
        with pytest.raises(error, match=r"CountedSums: .*code"):
            ask()


@pytest.mark.parametrize(
    "out", [np.zeros((2, 2), int), np.zeros((3, 1), np.int32), np.zeros((6, 1), int)[::2]]
)
def test_places_for_sums_that_are_refused(out: Array) -> None:
    with pytest.raises(LayoutError, match=r"out: need int64 \(3, 1\) in C order"):
        CountedSums([[0, 1]], PLAIN, None).run(np.zeros((3, 2), np.uint8), out)
