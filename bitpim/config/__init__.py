"""Settings of the machines: TOML presets read into frozen, checked models.

A preset file has a `[preset]` table (machine, name, title, and `extends` when it only changes some
values of a packaged preset), then one table per part of the machine. Each value is a table
`{ value = 236, source = "...", confidence = "recalled" }`: no number is without its origin.
Code reads the bare value, `settings.mapping.partial_sum_bits`; `settings.origin(key)` tells the
rest.
"""

from bitpim.config.crossbar_models import (
    ChipSettings,
    ConverterSettings,
    CrossbarGeometrySettings,
    CrossbarMappingSettings,
    CrossbarTimingSettings,
    DenseCrossbarSettings,
    IsaacSettings,
    NumberSettings,
    PatternCrossbarSettings,
    PatternMappingSettings,
    SreMappingSettings,
    SreSettings,
)
from bitpim.config.machine_models import MACHINE_SETTINGS
from bitpim.config.models import (
    CONFIDENCES,
    ArithmeticSettings,
    Confidence,
    GeometrySettings,
    MappingSettings,
    NeuralCacheSettings,
    Origin,
    Settings,
    TimingSettings,
    TransferSettings,
    did_you_mean,
)
from bitpim.config.presets import (
    SettingRow,
    default_text,
    describe,
    json_schema,
    list_presets,
    load_preset,
    override,
    parse_preset,
    setting_rows,
    to_toml,
    toml_text,
)

__all__ = [
    "CONFIDENCES",
    "MACHINE_SETTINGS",
    "ArithmeticSettings",
    "ChipSettings",
    "Confidence",
    "ConverterSettings",
    "CrossbarGeometrySettings",
    "CrossbarMappingSettings",
    "CrossbarTimingSettings",
    "DenseCrossbarSettings",
    "GeometrySettings",
    "IsaacSettings",
    "MappingSettings",
    "NeuralCacheSettings",
    "NumberSettings",
    "Origin",
    "PatternCrossbarSettings",
    "PatternMappingSettings",
    "SettingRow",
    "Settings",
    "SreMappingSettings",
    "SreSettings",
    "TimingSettings",
    "TransferSettings",
    "default_text",
    "describe",
    "did_you_mean",
    "json_schema",
    "list_presets",
    "load_preset",
    "override",
    "parse_preset",
    "setting_rows",
    "to_toml",
    "toml_text",
]
