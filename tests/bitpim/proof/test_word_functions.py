"""Functions of bits and words against Python's integers, and what may not be in them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.errors import ProgramError
from bitpim.proof.word_functions import read_functions

N_BITS = 4
NAMES = tuple(f"{word}{bit}" for word in "xy" for bit in range(N_BITS))
LANES = np.arange(1 << len(NAMES))
VALUES = {name: LANES >> i & 1 == 1 for i, name in enumerate(NAMES)}
X, Y = LANES & 15, LANES >> 4
WORDS = {"X": "bits(x0, x1, x2, x3)", "Y": "bits(y0, y1, y2, y3)"}


def word(text: str, width: int, **values: Any) -> list[int]:
    """Evaluate a word of X and Y in all 256 lanes."""
    for short, long in WORDS.items():
        text = text.replace(short, long)
    targets = [f"r{bit}" for bit in range(width)]
    functions = read_functions(f"bits({', '.join(targets)}) = {text}", "f")
    found = functions.evaluate(VALUES | values, tuple(targets), len(LANES))
    return [sum(int(found[t][lane]) << bit for bit, t in enumerate(targets)) for lane in LANES]


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("X + Y", 5, X + Y),
        ("X * Y", 8, X * Y),
        ("(X - Y) % 16", 4, (X - Y) % 16),
        ("(X - Y) & 255", 8, (X - Y) & 255),
        ("-X & 15", 4, -X & 15),
        (
            "where(Y == 0, 15, X // where(Y == 0, 1, Y))",
            4,
            np.where(Y == 0, 15, X // np.maximum(Y, 1)),
        ),
        ("where(Y == 0, 15, X // Y)", 4, np.where(Y == 0, 15, X // np.maximum(Y, 1))),
        ("where(Y != 0, X % Y, X)", 4, np.where(Y != 0, X % np.maximum(Y, 1), X)),
        ("~X", 4, 15 - X),
        ("~(X & Y) | X ^ Y", 4, (15 - (X & Y)) | (X ^ Y)),
        ("~x0", 1, 1 - (X & 1)),
        ("~(X < Y)", 1, X >= Y),
        ("X << Y", 19, X << Y),
        ("X >> x1", 4, X >> (X >> 1 & 1)),
        ("X >> 5", 1, 0 * X),
        (
            "(X < Y) + 2 * (X <= Y) + 4 * (X == Y) + 8 * (X > Y) + 16 * (X >= Y) + 32 * (X != Y)",
            6,
            (X < Y) + 2 * (X <= Y) + 4 * (X == Y) + 8 * (X > Y) + 16 * (X >= Y) + 32 * (X != Y),
        ),
        ("X*X*X*X*X*X*X*X*X*X*X*X*X*X*X*X*X*X*X*X % 251", 8, [pow(int(x), 20, 251) for x in X]),
        ("((X << 70) + Y >> 68) % 256", 8, (X << 2) % 256),
        ("1", 1, X * 0 + 1),
        (
            "((1 << 100) - X) // ((1 << 99) - 1)",
            2,
            [((1 << 100) - int(x)) // ((1 << 99) - 1) for x in X],
        ),
        ("where(X > 7, X << 64, Y) >> 60 & 255", 8, np.where(X > 7, X << 4 & 255, Y * 0)),
    ],
)
def test_words_are_exact(text: str, width: int, expected: Any) -> None:
    assert word(text, width) == [int(value) for value in expected]


OPERATORS = ("+", "-", "*", "&", "|", "^", "<", "<=", "==", "!=", ">", ">=")


@st.composite
def expressions(draw: st.DrawFn, depth: int = 4) -> str:
    kind = draw(st.integers(0, 5)) if depth else draw(st.integers(0, 1))
    if kind == 0:
        return draw(st.sampled_from(["X", "Y", *NAMES]))
    if kind == 1:
        return str(draw(st.integers(0, 2**70)))
    parts = [draw(expressions(depth - 1)) for _ in range(3)]
    if kind == 2:
        return f"where({parts[0]}, {parts[1]}, {parts[2]})"
    if kind == 3:
        shift = draw(st.sampled_from(["<<", ">>"]))
        return f"({parts[0]} {shift} {draw(st.integers(0, 70))})"
    if kind == 4:
        divide = draw(st.sampled_from(["//", "%"]))
        return f"({parts[0]} {divide} {draw(st.integers(1, 2**66))})"
    return f"({parts[0]} {draw(st.sampled_from(OPERATORS))} {parts[1]})"


@settings(max_examples=60)
@given(expressions())
def test_any_expression_is_python_s(text: str) -> None:
    """Python's own integers, lane by lane, are the naive model; the low 90 bits are compared."""
    source = text.replace("where", "choose")
    expected = []
    for lane in range(0, 256, 17):
        bits = {name: int(VALUES[name][lane]) for name in NAMES}
        known = {"X": int(X[lane]), "Y": int(Y[lane]), "choose": lambda c, a, b: a if c else b}
        expected.append(int(eval(source, known | bits)) % 2**90)
    found = word(f"({text}) % {1 << 90}", 90)
    assert [found[lane] for lane in range(0, 256, 17)] == expected


