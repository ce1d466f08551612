"""Which settings model each machine has."""

from collections.abc import Mapping

from bitpim.config.crossbar_models import (
    DenseCrossbarSettings,
    IsaacSettings,
    PatternCrossbarSettings,
    SreSettings,
)
from bitpim.config.models import NeuralCacheSettings, Settings

__all__ = ["MACHINE_SETTINGS"]

MACHINE_SETTINGS: Mapping[str, type[Settings]] = {
    "dense_crossbar": DenseCrossbarSettings,
    "isaac": IsaacSettings,
    "neural_cache": NeuralCacheSettings,
    "pattern_crossbar": PatternCrossbarSettings,
    "sre": SreSettings,
}
"""The settings model of every machine; its default preset bears the machine's name."""
