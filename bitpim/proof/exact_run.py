"""Layers in exact integers, as the digital side of every machine computes them; no machine runs."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt

from bitpim.digital.layers import PreparedLayer, prepare_layer
from bitpim.lookup.exact_layers import ExactTables
from bitpim_traces.records import LayerRecord, Trace

__all__ = ["Codes", "exact_run"]

Codes = npt.NDArray[Any]


def exact_run(trace: Trace) -> Callable[[LayerRecord, Sequence[Codes]], Codes]:
    """Make what runs a layer of a trace on batches of codes; each is prepared once.

    The function raises MappingError where the digital side lacks the kind of a layer, and
    AccumulatorError where a sum does not fit its accumulator.
    """
    prepared: dict[int, PreparedLayer | ExactTables] = {}

    def run(layer: LayerRecord, inputs: Sequence[Codes]) -> Codes:
        if layer.index not in prepared:
            tables = layer.product_table is not None
            prepare = ExactTables if tables else prepare_layer
            prepared[layer.index] = prepare(layer, trace.input_quantizations(layer))
        return prepared[layer.index].run(inputs)

    return run
