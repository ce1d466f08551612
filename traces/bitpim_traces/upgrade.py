"""Older versions read as today: each step turns a tree of one version into the next.

No minor version so far made anything required that there was not before: the steps change nothing.
"""

from collections.abc import Callable

from bitpim_traces.schema import FORMAT_VERSION
from bitpim_traces.tree import Tree

__all__ = ["STEPS", "upgrade"]


def _unchanged(tree: Tree) -> Tree:
    return tree


STEPS: dict[tuple[int, int], Callable[[Tree], Tree]] = {
    (1, 0): _unchanged,
    (1, 1): _unchanged,
    (1, 2): _unchanged,
}
"""From a version to the next minor version."""


def upgrade(tree: Tree, version: tuple[int, int]) -> Tree:
    """Bring a tree of an older minor version up to FORMAT_VERSION."""
    major, minor = version
    for older in range(minor, FORMAT_VERSION[1]):
        tree = STEPS[major, older](tree)
    return tree
