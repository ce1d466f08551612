"""The machine `rapidnn` in plain Python: neuron by neuron, with every search and every count."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.lookup.rna_settings import RnaSettings
from bitpim_traces.records import NETWORK_INPUT, LayerRecord, Quantization, Trace
from tests.naive.looked_up import taps_of
from tests.naive.rapidnn import neuron

Codes = npt.NDArray[Any]
Phases = dict[str, dict[str, int]]

GATES = {"aritpim": 9, "simpler": 9, "apim13": 12, "floatpim": 12}
LEVEL = {"apim13": 13, "floatpim": 13}


def search(words: Sequence[int], query: int, width: int, mode: str, stage: int) -> tuple[int, int]:
    """Return the row that is found, and rows precharged in all stages."""
    offset = 1 << (width - 1)
    held, q = [word + offset for word in words], query + offset
    assert all(0 <= word < 2 * offset for word in [*held, q])
    stages = -(-width // stage)
    if mode == "abs":
        return min(range(len(held)), key=lambda r: (abs(held[r] - q), r)), len(held) * stages
    if mode == "wxor":
        weights = [sum(1 << i for i in range(width) if (word ^ q) >> i & 1) for word in held]
        return min(range(len(held)), key=lambda r: (weights[r], r)), len(held) * stages
    standing, precharged, high = list(range(len(held))), 0, width
    while high > 0:
        low = max(0, high - stage)
        mask = (1 << (high - low)) - 1
        precharged += len(standing)
        gaps = [abs((held[r] >> low & mask) - (q >> low & mask)) for r in standing]
        standing = [r for r, gap in zip(standing, gaps, strict=True) if gap == min(gaps)]
        high = low
    return standing[0], precharged


class NaiveRapidnn:
    """Runs one sample at a time; counts are of that sample, with every RNA in its own round."""

    def __init__(self, settings: RnaSettings, trace: Trace) -> None:
        self.settings, self.trace = settings, trace
        self.encoded_input = False
        self.phases: Phases = {}

    def run(self, codes: Codes) -> list[tuple[Codes, Phases]]:
        """Return codes and counts of each layer for one sample."""
        outputs: dict[int, Codes] = {NETWORK_INPUT: codes}
        found = []
        for layer in self.trace.layers:
            self.phases = {}
            inputs = [outputs[i] for i in layer.inputs]
            quants = self.trace.input_quantizations(layer)
            self._input(layer)
            if layer.product_table is not None:
                out = self._tabled(layer, inputs, quants)
            else:
                out = self._moved(layer, inputs, quants)
            n = int(np.prod(layer.output_shape))
            self._count("send_codes", cycles=0, code_bit=n * layer.output.bits)
            outputs[layer.index] = out
            found.append((out, self.phases))
        self.encoded_input = False
        return found

    def _count(self, phase: str, **events: int) -> None:
        held = self.phases.setdefault(phase, {})
        for event, n in events.items():
            held[event] = held.get(event, 0) + n

    def _input(self, layer: LayerRecord) -> None:
        if self.encoded_input or NETWORK_INPUT not in layer.inputs:
            return
        self.encoded_input = True
        book = self.trace.samples.quantization.codebook
        assert book is not None
        stages = -(-book.value_bits // min(self.settings.match.stage_bits, book.value_bits))
        n = int(np.prod(self.trace.shape_of(NETWORK_INPUT)))
        self._count("encode_input", cycles=stages, cam_search=n, cam_stage=n * stages)
        self._count("encode_input", cam_row=n * stages * book.n_codes, cam_survivor=n)

    # --- sums

    def _neurons(
        self, layer: LayerRecord, inputs: Sequence[Codes], quants: Sequence[Quantization]
    ) -> list[tuple[list[int], list[int]]]:
        """Return rows of the table and codes of each neuron, in the order of output elements."""
        zero, found = int(quants[0].zero_point[0]), []
        weight = None if layer.weight is None else layer.weight.read()
        for place in np.ndindex(*layer.output_shape):
            rows: list[int] = []
            codes: list[int] = []
            if layer.kind == "linear":
                assert weight is not None
                rows, codes = weight[place[0]].tolist(), inputs[0].tolist()
            elif layer.kind == "conv2d":
                assert weight is not None
                assert layer.geometry is not None
                first = place[0] // (len(weight) // layer.geometry.groups) * weight.shape[1]
                for r, s, y, x, inside, _ in taps_of(layer, inputs[0].shape, *place[1:]):
                    for i in range(weight.shape[1]):
                        rows.append(int(weight[place[0], i, r, s]))
                        codes.append(int(inputs[0][first + i, y, x]) if inside else zero)
            elif layer.kind == "avg_pool2d":
                assert layer.geometry is not None
                taps = list(taps_of(layer, inputs[0].shape, *place[1:]))
                counted = 5 if layer.geometry.count_include_pad else 4
                n = sum(tap[counted] for tap in taps)
                codes = [int(inputs[0][place[0], t[2], t[3]]) for t in taps if t[4]]
                rows = [n - 1] * len(codes)
            else:
                for i, held in enumerate(inputs):
                    at = tuple(0 if n == 1 else k for k, n in zip(place, held.shape, strict=True))
                    rows.append(i)
                    codes.append(int(held[at]))
            found.append((rows, codes))
        return found

    def _tabled(
        self, layer: LayerRecord, inputs: Sequence[Codes], quants: Sequence[Quantization]
    ) -> Codes:
        if layer.kind == "concat":
            table, axis = layer.product_table, layer.params.integer("concat_axis")
            assert table is not None
            parts = [row[codes] for row, codes in zip(table.products, inputs, strict=True)]
            sums = np.concatenate(parts, axis=axis).reshape(-1).tolist()
        else:
            sums = self._added(layer, self._neurons(layer, inputs, quants))
        return np.array([self._encoded(layer, s) for s in sums]).reshape(layer.output_shape)

    def _added(
        self, layer: LayerRecord, neurons: Sequence[tuple[list[int], list[int]]]
    ) -> list[int]:
        table, adder, counters = layer.product_table, self.settings.adder, self.settings.counters
        assert table is not None
        counted, width = layer.weight is not None, adder.sum_bits
        reads = "product_read" if counted else "value_read"
        products = table.products.tolist()
        bias = None if layer.bias is None else layer.bias.read().tolist()
        per_channel = len(neurons) // layer.output_shape[0]
        sums, levels, most_cycles, gates = [], [], 0, GATES[adder.cost]
        for at, (rows, codes) in enumerate(neurons):
            its = None if bias is None else bias[at // per_channel]
            if counted:
                limit = counters.bits if counters.overflow == "saturate" else None
                form: Any = {"signed": adder.digits == "signed", "counter_bits": limit}
            else:  # every term is an operand of its own
                products = [table.products[r].tolist() for r in rows]
                rows, form = list(range(len(rows))), {}
            made = neuron(rows, codes, products, its, width=width, **form)
            if counted:
                group = max(Counter(rows).values())
                most_cycles = max(most_cycles, group)
                self._count("count_pairs", cycles=0, counter_cycle=group, counter_inc=len(rows))
            cells = (made.adders + 1) * width * gates + made.negatives * width
            self._count(
                "add_products",
                cycles=0,
                operand_write=made.operands,
                csa_level=made.levels,
                csa_adder=made.adders,
                nor_sum=1,
                nor_cycle=made.levels * LEVEL[adder.cost] + last_add(adder.cost, width),
                nor_gate_cell=cells,
                nor_init_cell=cells,
            )
            self._count("add_products", **{reads: len(made.counts)})
            sums.append(made.total)
            levels.append(made.levels)
        if counted:
            self._count("count_pairs", cycles=most_cycles)
        slow = max(levels) * LEVEL[adder.cost] + last_add(adder.cost, width)
        self._count("add_products", cycles=slow)
        return sums

    # --- searches

    def _find(self, phase: str, words: Sequence[int], query: int, width: int) -> int:
        match = self.settings.match
        stage = min(match.stage_bits, width)
        row, precharged = search(words, query, width, match.mode, stage)
        stages = -(-width // stage)
        self._count(phase, cam_search=1, cam_stage=stages, cam_row=precharged, cam_survivor=1)
        self.phases[phase]["cycles"] = stages
        return row

    def _encoded(self, layer: LayerRecord, total: int) -> int:
        table, book = layer.product_table, layer.output.codebook
        assert table is not None
        if book is None:
            step = layer.requantize
            assert step is not None
            assert step.multiplier is not None
            return total * int(step.multiplier[0])  # raw sums: multiplier 1, shift 0
        width, y = self.settings.adder.sum_bits, total
        down = max(table.fraction_bits - book.fraction_bits, 0)
        up = max(book.fraction_bits - table.fraction_bits, 0)
        if table.points is not None:
            xs = table.points[:, 0].tolist()
            row = self._find("find_point", xs, total, max(width, signed_width(xs)))
            y, down, up = int(table.points[row, 1]), 0, 0
            width = max(book.value_bits, signed_width(table.points[:, 1].tolist()))
        words = [int(v) << down for v in book.values]
        low, high = layer.clamp
        y <<= up
        clips = table.points is None and layer.activation != "none"
        if clips or (low, high) != (0, book.n_codes - 1):
            y = min(max(y, words[low]), words[high])
        return self._find("find_code", words, y, max(width + up, book.value_bits + down))

    def _moved(
        self, layer: LayerRecord, inputs: Sequence[Codes], quants: Sequence[Quantization]
    ) -> Codes:
        if layer.kind == "max_pool2d" and layer.geometry.kernel == (1, 1):  # type: ignore[union-attr]
            (y, x) = layer.geometry.stride  # type: ignore[union-attr]
            return inputs[0][:, ::y, ::x]
        if layer.kind == "max_pool2d":
            return self._pooled(layer, inputs[0], quants[0])
        if layer.table is not None:
            table, n = layer.table.read(), int(np.prod(layer.output_shape))
            self._count("look_up", cycles=1, value_read=n)
            rows = np.broadcast_to(np.atleast_2d(table), (layer.output_shape[0], table.shape[-1]))
            return np.stack([row[codes] for row, codes in zip(rows, inputs[0], strict=True)])
        if layer.kind == "concat":
            return np.concatenate(inputs, axis=layer.params.integer("concat_axis"))
        if layer.kind == "activation":
            return np.clip(inputs[0], *layer.clamp)
        assert layer.kind == "flatten"
        return inputs[0].reshape(-1)

    def _pooled(self, layer: LayerRecord, codes: Codes, quant: Quantization) -> Codes:
        """Search the candidates of each window for the largest number that a word holds."""
        book = quant.codebook
        assert book is not None
        out = np.zeros(layer.output_shape, np.int64)
        for place in np.ndindex(*layer.output_shape):
            taps = taps_of(layer, codes.shape, *place[1:])
            seen = [int(codes[place[0], t[2], t[3]]) for t in taps if t[4]]
            words, top = [int(book.values[c]) for c in seen], (1 << (book.value_bits - 1)) - 1
            phase = "find_largest"
            mode, stage = self.settings.match.mode, self.settings.match.stage_bits
            row, _ = search(words, top, book.value_bits, mode, min(stage, book.value_bits))
            stages = -(-book.value_bits // min(stage, book.value_bits))
            self._count(phase, cam_search=1, cam_stage=stages, cam_survivor=1)
            self._count(phase, cam_row=len(words) * stages)
            self.phases[phase]["cycles"] = stages
            out[place] = seen[row]
        return out


def signed_width(numbers: Sequence[int]) -> int:
    """Return the width of a signed word that holds all of some numbers."""
    width = 1
    while not all(-(1 << (width - 1)) <= n < 1 << (width - 1) for n in numbers):
        width += 1
    return width


def last_add(cost: str, width: int) -> int:
    """Return the cycles of the last addition, by the formulas that are quoted."""
    return {"apim13": 13 * width, "floatpim": 12 * width + 1}[cost]
