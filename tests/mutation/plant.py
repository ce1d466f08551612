"""Bugs to plant: where cosmic-ray can change a module, and the text of the module with one change.

A mutation is named by its module, operator and occurrence, as cosmic-ray counts them.
"""

import difflib
import itertools
import random
import warnings
from collections.abc import Iterable

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.provider import OperatorProvider

from tests.mutation.records import Mutation, digest_of
from tests.mutation.skips import is_skipped

__all__ = ["change_of", "draw", "find", "plant"]

_PROVIDER = OperatorProvider()
_OPERATORS = {
    name: _PROVIDER[name]()
    for name in _PROVIDER
    if not _PROVIDER[name].arguments()  # those that take arguments must be told names of variables
}


def find(module: str, source: str) -> list[Mutation]:
    """Return all mutations of a module but those that the rules skip."""
    digest = digest_of(source)
    nodes = list(ast_nodes(get_ast(source)))
    return [
        Mutation(module, digest, name, occurrence, line)
        for name, operator in _OPERATORS.items()
        for occurrence, (node, line) in enumerate(
            (node, start[0]) for node in nodes for start, _ in operator.mutation_positions(node)
        )
        if not is_skipped(name, node)
    ]


def draw(mutations: Iterable[Mutation], source: str, n: int, seed: str) -> list[Mutation]:
    """Return n mutations of a module: of each family of operators in turn, at random within it.

    Changes that are not Python are passed over.
    """
    chance = random.Random(seed)
    families: dict[str, list[Mutation]] = {}
    for mutation in mutations:
        families.setdefault(mutation.family, []).append(mutation)
    for members in families.values():
        chance.shuffle(members)
    order = list(families)
    chance.shuffle(order)
    drawn: list[Mutation] = []
    for family in itertools.cycle(order):
        if len(drawn) == n or not any(families.values()):
            break
        while families[family]:
            mutation = families[family].pop()
            if plant(mutation, source) is not None:
                drawn.append(mutation)
                break
    return sorted(drawn, key=lambda m: (m.line, m.operator, m.occurrence))


def plant(mutation: Mutation, source: str) -> str | None:
    """Return the module's text with the change; None where the change is not Python."""
    text = mutate_code(source, _OPERATORS[mutation.operator], mutation.occurrence)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # `x is 1` is odd, and Python
        try:
            compile(text, mutation.module, "exec")
        except SyntaxError:
            return None
    return str(text)


def change_of(source: str, text: str) -> tuple[str, str]:
    """Return the line that a mutation changed, and what it became; spaces do not count."""
    lines = difflib.ndiff(source.splitlines(), text.splitlines())
    changed = [line for line in lines if line[:2] in ("- ", "+ ") and line[2:].strip()]
    before = next((line for line in changed if line[0] == "-"), "- ")
    after = next((line for line in changed if line[0] == "+"), "+ ")
    return " ".join(before[2:].split()), " ".join(after[2:].split())
