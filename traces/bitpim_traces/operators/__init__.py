"""Operators: one module a kind of layer, each with its one record.

A module that is added here with an `OPERATOR` of its own adds a kind to the format.
"""

import pkgutil
from importlib import import_module

from bitpim_traces.operators.operator import FUSED, Described, Operator, Unfit

__all__ = ["FUSED", "LAYER_KINDS", "OPERATORS", "Described", "Operator", "Unfit"]


def _found() -> dict[str, Operator]:
    modules = (import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__))
    operators = [module.OPERATOR for module in modules if hasattr(module, "OPERATOR")]
    return {operator.kind: operator for operator in operators}


OPERATORS: dict[str, Operator] = _found()
"""The record of each kind, in the order of their names."""

LAYER_KINDS = tuple(OPERATORS)
