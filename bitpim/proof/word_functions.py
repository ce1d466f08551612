"""Functions of bits and words, written as assignments and evaluated exactly in NumPy.

    G16 = ~(G1 & G3) | G2
    bits(p0, p1, p2, p3) = bits(a0, a1) * bits(b0, b1)      # lowest bit first
    smaller = where(bits(a0, a1) < bits(b0, b1), a0, b0)

A name is a bit, `bits` a word of 64 bits or more as well. Numbers are exact integers of any size,
negative between steps if need be: a result has to fit the bits it is given to. `~` is for bits and
words, as wide as these are. A name that is no Python name stands in quotes. `where` evaluates each
side in its own lanes only, so that a division is not by zero where it is not wanted.
"""

import ast
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import ProgramError

__all__ = ["Functions", "read_functions"]

Bits = npt.NDArray[np.bool_]
Values = npt.NDArray[Any]

_MOST_CHARACTERS = 2**20
_MOST_DEEP = 100
_MOST_BITS = 4096
_SAID_BITS = 128
_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.LShift: "<<",
    ast.RShift: ">>",
}
_BITWISE: dict[type[ast.operator], str] = {ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^"}
_COMPARED: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_CODE = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|[()=<>!;\n]|#[^\n]*")


@dataclass(frozen=True, slots=True)
class _Assignment:
    targets: tuple[str, ...]
    is_word: bool
    expression: ast.expr
    line: int


@dataclass(frozen=True, slots=True)
class _Word:
    """Integers, one a lane, and how wide they are where they are bits; None for numbers."""

    values: Values
    width: int | None = None


@dataclass(frozen=True, slots=True)
class Functions:
    """Assignments in their order.

    Attributes
    ----------
    name : for errors
    inputs : names that are read and never assigned
    assigned : names that are assigned
    read : names that are read
    """

    name: str
    assignments: tuple[_Assignment, ...]
    inputs: tuple[str, ...]
    assigned: tuple[str, ...]
    read: frozenset[str]

    def check_ports(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        """Raise ProgramError unless every name is a port or passed on, and every output there."""
        if unknown := [name for name in self.inputs if name not in inputs]:
            raise ProgramError(f"{self.name}: reads {unknown[0]}, which is no input of the program")
        if clash := [name for name in self.assigned if name in inputs]:
            raise ProgramError(f"{self.name}: assigns {clash[0]}, an input of the program")
        if missing := [name for name in outputs if name not in self.assigned]:
            raise ProgramError(
                f"{self.name}: need every output of the program, got nothing for {missing[0]}"
            )
        idle = [name for name in self.assigned if name not in outputs and name not in self.read]
        if idle:
            raise ProgramError(
                f"{self.name}: assigns {idle[0]}, which is no output of the program, nor read later"
            )

    def evaluate(
        self, values: Mapping[str, Bits], outputs: tuple[str, ...], n_lanes: int, start: int = 0
    ) -> dict[str, Bits]:
        """Return outputs for values of the inputs, a bit a lane; errors count lanes from `start`.

        Shapes
        ------
        values: (n_lanes,) bool each, and so are the outputs

        Raises
        ------
        ProgramError
            A result does not fit its bits, or a division is by zero; it names line and lane.
        """
        known = {name: _Word(value.astype(np.int64), 1) for name, value in values.items()}
        for step in self.assignments:
            where = f"{self.name}, line {step.line}"
            lanes = _Lanes(known, np.arange(n_lanes), where, start)
            result = lanes.value(step.expression)
            if step.is_word:
                lanes.need_fits(result.values, len(step.targets))
                for bit, name in enumerate(step.targets):
                    known[name] = _Word(((result.values >> bit) & 1).astype(np.int64), 1)
            else:
                if step.targets[0] in outputs:
                    lanes.need_fits(result.values, 1)
                    result = _Word(result.values, 1)
                known[step.targets[0]] = result
        return {name: known[name].values.astype(np.bool_) for name in outputs}


def _range(values: Values) -> tuple[int, int]:
    return (int(values.min()), int(values.max())) if len(values) else (0, 0)


class _Lanes:
    """Expressions in some of the lanes."""

    def __init__(
        self, known: Mapping[str, _Word], lanes: npt.NDArray[Any], where: str, start: int
    ) -> None:
        self.known = known
        self.lanes = lanes
        self.where = where
        self.start = start

    def need_fits(self, values: Values, width: int) -> None:
        """Raise unless values are unsigned ones of so many bits."""
        low, high = _range(values)
        if low < 0 or high >> width:
            at = int(np.argmax((values < 0) | (values >> width != 0)))
            raise ProgramError(
                f"{self.where}: need a value that fits {width} bit{'s' * (width > 1)}, got "
                f"{_said(values[at])} in lane {self._lane(at)}; take its low bits by % or &"
            )

    def _lane(self, at: int) -> int:
        return self.start + int(self.lanes[at])

    def value(self, node: ast.expr) -> _Word:
        match node:
            case ast.Constant(value=int() as number):
                return _Word(self._same(number))
            case ast.Name() | ast.Constant():
                word = self.known[_name_of(node)]
                return _Word(word.values[self.lanes], word.width)
            case ast.Call(func=ast.Name(id="bits"), args=names):
                return self._bits([self.known[_name_of(name)] for name in names])
            case ast.Call(args=[condition, yes, no]):
                return self._where(condition, yes, no)
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                return self._inverted(self.value(operand))
            case ast.UnaryOp(operand=operand):
                return _Word(self._arithmetic("-", _zeros(self.lanes), self.value(operand).values))
            case ast.Compare(left=left, ops=[comparison], comparators=[right]):
                return self._compared(_COMPARED[type(comparison)], left, right)
            case ast.BinOp(left=left, op=operator, right=right):
                a, b = self.value(left), self.value(right)
                if type(operator) in _BITWISE:
                    return self._bitwise(_BITWISE[type(operator)], a, b)
                return _Word(self._arithmetic(_ARITHMETIC[type(operator)], a.values, b.values))
        raise AssertionError(node)  # read_functions lets nothing else through

    def _bits(self, words: list[_Word]) -> _Word:
        total = _zeros(self.lanes).astype(object if len(words) > 62 else np.int64)
        for bit, word in enumerate(words):
            values = word.values[self.lanes]
            self.need_fits(values, 1)
            total = total | (values.astype(total.dtype) << bit)
        return _Word(total, len(words))

    def _inverted(self, word: _Word) -> _Word:
        if word.width is None:
            raise ProgramError(
                f"{self.where}: need bits or a word behind ~, got a number, which has no width; "
                "write it as ^ with a mask"
            )
        left, right = _alike(word.values, self._same((1 << word.width) - 1))
        return _Word(_exact(left ^ right), word.width)

    def _same(self, number: int) -> Values:
        return np.full(len(self.lanes), number, np.int64 if abs(number) < 2**63 else object)

    def _bitwise(self, operator: str, a: _Word, b: _Word) -> _Word:
        left, right = _alike(a.values, b.values)
        values = {"&": left & right, "|": left | right, "^": left ^ right}[operator]
        is_word = a.width is not None and b.width is not None
        return _Word(_exact(values), max(a.width or 0, b.width or 0) if is_word else None)

    def _compared(self, operator: str, left: ast.expr, right: ast.expr) -> _Word:
        a, b = _alike(self.value(left).values, self.value(right).values)
        compare = {
            "==": np.equal,
            "!=": np.not_equal,
            "<": np.less,
            "<=": np.less_equal,
            ">": np.greater,
            ">=": np.greater_equal,
        }[operator]
        return _Word(compare(a, b).astype(np.int64), 1)

    def _where(self, condition: ast.expr, yes: ast.expr, no: ast.expr) -> _Word:
        chosen = self.value(condition).values != 0
        sides = []
        for node, which in ((yes, chosen), (no, ~chosen)):
            lanes = _Lanes(self.known, self.lanes[which], self.where, self.start)
            sides.append(lanes.value(node))
        ayes, rest = _alike(sides[0].values, sides[1].values)
        values = np.empty(len(self.lanes), ayes.dtype)
        values[chosen], values[~chosen] = ayes, rest
        widths = [side.width for side in sides]
        width = max(w for w in widths if w) if None not in widths else None
        return _Word(_exact(values), width)

    def _arithmetic(self, operator: str, a: Values, b: Values) -> Values:
        if operator in ("//", "%") and (b == 0).any():
            lane = self._lane(int(np.argmax(b == 0)))
            raise ProgramError(
                f"{self.where}: need a divisor that is not zero, got zero in lane {lane}; say what "
                "is wanted there: where(b == 0, 0, a // b)"
            )
        shifts = _range(b) if operator in ("<<", ">>") else (0, 0)
        if shifts[0] < 0 or shifts[1] > _MOST_BITS:
            at = int(np.argmax((b < 0) | (b > _MOST_BITS)))
            raise ProgramError(
                f"{self.where}: need a shift by 0..{_MOST_BITS}, got {_said(b[at])} in "
                f"lane {self._lane(at)}"
            )
        if _may_leave_int64(operator, _range(a), _range(b)):
            a, b = a.astype(object), b.astype(object)
        else:
            a, b = _alike(a, b)
        values = {
            "+": np.add,
            "-": np.subtract,
            "*": np.multiply,
            "//": np.floor_divide,
            "%": np.remainder,
            "<<": np.left_shift,
            ">>": np.right_shift,
        }[operator](a, b)
        if max(map(abs, _range(values))).bit_length() > _MOST_BITS:
            raise ProgramError(f"{self.where}: need numbers of at most {_MOST_BITS} bits, got more")
        return _exact(values)


def _may_leave_int64(operator: str, a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether a result may not fit int64, by the extremes of both sides."""
    size = max(map(abs, a)), max(map(abs, b))
    most = {
        "+": size[0] + size[1],
        "-": size[0] + size[1],
        "*": size[0] * size[1],
        "<<": size[0] << min(size[1], 64) if operator == "<<" else 0,
    }.get(operator, max(size))
    return most >= 2**63 or (operator == ">>" and size[1] > 63)


def _exact(values: Values) -> Values:
    """Return integers as int64 where all fit, else as Python's."""
    if values.dtype != object:
        return values
    low, high = _range(values)
    return values.astype(np.int64) if low > -(2**63) and high < 2**63 else values


def _said(number: int) -> str:
    """Return a number, or how long it is where nobody would read it."""
    n_bits = int(number).bit_length()
    return str(number) if n_bits <= _SAID_BITS else f"a number of {n_bits} bits"


def _alike(a: Values, b: Values) -> tuple[Values, Values]:
    return (a, b) if a.dtype == b.dtype else (a.astype(object), b.astype(object))


def _zeros(lanes: npt.NDArray[Any]) -> Values:
    return np.zeros(len(lanes), np.int64)


def _name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    assert isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value


def read_functions(text: str, name: str) -> Functions:
    """Read assignments, one a line or by semicolons.

    Raises
    ------
    ProgramError
        A line is no assignment of what is allowed, or a name is assigned twice or read before; it
        names the line.
    """
    if len(text) > _MOST_CHARACTERS:
        raise ProgramError(f"{name}: need at most {_MOST_CHARACTERS} characters, got {len(text)}")
    assignments, assigned, inputs = [], dict[str, int](), dict[str, int]()
    read: set[str] = set()
    for line, left, right in _statements(text, name):
        where = f"{name}, line {line}"
        targets, is_word = _targets(_parsed(left, where), where)
        expression = _parsed(right, where)
        names = _checked(expression, where)
        for target in targets:
            if target in assigned or targets.count(target) > 1:
                raise ProgramError(f"{where}: need a name assigned once, got {target} twice")
            if target in inputs or target in names:
                raise ProgramError(f"{where}: need {target} assigned before it is read")
        inputs.update(dict.fromkeys((n for n in names if n not in assigned), line))
        read.update(names)
        assigned.update(dict.fromkeys(targets, line))
        assignments.append(_Assignment(targets, is_word, expression, line))
    if not assignments:
        raise ProgramError(f"{name}: need an assignment such as `sum = a ^ b`, got none")
    return Functions(name, tuple(assignments), tuple(inputs), tuple(assigned), frozenset(read))


def _statements(text: str, name: str) -> list[tuple[int, str, str]]:
    """Cut a text into assignments: line, left and right side; parentheses hold lines together."""
    found: list[tuple[int, str, str]] = []
    line, first, depth, sides = 1, 0, 0, [""]
    at = 0
    text = f"{text}\n"
    for mark in _CODE.finditer(text):
        if mark.start() < at:
            continue
        sides[-1] += text[at : mark.start()]
        at, what = mark.end(), mark[0]
        first = first or (line if "".join(sides).strip() or what not in "\n;" else 0)
        if what == "=" and depth == 0 and text[at : at + 1] != "=":
            sides.append("")
        elif what in ("=", "<", ">", "!"):
            follows = text[at : at + 1] == "="
            sides[-1] += what + "=" * follows
            at += follows
        elif what in "\n;" and depth == 0:
            if "".join(sides).strip() or len(sides) > 1:
                if len(sides) != 2:
                    got = repr("=".join(sides).strip()[:60])
                    raise ProgramError(
                        f"{name}, line {first}: need one `name = expression`, got {got}; "
                        "parentheses hold lines together"
                    )
                found.append((first, sides[0].strip(), sides[1].strip()))
            first, sides = 0, [""]
        elif not what.startswith("#"):
            depth += (what == "(") - (what == ")")
            sides[-1] += " " if what == "\n" else what
        line += what == "\n"
    if depth or len(sides) > 1 or sides[0].strip():
        raise ProgramError(f"{name}, line {line - 1}: need as many ) as (, got {depth} open")
    return found


def _parsed(text: str, where: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is refused below, or of names in quotes
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = error.msg[:60] if isinstance(error, SyntaxError) else "too deep, or no text"
        raise ProgramError(f"{where}: need an expression, got {text[:60]!r} ({said})") from error


def _targets(node: ast.expr, where: str) -> tuple[tuple[str, ...], bool]:
    names = node.args if _is_call(node, "bits") and isinstance(node, ast.Call) else [node]
    if not names or not all(_is_name(name) for name in names):
        raise ProgramError(f"{where}: need a name or bits(names) before =")
    return tuple(_name_of(name) for name in names), names != [node]


def _is_name(node: ast.expr) -> bool:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return is_text or (isinstance(node, ast.Name) and node.id not in ("bits", "where"))


def _is_call(node: ast.expr, name: str) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == name
        and not node.keywords
    )


def _checked(expression: ast.expr, where: str) -> list[str]:
    """Return the names an expression reads, after a look at each of its nodes."""
    names: dict[str, None] = {}
    layer = [expression]
    for _ in range(_MOST_DEEP):
        below: list[ast.expr] = []
        for node in layer:
            if _is_name(node):
                names[_name_of(node)] = None
            else:
                below += _parts(node, where)
        layer = below
        if not layer:
            return list(names)
    raise ProgramError(f"{where}: need at most {_MOST_DEEP} steps within each other, got more")


def _parts(node: ast.expr, where: str) -> list[ast.expr]:
    """Return the expressions a node is made of.

    Raises
    ------
    ProgramError
        It is nothing that a function may have.
    """
    match node:
        case ast.Constant(value=int() as number) if type(number) is int:
            if number.bit_length() <= _MOST_BITS:
                return []
        case ast.UnaryOp(op=ast.Invert() | ast.USub(), operand=operand):
            return [operand]
        case ast.BinOp(left=left, op=operator, right=right):
            if type(operator) in _ARITHMETIC or type(operator) in _BITWISE:
                return [left, right]
        case ast.Compare(left=left, ops=[comparison], comparators=[right]):
            if type(comparison) in _COMPARED:
                return [left, right]
        case ast.Call(args=parts) if _is_call(node, "bits"):
            if parts and all(_is_name(part) for part in parts) and len(parts) <= _MOST_BITS:
                return list(parts)
        case ast.Call(args=[condition, yes, no]) if _is_call(node, "where"):
            return [condition, yes, no]
    raise ProgramError(
        f"{where}: need names, integers, bits(names), where(c, x, y), + - * // % << >> & | ^ ~ and "
        f"one comparison at a time, got {_shown(node)}"
    )


def _shown(node: ast.expr) -> str:
    try:
        return ast.unparse(node)[:60]
    except RecursionError:
        return "something very deep"