def test_wide_words_are_read_and_written() -> None:
    names = [f"a{i}" for i in range(100)]
    rng = np.random.default_rng(5)
    bits = {name: rng.integers(0, 2, 70) == 1 for name in names}
    targets = [f"t{i}" for i in range(101)]
    text = f"bits({', '.join(targets)}) = bits({', '.join(names)}) + {2**99 + 1}"
    found = read_functions(text, "f").evaluate(bits, tuple(targets), 70)
    for lane in range(70):
        value = sum(int(bits[name][lane]) << i for i, name in enumerate(names)) + 2**99 + 1
        assert value == sum(int(found[name][lane]) << i for i, name in enumerate(targets))


def test_lines_names_and_comments() -> None:
    text = """# a half adder, and what is passed on
    total = x0 + y0  # a word
    'sum[0]' = total % 2; carry = (
        total   # goes on
        // 2)
    same = x0 == y0
    'x y' = ~same
    """
    functions = read_functions(text, "f")
    assert functions.inputs == ("x0", "y0")
    outputs = ("sum[0]", "carry", "x y")
    functions.check_ports(NAMES, outputs)
    found = functions.evaluate(VALUES, outputs, len(LANES))
    x, y = VALUES["x0"], VALUES["y0"]
    assert np.array_equal(found["sum[0]"], x ^ y) and np.array_equal(found["carry"], x & y)
    assert np.array_equal(found["x y"], x ^ y)
    assert [step.line for step in functions.assignments] == [2, 3, 3, 6, 7]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f: need an assignment such as `sum = a . b`, got none"),
        ("a", "f, line 1: need one `name = expression`, got 'a'"),
        ("\n\na = b = c", "f, line 3: need one `name = expression`, got 'a = b = c'"),
        ("a == b", "f, line 1: need one `name = expression`"),
        ("a = ", "f, line 1: need an expression, got ''"),
        ("a = (b", "f, line 1: need as many . as ., got 1 open"),
        ("a = b)", "f, line 1: need as many . as ., got -1 open"),
        ("a = b +", "f, line 1: need an expression, got 'b .'"),
        ("a = b and c", "f, line 1: need names, integers, .*, got b and c"),
        ("a = not b", "f, line 1: need names"),
        ("a = +b", "f, line 1: need names"),
        ("a = b ** c", "f, line 1: need names, .*got b .. c"),
        ("a = b / c", "f, line 1: need names"),
        ("a = b < c < d", "f, line 1: need names"),
        ("a = b if c else d", "f, line 1: need names"),
        ("a = 1.5", "f, line 1: need names"),
        ("a = True", "f, line 1: need names"),
        ("a = b'x'", "f, line 1: need names"),
        ("a = f'{b}'", "f, line 1: need names"),
        ("a = __import__(b)", "f, line 1: need names"),
        ("a = b.c", "f, line 1: need names"),
        ("a = b[0]", "f, line 1: need names"),
        ("a = (lambda: b)()", "f, line 1: need names"),
        ("a = [b for b in c]", "f, line 1: need names"),
        ("a = (b := c)", "f, line 1: need names"),
        ("a = where(b, c)", "f, line 1: need names"),
        ("a = where(b, c, d, e=f)", "f, line 1: need names"),
        ("a = bits(b + c)", "f, line 1: need names"),
        ("a = bits()", "f, line 1: need names"),
        ("a = bits", "f, line 1: need names"),
        ("a + b = c", "f, line 1: need a name or bits.names. before ="),
        ("bits() = c", "f, line 1: need a name or bits.names. before ="),
        ("where = c", "f, line 1: need a name or bits.names. before ="),
        ("a = b\na = c", "f, line 2: need a name assigned once, got a twice"),
        ("bits(a, a) = c", "f, line 1: need a name assigned once, got a twice"),
        ("a = b\nb = c", "f, line 2: need b assigned before it is read"),
        ("a = a", "f, line 1: need a assigned before it is read"),
        ("a = " + "~" * 101 + "b", "f, line 1: need at most 100 steps within each other"),
        ("a = " + "~" * 10**5 + "b", "f, line 1: need "),
        ("a = " + "(" * 10**5, "f, line 1: need as many"),
        ("a = " + "(" * 10**4 + "b" + ")" * 10**4, "f, line 1: need an expression"),
        ("a = " + "+".join("b" * 10**4), "f, line 1: need "),
        ("a = " + "9" * 10**4, "f, line 1: need "),
        ("a = " + hex(1 << 5000), "f, line 1: need names, integers"),
        ("a" * 2**20 + "=b", "f: need at most 1048576 characters"),
    ],
)
def test_what_is_no_function_is_refused(text: str, said: str) -> None:
    with pytest.raises(ProgramError, match=f"^{said}") as found:
        read_functions(text, "f")
    assert "\n" not in str(found.value) and len(str(found.value)) < 300


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("X + Y", "f, line 1: need a value that fits 4 bits, got 16 in lane 31; take its low bits"),
        ("X - Y", "f, line 1: need a value that fits 4 bits, got -1 in lane 16"),
        ("X // Y", "f, line 1: need a divisor that is not zero, got zero in lane 0"),
        ("where(X > 3, X % Y, 0)", "f, line 1: .* not zero, got zero in lane 4"),
        ("~(X + Y)", "f, line 1: need bits or a word behind ~"),
        ("~3", "f, line 1: need bits or a word behind ~"),
        ("X << (X - Y)", "f, line 1: need a shift by 0..4096, got -1 in lane 16"),
        ("X << 4000", "f, line 1: need a value that fits 4 bits, got a number of 4001 bits in"),
        ("X << (Y << 4000)", "f, line 1: need a shift by 0..4096, got a number of 4001 bits in"),
        ("X << 4090 << 4090", "f, line 1: need numbers of at most 4096 bits"),
    ],
)
def test_what_has_no_answer_names_line_and_lane(text: str, said: str) -> None:
    with pytest.raises(ProgramError, match=f"^{said}"):
        word(text, 4)


