"""Sums of a layer of codebooks, at both fidelities, with what it takes to make them.

At fidelity `bit` pairs are counted and products added by gates. At `integer` the same sums are made
of values multiplied, where a table holds products that are exact and words are short enough; what
is counted comes of the codes either way.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim.digital.layers import PreparedLayer, prepare_layer
from bitpim.digital.requantize import layer_fault
from bitpim.digital.windows import window_of
from bitpim.errors import AccumulatorError
from bitpim.lookup.counted_sums import CountedSums, Events
from bitpim.lookup.nearest_table import width_of
from bitpim.threads import share_out
from bitpim_kernels.windows import gather_pixels
from bitpim_traces.codebook import Codebook
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.numbers.product_tables import products_of
from bitpim_traces.records import LayerRecord, Quantization, Requantize, TensorRecord

__all__ = ["SumRule", "Sums", "WeightedSums", "channels_last", "joined_sums"]

Codes = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

_MOST_DIGITAL_BITS = 16  # of values that the digital side multiplies


class SumRule(NamedTuple):
    """How sums are made: digits of counts, width of counters (None: wide), width of sums."""

    digits: str
    counter_bits: int | None
    sum_bits: int


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of some positions, and what was counted.

    Shapes
    ------
    values: (n_positions, n_outputs)
    levels: (n_positions, n_outputs) levels of the tree of each neuron
    """

    values: Ints
    levels: npt.NDArray[np.uint8]
    table_reads: int
    operands: int
    adders: int
    negatives: int


class WeightedSums:
    """The sums of a convolution or linear layer, ready for batches.

    Raises
    ------
    AccumulatorError
        A sum could leave the width of sums, or a wide counter its width.
    """

    def __init__(
        self, layer: LayerRecord, quantization: Quantization, rule: SumRule, *, bit: bool
    ) -> None:
        assert layer.weight is not None and layer.product_table is not None
        self.layer, self._dtype = layer, code_dtype(quantization)
        self._window = window_of(layer.geometry, layer.input_shapes[0])
        self.n_positions = self._window.rows * self._window.cols
        self.groups = counted_groups(layer, rule)
        self._bias = None if layer.bias is None else layer.bias.read().astype(np.int64)
        self._digital: tuple[PreparedLayer, Codes, int] | None = None
        if not bit and rule.counter_bits is None:
            self._digital = _digital_side(layer, quantization)

    def run(self, images: Codes) -> Sums:
        """Return the sums of channels-last images of codes."""
        events, values = [], []
        for group, counted in enumerate(self.groups):
            rows = self._windows(images, group)
            out = np.empty((len(rows), counted.n_filters), np.int64)
            events.append(counted.run(rows, out) if self._digital is None else counted.count(rows))
            values.append(out)
        found = values[0] if len(values) == 1 else np.concatenate(values, axis=1)
        if self._digital is not None:
            found = self._multiplied(images, *self._digital)
        return joined_sums(found, events)

    def _multiplied(self, images: Codes, prepared: PreparedLayer, values: Codes, up: int) -> Ints:
        inputs = np.take(values, images)
        shape = (len(images), *self.layer.input_shapes[0])
        first = inputs.transpose(0, 3, 1, 2) if len(shape) == 4 else inputs.reshape(shape)
        sums = prepared.run([first])
        last = sums.transpose(0, 2, 3, 1) if sums.ndim == 4 else sums
        flat: Ints = last.reshape(-1, last.shape[-1]).astype(np.int64, copy=False)
        if up:
            flat <<= up
        if self._bias is not None:
            flat += self._bias
        return flat

    def _windows(self, images: Codes, group: int) -> Codes:
        """Return the windows of one conv group as rows, taps in the order of `counted_groups`."""
        depth = images.shape[3] // len(self.groups)
        channels = (group * depth, (group + 1) * depth)
        n_positions = len(images) * self.n_positions
        rows = np.empty((n_positions, depth * self._window.n_taps), images.dtype)

        def gather(start: int, stop: int) -> None:
            pad = self.layer.pad_code
            gather_pixels(images, channels, self._window, pad, start, rows[start:stop])

        share_out(n_positions, gather)
        return rows


