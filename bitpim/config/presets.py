"""Presets: TOML read into settings, settings written as TOML and text."""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from bitpim.config.by_layer import (
    keys_by_layer,
    layer_setting,
    need_by_layer,
    split_key,
)
from bitpim.config.entry import MachineEntry, parts_of
from bitpim.config.models import (
    CONFIDENCES,
    SET_BY_HAND,
    LayerSetting,
    Origin,
    Settings,
    did_you_mean,
    first_fault,
)
from bitpim.config.packaged import toml_files
from bitpim.errors import ConfigError
from bitpim_traces.faults import shown
from bitpim_traces.strict_text import read_toml_text, strict_toml

__all__ = [
    "SettingRow",
    "default_text",
    "describe",
    "is_file_name",
    "list_presets",
    "load_preset",
    "machine_of",
    "override",
    "parse_preset",
    "preset_text",
    "setting_rows",
    "to_toml",
    "toml_text",
]

_HEAD = ("machine", "name", "title")
_WIDEST = 40  # of a column when settings are described; a long list goes beyond
Values = dict[str, dict[str, Any]]
Origins = dict[str, tuple[Any, Any]]
S = TypeVar("S", bound=Settings)


class SettingRow(NamedTuple):
    """One setting as a reader sees it."""

    key: str
    value: str
    source: str
    confidence: str
    meaning: str


def list_presets(entry: MachineEntry) -> tuple[str, ...]:
    """Return the names of a machine's packaged presets, sorted."""
    return tuple(sorted(_packaged(entry)))


@cache
def _packaged(entry: MachineEntry) -> Mapping[str, str]:
    """Return the texts of a machine's packaged presets by name; packages stay as they are."""
    texts = {name: file.read_text("utf-8") for name, file in toml_files(entry.presets).items()}
    return {
        name: text
        for name, text in texts.items()
        if machine_of(text, where=_place(name, entry)) == entry.name
    }


def _place(name: str, entry: MachineEntry) -> str:
    """Say which packaged preset an error is about."""
    return f"preset {name} of package {entry.package}"


def load_preset(entry: MachineEntry, name_or_path: str | Path | None = None) -> Settings:
    """Return the settings of a machine from a packaged preset or a TOML file.

    Without a name the preset that bears the machine's name is taken. Anything that ends in
    `.toml` or contains a path separator is a file.

    Raises
    ------
    ConfigError
        Unknown preset, unreadable file, preset of another machine, a value that is missing,
        unknown, of the wrong type, out of range or without a source, or a file whose preset bears
        the name of a packaged one and is another.
    """
    name = str(entry.name if name_or_path is None else name_or_path)
    if not is_file_name(name):
        return parse_preset(_packaged_text(name, entry), entry, where=_place(name, entry))
    path = Path(name)
    text = preset_text(path)
    settings = _parsed(text, entry, name, (path.resolve(),))
    if settings.name in _packaged(entry):
        packaged = load_preset(entry, settings.name)
        _need_own_name(settings, packaged, f"preset file {name}")
    return settings


def _need_own_name(settings: Settings, packaged: Settings, where: str) -> None:
    """Refuse a preset that would pass for another in every header."""
    mine, theirs = dict(_flat(settings)), dict(_flat(packaged))
    apart = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
    apart = apart or [key for key, other in zip(mine, theirs, strict=True) if key != other]
    if apart:
        raise ConfigError(
            f"{where}: bears the name of the packaged preset {settings.name!r} and has another "
            f"{apart[0]}{f' (and {len(apart) - 1} more)' if len(apart) > 1 else ''}; give it a "
            "name of its own in [preset]"
        )


def is_file_name(name: str) -> bool:
    """Whether a preset is named by its file: the name ends in .toml, or has a path separator."""
    return name.endswith(".toml") or "/" in name or "\\" in name


def preset_text(path: Path) -> str:
    """Return the text of a preset file, or raise ConfigError."""
    try:
        return read_toml_text(str(path))
    except (OSError, ValueError) as error:
        raise ConfigError(f"preset file {path}: cannot be read ({error})") from error


def _packaged_text(name: str, entry: MachineEntry) -> str:
    known = _packaged(entry)
    if name not in known:
        raise ConfigError(
            f"unknown preset {name!r} of machine {entry.name!r}{did_you_mean(name, known)} (a file "
            "name ends in .toml)"
        )
    return known[name]


