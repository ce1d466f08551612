"""Layers on RNAs, ready to run: codes in, codes out, and what happened."""

from collections.abc import Sequence
from functools import reduce
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bitpim.digital.layers import PreparedLayer, prepare_layer
from bitpim.digital.windows import window_counts, window_of
from bitpim.errors import AccumulatorError
from bitpim.lookup.counted_sums import CountedSums
from bitpim.lookup.encoding import Encoding
from bitpim.lookup.nearest_table import width_of
from bitpim.lookup.rna_mapping import RnaRule
from bitpim.lookup.rna_plan import Activity, RnaLayerPlan, slowest
from bitpim.lookup.table_sums import SumRule, Sums, WeightedSums, channels_last
from bitpim.threads import by_sample, share_out
from bitpim_kernels.windows import gather_rows
from bitpim_traces.numbers.accumulator import bits_needed
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.records import LayerRecord, Quantization
from bitpim_traces.value_rules import looked_up_span

__all__ = ["PreparedRna", "prepare_rna_layer"]

Codes = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

_WORK_BYTES = 4 << 20
"""What the windows and the sums of samples that one thread runs together may take: what it works
on stays in the caches.
"""


class _SumMaker(Protocol):
    """Makes the sums of a layer of channels-last inputs."""

    def run(self, inputs: Sequence[Codes]) -> Ints | Sums:
        """Return sums (n_positions, n_outputs), with what was counted where pairs are."""
        ...


class PreparedRna(Protocol):
    """A layer that runs batches."""

    def run(self, inputs: Sequence[Codes]) -> tuple[Codes, Activity]:
        """Return output codes (N, *output_shape), and what depended on codes."""
        ...


def prepare_rna_layer(
    layer: LayerRecord,
    quantizations: Sequence[Quantization],
    plan: RnaLayerPlan,
    rule: RnaRule,
    *,
    bit: bool,
) -> PreparedRna:
    """Make a layer ready to run at fidelity `bit`, or `integer`.

    Raises
    ------
    AccumulatorError
        A sum could leave the width of sums.
    """
    if layer.product_table is None:
        prepared = prepare_layer(layer, quantizations)
        if layer.kind == "max_pool2d" and rule.match.mode == "staged":
            return _Largest(prepared, plan, rule.match.stage_bits)
        return _Moved(prepared, plan)
    makers: dict[str, type[_Means | _Terms | _Joined]]
    makers = {"avg_pool2d": _Means, "add": _Terms, "concat": _Joined}
    maker: _SumMaker
    if layer.weight is not None:
        maker = _Weighted(WeightedSums(layer, quantizations[0], rule.sums, bit=bit))
    else:
        maker = makers[layer.kind](layer, rule.sums, bit=bit)
    return _Summed(layer, quantizations, plan, maker, Encoding(layer, rule.match, plan.sum_bits))


class _Moved:
    """A layer without sums of its own: the digital side has its codes."""

    def __init__(self, prepared: PreparedLayer, plan: RnaLayerPlan) -> None:
        self._prepared, self._plan = prepared, plan

    def run(self, inputs: Sequence[Codes]) -> tuple[Codes, Activity]:
        return self._prepared.run(inputs), self._plan.most.times(len(inputs[0]))


class _Largest:
    """Max pooling, stage by stage: candidates that a stage leaves are not compared again."""

    def __init__(self, prepared: PreparedLayer, plan: RnaLayerPlan, stage_bits: int) -> None:
        layer, codebook = prepared.layer, prepared.input_quantizations[0].codebook
        assert layer.geometry is not None and codebook is not None
        self._moved = _Moved(prepared, plan)
        self._window = window_of(layer.geometry, layer.input_shapes[0])
        words = codebook.values + (1 << (codebook.value_bits - 1))
        dtype = np.uint8 if len(words) < 255 else np.uint16
        ends = range(codebook.value_bits - stage_bits, 0, -stage_bits)
        # of each stage but the last the rank of what was compared so far; 0 beside the image
        self._ranks = [
            (1 + np.unique(words >> end, return_inverse=True)[1]).astype(dtype) for end in ends
        ]

    def run(self, inputs: Sequence[Codes]) -> tuple[Codes, Activity]:
        out, activity = self._moved.run(inputs)
        compared = activity.values // (len(self._ranks) + 1)  # all candidates, in the first stage
        images = inputs[0].transpose(0, 2, 3, 1)
        for ranks in self._ranks:
            for image in images:
                compared += self._standing(np.ascontiguousarray(ranks[image])[None])
        return out, activity._replace(values=compared)

    def _standing(self, images: Codes) -> int:
        """Return how many candidates of all windows have the highest rank of theirs."""
        window, channels = self._window, images.shape[3]
        n_rows = len(images) * window.rows * window.cols
        rows = np.empty((n_rows, channels * window.n_taps), images.dtype)
        gather_rows(images, (0, channels), window, 0, 0, rows)
        taps = rows.reshape(-1, window.n_taps)
        return int(np.count_nonzero(taps == taps.max(axis=1, keepdims=True)))


