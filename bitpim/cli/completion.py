"""What a shell offers when a word is completed: machines, presets, price tables.

Commands, options and words to choose from are known to typer; where nothing is offered here, a
shell offers files.
"""

import contextlib
from collections.abc import Sequence

import typer

__all__ = ["machines", "presets", "price_tables"]


def machines(incomplete: str) -> list[str]:
    """Return the machines whose names begin so."""
    from bitpim.machine.registry import machine_names

    return _beginning(incomplete, machine_names())


def presets(context: typer.Context, incomplete: str) -> list[str]:
    """Return the presets that begin so, of the machine named before, or of all."""
    from bitpim.errors import ConfigError
    from bitpim.machine.registry import list_presets

    try:
        return _beginning(incomplete, list_presets(context.params.get("machine")))
    except ConfigError:  # an unknown machine has none
        return []


def price_tables(context: typer.Context, incomplete: str) -> list[str]:
    """Return the price tables that begin so: bitpim's, and those of the machine named before."""
    from bitpim.cost.tables import list_price_tables
    from bitpim.errors import ConfigError
    from bitpim.machine.registry import entry_of

    machine = context.params.get("machine")
    folders = []
    with contextlib.suppress(ConfigError):  # an unknown machine has none of its own
        folders += [entry_of(machine).price_tables] if machine else []
    return _beginning(incomplete, list_price_tables(*folders))


def _beginning(start: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if name.startswith(start)]
