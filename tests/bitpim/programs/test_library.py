import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim import programs
from bitpim.errors import ProgramError
from bitpim.programs.program import Program
from bitpim.sram.subarray import Subarray
from bitpim_kernels import opcodes as op
from tests.array_programs import LANES, Rows, draw, run

Codes = npt.NDArray[np.int64]


widths = st.integers(1, 16)
cases = st.fixed_dictionaries(
    {
        "n": widths,
        "m": widths,
        "n_lanes": st.sampled_from(LANES),
        "seed": st.integers(0, 2**32 - 1),
        "signed": st.booleans(),
        "other_signed": st.booleans(),
    }
)


def all_pairs(bits: int) -> tuple[Codes, Codes]:
    codes = np.arange(1 << 2 * bits)
    return codes & (1 << bits) - 1, codes >> bits


def multiply_program(n: int, m: int | None = None, **signs: bool) -> Program:
    rows = Rows()
    a, w = rows("a", n), rows("w", n if m is None else m)
    to = rows("product", len(a) + len(w))
    extra = {"a_complement": rows("not_a", n)} if signs.get("w_signed") else {}
    return programs.multiply(a, w, to, **signs, **extra)  # type: ignore[arg-type]


@pytest.mark.parametrize(("bits", "cycles"), [(2, 12), (4, 34), (8, 102), (16, 334)])
def test_multiply_cycles_are_those_of_the_paper(bits: int, cycles: int) -> None:
    assert multiply_program(bits).n_steps == cycles == bits * bits + 5 * bits - 2


@pytest.mark.parametrize("bits", range(1, 9))
def test_every_pair_of_factors(bits: int) -> None:
    a, w = all_pairs(bits)
    assert np.array_equal(run(multiply_program(bits), a=a, w=w)("product"), a * w)


