"""The machines by name. A machine's module is imported when that machine is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from bitpim.config import did_you_mean, load_preset, override
from bitpim.errors import ConfigError
from bitpim.machines.machine import Machine

__all__ = ["default_prices", "machine_names", "make_machine"]


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a machine's class is, and the packaged table that prices its events."""

    module: str
    class_name: str
    prices: str


_MACHINES = {
    "dense_crossbar": _Entry(
        module="bitpim.machines.dense_crossbar",
        class_name="DenseCrossbar",
        prices="yu2020",
    ),
    "isaac": _Entry(module="bitpim.machines.isaac", class_name="Isaac", prices="isaac"),
    "neural_cache": _Entry(
        module="bitpim.machines.neural_cache",
        class_name="NeuralCache",
        prices="neural_cache_22nm",
    ),
    "pattern_crossbar": _Entry(
        module="bitpim.machines.pattern_crossbar",
        class_name="PatternCrossbar",
        prices="yu2020",
    ),
    "sre": _Entry(module="bitpim.machines.sre", class_name="Sre", prices="sre"),
}


def _entry(name: str) -> _Entry:
    if name not in _MACHINES:
        raise ConfigError(f"unknown machine {name!r}{did_you_mean(name, _MACHINES)}")
    return _MACHINES[name]


def machine_names() -> tuple[str, ...]:
    """Return the names of all machines, sorted."""
    return tuple(sorted(_MACHINES))


def default_prices(name: str) -> str:
    """Return the name of the price table a machine is priced with unless another is named."""
    return _entry(name).prices


def make_machine(
    name: str, preset: str | Path | None = None, assignments: Sequence[str] = ()
) -> Machine:
    """Make a machine from a packaged preset or a preset file, then `part.key=value` assignments.

    Raises
    ------
    ConfigError
        Unknown machine, preset or key, a value out of range, or one that nothing would use.
    """
    entry = _entry(name)
    settings = load_preset(name, preset)
    if assignments:
        settings = override(settings, assignments)
    unused = settings.unused()
    for key in (assignment.partition("=")[0].strip() for assignment in assignments):
        if key in unused:
            raise ConfigError(f"{key}: nothing uses it but {unused[key]}; set that too")
    machine: Machine = getattr(import_module(entry.module), entry.class_name)(settings)
    return machine
