"""Layers of codebooks in exact sums and nearest values, on no machine: what all of them answer."""

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from bitpim.lookup.encoding import MatchRule
from bitpim.lookup.rna_layers import PreparedRna, prepare_rna_layer
from bitpim.lookup.rna_mapping import RnaRule
from bitpim.lookup.rna_plan import RnaLayerPlan
from bitpim.lookup.table_sums import SumRule
from bitpim_traces.numbers.accumulator import bits_needed
from bitpim_traces.records import LayerRecord, Quantization
from bitpim_traces.value_rules import looked_up_span

__all__ = ["ExactTables"]

Codes = npt.NDArray[Any]


class ExactTables:
    """A layer with a product table, ready for batches.

    Raises
    ------
    AccumulatorError
        A sum, or a value beside it, does not fit 64 bits.
    """

    def __init__(self, layer: LayerRecord, quantizations: Sequence[Quantization]) -> None:
        assert layer.product_table is not None
        span = looked_up_span(layer, layer.product_table, [None] * len(layer.inputs))
        bits = max(2, bits_needed(span))
        taps = 1 if layer.weight is None else layer.weight.shape[1]
        named = {"index": layer.index, "name": layer.name, "kind": layer.kind}
        plan = RnaLayerPlan(**named, rnas=1, taps=taps, sum_bits=bits)  # type: ignore[arg-type]
        rule = RnaRule(SumRule("binary", None, bits), MatchRule("abs", 64))
        self._prepared: PreparedRna = prepare_rna_layer(layer, quantizations, plan, rule, bit=False)

    def run(self, inputs: Sequence[Codes]) -> Codes:
        """Return the output codes of a batch."""
        return self._prepared.run(inputs)[0]
