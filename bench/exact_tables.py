"""A network of codebooks in exact arithmetic, fast: what `rapidnn` computes, without its counts.

Sums of a convolution or linear layer are those of values multiplied in float64, by PyTorch.
Integers below 2^53 are exact there in any order, and each layer is shown to stay below. All other
steps are the machine's own. Matching is by difference.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from bitpim import make_machine
from bitpim.errors import ConfigError
from bitpim.lookup.encoding import Encoding, MatchRule
from bitpim.lookup.rna_layers import PreparedRna, prepare_rna_layer
from bitpim.lookup.rna_mapping import rules_by_layer
from bitpim.lookup.rna_plan import RnaPlan
from bitpim.machine.schedule import run_layers
from bitpim_traces.numbers.accumulator import bits_needed
from bitpim_traces.records import LayerRecord, Quantization, Trace
from bitpim_traces.value_rules import looked_up_span

__all__ = ["ExactTables"]

Codes = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Step = Callable[[Sequence[Codes]], Codes]

_EXACT_BITS = 54
"""Signed integers of so many bits that a float64 holds exactly."""


class ExactTables:
    """A network of codebooks, ready to run batches of codes.

    Raises
    ------
    ConfigError
        Products of a table are rounded, padding is not 0, or sums could leave a float64.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        made = make_machine("rapidnn")
        plan = made.plan(trace)
        assert isinstance(plan, RnaPlan)
        rules = rules_by_layer(made.settings, trace)
        self._steps: list[Step] = []
        for layer, planned, rule in zip(trace.layers, plan.layers, rules, strict=True):
            quantizations = trace.input_quantizations(layer)
            if layer.weight is not None:
                encoding = Encoding(layer, rule.match, rule.sums.sum_bits)
                assert rule.match.mode == MatchRule("abs", 0).mode
                self._steps.append(_Weighted(layer, quantizations[0], encoding).run)
            else:
                prepared = prepare_rna_layer(layer, quantizations, planned, rule, bit=False)
                self._steps.append(partial(_codes_of, prepared))

    def run(self, codes: Codes) -> Codes:
        """Return the last layer's codes of input codes, batch first."""
        layers = run_layers(self.trace, codes, lambda x, inputs: self._steps[x.index](inputs))
        *_, (_, out) = layers
        return out


def _codes_of(prepared: PreparedRna, inputs: Sequence[Codes]) -> Codes:
    return prepared.run(inputs)[0]


class _Weighted:
    """A convolution or linear layer of values in float64, and its searches."""

    def __init__(self, layer: LayerRecord, source: Quantization, encoding: Encoding) -> None:
        weight, table = layer.weight_quantization, layer.product_table
        assert layer.weight is not None and weight is not None and table is not None
        ours, theirs = weight.codebook, source.codebook
        assert ours is not None and theirs is not None
        up = table.fraction_bits - ours.fraction_bits - theirs.fraction_bits
        where = f"layer {layer.index} {layer.name!r}"
        exact = np.multiply.outer(ours.values, theirs.values)
        if up < 0 or not np.array_equal(exact << up, table.products):
            raise ConfigError(f"{where}: need products that are exact, got rounded ones")
        if layer.kind == "conv2d" and theirs.values[layer.pad_code] != 0:
            raise ConfigError(f"{where}: need padding of 0, got code {layer.pad_code}")
        if bits_needed(looked_up_span(layer, table, [None] * len(layer.inputs))) > _EXACT_BITS:
            raise ConfigError(f"{where}: need sums of {_EXACT_BITS} bits at most, got wider ones")
        self._layer, self._encoding = layer, encoding
        self._weight = torch.from_numpy((ours.values[layer.weight.read()] << up).astype(np.float64))
        bias = None if layer.bias is None else layer.bias.read().astype(np.float64)
        self._bias = None if bias is None else torch.from_numpy(bias)
        self._values = theirs.values.astype(np.float64)

    def run(self, inputs: Sequence[Codes]) -> Codes:
        """Return output codes."""
        with torch.inference_mode():
            sums = self._sums(torch.from_numpy(self._values[inputs[0]]))
        last = sums.movedim(1, -1).contiguous().numpy().astype(np.int64)
        codes = self._encoding.run(last.reshape(-1, last.shape[-1])).codes.reshape(last.shape)
        return np.moveaxis(codes, -1, 1)

    def _sums(self, inputs: torch.Tensor) -> torch.Tensor:
        geometry = self._layer.geometry
        if geometry is None:
            return functional.linear(inputs, self._weight, self._bias)
        top, bottom, left, right = geometry.padding
        padded = functional.pad(inputs, (left, right, top, bottom))
        return functional.conv2d(
            padded,
            self._weight,
            self._bias,
            geometry.stride,
            0,
            geometry.dilation,
            geometry.groups,
        )
