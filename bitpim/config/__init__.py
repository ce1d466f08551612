"""Settings of the machines: TOML presets read into frozen, checked models.

A preset file has a `[preset]` table (machine, name, title, and `extends` when it only changes some
values of another: of a packaged preset, or of a file, named from the folder of the file that
extends it), then one table per part of the machine. Each value is a table
`{ value = 236, source = "...", confidence = "recalled" }`: no number is without its origin.
Code reads the bare value, `settings.mapping.partial_sum_bits`; `settings.origin(key)` tells the
rest.

The models of the settings are the machines' own, `Settings` with a `Part` for each table. A
`MachineEntry` says which model, and which folder of presets, belongs to a machine. This room knows
no machine by name; `bitpim.machine.registry` does.
"""

from bitpim.config.entry import MachineEntry
from bitpim.config.label import PresetLabel
from bitpim.config.models import (
    CONFIDENCES,
    Confidence,
    Count,
    Origin,
    Part,
    Settings,
    did_you_mean,
)
from bitpim.config.packaged import toml_files
from bitpim.config.presets import (
    SettingRow,
    default_text,
    describe,
    is_file_name,
    json_schema,
    list_presets,
    load_preset,
    machine_of,
    override,
    parse_preset,
    preset_text,
    setting_rows,
    to_toml,
    toml_text,
)

__all__ = [
    "CONFIDENCES",
    "Confidence",
    "Count",
    "MachineEntry",
    "Origin",
    "Part",
    "PresetLabel",
    "SettingRow",
    "Settings",
    "default_text",
    "describe",
    "did_you_mean",
    "is_file_name",
    "json_schema",
    "list_presets",
    "load_preset",
    "machine_of",
    "override",
    "parse_preset",
    "preset_text",
    "setting_rows",
    "to_toml",
    "toml_files",
    "toml_text",
]