def machine_of(text: str, *, where: str = "preset") -> str:
    """Return the name of the machine that a preset text is for.

    Raises
    ------
    ConfigError
        The text is no preset, or names no machine.
    """
    machine = _head_of(_tables_of(text, where), where).get("machine")
    if not isinstance(machine, str):
        raise ConfigError(f'{where}: [preset] needs machine = "..."')
    return machine


def parse_preset(text: str, entry: MachineEntry, *, where: str = "preset") -> Settings:
    """Return the settings that a preset text states; `where` names it in errors.

    Raises
    ------
    ConfigError
        As `load_preset`.
    """
    return _parsed(text, entry, where, ())


def _parsed(text: str, entry: MachineEntry, where: str, files: tuple[Path, ...]) -> Settings:
    """Read a preset; `files` are the file it is in, and before it those that extend it."""
    machine = machine_of(text, where=where)
    if machine != entry.name:
        raise ConfigError(
            f"{where}: is for machine {shown(machine)}, need one for {entry.name!r}; "
            f"known: {', '.join(list_presets(entry))}"
        )
    head, values, origins = _read_layers(text, entry, where, files)
    return _validate(entry.settings, {**head, **values}, origins, where)


def _tables_of(text: str, where: str) -> dict[str, Any]:
    try:
        return strict_toml(text)
    except ValueError as error:
        raise ConfigError(f"{where}: not TOML ({error})") from error


def _head_of(tables: Mapping[str, Any], where: str) -> dict[str, Any]:
    head = tables.get("preset")
    if not isinstance(head, dict):
        raise ConfigError(f"{where}: needs a [preset] table with machine and name")
    return head


def _read_layers(
    text: str, entry: MachineEntry, where: str, chain: tuple[Path | str, ...]
) -> tuple[dict[str, Any], Values, Origins]:
    """Read a preset and, first, the one it extends; `chain` holds those that extend it, and it."""
    tables = _tables_of(text, where)
    head = _head_of(tables, where)
    del tables["preset"]
    base = head.pop("extends", None)
    for key in set(head) - set(_HEAD):
        known = (*_HEAD, "extends")
        raise ConfigError(f"{where}: unknown key preset.{key}{did_you_mean(key, known)}")
    values: Values = {}
    origins: Origins = {}
    if base is not None:
        if not isinstance(base, str):
            raise ConfigError(f"{where}: extends must name a preset, got {shown(base)}")
        below, place, link = _base_of(base, entry, where, chain)
        if link in chain:
            raise ConfigError(
                f"{where}: extends {shown(base)}, which extends it; a preset needs a first"
            )
        _, values, origins = _read_layers(below, entry, place, (*chain, link))
    for part, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{where}: {part} must be a table of values, got {shown(table)}")
        for key, setting in table.items():
            value, origins[f"{part}.{key}"] = _split(setting, f"{where}: {part}.{key}")
            _put(values, part, key, value)
    return head, values, origins


def _put(values: Values, part: str, key: str, value: Any) -> None:
    """Set a value; of those by layer the latest is the last, which wins."""
    table = values.setdefault(part, {})
    if split_key(key)[1] is not None:
        table.pop(key, None)
    table[key] = value


def _base_of(
    base: str, entry: MachineEntry, where: str, chain: tuple[Path | str, ...]
) -> tuple[str, str, Path | str]:
    """Return text, place and link in the chain of the preset that another extends.

    A file name is meant from the folder of the file that says it; what is no file, such as the
    preset that a result keeps, extends packaged presets only.
    """
    if not is_file_name(base):
        return _packaged_text(base, entry), _place(base, entry), base
    extending = chain[-1] if chain else None
    if not isinstance(extending, Path):
        raise ConfigError(f"{where}: extends must name a packaged preset, got {shown(base)}")
    path = extending.parent / base
    text = preset_text(path)
    machine = machine_of(text, where=str(path))
    if machine != entry.name:
        raise ConfigError(
            f"{path}: is for machine {machine!r}; {where}, which extends it, for {entry.name!r}"
        )
    return text, str(path), path.resolve()


def _split(setting: Any, where: str) -> tuple[Any, tuple[Any, Any]]:
    """Take value and origin apart."""
    if not isinstance(setting, dict) or set(setting) != {"value", "source", "confidence"}:
        raise ConfigError(
            f'{where}: need {{ value = ..., source = "...", confidence = '
            f'"{"|".join(CONFIDENCES)}" }}, got {shown(setting)}'
        )
    return setting["value"], (setting["source"], setting["confidence"])


