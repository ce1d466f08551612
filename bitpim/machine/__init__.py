"""Emulated accelerators: each machine turns a trace layer into a plan, array runs and counts."""

__all__ = ["DEFAULT_MACHINE"]

DEFAULT_MACHINE = "neural_cache"
"""The machine of the demo and of commands that are given none, known before any is loaded."""
