"""Settings of the machines: TOML presets read into frozen, checked models.

A preset file has a `[preset]` table (machine, name, title, and `extends` when it only changes some
values of a packaged preset), then one table per part of the machine. Each value is a table
`{ value = 236, source = "...", confidence = "recalled" }`: no number is without its origin.
Code reads the bare value, `settings.mapping.partial_sum_bits`; `settings.origin(key)` tells the
rest.
"""

from bitpim.config.entry import MachineEntry
from bitpim.config.models import (
    CONFIDENCES,
    Confidence,
    Count,
    Origin,
    Part,
    Settings,
    did_you_mean,
)
from bitpim.config.presets import (
    SettingRow,
    default_text,
    describe,
    json_schema,
    list_presets,
    load_preset,
    machine_of,
    override,
    parse_preset,
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
    "SettingRow",
    "Settings",
    "default_text",
    "describe",
    "did_you_mean",
    "json_schema",
    "list_presets",
    "load_preset",
    "machine_of",
    "override",
    "parse_preset",
    "setting_rows",
    "to_toml",
    "toml_text",
]