def _validate(model: type[S], fields: Mapping[str, Any], origins: Origins, where: str) -> S:
    """Check values, then origins, and turn the first fault into one line."""
    _refuse_unknown(model, fields, where)
    listed = tuple(_origin(key, *origins[key], where) for key in sorted(origins))
    general, by_layer = _apart(model, fields, where)
    try:
        return model(**{**general, "origins": listed, "layer_settings": by_layer})
    except ValidationError as error:
        raise ConfigError(f"{where}: {first_fault(error)}") from error


def _apart(
    model: type[S], fields: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], tuple[LayerSetting, ...]]:
    """Take what layers have of their own from the general values; in reading order of the keys."""
    general: dict[str, Any] = {}
    by_layer: list[LayerSetting] = []
    only_by_layer = keys_by_layer(model).keys() - _leaf_types(model).keys()
    for part, table in fields.items():
        if not isinstance(table, dict):
            general[part] = table
            continue
        plain = {key: value for key, value in table.items() if split_key(key)[1] is None}
        for key in plain:
            if f"{part}.{key}" in only_by_layer:
                raise _not_general(f"{part}.{key}", where)
        if plain or part in parts_of(model):
            general[part] = plain
        names = (f"{part}.{key}" for key in table if key not in plain)
        by_layer += [
            layer_setting(model, name, table[name.partition(".")[2]], where) for name in names
        ]
    order = list(keys_by_layer(model))
    return general, tuple(sorted(by_layer, key=lambda own: order.index(own.key)))


def _not_general(key: str, where: str) -> ConfigError:
    return ConfigError(
        f"{where}: {key} is given by layer; use `--set {key}@LAYERS=value` with a layer's name, a "
        "pattern, or * for all"
    )


def _origin(key: str, source: Any, confidence: Any, where: str) -> Origin:
    try:
        return Origin(key=key, source=source, confidence=confidence)
    except ValidationError as error:
        raise ConfigError(f"{where}: {key}: {first_fault(error)}") from error


def _refuse_unknown(model: type[Settings], fields: Mapping[str, Any], where: str) -> None:
    known = [*_leaf_types(model) | keys_by_layer(model)]
    for part, content in fields.items():
        if part in _HEAD:
            continue
        if isinstance(content, dict) and any(key.startswith(f"{part}.") for key in known):
            for key in content:
                if f"{part}.{split_key(key)[0]}" not in known:
                    raise ConfigError(
                        f"{where}: unknown key {part}.{key}{did_you_mean(f'{part}.{key}', known)}"
                    )
        else:
            parts = {key.partition(".")[0] for key in known}
            raise ConfigError(f"{where}: unknown table {part!r}{did_you_mean(part, parts)}")


def override(settings: S, changes: Mapping[str, Any] | Sequence[str]) -> S:
    """Return new settings with some values changed and checked.

    Changes are values by key, or `key=value` texts whose value is read as TOML, a bare word as a
    string. A key is `part.key`, or the bare `key` where only one part has it; `key@layers` sets it
    for the layers of that name or pattern. The origin of a changed value becomes 'set by hand',
    assumed.

    Raises
    ------
    ConfigError
        Unknown or ambiguous key, one that cannot be given by layer, or a value out of range.
    """
    values = _values(settings)
    origins: Origins = {o.key: (o.source, o.confidence) for o in settings.origins}
    for where, key, value in _changes(changes):
        plain, pattern = split_key(key)
        whole = _whole_key(settings, plain, where)
        if pattern is not None:
            need_by_layer(type(settings), whole, where)
            whole = f"{whole}@{pattern}"
        elif whole not in _leaf_types(type(settings)):
            raise _not_general(whole, where)
        part, _, leaf = whole.partition(".")
        _put(values, part, leaf, value)
        origins[whole] = (SET_BY_HAND, "assumed")
    head = {"machine": settings.machine, "name": settings.name, "title": settings.title}
    return _validate(type(settings), {**head, **values}, origins, "--set")


