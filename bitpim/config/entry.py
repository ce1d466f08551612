"""The record of one machine: everything that is known of it before it is made.

A package offers machines through the entry-point group `bitpim.machines`, each as the record of
this module; bitpim's own machines come the same way. Nothing else lists machines.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bitpim.config.models import LayerPart, Part, Settings
from bitpim.errors import ConfigError

__all__ = ["MachineEntry", "layer_parts_of", "parts_of"]

P = TypeVar("P", bound=Part)


def _own(*folders: str) -> Callable[[], Traversable]:
    return lambda: resources.files("bitpim").joinpath(*folders)


@dataclass(frozen=True, slots=True)
class MachineEntry:
    """One machine.

    Attributes
    ----------
    name : what users call it; its default preset bears this name
    settings : model of its presets
    make : returns the machine that checked settings describe
    prices : name of the table that prices its events unless another is named
    wing : the package of the kind of arrays it runs on, such as ``bitpim.sram``
    presets, price_tables : folders that hold its packaged presets and price tables as TOML

    Raises
    ------
    ConfigError
        The settings are no model of presets: a setting lies outside the parts, has no description,
        or has a default, whose source no preset would have to state.
    """

    name: str
    settings: type[Settings]
    make: Callable[[Any], Any]
    prices: str
    wing: str
    presets: Traversable = field(default_factory=_own("presets"))
    price_tables: Traversable = field(default_factory=_own("cost", "prices"))

    def __post_init__(self) -> None:
        if not (isinstance(self.settings, type) and issubclass(self.settings, Settings)):
            raise ConfigError(
                f"machine {self.name!r}: need settings that are a subclass of "
                f"bitpim.config.Settings, got {self.settings!r}"
            )
        parts, layer_parts = parts_of(self.settings), layer_parts_of(self.settings)
        for name in self.settings.model_fields.keys() - Settings.model_fields.keys():
            if name not in parts and name not in layer_parts:
                self._refuse(name, "lies outside the parts; put it in a bitpim.config.Part")
        for name, part in parts.items():
            self._need_source(name, self.settings.model_fields[name])
            for leaf, spec in part.model_fields.items():
                self._need_source(f"{name}.{leaf}", spec)
                self._need_meaning(f"{name}.{leaf}", spec)
            for leaf in part.by_layer():
                if leaf not in part.model_fields:
                    self._refuse(f"{name}.{leaf}", "may be given by layer, but is none")
        for name, part in layer_parts.items():
            self._need_default(name, self.settings.model_fields[name])
            for leaf, spec in part.model_fields.items():
                self._need_default(f"{name}.{leaf}", spec)
                self._need_meaning(f"{name}.{leaf}", spec)

    @property
    def package(self) -> str:
        """Name of the package that makes it, and so brings its presets; settings may be shared."""
        made_by = self.make.func if isinstance(self.make, partial) else self.make
        return made_by.__module__.partition(".")[0]

    def _need_source(self, key: str, spec: FieldInfo) -> None:
        if not spec.is_required():
            self._refuse(
                key,
                "has a default, so nothing states its source; make it required and give it a "
                "value in every preset",
            )

    def _need_default(self, key: str, spec: FieldInfo) -> None:
        if spec.is_required():
            self._refuse(key, "is given by layer only, so it needs a default for the others")

    def _need_meaning(self, key: str, spec: FieldInfo) -> None:
        if isinstance(spec.annotation, type) and issubclass(spec.annotation, BaseModel):
            self._refuse(key, "is a table; values lie one table deep")
        if not spec.description:
            self._refuse(key, "has no description; say what it means in Field(description=...)")

    def _refuse(self, key: str, fault: str) -> NoReturn:
        raise ConfigError(f"machine {self.name!r}: setting {key} {fault}")


def parts_of(model: type[BaseModel]) -> Mapping[str, type[Part]]:
    """Return the tables of a settings model by name, in reading order."""
    tables = _tables_of(model, Part)
    return {name: part for name, part in tables.items() if not issubclass(part, LayerPart)}


def layer_parts_of(model: type[BaseModel]) -> Mapping[str, type[LayerPart]]:
    """Return the tables whose keys are given by layer only, by name."""
    return _tables_of(model, LayerPart)


def _tables_of(model: type[BaseModel], kind: type[P]) -> dict[str, type[P]]:
    return {
        name: field.annotation
        for name, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, kind)
    }
