"""Older versions read as today: each step turns a tree of one version into the next.

Version 1.0 is the first, so the registry is empty. A step for (1, 0) adds what 1.1 made required.
"""

from collections.abc import Callable

from bitpim_traces.schema import FORMAT_VERSION
from bitpim_traces.tree import Tree

__all__ = ["STEPS", "upgrade"]

STEPS: dict[tuple[int, int], Callable[[Tree], Tree]] = {}
"""From a version to the next minor version."""


def upgrade(tree: Tree, version: tuple[int, int]) -> Tree:
    """Bring a tree of an older minor version up to FORMAT_VERSION."""
    major, minor = version
    for older in range(minor, FORMAT_VERSION[1]):
        tree = STEPS[major, older](tree)
    return tree
