"""The machines by name, as installed packages register them; each is imported when asked for.

A package registers a machine in its pyproject.toml, and bitpim does the same:

    [project.entry-points."bitpim.machines"]
    neural_cache = "bitpim.machine.neural_cache:ENTRY"

What is wrong with one machine is said when that machine is asked for, and leaves the others alone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from bitpim import config
from bitpim.config import MachineEntry, PresetLabel, Settings, did_you_mean, machine_of, override
from bitpim.cost.tables import PriceTable, list_price_tables, load_prices
from bitpim.errors import ConfigError
from bitpim.legend import Legend
from bitpim.machine.machine import MEMBERS, Machine

__all__ = [
    "GROUP",
    "any_preset",
    "any_prices",
    "default_text",
    "entry_of",
    "json_schema",
    "list_presets",
    "load_preset",
    "machine_names",
    "machine_of_preset",
    "machine_packages",
    "make_machine",
    "parse_preset",
    "presets_of",
    "price_tables",
    "prices_for_result",
    "prices_of",
]

GROUP = "bitpim.machines"
"""The entry-point group."""


@cache
def _registered() -> dict[str, tuple[metadata.EntryPoint, ...]]:
    """Return what packages register by each name; different entries of one name are a fault."""
    found: dict[str, dict[str, metadata.EntryPoint]] = {}
    for point in metadata.entry_points(group=GROUP):
        found.setdefault(point.name, {}).setdefault(point.value, point)
    return {name: tuple(points.values()) for name, points in sorted(found.items())}


def machine_names() -> tuple[str, ...]:
    """Return the names of all registered machines, sorted."""
    return tuple(_registered())


def machine_packages() -> frozenset[str]:
    """Return the top-level packages that register machines."""
    points = (point for points in _registered().values() for point in points)
    return frozenset(map(_top_level, points))


@cache
def entry_of(name: str) -> MachineEntry:
    """Return the record of a machine.

    Raises
    ------
    ConfigError
        No package registers the name, two do, or what is registered cannot be imported, is no
        record of a machine, or is the record of another.
    """
    registered = _registered()
    if not registered:
        raise ConfigError(
            "no machines are registered, not even bitpim's own: bitpim is not installed, or was "
            "before it had them; run pip install . in its folder"
        )
    if name not in registered:
        hint = did_you_mean(name, registered)
        if "known:" in hint:
            hint += "; one that was added since its package was installed needs pip install again"
        raise ConfigError(f"unknown machine {name!r}{hint}")
    points = registered[name]
    if len(points) > 1:
        sources = " and ".join(f"{_package(point)} ({point.value})" for point in points)
        raise ConfigError(
            f"machine {name!r}: need one of that name, got one from each of {sources}; uninstall "
            "one, or have its package register it under another name"
        )
    return _loaded(name, points[0])


def _loaded(name: str, point: metadata.EntryPoint) -> MachineEntry:
    where = f"machine {name!r} of package {_package(point)}"
    try:
        entry = point.load()
    except ConfigError as error:
        raise ConfigError(f"package {_package(point)}: {error}") from error
    except (Exception, SystemExit) as error:  # whatever foreign code raises on import
        raise ConfigError(
            f"{where}: {point.value} cannot be imported ({_first_line(error)}); mend or uninstall "
            "the package, other machines work without it"
        ) from error
    if not isinstance(entry, MachineEntry):
        raise ConfigError(
            f"{where}: need a bitpim.config.MachineEntry at {point.value}, got "
            f"{type(entry).__name__}; register the record of the machine"
        )
    if entry.name != name:
        raise ConfigError(
            f"{where}: need the record of that name, got one of {entry.name!r}; register it under "
            "its own name"
        )
    return entry


def _first_line(error: BaseException) -> str:
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _package(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist is not None else _top_level(point)


def _top_level(point: metadata.EntryPoint) -> str:
    """Return the package that a registration names, which may be misspelt."""
    return re.split(r"[.:\s]", point.value.strip(), maxsplit=1)[0]


def list_presets(machine: str | None = None) -> tuple[str, ...]:
    """Return the names of the packaged presets of a machine, or of all that are sound, sorted."""
    if machine is not None:
        return config.list_presets(entry_of(machine))
    return tuple(sorted({preset for presets in presets_of().values() for preset in presets}))


def presets_of() -> dict[str, tuple[str, ...]]:
    """Return the packaged presets of each machine that is sound."""
    return {entry.name: config.list_presets(entry) for entry in _sound()}


def _sound() -> Iterator[MachineEntry]:
    """Yield the machines whose record and presets can be read."""
    for name in machine_names():
        with suppress(ConfigError):
            entry = entry_of(name)
            config.list_presets(entry)
            yield entry


def price_tables() -> tuple[str, ...]:
    """Return the names of all packaged price tables, sorted."""
    return list_price_tables(*(entry.price_tables for entry in _sound()))


def any_prices(name_or_path: str | Path) -> PriceTable:
    """Return a price table by name, whichever machine's package brings it, or from a file.

    Raises
    ------
    ConfigError
        As `bitpim.cost.tables.load_prices`.
    """
    return load_prices(name_or_path, *(entry.price_tables for entry in _sound()))


def any_preset(name_or_path: str | Path, machine: str | None = None) -> Settings:
    """Return the settings of a packaged preset by name, or of a file, whatever machine it is for.

    Raises
    ------
    ConfigError
        Unknown preset, presets of several machines bear the name, or as `load_preset`.
    """
    name = str(name_or_path)
    if machine is None:
        machine = _machine_of(name)
    return config.load_preset(entry_of(machine), name_or_path)


def _machine_of(name: str) -> str:
    """Return the machine that a preset is for, by the preset's name or file name."""
    if config.is_file_name(name):
        return machine_of(config.preset_text(Path(name)), where=f"preset file {name}")
    known = presets_of()
    owners = [machine for machine, presets in known.items() if name in presets]
    if len(owners) == 1:
        return owners[0]
    if owners:
        raise ConfigError(
            f"preset {name!r}: need one of that name, got one of each machine "
            f"{' and '.join(owners)}; say which by --machine"
        )
    names = (preset for presets in known.values() for preset in presets)
    raise ConfigError(f"unknown preset {name!r}{did_you_mean(name, names)} (a file ends in .toml)")


