"""Bit expressions as text: how a logic family says what a step computes.

Names, ``0``, ``1``, ``~``, ``&``, ``^``, ``|``, parentheses and ``majority(x, y, z)``, bound as
Python binds them. The same text is read by a person, evaluated on bits and turned into other text;
whoever evaluates it brings the logic.
"""

import ast
from collections.abc import Callable
from functools import cache
from typing import Protocol, TypeVar

__all__ = ["Logic", "evaluate", "names_in"]

Value = TypeVar("Value")


class Logic(Protocol[Value]):
    """Bitwise logic on some kind of value."""

    def constant(self, bit: int) -> Value:
        """Return 0 or 1 in every lane."""

    def not_(self, a: Value) -> Value:
        """Return the complement."""

    def and_(self, a: Value, b: Value) -> Value:
        """Return the conjunction."""

    def or_(self, a: Value, b: Value) -> Value:
        """Return the disjunction."""

    def xor(self, a: Value, b: Value) -> Value:
        """Return the exclusive disjunction."""


@cache
def _parse(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"expression: need bit logic, got {text!r}: {error.msg}") from None


def evaluate(text: str, value_of: Callable[[str], Value], logic: Logic[Value]) -> Value:
    """Evaluate an expression, left operands first; a majority is and, xor, and, or.

    Raises
    ------
    ValueError
        The text is not an expression of this form.
    """

    def visit(node: ast.expr) -> Value:
        match node:
            case ast.Name(id=name):
                return value_of(name)
            case ast.Constant(value=int(bit)) if bit in (0, 1):
                return logic.constant(bit)
            case ast.UnaryOp(op=ast.Invert(), operand=a):
                return logic.not_(visit(a))
            case ast.BinOp(left=a, op=ast.BitAnd(), right=b):
                return logic.and_(visit(a), visit(b))
            case ast.BinOp(left=a, op=ast.BitXor(), right=b):
                return logic.xor(visit(a), visit(b))
            case ast.BinOp(left=a, op=ast.BitOr(), right=b):
                return logic.or_(visit(a), visit(b))
            case ast.Call(func=ast.Name(id="majority"), args=[a, b, c], keywords=[]):
                x, y, z = visit(a), visit(b), visit(c)
                return logic.or_(logic.and_(x, y), logic.and_(logic.xor(x, y), z))
        raise ValueError(f"expression: need bit logic, got {ast.unparse(node)!r} in {text!r}")

    return visit(_parse(text))


class _Names:
    """The logic of asking: the value of an expression is the set of names in it."""

    def constant(self, bit: int) -> frozenset[str]:
        return frozenset()

    def not_(self, a: frozenset[str]) -> frozenset[str]:
        return a

    def and_(self, a: frozenset[str], b: frozenset[str]) -> frozenset[str]:
        return a | b

    or_ = xor = and_


@cache
def names_in(text: str) -> frozenset[str]:
    """Return the names an expression reads.

    Raises
    ------
    ValueError
        The text is not an expression of this form.
    """
    return evaluate(text, lambda name: frozenset((name,)), _Names())
