"""The JSON schema of a machine's presets, for editors that check and complete them."""

from typing import Any

from bitpim.config.entry import MachineEntry, layer_parts_of, parts_of
from bitpim.config.models import CONFIDENCES, Part

__all__ = ["json_schema"]


def json_schema(entry: MachineEntry) -> dict[str, Any]:
    """Return the JSON schema of a machine's preset file (a preset that extends nothing)."""
    parts = {name: _part_schema(part) for name, part in parts_of(entry.settings).items()}
    by_layer = {name: _part_schema(part) for name, part in layer_parts_of(entry.settings).items()}
    head = {key: {"type": "string"} for key in ("machine", "name", "title", "extends")}
    head["machine"] = {"const": entry.name}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"bitpim preset for {entry.name}",
        "type": "object",
        "additionalProperties": False,
        "required": ["preset", *parts],
        "properties": {
            "preset": {
                "type": "object",
                "additionalProperties": False,
                "required": ["machine", "name"],
                "properties": head,
            },
            **parts,
            **{name: {**part, "required": [], "properties": {}} for name, part in by_layer.items()},
        },
    }


def _part_schema(part: type[Part]) -> dict[str, Any]:
    """Return the schema of a table; keys by layer have the values of the general ones."""
    schema = part.model_json_schema()
    leaves = {leaf: _leaf_schema(spec) for leaf, spec in schema["properties"].items()}
    found = {
        "type": "object",
        "description": schema.get("description", ""),
        "additionalProperties": False,
        "required": list(leaves),
        "properties": leaves,
    }
    patterns = {f"^{leaf}@.+$": leaves[leaf] for leaf in part.by_layer()}
    return found | ({"patternProperties": patterns} if patterns else {})


def _leaf_schema(spec: dict[str, Any]) -> dict[str, Any]:
    value = {key: content for key, content in spec.items() if key not in ("title", "description")}
    return {
        "type": "object",
        "description": spec.get("description", ""),
        "additionalProperties": False,
        "required": ["value", "source", "confidence"],
        "properties": {
            "value": value,
            "source": {"type": "string", "minLength": 1},
            "confidence": {"enum": list(CONFIDENCES)},
        },
    }
