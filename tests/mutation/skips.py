"""Mutations that say nothing about tests: each rule says which it skips, and why.

Text is never mutated, so docstrings and messages need no rule; numbers and conditions inside a
message do count.
"""

from collections.abc import Iterator
from typing import Any

__all__ = ["is_skipped"]

IDENTITY = ("_Eq_Is", "_NotEq_IsNot", "_Is_Eq", "_IsNot_NotEq")
SPEED_ONLY = ("cache", "lru_cache", "kernel", "overload")
FOR_OUR_OWN_BUGS = ("strict", "frozen", "slots", "kw_only")


def is_skipped(operator: str, node: Any) -> bool:
    """Return whether a rule skips a mutation of a node of the parsed module."""
    return (
        _is_annotation(node)
        or _is_signature(node)
        or _is_stub(node)
        or _is_for_type_checkers(node)
        or _is_identity(operator)
        or _is_speed(node)
        or _is_for_our_own_bugs(node)
        or _is_assertion(node)
        or _is_free_length(operator, node)
    )


def _with_parents(node: Any) -> Iterator[tuple[Any, Any]]:
    while node.parent is not None:
        yield node, node.parent
        node = node.parent


def _is_annotation(node: Any) -> bool:
    """Types of arguments, results and variables do nothing when the program runs."""
    return any(
        (parent.type == "tfpdef" and child is parent.children[2])
        or (parent.type == "annassign" and child is parent.children[1])
        or (parent.type == "funcdef" and child is parent.annotation)
        for child, parent in _with_parents(node)
    )


def _is_signature(node: Any) -> bool:
    """A bare `*` or `/` says how arguments may be given, not what becomes of them."""
    return node.parent is not None and node.parent.type == "parameters"


def _is_stub(node: Any) -> bool:
    """A function whose body ends in `...` describes others; nobody calls it."""
    above = [node, *(parent for _, parent in _with_parents(node))]
    found = next((n for n in above if n.type in ("funcdef", "decorated")), None)
    return found is not None and found.get_code().strip().endswith("...")


def _is_for_type_checkers(node: Any) -> bool:
    """What stands under ``if TYPE_CHECKING`` is not run."""
    above = [node, *(parent for _, parent in _with_parents(node))]
    return any(
        found.type == "if_stmt" and found.children[1].get_code().strip() == "TYPE_CHECKING"
        for found in above
    )


def _is_identity(operator: str) -> bool:
    """Equal small integers and names are one object in CPython: `==` and `is` agree on them."""
    return operator.startswith("ReplaceComparison") and operator.endswith(IDENTITY)


def _is_speed(node: Any) -> bool:
    """Without these decorators, or with a copy more, the same is computed."""
    if node.type != "decorator":
        return _argument_of(node) == "copy" and node.value == "False"
    called = node.children[1].get_code().strip().partition("(")[0]
    return called.rpartition(".")[2] in SPEED_ONLY


def _is_for_our_own_bugs(node: Any) -> bool:
    """``zip(strict=True)``, frozen and keyword-only records stop bugs not yet written."""
    return _argument_of(node) in FOR_OUR_OWN_BUGS


def _is_assertion(node: Any) -> bool:
    """Assertions tell type checkers, and stop bugs not yet written."""
    return any(parent.type == "assert_stmt" for _, parent in _with_parents(node))


def _is_free_length(operator: str, node: Any) -> bool:
    """NumPy takes any negative number for the length that is left: ``reshape(~1)``."""
    return operator == "ReplaceUnaryOperator_USub_Invert" and any(
        parent.type == "trailer" and "reshape" in parent.parent.get_code()
        for _, parent in _with_parents(node)
    )


def _argument_of(node: Any) -> str:
    """Return the argument that a node is the constant of: ``strict`` of True in `strict=True`."""
    if node.type == "keyword" and node.parent.type == "argument":
        return str(node.parent.children[0].value)
    return ""
