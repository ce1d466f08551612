"""The machines by name. A machine's module is imported when that machine is asked for."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from bitpim.config import did_you_mean, load_preset, override
from bitpim.errors import ConfigError
from bitpim.machines.machine import Machine

__all__ = ["machine_names", "make_machine"]

_HOMES = {
    "neural_cache": "bitpim.machines.neural_cache:NeuralCache",
}


def machine_names() -> tuple[str, ...]:
    """Return the names of all machines, sorted."""
    return tuple(sorted(_HOMES))


def make_machine(
    name: str, preset: str | Path | None = None, assignments: Sequence[str] = ()
) -> Machine:
    """Make a machine from a packaged preset or a preset file, then `part.key=value` assignments.

    Raises
    ------
    ConfigError
        Unknown machine, preset or key, or a value out of range.
    """
    if name not in _HOMES:
        raise ConfigError(f"unknown machine {name!r}{did_you_mean(name, _HOMES)}")
    settings = load_preset(name, preset)
    if assignments:
        settings = override(settings, assignments)
    module, _, class_name = _HOMES[name].partition(":")
    machine: Machine = getattr(import_module(module), class_name)(settings)
    return machine