def counted_groups(layer: LayerRecord, rule: SumRule) -> list[CountedSums]:
    """Return the neurons of each conv group of a layer, channels of a tap side by side.

    Raises
    ------
    AccumulatorError
        A sum could leave the width of sums, or a counter that may not saturate its width.
    """
    assert layer.weight is not None and layer.product_table is not None
    n_groups = 1 if layer.geometry is None else layer.geometry.groups
    codes = np.moveaxis(layer.weight.read(), 1, -1)
    rows = codes.reshape(n_groups, len(codes) // n_groups, -1)
    bias = None if layer.bias is None else layer.bias.read().reshape(n_groups, -1)
    form: dict[str, Any] = rule._asdict()
    return [
        CountedSums(part, layer.product_table.products, None if bias is None else bias[g], **form)
        for g, part in enumerate(rows)
    ]


def channels_last(codes: Codes, dtype: np.dtype[Any]) -> Codes:
    """Return codes as images, channels last and in C order."""
    images = codes.transpose(0, 2, 3, 1) if codes.ndim == 4 else codes[:, None, None, :]
    return np.ascontiguousarray(images, dtype)


def joined_sums(values: Ints, events: list[Events]) -> Sums:
    """Return sums with what their groups counted."""
    levels = [event.levels for event in events]
    return Sums(
        values,
        levels[0] if len(levels) == 1 else np.concatenate(levels, axis=1),
        sum(event.table_reads for event in events),
        sum(event.operands for event in events),
        sum(event.adders for event in events),
        sum(event.negatives for event in events),
    )


def _digital_side(
    layer: LayerRecord, quantization: Quantization
) -> tuple[PreparedLayer, Codes, int] | None:
    """Return the layer on values, the values of input codes, and places that sums lack.

    None where products are rounded, or values too wide.
    """
    weight = layer.weight_quantization
    source = quantization.codebook
    assert layer.weight is not None and layer.product_table is not None
    if weight is None or weight.codebook is None or source is None:
        raise layer_fault(layer, "need codebooks of weight and input, got affine codes")
    exact = weight.codebook.fraction_bits + source.fraction_bits
    up = layer.product_table.fraction_bits - exact
    wide = width_of(weight.codebook.values, source.values) > _MOST_DIGITAL_BITS
    if up < 0 or wide or not _is_exact(layer, weight.codebook, source):
        return None
    dtype = code_dtype(_plain(width_of(weight.codebook.values)))
    values = weight.codebook.values.astype(dtype)[layer.weight.read()]
    one = np.ones(1, np.int32)
    raw = replace(
        layer,
        weight=TensorRecord.of(values, axes=layer.weight.axes, role="weight"),
        weight_quantization=_plain(width_of(weight.codebook.values)),
        output=_plain(64),
        clamp=(-(1 << 63), (1 << 63) - 1),
        activation="none",
        requantize=Requantize("half_up_shift", multiplier=one, shift=0 * one),
        product_table=None,
        accumulator_bits=64,
        bias=None,
        pad_code=0,
    )
    try:
        prepared = prepare_layer(raw, [_plain(width_of(source.values))])
    except AccumulatorError:
        return None
    return prepared, source.values.astype(code_dtype(prepared.input_quantizations[0])), up


def _is_exact(layer: LayerRecord, weight: Codebook, source: Codebook) -> bool:
    table = layer.product_table
    assert table is not None
    form = (table.fraction_bits, table.bits)
    made = products_of(weight, source, fraction_bits=form[0], bits=form[1])
    return np.array_equal(made.products, table.products)


def _plain(bits: int) -> Quantization:
    return Quantization(bits, True, np.ones(1), np.zeros(1, np.int64))
