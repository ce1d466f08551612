"""The crossbar machines, one read of one operation unit after the other.

Only the crossbars that units lie on are not worked out here: for patterns and compressed rows they
are taken from the plan's placements.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.records import LayerRecord, Quantization, Trace
from tests.naive import crossbar as plain
from tests.naive import network
from tests.naive.requantize import requantize

__all__ = ["Matrix", "NaiveRun", "Unit", "hold", "run_network"]

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Unit:
    """Rows and columns of a matrix that lie on one crossbar and are opened together.

    Of a packed one, only rows whose digit is not zero are opened, so many at a time.
    """

    crossbar: int
    rows: list[int]
    columns: list[int]
    packed: bool = False


@dataclass(frozen=True)
class Matrix:
    """What the cells of one conv group hold, (rows, columns), and what each cell counts for."""

    weights: Ints
    cells: Ints
    factors: Ints
    outputs: list[int]


@dataclass
class NaiveRun:
    """Output codes and counts of one layer, and how often its reads had each partial sum."""

    codes: Array
    counts: dict[str, dict[str, int]]
    partial_sums: Counter[int] = field(default_factory=Counter)


def run_network(
    machine: Any, trace: Trace, codes: Array, scales: dict[int, int] | None = None
) -> dict[int, NaiveRun]:
    """Run all layers; `scales` are the ranges of converters that are not maximal."""
    placements = {p.index: p for p in machine.plan(trace).layers if hasattr(p, "maps")}
    spiking = hasattr(machine.settings.converter, "counter_bits")
    runs: dict[int, NaiveRun] = {-1: NaiveRun(codes.astype(np.int64), {})}
    for layer in trace.layers:
        inputs = [runs[i].codes for i in layer.inputs]
        quantizations = trace.input_quantizations(layer)
        if layer.weight is None:
            out = network.run_layer(layer, inputs, quantizations)
            run = NaiveRun(out, {})
        else:
            plan = placements[layer.index]
            placed = [part.placements() for part in plan.maps]
            scale = (scales or {}).get(layer.index)
            weighted = _Weighted(machine, layer, quantizations[0], placed, scale, plan.n_copies)
            run = weighted.run(inputs[0])
        if spiking:
            cell_bits = machine.settings.memory.cell_bits
            read, written = _cells(layer, quantizations, cell_bits)
            events = {"reram_read": read * len(codes), "reram_write": written * len(codes)}
            run.counts["memory"] = {"cycles": 0, **events}
        else:
            accesses = len(codes) * _accesses(layer, quantizations)
            run.counts["buffer"] = {"cycles": 0, "edram_access_256b": accesses}
        runs[layer.index] = run
    del runs[-1]
    return runs


def _accesses(layer: LayerRecord, quantizations: Sequence[Quantization]) -> int:
    sizes = [*zip(layer.input_shapes, quantizations, strict=True)]
    sizes.append((layer.output_shape, layer.output))
    return sum(-(-int(np.prod(shape)) * q.bits // 256) for shape, q in sizes)


def _cells(
    layer: LayerRecord, quantizations: Sequence[Quantization], cell_bits: int
) -> tuple[int, int]:
    """Count the cells that a layer's input codes and its output codes take, code by code."""

    def cells(shape: tuple[int, ...], bits: int) -> int:
        return sum(len(range(0, bits, cell_bits)) for _ in np.ndindex(*shape))

    pairs = zip(layer.input_shapes, quantizations, strict=True)
    read = sum(cells(shape, q.bits) for shape, q in pairs)
    return read, cells(layer.output_shape, layer.output.bits)