@pytest.mark.parametrize(("a_signed", "w_signed"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_every_pair_of_signed_factors(bits: int, a_signed: bool, w_signed: bool) -> None:
    a, w = all_pairs(bits)
    a = a - (1 << bits - 1) if a_signed else a
    w = w - (1 << bits - 1) if w_signed else w
    program = multiply_program(bits, a_signed=a_signed, w_signed=w_signed)
    assert np.array_equal(run(program, a=a, w=w)("product", signed=True), a * w)
    if bits > 1:
        assert program.n_steps == bits * bits + 5 * bits - 2 + bits * w_signed


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_every_pair_of_factors_whose_product_stays_unsigned(bits: int) -> None:
    """A negative factor leaves the half of what the rows hold."""
    a, w = all_pairs(bits)
    w = w - (1 << bits - 1)
    program = multiply_program(bits, w_signed=True, to_unsigned=True)
    surplus = (w < 0) << 2 * bits - 1
    assert np.array_equal(run(program, a=a, w=w)("product"), a * w + surplus)
    total = np.full(a.size, 5)
    program = mac_program(bits, 2 * bits + 2, w_signed=True, to_unsigned=True)
    assert np.array_equal(run(program, a=a, w=w, total=total)("total"), 5 + a * w + surplus)


@settings(max_examples=60, deadline=None)
@given(cases)
def test_multiply_of_unequal_widths(case: dict[str, Any]) -> None:
    rng, n, m = np.random.default_rng(case["seed"]), case["n"], case["m"]
    signs = {"a_signed": case["signed"], "w_signed": case["other_signed"]}
    a = draw(rng, n, case["signed"], case["n_lanes"])
    w = draw(rng, m, case["other_signed"], case["n_lanes"])
    program = multiply_program(n, m, **signs)
    assert np.array_equal(run(program, a=a, w=w)("product", signed=any(signs.values())), a * w)
    if not any(signs.values()):
        assert program.n_steps == (n + m) + (1 + n) + (m - 1) * (n + 3)


@settings(max_examples=60, deadline=None)
@given(cases)
def test_add_and_subtract(case: dict[str, Any]) -> None:
    rng, n, signed = np.random.default_rng(case["seed"]), case["n"], case["signed"]
    x, y = (draw(rng, n, signed, case["n_lanes"]) for _ in range(2))
    rows = Rows()
    operands = rows("x", n), rows("y", n)
    added = programs.add(*operands, rows("sum", n + 1), signed=signed)
    assert np.array_equal(run(added, x=x, y=y)("sum", signed), x + y)
    assert added.n_steps == n + 1
    not_y = rows("not_y", n)
    narrow = programs.subtract(*operands, rows("d", n), not_y, signed=signed)
    assert np.array_equal(run(narrow, x=x, y=y)("d"), (x - y) & (1 << n) - 1)
    assert narrow.n_steps == 2 * n + 1
    wide = programs.subtract(*operands, rows("d", n + 1), not_y, signed=signed)
    assert np.array_equal(run(wide, x=x, y=y)("d", signed=True), x - y)
    assert wide.n_steps == 2 * n + 3 - signed


def test_add_rate_agrees_with_silicon() -> None:
    rows = Rows()
    cycles = programs.add(rows("x", 32), rows("y", 32), rows("sum", 33)).n_steps
    assert cycles == 33
    # CRAM test chip: 8 banks of 256 lanes at 475 MHz, published as 30 GOPS
    assert 8 * 256 * 475e6 / cycles == pytest.approx(29.5e9, rel=0.01)


@settings(max_examples=60, deadline=None)
@given(cases, st.integers(0, 10))
def test_accumulate_and_take_away(case: dict[str, Any], headroom: int) -> None:
    rng, n, signed = np.random.default_rng(case["seed"]), case["n"], case["signed"]
    width = n + headroom
    x = draw(rng, n, signed, case["n_lanes"])
    total = draw(rng, width, case["other_signed"], case["n_lanes"])
    rows = Rows()
    fields = rows("x", n), rows("total", width)
    more = programs.accumulate(*fields, signed=signed)
    assert np.array_equal(run(more, x=x, total=total)("total"), (total + x) % (1 << width))
    assert more.n_steps == width + 1
    less = programs.subtract_from(*fields, rows("not_x", n), signed=signed)
    assert np.array_equal(run(less, x=x, total=total)("total"), (total - x) % (1 << width))
    assert less.n_steps == n + 1 + width
    value = int(rng.integers(-(1 << width), 1 << width))
    constant = programs.add_constant(fields[1], value)
    assert np.array_equal(run(constant, total=total)("total"), (total + value) % (1 << width))
    assert constant.n_steps == width + 1


def mac_program(n: int = 8, width: int = 24, **signs: bool) -> Program:
    rows = Rows()
    a, w, to, total = rows("a", n), rows("w", n), rows("product", 2 * n), rows("total", width)
    extra = {"a_complement": rows("not_a", n)} if signs.get("w_signed") else {}
    return programs.multiply_accumulate(a, w, to, total, **signs, **extra)  # type: ignore[arg-type]


def test_multiply_accumulate_takes_127_cycles() -> None:
    program = mac_program()
    assert program.n_steps == 102 + 25 == 127
    counts = program.counts
    assert counts["sram_compute_cycle"] == counts["cycles"] == 127
    assert (counts["tag_load"], counts["carry_reset"], counts["carry_store"]) == (8, 8, 7)


def test_a_24_bit_sum_holds_258_largest_products_and_wraps_at_the_next() -> None:
    program = mac_program()
    array = Subarray(program.n_rows, 1)
    array.write_codes(program.field("a"), [255])
    array.write_codes(program.field("w"), [255])
    array.write_codes(program.field("total"), [0])
    for _ in range(258):
        array.run(program)
    assert array.read_codes(program.field("total"))[0] == 258 * 65025 == 16_776_450
    array.run(program)
    assert array.read_codes(program.field("total"))[0] == 259 * 65025 - (1 << 24)


@settings(max_examples=30, deadline=None)
@given(cases)
def test_multiply_accumulate_of_any_signs(case: dict[str, Any]) -> None:
    rng, n = np.random.default_rng(case["seed"]), min(case["n"], 10)
    signs = {"a_signed": case["signed"], "w_signed": case["other_signed"]}
    a, w = (draw(rng, n, sign, case["n_lanes"]) for sign in signs.values())
    total = draw(rng, 2 * n + 3, True, case["n_lanes"])
    after = run(mac_program(n, 2 * n + 3, **signs), a=a, w=w, total=total)("total")
    assert np.array_equal(after, (total + a * w) % (1 << 2 * n + 3))


def divide_program(n: int) -> Program:
    rows = Rows()
    x, y, q, r = (rows(name, n) for name in ("dividend", "divisor", "quotient", "remainder"))
    return programs.divide(x, y, q, r, (rows("not_divisor", n), rows("difference", n)))


@pytest.mark.parametrize("bits", range(1, 9))
def test_every_division(bits: int) -> None:
    x, y = all_pairs(bits)
    program = divide_program(bits)
    assert 2 * program.n_steps == 3 * bits * bits + 11 * bits
    read = run(program, dividend=x, divisor=y)
    some = np.maximum(y, 1)
    assert np.array_equal(read("quotient"), np.where(y == 0, (1 << bits) - 1, x // some))
    assert np.array_equal(read("remainder"), np.where(y == 0, x, x % some))
    assert np.array_equal(read("dividend"), x)


def test_an_8_bit_division_takes_140_cycles() -> None:
    assert divide_program(8).n_steps == 140


@settings(max_examples=60, deadline=None)
@given(cases)
def test_maximum_and_minimum(case: dict[str, Any]) -> None:
    rng, n, signed = np.random.default_rng(case["seed"]), case["n"], case["signed"]
    x, best = (draw(rng, n, signed, case["n_lanes"]) for _ in range(2))
    rows = Rows()
    fields = rows("x", n), rows("best", n), rows("not_x", n)
    for function, expected in (
        (programs.maximum, np.maximum(x, best)),
        (programs.minimum, np.minimum(x, best)),
    ):
        program = function(*fields, signed=signed)
        assert np.array_equal(run(program, x=x, best=best)("best", signed), expected)
        assert program.n_steps == (2 * n + 1) + 1 + n + signed


@settings(max_examples=60, deadline=None)
@given(cases, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_clamp_at_any_bounds(case: dict[str, Any], one: int, two: int) -> None:
    rng, n, signed = np.random.default_rng(case["seed"]), case["n"], case["signed"]
    offset = 1 << n - 1 if signed else 0
    low, high = sorted(bound % (1 << n) - offset for bound in (one, two))
    x = draw(rng, n, signed, case["n_lanes"])
    x[0] = low
    program = programs.clamp(Rows()("x", n), (low, high), signed=signed)
    assert np.array_equal(run(program, x=x)("x", signed), np.clip(x, low, high))
    assert program.n_steps == 2 * (2 * n + 2)


@settings(max_examples=60, deadline=None)
@given(cases, st.integers(0, 20))
def test_moves_and_selections(case: dict[str, Any], distance: int) -> None:
    rng, n, signed = np.random.default_rng(case["seed"]), case["n"], case["signed"]
    n_lanes = case["n_lanes"]
    x, y = (draw(rng, n, signed, n_lanes) for _ in range(2))
    y = np.where(rng.random(n_lanes) < 0.5, x, y)
    mask = rng.integers(0, 2, n_lanes)
    rows = Rows()
    field, other, flag = rows("x", n), rows("y", n), rows("mask", 1)
    full = (1 << n) - 1

    copied = programs.selective_copy(flag, field, other)
    assert np.array_equal(run(copied, mask=mask, x=x, y=y)("y", signed), np.where(mask, x, y))
    assert copied.n_steps == n + 1
    verdict = programs.equal(field, other, flag)
    assert np.array_equal(run(verdict, x=x, y=y)("mask"), x == y)
    assert verdict.n_steps == n + 2
    negated = programs.negate_if(field, flag)
    assert np.array_equal(run(negated, x=x, mask=mask)("x"), np.where(mask, -x, x) & full)
    positive = programs.relu(field)
    assert np.array_equal(run(positive, x=x)("x"), np.where(x >> n - 1 & 1, 0, x) & full)
    assert positive.n_steps == n + 1

    up = programs.shift_left(field, distance, rows("up", n + 5))
    assert np.array_equal(run(up, x=x & full)("up"), (x & full) << distance & (1 << n + 5) - 1)
    down = programs.shift_right(field, distance, rows("down", n), signed=signed)
    assert np.array_equal(run(down, x=x)("down", signed), x >> distance)
    far = rng.integers(0, 32, n_lanes)
    each = programs.shift_right_each(field, rows("far", 5), signed=signed)
    assert np.array_equal(run(each, x=x, far=far)("x", signed), x >> far)
    assert each.n_steps == 5 * (n + 1)


@pytest.mark.parametrize("n_lanes", LANES)
def test_copy_not_and_logic(n_lanes: int) -> None:
    rng = np.random.default_rng(n_lanes)
    x, y = (draw(rng, 5, False, n_lanes) for _ in range(2))
    rows = Rows()
    field, other, to = rows("x", 5), rows("y", 5), rows("to", 5)
    assert np.array_equal(run(programs.copy(field, to), x=x)("to"), x)
    assert np.array_equal(run(programs.complement(field, to), x=x)("to"), ~x & 31)
    for kind, expected in (
        ("and", x & y),
        ("nand", ~(x & y)),
        ("or", x | y),
        ("nor", ~(x | y)),
        ("xor", x ^ y),
        ("xnor", ~(x ^ y)),
    ):
        program = programs.logic(kind, field, other, to)  # type: ignore[arg-type]
        assert np.array_equal(run(program, x=x, y=y)("to"), expected & 31)
        assert program.n_steps == 5
    assert np.array_equal(run(programs.load_constant(-3, field), x=x)("x", signed=True), x * 0 - 3)


@pytest.mark.parametrize("key", range(8))
def test_search_leaves_its_verdict_in_the_tag(key: int) -> None:
    program = programs.equal_constant(Rows()("x", 3), key)
    array = Subarray(3, 8)
    array.write_codes(program.field("x"), np.arange(8))
    array.run(program)
    assert int(array.state.tag[0]) == 1 << key
    assert program.n_steps == 3 + 1


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("n_lanes", [1, 2, 32, 64, 128])
def test_reduction_of_lanes(n_lanes: int, signed: bool) -> None:
    codes = draw(np.random.default_rng(n_lanes), 6, signed, n_lanes)
    rows = Rows()
    width = 6
    value, moved = rows("value", 14), rows("moved", 14)
    array = Subarray(28, n_lanes)
    array.write_codes(value[:6], codes)
    distance, cycles = n_lanes // 2, 0
    while distance:
        array.shift_columns(value[:width], moved[:width], distance)
        program = programs.reduction_step(value[: width + 1], moved[:width], signed=signed)
        array.step(op.CARRY_RESET)
        array.run(program)
        assert program.n_steps == width + 1 + signed
        cycles += width + 1 + program.n_steps
        width, distance = width + 1, distance // 2
    assert array.counts["cycles"] == cycles + 6
    assert array.read_codes(value[:width], signed=signed)[0] == codes.sum()


def test_lengths_do_not_depend_on_constants() -> None:
    rows = Rows()
    x = rows("x", 8)
    for function in (programs.add_constant, programs.equal_constant):
        assert len({function(x, value).n_steps for value in range(256)}) == 1
    assert len({programs.clamp(x, (0, k), signed=False).n_steps for k in range(256)}) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda f: programs.copy(f("x", 4), f("to", 3)),
        lambda f: programs.add(f("x", 4), f("y", 4), f("sum", 4)),
        lambda f: programs.multiply(f("a", 4), f("w", 4), f("product", 7)),
        lambda f: programs.multiply(f("a", 4), f("w", 4), f("product", 8), w_signed=True),
        lambda f: programs.clamp(f("x", 4), (3, 16), signed=False),
        lambda f: programs.clamp(f("x", 4), (3, 2), signed=True),
        lambda f: programs.shift_left(f("x", 4), -1, f("to", 4)),
        lambda f: programs.logic("implies", f("x", 1), f("y", 1), f("to", 1)),  # type: ignore[arg-type]
        lambda f: programs.add(f("x", 120), f("y", 120), f("sum", 121)),
    ],
)
def test_wrong_rows_are_one_line(wrong: Callable[[Rows], Program]) -> None:
    with pytest.raises(ProgramError, match=r"need .* got ") as caught:
        wrong(Rows())
    assert "\n" not in str(caught.value)


def test_arrays_have_256_rows_unless_it_is_said() -> None:
    """As those of the paper have."""
    functions = [f for f in vars(programs).values() if inspect.isfunction(f)]
    defaults = [
        parameter.default
        for f in functions
        for name, parameter in inspect.signature(f).parameters.items()
        if name == "n_rows"
    ]
    assert len(defaults) > 20 and set(defaults) == {256}


@pytest.mark.parametrize("bits", range(1, 9))
def test_inputs_are_added_by_sign_and_mask(bits: int) -> None:
    """Every input with every weight, onto sums that carry into the rows above."""
    x, w = all_pairs(max(bits, 2))
    x, w = x % (1 << bits), w % 4
    w = np.where(w == 2, 0, w)  # a sign only where there is a mask
    total = (1 << bits) - 1 - x // 2
    what = np.where(w == 0, 0, np.where(w == 1, x, (1 << bits) - x))
    for masked in (True, False):
        rows = Rows()
        fields = (
            rows("x", bits),
            rows("w", 1 + masked),
            rows("addend", bits),
            rows("total", bits + 2),
        )
        function = programs.add_by_sign_and_mask if masked else programs.add_by_sign
        program = function(*fields)
        assert program.n_steps == bits + 1 + masked + (bits + 2) + 1
        used = np.arange(w.size) if masked else np.flatnonzero(w)
        signs = w if masked else w // 2
        got = run(program, x=x[used], w=signs[used], total=total[used])("total")
        assert np.array_equal(got, (total + what)[used])


def test_signs_that_agree_are_counted() -> None:
    x, w, total = (grid.reshape(-1) for grid in np.meshgrid(np.arange(4), [0, 1], np.arange(6)))
    for padded in (True, False):
        rows = Rows()
        fields = rows("x", 2), rows("w", 1), rows("same", 1), rows("total", 3)
        program = programs.count_agreements(*fields, padded=padded)
        assert program.n_steps == 1 + padded + 4
        agree = np.where(w == 1, x < 2, x >= 2) & ((x % 2 == 1) | (not padded))
        got = run(program, x=x, w=w, total=total)("total")
        assert np.array_equal(got, total + agree)
