"""Architectures of public repositories, as small networks that keep every kind of wiring."""

from tests.traces.exporter.families.cifar_chains import CIFAR_CHAINS
from tests.traces.exporter.families.cifar_residual import CIFAR_RESIDUAL
from tests.traces.exporter.families.classics import CLASSICS
from tests.traces.exporter.families.dense_prediction import DENSE_PREDICTION
from tests.traces.exporter.families.family import Family
from tests.traces.exporter.families.later import LATER
from tests.traces.exporter.families.mnsim import MNSIM
from tests.traces.exporter.families.rows import ROWS
from tests.traces.exporter.families.single_ideas import SINGLE_IDEAS
from tests.traces.exporter.families.timm_branching import TIMM_BRANCHING
from tests.traces.exporter.families.timm_mobile import TIMM_MOBILE
from tests.traces.exporter.families.timm_residual import TIMM_RESIDUAL

__all__ = ["FAMILIES", "LATER", "Family"]

_ALL = (
    *CIFAR_CHAINS,
    *CIFAR_RESIDUAL,
    *MNSIM,
    *CLASSICS,
    *TIMM_MOBILE,
    *TIMM_RESIDUAL,
    *TIMM_BRANCHING,
    *DENSE_PREDICTION,
    *ROWS,
    *SINGLE_IDEAS,
)

FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}
assert len(FAMILIES) == len(_ALL), "two families of one name"
