"""What settings are called: the preset's name, and what was changed by hand beside it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bitpim.config.models import SET_BY_HAND, Settings
from bitpim.config.presets import to_toml, toml_text
from bitpim_traces.strict_text import strict_toml

__all__ = ["PresetLabel", "own_label"]

_DIGEST_DIGITS = 12
_MOST_VALUES = 8  # of a list that are told in a heading


@dataclass(frozen=True, slots=True)
class PresetLabel:
    """The name of a preset, each setting changed beside it, and a digest of all settings.

    Two runs with equal labels ran on equal settings; the digest tells apart what two people call
    by one name. It is empty where the settings cannot be read.
    """

    name: str
    changed: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    @classmethod
    def of(cls, settings: Settings) -> "PresetLabel":
        """Return the label of settings."""
        return cls.of_text(to_toml(settings))

    @classmethod
    def of_text(cls, text: str) -> "PresetLabel":
        """Return the label of a whole preset as TOML, such as a result keeps; of any machine."""
        try:
            tables = strict_toml(text)
        except ValueError:
            return cls("unknown")
        head = tables.pop("preset", None)
        name = head.get("name") if isinstance(head, dict) else None
        changed = {
            f"{part}.{key}": setting.get("value")
            for part, table in tables.items()
            if isinstance(table, dict)
            for key, setting in table.items()
            if isinstance(setting, dict) and setting.get("source") == SET_BY_HAND
        }
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        shown = name if isinstance(name, str) else "unknown"
        return cls(shown, changed, digest[:_DIGEST_DIGITS])

    @property
    def assignments(self) -> str:
        """The changed settings as they are typed: ``converter.adc_bits=6 array.rows=64``.

        Of a long list only the beginning is told, and how long it is.
        """
        return _assigned(self.changed)

    def __str__(self) -> str:
        return f"preset {self.name}" + (f" with {self.assignments}" if self.changed else "")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON: `preset`, `settings`, `settings_digest`."""
        return {
            "preset": self.name,
            "settings": dict(self.changed),
            "settings_digest": self.digest,
        }


def own_label(settings: Settings) -> str:
    """Return what one layer has of its own, as it is typed for all: ``converter.adc_bits=6``.

    Without what changes nothing beside the rest.
    """
    unused = settings.unused()
    used = {own.key: own.value for own in settings.layer_settings if own.key not in unused}
    return _assigned(used)


def _assigned(values: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={_typed(value)}" for key, value in values.items())


def _typed(value: Any) -> str:
    """Return a value as one types it after the equals sign."""
    if isinstance(value, list | tuple) and len(value) > _MOST_VALUES:
        begins = ", ".join(toml_text(one) for one in value[:_MOST_VALUES])
        return f"[{begins}, ... {len(value)} values]"
    is_bare = isinstance(value, str) and value.replace("_", "").isalnum()
    return str(value) if is_bare else toml_text(value)