def hold(layer: LayerRecord, settings: Any) -> list[Matrix]:
    """Yield each conv group's cells."""
    assert layer.weight is not None and layer.weight_quantization is not None
    q, numbers = layer.weight_quantization, settings.numbers
    bits = q.bits if numbers.weight_bits == "trace" else numbers.weight_bits
    codes = layer.weight.read().astype(np.int64).reshape(layer.weight.shape[0], -1)
    weights = codes - np.broadcast_to(q.zero_point, len(codes))[:, None]
    top = 2 ** (bits - 1) - 1
    bottom = -top if numbers.encoding.startswith("differential") else -top - 1
    held = weights
    if min(weights.min(), 0) < bottom or weights.max() > top:
        held = codes if q.signed else codes - 2 ** (q.bits - 1)
    groups = layer.geometry.groups if layer.geometry else 1
    pairs = zip(np.split(weights, groups), np.split(held, groups), strict=True)
    return [_matrix(w.T, h.T, bits, settings, _channel_rows(layer)) for w, h in pairs]


def _channel_rows(layer: LayerRecord) -> int:
    return layer.geometry.kernel[0] * layer.geometry.kernel[1] if layer.geometry else 1


def _matrix(weights: Ints, held: Ints, bits: int, settings: Any, window: int) -> Matrix:
    encoding, cell_bits = settings.numbers.encoding, settings.geometry.cell_bits
    flips = encoding == "column_flip"
    columns = plain.columns_of(held.tolist(), bits, "offset" if flips else encoding, cell_bits)
    cells = np.array([cells for _, _, cells in columns]).T
    factors = np.repeat([[factor for _, factor, _ in columns]], len(held), axis=0)
    if flips:
        tops = [2**width - 1 for _, width, _ in plain.pieces(bits, cell_bits, False)]
        for band in _bands(len(held), settings, window):
            for c in range(len(columns)):
                top = tops[c // weights.shape[1]]
                if 2 * cells[band, c].sum() > len(band) * top:
                    cells[band, c] = top - cells[band, c]
                    factors[band, c] *= -1
    return Matrix(weights, cells, factors, [output for output, _, _ in columns])


def _chunks(items: Sequence[int], size: int) -> list[list[int]]:
    return [list(items[i : i + size]) for i in range(0, len(items), size)]


def _whole_windows(settings: Any, window: int) -> bool:
    mapping = getattr(settings, "mapping", None)
    by_window = getattr(mapping, "row_blocks", "array") == "window"
    return by_window and 1 < window <= settings.geometry.array_rows


def _bands(n_rows: int, settings: Any, window: int) -> list[list[int]]:
    """Rows of each array, down the matrix."""
    size = settings.geometry.array_rows
    if _whole_windows(settings, window):
        size = size // window * window
    return _chunks(range(n_rows), size)


class _Weighted:
    """A convolution or linear layer on a machine."""

    def __init__(
        self,
        machine: Any,
        layer: LayerRecord,
        source: Quantization,
        placed: Any,
        scale: int | None,
        n_copies: int,
    ) -> None:
        self.name, self.layer, self.source, self.placed = machine.name, layer, source, placed
        self.settings = settings = machine.settings
        self.g, self.converter = settings.geometry, settings.converter
        self.window = _channel_rows(layer)
        self.n_copies = n_copies
        self.skip = getattr(getattr(settings, "mapping", None), "zero_skip", "none")
        bits = settings.numbers.input_bits
        bits = source.bits if bits == "trace" else bits
        self.spiking = hasattr(self.converter, "counter_bits")
        if self.spiking:
            top = 2**self.converter.counter_bits - 1
            self.slices = plain.pieces(bits, 1, source.signed)
            self.convert: Any = lambda count: min(count, top)
        else:
            self.slices = plain.pieces(bits, self.converter.dac_bits, source.signed)
            self.convert = self.converted(scale)
        self.counts: Counter[str] = Counter()
        self.seen: Counter[int] = Counter()
        self.fixed: dict[str, int] = {}
        self.reads: dict[tuple[int, int, int], Ints]

    def converted(self, scale: int | None) -> Any:
        """Yield what the ADC makes of a partial sum."""
        converter, g, settings = self.converter, self.g, self.settings
        if converter.adc_model == "code_table":
            thresholds, levels = converter.adc_thresholds, converter.adc_levels
            return cache(lambda y: plain.code_table(thresholds, levels, y))
        if converter.adc_range == "given":
            scale = converter.adc_full_scale
        elif scale is None:
            scale = g.ou_rows * (2**g.cell_bits - 1) * (2**converter.dac_bits - 1)
        paired = settings.numbers.encoding == "differential_paired"
        model, bits = converter.adc_model, converter.adc_bits
        return cache(lambda y: plain.adc(model, bits, scale, y, paired))

    def run(self, images: Array) -> NaiveRun:
        layer, n = self.layer, len(images)
        positions = list(np.ndindex(*layer.output_shape[1:]))
        out = np.zeros((n, *layer.output_shape), np.int64)
        self.reads = defaultdict(lambda: np.zeros(n, np.int64))
        first = 0
        for group, matrix in enumerate(hold(layer, self.settings)):
            n_outputs = matrix.weights.shape[1]
            units = self.units(group, matrix)
            if n:
                x = np.array([self.cut(image, group, at) for image in images for at in positions])
                sums = self.read(group, matrix, units, x.reshape(n, len(positions), -1))
                for s, p in np.ndindex(n, len(positions)):
                    for o in range(n_outputs):
                        at = (s, first + o, *positions[p])
                        out[at] = self.finish(int(sums[s, p, o]), matrix.weights[:, o], first + o)
            first += n_outputs
        busiest = np.max([*self.reads.values(), np.zeros(n, np.int64)], axis=0)
        events = {event: count for event, count in self.counts.items() if count}
        counts = {"read": {"cycles": int(busiest.sum()), **events}}
        return NaiveRun(out, counts, self.seen)

    def cut(self, image: Array, group: int, at: tuple[int, ...]) -> list[int]:
        """Yield the raw codes of one window, channel by channel; padding holds the zero point."""
        g = self.layer.geometry
        if g is None:
            return [int(code) for code in image]
        depth = image.shape[0] // g.groups
        codes = []
        for i in range(group * depth, (group + 1) * depth):
            for r in range(g.kernel[0]):
                for s in range(g.kernel[1]):
                    y = at[0] * g.stride[0] + r * g.dilation[0] - g.padding[0]
                    x = at[1] * g.stride[1] + s * g.dilation[1] - g.padding[2]
                    inside = 0 <= y < image.shape[1] and 0 <= x < image.shape[2]
                    codes.append(int(image[i, y, x] if inside else self.source.zero_point[0]))
        return codes

    def finish(self, total: int, weights: Ints, output: int) -> int:
        """Take the input's zero point off, add the bias, requantize, clamp."""
        layer = self.layer
        total -= int(self.source.zero_point[0]) * int(weights.sum())
        total += 0 if layer.bias is None else int(layer.bias.read()[output])
        most = 2 ** (layer.accumulator_bits - 1) - 1
        if self.settings.numbers.overflow == "saturate":
            total = min(max(total, -most - 1), most)
        assert -most - 1 <= total <= most
        assert layer.requantize is not None
        code = requantize(total, layer.requantize, output) + int(layer.output.zero_point[0])
        return min(max(code, layer.clamp[0]), layer.clamp[1])

    # Which operation units there are.

    def units(self, group: int, matrix: Matrix) -> list[Unit]:
        if self.name == "sre":
            found = list(self.compressed(group, matrix))
        elif self.name == "pattern_crossbar" and self.has_patterns():
            found = list(self.blocks(group, matrix))
        else:
            found = list(self.dense(matrix))
        used = Counter((r, c) for unit in found for r in unit.rows for c in unit.columns)
        assert all(n == 1 for n in used.values())
        return found

    def dense(self, matrix: Matrix) -> Iterator[Unit]:
        """Tile every array from its first row and column on."""
        n_rows, n_columns = matrix.cells.shape
        crossbar = 0
        for band in _bands(n_rows, self.settings, self.window):
            for across in _chunks(range(n_columns), self.g.array_columns):
                for rows in self.row_blocks(band):
                    for columns in _chunks(across, self.g.ou_columns):
                        yield Unit(crossbar, rows, columns)
                crossbar += 1

    def row_blocks(self, band: list[int]) -> list[list[int]]:
        if not _whole_windows(self.settings, self.window):
            return _chunks(band, self.g.ou_rows)
        windows = _chunks(band, self.window)
        return [rows for window in windows for rows in _chunks(window, self.g.ou_rows)]

    def has_patterns(self) -> bool:
        g = self.layer.geometry
        if g is None:
            return False
        return g.kernel == (3, 3) or self.settings.mapping.other_kernels == "patterns"

    def masks(self) -> tuple[Array, int]:
        """Yield which weights are kept, (M, C, R*S), and how many patterns there are."""
        layer = self.layer
        assert layer.weight is not None and layer.weight_quantization is not None
        shape = (*layer.weight.shape[:2], -1)
        if "pruning_mask" in layer.extra:
            kept = layer.extra["pruning_mask"].read().reshape(shape) != 0
        else:
            zero = layer.weight_quantization.zero_point.reshape(-1, 1, 1)
            kept = layer.weight.read().reshape(shape) != zero
        patterns = {tuple(k) for m in kept.tolist() for k in m if any(k)}
        given = layer.extra.get("patterns")
        return kept, len(patterns) if given is None else given.shape[0]

    def blocks(self, group: int, matrix: Matrix) -> Iterator[Unit]:
        """Group kernels by channel and mask; rows of a block are those of its mask."""
        every, n_patterns = self.masks()
        assert self.layer.geometry is not None
        kept = np.split(every, self.layer.geometry.groups)[group]
        n_outputs, n_channels = kept.shape[:2]
        by_block: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for o in range(n_outputs):
            for i in range(n_channels):
                mask = sum(1 << k for k in range(self.window) if kept[o, i, k])
                if mask:
                    by_block[(mask.bit_count(), i, mask)].append(o)
        blocks = sorted(by_block.items())
        n_slices = len(matrix.outputs) // n_outputs
        for p in self.placed[group]:
            (_, channel, mask), outputs = blocks[p.block]
            rows = [channel * self.window + k for k in range(self.window) if mask >> k & 1]
            columns = [t * n_outputs + o for o in outputs for t in range(n_slices)]
            rows = rows[p.first_row : p.first_row + p.height]
            columns = columns[p.first_column : p.first_column + p.width]
            for some_rows in _chunks(rows, self.g.ou_rows):
                for some in _chunks(columns, self.g.ou_columns):
                    yield Unit(p.crossbar, some_rows, some)
        n_stored = sum(map(len, by_block.values()))
        each = sum(map(_bits_for, (n_patterns, n_channels, n_outputs + 1)))
        index_bits = n_stored * _bits_for(n_outputs) + len(blocks) * each
        self.index(index_bits, n_stored)

    def compressed(self, group: int, matrix: Matrix) -> Iterator[Unit]:
        """Leave out, by group of columns, the rows that are zero in all of them."""
        mapping, n_outputs = self.settings.mapping, matrix.weights.shape[1]
        n_columns = len(matrix.outputs)
        order = list(range(n_columns))
        if mapping.column_order == "weight":
            order = [c for o in range(n_outputs) for c in range(o, n_columns, n_outputs)]
        groups = _chunks(order, self.g.ou_columns)
        n_listed = 0
        for p in self.placed[group]:
            columns = groups[p.block]
            rows = list(range(len(matrix.cells)))
            if mapping.drop_zero_rows:
                rows = [r for r in rows if matrix.cells[r, columns].any()]
            rows = rows[p.first_row : p.first_row + p.height]
            n_listed += len(rows) if mapping.drop_zero_rows else 0
            if mapping.pack_active_rows:
                yield Unit(p.crossbar, rows, columns, packed=True)
            else:
                for some in _chunks(rows, self.g.ou_rows):
                    yield Unit(p.crossbar, some, columns)
        self.index(n_listed * _bits_for(len(matrix.cells)), 0)

    def index(self, n_bits: int, n_scattered: int) -> None:
        """Note what happens at every position, whatever the inputs."""
        self.fixed = {"index_read_bit": n_bits, "accum_scatter": n_scattered}

    # Reading them.

    def read(self, group: int, matrix: Matrix, units: list[Unit], x: Ints) -> Ints:
        """Yield inputs times weights for (samples, positions, rows), every read converted.

        Levels are fractions and add up as they are; each output is rounded once, in the end.
        """
        n_samples, n_positions, _ = x.shape
        sums = np.zeros((n_samples, n_positions, matrix.weights.shape[1]), object)
        in_cells = np.zeros_like(matrix.weights)
        for unit in units:
            for c in unit.columns:
                held = matrix.factors[unit.rows, c] * matrix.cells[unit.rows, c]
                in_cells[unit.rows, matrix.outputs[c]] += held
        for event, count in self.fixed.items():
            self.counts[event] += count * n_samples * n_positions
        for unit in units:
            cells = matrix.cells[:, unit.columns]
            outputs = [matrix.outputs[c] for c in unit.columns]
            for s, p in np.ndindex(n_samples, n_positions):
                for rows, digits, factor in self.opened(unit, x[s, p]):
                    self.reads[(group, unit.crossbar, p % self.n_copies)][s] += 1
                    factors = factor * matrix.factors[rows[0], unit.columns]
                    partial_sums = (digits @ cells[rows]).tolist()
                    for o, times, partial in zip(
                        outputs, factors.tolist(), partial_sums, strict=True
                    ):
                        self.seen[partial] += 1
                        sums[s, p, o] += times * self.convert(partial)
                    self.count(digits, len(unit.columns))
        # Whatever the cells hold beside the weight is taken off digitally.
        rounded = np.array([plain.half_up(total) for total in sums.ravel()], np.int64)
        return rounded.reshape(sums.shape) + x @ (matrix.weights - in_cells)

    def opened(self, unit: Unit, x: Ints) -> Iterator[tuple[list[int], Ints, int]]:
        """Yield rows, digits and factor of each read of a unit that is not left out."""
        inputs = x[unit.rows]
        for low, width, factor in self.slices:
            digits = (inputs >> low) % (1 << width)
            if unit.packed:
                active = [i for i in range(len(digits)) if digits[i]]
                parts = _chunks(active, self.g.ou_rows)
                self.counts["ou_skipped"] += -(-len(unit.rows) // self.g.ou_rows) - len(parts)
                for part in parts:
                    yield [unit.rows[i] for i in part], digits[part], factor
            elif (self.skip == "bit_plane" and not digits.any()) or (
                self.skip == "vector" and not inputs.any()
            ):
                self.counts["ou_skipped"] += 1
                self.seen[0] += len(unit.columns)
            else:
                yield unit.rows, digits, factor

    def count(self, digits: Ints, n_columns: int) -> None:
        """Count one read, of rows that are driven with these digits."""
        n_rows = len(digits)
        if self.spiking:
            self.counts["spike_read"] += 1
            for digit in digits.tolist():
                self.counts["spike" if digit else "spike_silent"] += 1
                self.counts["spike_cell"] += n_columns * digit
            self.counts["if_count"] += n_columns
            self.counts["shift_add"] += n_columns
            return
        width = "exact" if self.converter.adc_model == "exact" else self.converter.adc_bits
        self.counts["ou_activation"] += 1
        self.counts["ou_rows"] += n_rows
        self.counts["ou_cols"] += n_columns
        self.counts["ou_cells"] += n_rows * n_columns
        self.counts["dac_drive"] += n_rows
        self.counts["shift_add"] += n_columns
        self.counts[f"adc_conv_{width}"] += n_columns


def _bits_for(n_values: int) -> int:
    bits = 0
    while 2**bits < n_values:
        bits += 1
    return bits