class _Summed:
    """A layer whose sums take the nearest codeword."""

    def __init__(
        self,
        layer: LayerRecord,
        quantizations: Sequence[Quantization],
        plan: RnaLayerPlan,
        maker: _SumMaker,
        encoding: Encoding,
    ) -> None:
        self._layer, self._plan, self._maker, self._encoding = layer, plan, maker, encoding
        self._dtypes = [code_dtype(quantization) for quantization in quantizations]
        assert layer.product_table is not None
        span = looked_up_span(layer, layer.product_table, [None] * len(layer.inputs))
        self._may_overflow = bits_needed(span) > layer.accumulator_bits

    def run(self, inputs: Sequence[Codes]) -> tuple[Codes, Activity]:
        layer, n_samples = self._layer, len(inputs[0])
        last = [channels_last(c, d) for c, d in zip(inputs, self._dtypes, strict=True)]
        shape = layer.output_shape
        images = (n_samples, *((*shape[1:], shape[0]) if len(shape) == 3 else (1, 1, *shape)))
        out = np.empty((n_samples, int(np.prod(shape))), code_dtype(layer.output))
        step, found = self._samples_at_once(), [Activity()]

        def work(start: int, stop: int) -> None:
            for first in range(start, stop, step):
                last_of = min(first + step, stop)
                part = [codes[first:last_of] for codes in last]
                codes, activity = self._block(part)
                out[first:last_of] = codes.reshape(len(part[0]), -1)
                found.append(activity)

        by_sample(n_samples, work)
        total = reduce(Activity.plus, found)
        codes = out.reshape(images)
        return (
            codes.transpose(0, 3, 1, 2) if len(shape) == 3 else codes.reshape(n_samples, *shape)
        ), total

    def _block(self, inputs: Sequence[Codes]) -> tuple[Codes, Activity]:
        made, n_samples = self._maker.run(inputs), len(inputs[0])
        values = made.values if isinstance(made, Sums) else made
        self._check(values)
        encoded = self._encoding.run(values)
        activity = self._plan.most.times(n_samples)
        if isinstance(made, Sums):
            activity = activity._replace(
                reads=made.table_reads,
                operands=made.operands,
                adders=made.adders,
                levels=int(made.levels.sum()),
                slowest=slowest(made.levels.reshape(n_samples, -1), self._plan.rnas),
                negatives=made.negatives,
            )
        compared = {"points": encoded.points_compared, "values": encoded.values_compared}
        return encoded.codes, activity._replace(**compared)

    def _check(self, values: Ints) -> None:
        """Refuse sums that leave the accumulator that the layer declares."""
        layer = self._layer
        if self._may_overflow and width_of(values) > layer.accumulator_bits:
            raise AccumulatorError(
                f"layer {layer.index} {layer.name!r} ({layer.kind}): need sums of "
                f"{layer.accumulator_bits} bits, as it declares, got one of {width_of(values)}; "
                "widen the accumulator or use products of fewer bits"
            )

    def _samples_at_once(self) -> int:
        layer = self._layer
        taps = max(self._plan.taps, 1)
        positions = int(np.prod(layer.output_shape[1:], dtype=np.int64))
        per_position = taps * self._dtypes[0].itemsize + layer.output_shape[0] * 24
        return max(1, _WORK_BYTES // max(1, per_position * positions))


class _Weighted:
    def __init__(self, sums: WeightedSums) -> None:
        self._sums = sums

    def run(self, inputs: Sequence[Codes]) -> Sums:
        return self._sums.run(inputs[0])


class _Means:
    """Average pooling: shares of the mean, added; windows at a border have fewer."""

    def __init__(self, layer: LayerRecord, rule: SumRule, *, bit: bool) -> None:
        assert layer.geometry is not None and layer.product_table is not None
        self._window = window_of(layer.geometry, layer.input_shapes[0])
        counts = window_counts(layer.geometry, layer.input_shapes[0])
        if counts.min(initial=1) < 1:
            raise AccumulatorError(
                f"layer {layer.index} {layer.name!r} ({layer.kind}): need windows that see at "
                "least one position, got an empty one; mend the trace"
            )
        self._rows = counts.reshape(-1) - 1
        self._pad_code = layer.pad_code
        self._added = {}
        for row in np.unique(self._rows):
            shares = layer.product_table.products[row]
            reach = _reach(shares, int(row) + 1)  # padded positions hold the code of value 0
            products = np.tile(shares, (self._window.n_taps, 1))
            self._added[int(row)] = _Adder(products, rule, bit, reach)

    def run(self, inputs: Sequence[Codes]) -> Ints:
        images, window = inputs[0], self._window
        n_samples, channels, taps = len(images), images.shape[3], window.n_taps
        rows = np.empty((n_samples * len(self._rows), channels * taps), images.dtype)

        def gather(start: int, stop: int) -> None:
            gather_rows(images, (0, channels), window, self._pad_code, start, rows[start:stop])

        share_out(len(rows), gather)
        of_row = np.tile(self._rows, n_samples)
        sums = np.empty((len(rows), channels), np.int64)
        for row, adder in self._added.items():
            here = of_row == row
            sums[here] = adder.run(rows[here].reshape(-1, taps)).reshape(-1, channels)
        return sums


def _reach(shares: Ints, n_elements: int) -> tuple[int, int]:
    """Return the lowest and the highest sum of so many shares, or of fewer."""
    return n_elements * min(int(shares.min()), 0), n_elements * max(int(shares.max()), 0)


class _Terms:
    """Element-wise addition: a term an input."""

    def __init__(self, layer: LayerRecord, rule: SumRule, *, bit: bool) -> None:
        assert layer.product_table is not None
        self._adder = _Adder(layer.product_table.products, rule, bit)
        self._shape = layer.output_shape

    def run(self, inputs: Sequence[Codes]) -> Ints:
        shape = np.broadcast_shapes(*(codes.shape for codes in inputs))
        terms = [np.broadcast_to(codes, shape).reshape(-1) for codes in inputs]
        return self._adder.run_terms(terms).reshape(-1, shape[-1])


class _Joined:
    """Concatenation: values of codes, encoded anew."""

    def __init__(self, layer: LayerRecord, rule: SumRule, *, bit: bool) -> None:
        assert layer.product_table is not None
        self._products = layer.product_table.products
        axis = layer.params.integer("concat_axis")
        self._axis = (3, 1, 2)[axis] if len(layer.output_shape) == 3 else 3 + axis

    def run(self, inputs: Sequence[Codes]) -> Ints:
        values = [row[codes] for row, codes in zip(self._products, inputs, strict=True)]
        joined = np.concatenate(values, axis=self._axis)
        return joined.reshape(-1, joined.shape[-1])


class _Adder:
    """Adds the k-th code's product by row k of a table; nothing is counted."""

    def __init__(
        self, products: Ints, rule: SumRule, bit: bool, reach: tuple[int, int] | None = None
    ) -> None:
        weights = np.arange(len(products))[None]
        self._counted = CountedSums(weights, products, None, sum_bits=rule.sum_bits, reach=reach)
        self._products, self._bit = products, bit

    def run_terms(self, terms: Sequence[Codes]) -> Ints:
        """Return the sums of terms, each (n,)."""
        if self._bit:
            dtype = np.result_type(*terms)
            return self.run(np.stack([term.astype(dtype) for term in terms], axis=1))
        total = np.take(self._products[0], terms[0])
        for row, codes in zip(self._products[1:], terms[1:], strict=True):
            total += np.take(row, codes)
        return total

    def run(self, codes: Codes) -> Ints:
        """Return the sums of rows of codes (n, n_terms)."""
        if not self._bit:
            return self.run_terms(list(codes.T))
        sums = np.empty((len(codes), 1), np.int64)
        self._counted.run(np.ascontiguousarray(codes), sums)
        return sums[:, 0]