def _whole_key(settings: Settings, key: str, where: str) -> str:
    """Return the whole key, `part.key`, that a whole or bare key of a machine's settings means."""
    leaves = _leaf_types(type(settings)) | keys_by_layer(type(settings))
    if key in leaves:
        return key
    meant = [leaf for leaf in leaves if leaf.rpartition(".")[2] == key]
    if len(meant) == 1:
        return meant[0]
    bare = {leaf.rpartition(".")[2]: leaf for leaf in leaves}
    close = difflib.get_close_matches(key, bare, n=1)
    meant = meant or [bare[name] for name in close]
    hint = f"; did you mean {' or '.join(map(repr, meant))}?" if meant else ""
    hint = hint or did_you_mean(key, leaves)
    raise ConfigError(f"{where}: unknown key {key!r}{hint}")


def _changes(changes: Mapping[str, Any] | Sequence[str]) -> Iterator[tuple[str, str, Any]]:
    """Yield of each change the place an error names, its key and its value."""
    if isinstance(changes, Mapping):
        for key, value in changes.items():
            yield f"setting {key}", key, value.item() if hasattr(value, "item") else value
        return
    for assignment in [changes] if isinstance(changes, str) else changes:
        at_layers = "@" in assignment.partition("=")[0]  # whose names may hold an equals sign
        pieces = assignment.rpartition("=") if at_layers else assignment.partition("=")
        key, equals, text = (piece.strip() for piece in pieces)
        if not equals or not text:
            raise ConfigError(f"--set {assignment!r}: need part.key=value")
        yield f"--set {assignment!r}", key, _toml_value(text)


def _toml_value(text: str) -> Any:
    try:
        tables = strict_toml(f"value = {text}")
    except ValueError:
        return text
    return tables["value"] if set(tables) == {"value"} else text


def _leaf_types(model: type[BaseModel]) -> dict[str, str]:
    """Every key of a machine's settings with its meaning, in reading order."""
    return {
        f"{name}.{leaf}": field.description or ""
        for name, part in parts_of(model).items()
        for leaf, field in part.model_fields.items()
    }


def _values(settings: Settings) -> Values:
    """Return the values by part and key, and those by layer behind them."""
    values: Values = {
        name: getattr(settings, name).model_dump() for name in parts_of(type(settings))
    }
    for own in settings.layer_settings:
        part, _, leaf = own.name.partition(".")
        values.setdefault(part, {})[leaf] = own.value
    return values


def _flat(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Yield every key and its value in reading order, those by layer behind the general one."""
    values, model = _values(settings), type(settings)
    for key in {**_leaf_types(model), **keys_by_layer(model)}:
        part, _, leaf = key.partition(".")
        if leaf in values.get(part, {}):
            yield key, values[part][leaf]
        yield from ((own.name, own.value) for own in settings.layer_settings if own.key == key)


def setting_rows(settings: Settings) -> tuple[SettingRow, ...]:
    """Return every setting with value, origin and meaning, in reading order."""
    meanings = {key: spec.description or "" for key, spec in keys_by_layer(type(settings)).items()}
    meanings |= _leaf_types(type(settings))
    rows = []
    for key, value in _flat(settings):
        origin, meaning = settings.origin(key), meanings[split_key(key)[0]]
        rows.append(SettingRow(key, toml_text(value), origin.source, origin.confidence, meaning))
    return tuple(rows)


def describe(settings: Settings) -> str:
    """Return a text a person reads: every key with value, confidence, source and meaning."""
    rows = setting_rows(settings)
    wide = [max(min(len(row[i]), _WIDEST) for row in rows) for i in (0, 1, 3)]
    lines = [
        f"{row.key:<{wide[0]}}  {row.value:<{wide[1]}}  {row.confidence:<{wide[2]}}  "
        f"{row.meaning} [{row.source}]"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def to_toml(settings: Settings) -> str:
    """Return the whole preset as TOML that `parse_preset` reads back to equal settings."""
    lines = ["[preset]"]
    lines += [f"{key} = {toml_text(getattr(settings, key))}" for key in _HEAD]
    part = ""
    for row in setting_rows(settings):
        table, _, leaf = row.key.partition(".")
        if table != part:
            lines += ["", f"[{table}]"]
            part = table
        name = leaf if split_key(leaf)[1] is None else toml_text(leaf)
        lines.append(
            f"{name} = {{ value = {row.value}, source = {toml_text(row.source)}, "
            f"confidence = {toml_text(row.confidence)} }}"
        )
    return "\n".join(lines) + "\n"


def toml_text(value: Any) -> str:
    """Return a bool, int, float, text or list as TOML, which spells as JSON does (DEL aside)."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def default_text(entry: MachineEntry) -> str:
    """Return the default preset of a machine as complete TOML, to start one's own from."""
    return to_toml(load_preset(entry))
