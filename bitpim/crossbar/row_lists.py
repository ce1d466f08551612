"""Reads of columns whose rows are listed: what compressed rows and pattern blocks share."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.encodings import StoredWeights
from bitpim.crossbar.input_slices import InputCoding, InputSlices
from bitpim.crossbar.products import ExactProduct
from bitpim.crossbar.ragged import edges_of
from bitpim.crossbar.scaling import DigitalScale
from bitpim.errors import AccumulatorError, ConfigError, MappingError
from bitpim.threads import share_out
from bitpim_kernels.crossbar import lay_fields
from bitpim_kernels.list_tile import NARROW_LANES, PUT_AT_ONCE, WIDE_LANES, Converter, OpenRows
from bitpim_kernels.ou_lists import (
    RowLists,
    RowSets,
    count_active_rows,
    read_lists,
    tally_lists,
)

__all__ = ["InputRows", "ListReader", "narrowest_lanes", "row_sets"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_BLOCK = 128  # positions whose inputs are laid out at a time


def row_sets(rows: Sequence[Ints]) -> RowSets:
    """Return sets of rows as bits; each lists its rows rising, one at least."""
    firsts = np.array([int(part[0]) for part in rows], np.int64)
    lasts = np.array([int(part[-1]) for part in rows], np.int64)
    starts = np.concatenate([[0], np.cumsum(lasts // 64 - firsts // 64 + 1)]).astype(np.int64)
    masks = np.zeros(starts[-1], np.uint64)
    if len(rows):
        row = np.concatenate(rows)
        first_words = np.repeat(starts[:-1] - firsts // 64, [len(part) for part in rows])
        np.bitwise_or.at(masks, first_words + row // 64, np.uint64(1) << (row % 64).astype("u8"))
    return RowSets(firsts, starts, masks)


class InputRows:
    """Input vectors as bits of rows, by input slice; and how often sets of rows have an input.

    Parameters
    ----------
    where : who reads, as errors name it
    """

    def __init__(self, where: str, n_rows: int, inputs: InputCoding, dac_bits: int) -> None:
        self.where, self.n_rows, self.inputs = where, n_rows, inputs
        self.n_slices = len(inputs.digits(dac_bits))
        self.slices = InputSlices.of(inputs, dac_bits, leave_empty=False)
        self.n_planes = self.slices.bits.shape[1]

    def checked(self, x: npt.NDArray[Any], n_samples: int) -> npt.NDArray[Any]:
        """Return the codes in C order, or raise as `InputCoding.checked` does."""
        return self.inputs.checked(self.where, x, self.n_rows, n_samples)

    def share(self, codes: npt.NDArray[Any], work: Callable[[Words, slice], None]) -> None:
        """Call ``work(words, positions)`` on blocks of positions, on all threads."""
        edges = np.array([0, self.n_rows], np.int64)
        n_words, bits = -(-self.n_rows // 64), self.slices.bits

        def run(start: int, stop: int) -> None:
            scratch = np.zeros(n_words + 1, np.uint64)
            for first in range(start, stop, _BLOCK):
                part = slice(first, min(stop, first + _BLOCK))
                words = np.empty((part.stop - first, bits.size * n_words), np.uint64)
                lay_fields(codes[part], edges, bits.reshape(-1), scratch, words)
                work(words.reshape(-1, *bits.shape, n_words), part)

        if len(codes):
            share_out(len(codes), run)

    def active(
        self, codes: npt.NDArray[Any], n_samples: int, sets: RowSets, packed_rows: int
    ) -> Ints:
        """Return the work of each sample and set, as `count_active_rows` counts it.

        Shapes
        ------
        returns: (n_samples, n_sets, 4)
        """
        per_sample = len(codes) // max(1, n_samples)
        total = np.zeros((n_samples, len(sets.first_rows), 4), np.int64)
        found: list[tuple[slice, Ints]] = []

        def count(words: Words, part: slice) -> None:
            samples = slice(part.start // per_sample, -(-part.stop // per_sample))
            counts = np.zeros((samples.stop - samples.start, *total.shape[1:]), np.int64)
            first, repeats = part.start - samples.start * per_sample, self.slices.repeats
            count_active_rows(words, repeats, sets, packed_rows, per_sample, first, counts)
            found.append((samples, counts))

        self.share(codes, count)
        for samples, counts in found:
            total[samples] += counts
        return total


class ListReader:
    """Cells read by lists: each list's rows are opened for all of its columns.

    Parameters
    ----------
    rows, columns : of each list: rows of the matrix, rising, and columns of the stored cells
    packed : whether a read opens the next rows that have an input; otherwise reads are cut every
        `unit_rows` rows of the list

    Raises
    ------
    MappingError
        Rows of one list belong to groups that are joined differently.
    AccumulatorError
        A column's sum could leave 32 bits, or an output's 64 when it is scaled.
    """

    def __init__(
        self,
        stored: StoredWeights,
        geometry: CrossbarGeometry,
        adc: Adc,
        inputs: InputRows,
        rows: Sequence[Ints],
        columns: Sequence[Ints],
        *,
        packed: bool,
    ) -> None:
        self.stored, self.geometry, self.adc, self.inputs = stored, geometry, adc, inputs
        self.packed_rows = geometry.unit_rows if packed else 0
        self.rows, self.columns = rows, columns
        self._least = -geometry.largest_sum if stored.paired else 0
        self._table = adc.table(self._least, geometry.largest_sum)
        self.reads_zero_as_zero = bool(self._table[-self._least] == 0)
        self.sets = row_sets(rows)
        self._groups = self._groups_of_lists()
        self._scale = self._scale_of()

    @cached_property
    def is_lossless(self) -> bool:
        """Whether no read can lose anything, whatever the inputs."""
        return self.adc.is_lossless(self._least, self.geometry.largest_sum, self._reach)

    def add(self, codes: npt.NDArray[Any], out: Ints) -> None:
        """Add what all reads give to `out`, and what the digital side corrects."""
        lists, converter = self._lists, self._converter

        def read(words: Words, part: slice) -> None:
            scratch, sums = self._scratch()
            factors = self.inputs.slices.factors
            found = np.zeros_like(out[part])
            read_lists(words, lists, converter, factors, self.packed_rows, scratch, sums, found)
            self._scale.apply(found)
            out[part] += found

        self.inputs.share(codes, read)
        if self._digital is not None:
            self._digital.add(codes, out)

    def add_exactly(self, codes: npt.NDArray[Any], out: Ints) -> None:
        """Add the exact product to `out`.

        Raises
        ------
        ConfigError
            The ADC loses something.
        """
        if not self.is_lossless:
            raise ConfigError(
                f"{self.inputs.where}: fidelity integer needs a lossless ADC, got "
                f"{self.adc.model} of {self.adc.bits} bits; use fidelity bit"
            )
        self._exact.add(codes, out)

    def tally(self, codes: npt.NDArray[Any]) -> tuple[Ints, int]:
        """Return how often each partial sum occurs, and the smallest one counted.

        Reads without any input are counted where they are made: not by packed rows.
        """
        low, high = self._reach
        found: list[Ints] = [np.zeros(high - low + 1, np.int64)]
        lists = self._lists

        def tally(words: Words, _: slice) -> None:
            counts, repeats = np.zeros_like(found[0]), self.inputs.slices.repeats
            opened = self._scratch()[0]
            tally_lists(words, repeats, lists, self.packed_rows, low, opened, counts)
            found.append(counts)

        self.inputs.share(codes, tally)
        total: Ints = np.sum(found, axis=0)
        if not self.packed_rows:
            n_columns = np.array([len(part) for part in self.columns], np.int64)
            n_reads = len(codes) * self.inputs.n_slices * np.diff(lists.cut_starts)
            total[-low] += int(n_reads @ n_columns) - int(total.sum())
        return total, low

    def _groups_of_lists(self) -> Ints:
        """Return the group of each list's rows, whose factors join its columns."""
        edges = self.stored.row_edges
        groups = np.searchsorted(edges, self.sets.first_rows, "right") - 1
        lasts = np.array([int(part[-1]) for part in self.rows], np.int64)
        if np.any(lasts >= edges[groups + 1]):
            raise MappingError(
                f"{self.inputs.where}: need rows that are read together in one group of the "
                f"encoding, got groups at {edges.tolist()}; use another encoding than "
                f"{self.stored.encoding}"
            )
        return groups

    @cached_property
    def _reach(self) -> tuple[int, int]:
        """The smallest and the largest partial sum that these cells can give."""
        unit, low, high = self.geometry.unit_rows, 0, 0
        for rows, columns in zip(self.rows, self.columns, strict=True):
            cells = self.stored.columns(columns, rows)
            for sign in (1, -1) if self.stored.paired else (1,):
                parts = np.maximum(sign * cells, 0)
                if self.packed_rows:
                    most = np.sort(parts, axis=1)[:, -unit:].sum(axis=1, dtype=np.int64).max()
                else:
                    starts = np.arange(0, len(rows), unit)
                    most = np.add.reduceat(parts, starts, axis=1, dtype=np.int64).max()
                high = max(high, int(most)) if sign > 0 else high
                low = min(low, -int(most)) if sign < 0 else low
        top_input = (1 << self.inputs.n_planes) - 1
        return low * top_input, high * top_input

    def _scale_of(self) -> DigitalScale:
        """Return what makes levels of an output's sum of readings."""
        n_outputs, unit = self.stored.n_outputs, self.geometry.unit_rows
        widths = [len(part) for part in self.columns]
        columns, groups = _joined(self.columns, np.int64), np.repeat(self._groups, widths)
        n_reads = np.repeat([-(-len(part) // unit) for part in self.rows], widths).astype(np.int64)
        n_readings = np.zeros(n_outputs, np.int64)
        sizes = np.abs(self.stored.factors[groups, columns])
        np.add.at(n_readings, columns % n_outputs, n_reads * sizes)
        slices_reach = int(np.abs(self.inputs.slices.factors).sum())
        reading = int(np.abs(self._table).max())
        reach = reading * slices_reach * int(n_readings.max(initial=0))
        step = self.adc.step(self._least, self.geometry.largest_sum)
        return DigitalScale(self.inputs.where, step, reach)

    @property
    def _readings(self) -> npt.NDArray[np.int32]:
        """The reading of each partial sum within reach."""
        low, high = self._reach
        return self._table[low - self._least : high - self._least + 1]

    @cached_property
    def _converter(self) -> Converter:
        """The ADC as the kernel takes it: a clamp where it is one."""
        (low, high), readings = self._reach, self._readings
        least, most = int(readings.min()), int(readings.max())
        deepest = max((-(-len(part) // self.geometry.unit_rows) for part in self.rows), default=0)
        if max(-least, most) * deepest >= 2**31:
            raise AccumulatorError(
                f"{self.inputs.where}: need the sum of a column within 32 bits, got {deepest} "
                f"reads of up to {max(-least, most)}; split the rows"
            )
        if np.array_equal(readings, np.clip(np.arange(low, high + 1), least, most)):
            return Converter(least, most, np.zeros(0, np.int32), low)
        return Converter(low, high, readings, low)

    @cached_property
    def _lists(self) -> RowLists:
        kind, unit, n_outputs = self._lane_kind(), self.geometry.unit_rows, self.stored.n_outputs
        widths = [-(-len(part) // NARROW_LANES) * NARROW_LANES for part in self.columns]
        heights = [int(part[-1] + 1 - part[0]) for part in self.rows]
        starts = edges_of(np.array(heights, np.int64) * np.array(widths, np.int64))
        cells = np.empty(starts[-1], kind)
        cuts, outputs, factors = [], [], []
        lists = zip(self.rows, self.columns, self._groups, strict=True)
        for k, (rows, columns, group) in enumerate(lists):
            cuts.append(rows[np.append(np.arange(unit, len(rows), unit), len(rows)) - 1] + 1)
            laid = np.zeros((heights[k], widths[k]), kind)
            laid[rows - rows[0], : len(columns)] = self.stored.columns(columns, rows).T
            cells[starts[k] : starts[k + 1]] = _by_tile(laid)
            outputs.append(_filled(columns % n_outputs, widths[k]))
            factors.append(_filled(self.stored.factors[group, columns], widths[k]))
        return RowLists(
            self.sets,
            _starts(cuts),
            _joined(cuts, np.int64),
            starts,
            cells,
            _starts(outputs),
            _joined(outputs, np.int32),
            _joined(factors, np.int32),
        )

    def _lane_kind(self) -> type[np.signedinteger[Any]]:
        """Return the narrowest type that holds partial sums and the ends of a clamp."""
        low, high = self._reach
        converter = self._converter
        return narrowest_lanes(min(low, converter.low), max(high, converter.high))

    def _scratch(self) -> tuple[OpenRows, Ints]:
        n_rows = max((len(part) for part in self.rows), default=0)
        widest = int(np.diff(self._lists.column_starts).max(initial=0))
        opened = OpenRows(
            np.empty(n_rows + PUT_AT_ONCE, np.int32),
            np.empty(n_rows, np.int16),
            np.empty(n_rows, np.int32),
        )
        return opened, np.empty(widest, np.int64)

    @cached_property
    def _digital(self) -> ExactProduct | None:
        """What the digital side adds to each product without a read."""
        given = self.stored.digital
        return None if given is None else ExactProduct(given, self.inputs.inputs.width)

    @cached_property
    def _exact(self) -> ExactProduct:
        """The weights that the cells hold."""
        return ExactProduct(self.stored.weights, self.inputs.inputs.width)


def _by_tile(cells: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Lay columns out as wide tiles, then narrow ones, each row by row."""
    n_rows, n_columns = cells.shape
    n_wide = n_columns // WIDE_LANES * WIDE_LANES
    wide = cells[:, :n_wide].reshape(n_rows, -1, WIDE_LANES).transpose(1, 0, 2)
    narrow = cells[:, n_wide:].reshape(n_rows, -1, NARROW_LANES).transpose(1, 0, 2)
    return np.concatenate([wide.ravel(), narrow.ravel()])


def _filled(numbers: Ints, n: int) -> npt.NDArray[np.int32]:
    filled = np.zeros(n, np.int32)
    filled[: len(numbers)] = numbers
    return filled


def _starts(parts: Sequence[npt.NDArray[Any]]) -> Ints:
    return np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64)


def _joined(parts: Sequence[npt.NDArray[Any]], kind: Any) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0, kind), *parts]).astype(kind)


def narrowest_lanes(low: int, high: int) -> type[np.signedinteger[Any]]:
    """Return the narrowest type of lanes that holds numbers from `low` to `high`."""
    for kind in (np.int8, np.int16):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return kind
    return np.int32
