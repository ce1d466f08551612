"""Emulated accelerators: each machine turns a trace layer into a plan, array runs and counts."""

__all__ = ["DEFAULT_CROSSBAR", "DEFAULT_MACHINE"]

DEFAULT_MACHINE = "neural_cache"
"""The machine of the demo and of commands that are given none, known before any is loaded."""

DEFAULT_CROSSBAR = "dense_crossbar"
"""The machine that lays weights of one's own on a crossbar where none is given."""
