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

Some settings may be given by layer, too: `"adc_bits@layer3.*"` in a preset's table, by the names of
the layers. A part says which (`Part.by_layer`), a machine asks for the settings of each layer where
it lays a network out (`settings_by_layer`).
"""

from bitpim.config.by_layer import keys_by_layer, remedies_by_layer, settings_by_layer
from bitpim.config.entry import MachineEntry
from bitpim.config.label import PresetLabel, own_label
from bitpim.config.models import (
    CONFIDENCES,
    Confidence,
    Count,
    LayerPart,
    LayerSetting,
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
from bitpim.config.schema import json_schema

__all__ = [
    "CONFIDENCES",
    "Confidence",
    "Count",
    "LayerPart",
    "LayerSetting",
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
    "keys_by_layer",
    "list_presets",
    "load_preset",
    "machine_of",
    "override",
    "own_label",
    "parse_preset",
    "preset_text",
    "remedies_by_layer",
    "setting_rows",
    "settings_by_layer",
    "to_toml",
    "toml_files",
    "toml_text",
]