def load_preset(machine: str, name_or_path: str | Path | None = None) -> Any:
    """Return the settings of a machine from a packaged preset or a TOML file.

    Raises
    ------
    ConfigError
        Unknown machine, and as `bitpim.config.load_preset`.
    """
    return config.load_preset(entry_of(machine), name_or_path)


def parse_preset(text: str, *, where: str = "preset") -> Any:
    """Return the settings that a preset text states, for the machine that it names.

    Raises
    ------
    ConfigError
        Unknown machine, and as `bitpim.config.parse_preset`.
    """
    return config.parse_preset(text, entry_of(machine_of(text, where=where)), where=where)


def default_text(machine: str) -> str:
    """Return the default preset of a machine as complete TOML, to start one's own from."""
    return config.default_text(entry_of(machine))


def json_schema(machine: str) -> dict[str, Any]:
    """Return the JSON schema of a machine's preset file."""
    return config.json_schema(entry_of(machine))


def prices_of(machine: str, name_or_path: str | Path | None = None) -> PriceTable:
    """Return a price table by name or from a file; without one, that of the machine.

    Raises
    ------
    ConfigError
        Unknown machine, and as `bitpim.cost.tables.load_prices`.
    """
    entry = entry_of(machine)
    return load_prices(entry.prices if name_or_path is None else name_or_path, entry.price_tables)


def prices_for_result(machine: str, name_or_path: str | Path) -> PriceTable:
    """Return a price table for a result of a machine that need not be here.

    Raises
    ------
    ConfigError
        As `bitpim.cost.tables.load_prices`.
    """
    folders = []
    with suppress(ConfigError):
        folders.append(entry_of(machine).price_tables)
    return load_prices(name_or_path, *folders)


def make_machine(
    name: str,
    preset: str | Path | None = None,
    changes: Mapping[str, Any] | Sequence[str] = (),
) -> Machine:
    """Make a machine from a packaged preset or a preset file, with some settings changed.

    `changes` are as those of `bitpim.config.override`.

    Raises
    ------
    ConfigError
        Unknown machine, preset or key, a value out of range, or one that nothing would use; or
        what the entry makes is no machine of its name.
    """
    settings = load_preset(name, preset)
    if changes:
        settings = override(settings, changes)
    # beside settings by layer, what is unused shows where the layers are known
    unused = {} if settings.layer_settings else settings.unused()
    for key in PresetLabel.of(settings).changed if changes else ():
        if key in unused:
            raise ConfigError(f"{key}: nothing uses it but {unused[key]}; set that too")
    return _made(entry_of(name), settings)


def _made(entry: MachineEntry, settings: Any) -> Machine:
    where = f"machine {entry.name!r} of package {entry.package}"
    try:
        machine: Machine = entry.make(settings)
    except ImportError as error:  # of a package that imports its machine late
        raise ConfigError(
            f"{where}: cannot be imported ({_first_line(error)}); mend or uninstall the package, "
            "other machines work without it"
        ) from error
    lacking = [member for member in MEMBERS if not hasattr(machine, member)]
    if lacking:
        raise ConfigError(
            f"{where}: need the members of bitpim.machine.machine.Machine, got "
            f"{type(machine).__name__} without {', '.join(lacking)}; give it those, or mend what "
            "makes it"
        )
    if machine.name != entry.name:
        raise ConfigError(
            f"{where}: need a machine of that name, got one of {machine.name!r}; its results would "
            "be taken for another's"
        )
    if not isinstance(machine.legend, Legend):
        raise ConfigError(
            f"{where}: need a bitpim.legend.Legend as its legend, got "
            f"{type(machine.legend).__name__}; results keep it to be read by"
        )
    if machine.settings != settings:
        raise ConfigError(
            f"{where}: need the settings it was made of as its settings, got "
            f"{type(machine.settings).__name__}; every header names them"
        )
    return machine


def machine_of_preset(text: str) -> Machine:
    """Return the machine that the whole text of a preset describes, as a result file keeps it.

    Raises
    ------
    ConfigError
        The text is no preset of a registered machine.
    """
    settings = parse_preset(text)
    return _made(entry_of(settings.machine), settings)
