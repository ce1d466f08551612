"""Emulated accelerators: each machine turns a trace layer into a plan, array runs and counts."""
