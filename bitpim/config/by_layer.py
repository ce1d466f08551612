"""Settings by layer: what some layers of a network have of their own, beside the general ones.

A key by layer is spelt ``part.key@layers``, on the command line and in a preset alike: the name of
a layer, or a pattern of names. A layer has the general settings and, over them, those that fit its
name, of which later ones win. The settings of one layer are settings like any: what lays a layer
out or runs it does not know where they come from.
"""

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from bitpim.config.entry import layer_parts_of, parts_of
from bitpim.config.models import SET_BY_HAND, LayerSetting, Settings, first_fault
from bitpim.errors import BitpimError, ConfigError
from bitpim_traces.faults import shown
from bitpim_traces.records import LayerRecord

__all__ = [
    "keys_by_layer",
    "layer_setting",
    "need_by_layer",
    "remedies_by_layer",
    "settings_by_layer",
    "split_key",
]

S = TypeVar("S", bound=Settings)
_N_CLOSEST = 3  # names that are told where a pattern fits none


def split_key(key: str) -> tuple[str, str | None]:
    """Return a key and the layers it is for; None where it is for all."""
    plain, at, pattern = key.partition("@")
    return plain, pattern if at else None


def keys_by_layer(model: type[Settings]) -> dict[str, FieldInfo]:
    """Return the whole keys that layers may have of their own, in reading order."""
    general, by_layer = parts_of(model), layer_parts_of(model)
    return {
        f"{name}.{leaf}": part.model_fields[leaf]
        for name, part in {**general, **by_layer}.items()
        for leaf in part.by_layer()
    }


def need_by_layer(model: type[Settings], key: str, where: str) -> None:
    """Raise ConfigError unless layers may have a setting of their own."""
    known = keys_by_layer(model)
    if key in known:
        return
    if not known:
        raise ConfigError(f"{where}: {key} is one for all layers, as is all that this machine has")
    raise ConfigError(
        f"{where}: {key} is one for all layers; those that may be given by layer are "
        f"{', '.join(known)}"
    )


def layer_setting(model: type[Settings], name: str, value: Any, where: str) -> LayerSetting:
    """Return a checked value that layers have of their own; its name is ``part.key@layers``.

    Raises
    ------
    ConfigError
        No layers are named, the key is one for all layers, or the value is no value of it.
    """
    key, pattern = split_key(name)
    need_by_layer(model, key, where)
    if not pattern:
        raise ConfigError(f"{where}: need {key}@LAYERS with a layer's name or a pattern, got none")
    try:
        checked = _checker(model, key).validate_python(value)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_told(name)}: {first_fault(error)}") from error
    return LayerSetting(key=key, pattern=pattern, value=checked)


@cache
def _checker(model: type[Settings], key: str) -> TypeAdapter[Any]:
    spec = keys_by_layer(model)[key]
    checks: Any = (spec.annotation, *spec.metadata)
    kind: Any = Annotated[checks] if spec.metadata else spec.annotation
    return TypeAdapter(kind, config=ConfigDict(strict=True))


def _told(name: str) -> str:
    """Return a key with its layers as a message of one line holds it."""
    return name if name.isprintable() and len(name) <= 80 else shown(name)


def settings_by_layer(
    settings: S, layers: Sequence[LayerRecord], kinds: Collection[str]
) -> tuple[S, ...]:
    """Return the settings of each layer; those of its own are in its `layer_settings`.

    Only layers of some kinds have settings of their own, those whose work the settings decide.

    Raises
    ------
    ConfigError
        A pattern fits no layer, or none of these kinds; the settings of a layer do not go together;
        or what was set by hand changes nothing in any layer.
    """
    if not settings.layer_settings:
        return (settings,) * len(layers)
    names = {layer.name: layer for layer in layers}
    fitting = {own.name: own.fitting(names) for own in settings.layer_settings}
    for own in settings.layer_settings:
        _need_layers(
            own, [layer for layer in layers if layer.name in fitting[own.name]], names, kinds
        )
    found: dict[tuple[LayerSetting, ...], S] = {}
    by_layer: dict[str, S] = {}
    for layer in layers:
        own_settings: tuple[LayerSetting, ...] = ()
        if layer.kind in kinds:
            mine = [own for own in settings.layer_settings if layer.name in fitting[own.name]]
            own_settings = tuple({own.key: own for own in mine}.values())  # the last of a key wins
        if own_settings not in found:
            found[own_settings] = _of_layer(settings, own_settings, layer)
        by_layer[layer.name] = found[own_settings]
    concerned = {name: its for name, its in by_layer.items() if names[name].kind in kinds}
    _need_use(settings, fitting, concerned)
    return tuple(by_layer[layer.name] for layer in layers)


def _need_layers(
    own: LayerSetting,
    fitting: Sequence[LayerRecord],
    names: Mapping[str, LayerRecord],
    kinds: Collection[str],
) -> None:
    if any(layer.kind in kinds for layer in fitting):
        return
    if fitting:
        raise ConfigError(
            f"{_told(own.name)}: need a layer of kind {' or '.join(kinds)}, got "
            f"{fitting[0].name!r} ({fitting[0].kind})"
            f"{f' and {len(fitting) - 1} more' if len(fitting) > 1 else ''}; name another"
        )
    known = [name for name, layer in names.items() if layer.kind in kinds]
    closest = difflib.get_close_matches(own.pattern, known, n=_N_CLOSEST, cutoff=0.0)
    raise ConfigError(
        f"{_told(own.name)}: need the name of a layer, or a pattern of names, got one that "
        f"fits no layer; the closest are {', '.join(map(repr, closest)) or 'none'}"
    )


def _of_layer(settings: S, own: tuple[LayerSetting, ...], layer: LayerRecord) -> S:
    fields = {name: getattr(settings, name) for name in type(settings).model_fields}
    for each in own:
        part, _, leaf = each.key.partition(".")
        table = fields[part] if isinstance(fields[part], dict) else fields[part].model_dump()
        fields[part] = {**table, leaf: each.value}
    try:
        return type(settings)(**{**fields, "layer_settings": own})
    except ValidationError as error:
        names = ", ".join(_told(each.name) for each in own)
        raise ConfigError(
            f"layer {layer.index} {layer.name!r} ({layer.kind}): {first_fault(error)}; it has "
            f"{names} of its own"
        ) from error


def _need_use(
    settings: Settings, fitting: Mapping[str, Collection[str]], by_layer: Mapping[str, Settings]
) -> None:
    """Refuse what was set by hand and changes nothing in any layer it is for."""
    by_hand = {origin.key for origin in settings.origins if origin.source == SET_BY_HAND}
    for name in sorted(by_hand):
        key, pattern = split_key(name)
        layers = by_layer if pattern is None else [n for n in by_layer if n in fitting[name]]
        _need_user(name, key, [by_layer[layer] for layer in layers])


def _need_user(name: str, key: str, users: Sequence[Settings]) -> None:
    unused = [settings.unused().get(key) for settings in users]
    if all(unused):
        raise ConfigError(f"{_told(name)}: nothing uses it but {unused[0]}; set that too")


@contextmanager
def remedies_by_layer(settings: Settings) -> Iterator[None]:
    """Have what a refusal says to set win over what the layer has of its own.

    `settings` are those of one layer. Where it has a key of its own, ``--set part.key=value``
    becomes ``--set part.key@layers=value``.
    """
    try:
        yield
    except BitpimError as error:
        text = str(error)
        for own in settings.layer_settings:
            text = text.replace(f"--set {own.key}=", f"--set {own.name}=")
        if text == str(error):
            raise
        raise type(error)(text) from error