def test_one_bit_is_one() -> None:
    with pytest.raises(ProgramError, match="need a value that fits 1 bit, got 2 in lane 2;"):
        word("X", 1)


def test_lanes_are_counted_from_the_first_of_the_block() -> None:
    functions = read_functions("r = x0 + 1", "f")
    with pytest.raises(ProgramError, match="got 2 in lane 1001"):
        functions.evaluate(VALUES, ("r",), len(LANES), 1000)
    with pytest.raises(ProgramError, match=r"divisor .* zero in lane 1002"):
        read_functions("r = where(x1, 1 // (y0 & x1), 0)", "f").evaluate(
            VALUES, ("r",), len(LANES), 1000
        )


def test_ports_have_to_be_those_of_the_program() -> None:
    functions = read_functions("t = a ^ b\ns = t ^ c", "f")
    functions.check_ports(("a", "b", "c", "d"), ("s",))
    for inputs, outputs, said in (
        (("a", "b"), ("s",), "f: reads c, which is no input of the program"),
        (("a", "b", "c", "t"), ("s",), "f: assigns t, an input of the program"),
        (("a", "b", "c"), ("s", "u"), "f: need every output of the program, got nothing for u"),
        (
            ("a", "b", "c"),
            ("t",),
            "f: assigns s, which is no output of the program, nor read later",
        ),
    ):
        with pytest.raises(ProgramError, match=said):
            functions.check_ports(inputs, outputs)
