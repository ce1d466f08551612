"""A matrix whose column groups keep their own rows, as it is read: sparse ReRAM's reads.

Rows that are zero in a group of columns take no wordlines there; and a read opens only rows with an
input, packed in order (dynamic wordline activation).

Source: SRE (ISCA 2019; semantics recalled).
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.encodings import StoredWeights
from bitpim.crossbar.input_slices import InputCoding
from bitpim.crossbar.pieces import ReadCounts, busiest
from bitpim.crossbar.row_lists import InputRows, ListReader
from bitpim.crossbar.segments import Segments
from bitpim.errors import ConfigError

__all__ = ["CompressedMatrix"]

Ints = npt.NDArray[np.int64]

_WHERE = "compressed matrix"


class CompressedMatrix:
    """Stored weights on crossbars whose reads open rows by list.

    One read opens `unit_rows` of the rows of a segment that have an input in the slice driven, in
    their order; rows without one are passed over. Without `pack_active_rows` it opens the next
    `unit_rows` rows of the segment whatever the inputs.

    Counts: a segment takes ceil(rows / unit_rows) reads for each input slice and position where
    all its rows have an input. Reads that were not needed are `ou_skipped`, so that done and
    skipped add up to that closed form.

    Raises
    ------
    ConfigError
        Cells of the weights and of the geometry differ in bits; active rows are to be packed and
        the ADC does not read a sum of 0 as 0.
    MappingError
        The segments do not fit the arrays, or do not hold all cells.
    """

    def __init__(
        self,
        stored: StoredWeights,
        geometry: CrossbarGeometry,
        adc: Adc,
        inputs: InputCoding,
        segments: Segments,
        *,
        pack_active_rows: bool = True,
    ) -> None:
        if stored.cell_bits != geometry.cell_bits:
            raise ConfigError(
                f"{_WHERE}: need weights in cells of {geometry.cell_bits} bits, got "
                f"{stored.cell_bits}; encode them for this geometry"
            )
        segments.check(stored, geometry)
        self.stored, self.geometry, self.adc, self.segments = stored, geometry, adc, segments
        self.pack_active_rows = pack_active_rows
        self.n_outputs = stored.n_outputs
        self._inputs = InputRows(_WHERE, stored.n_rows, inputs, geometry.dac_bits)
        rows, columns, self._list_of = _joined_by_rows(segments)
        self._reader = ListReader(
            stored, geometry, adc, self._inputs, rows, columns, packed=pack_active_rows
        )
        if pack_active_rows and not self._reader.reads_zero_as_zero:
            raise ConfigError(
                f"{_WHERE}: need an ADC that reads 0 as 0 to pass over rows without an input, got "
                f"{adc.model}; read all rows"
            )

    @property
    def is_lossless(self) -> bool:
        """Whether no read of these cells can lose anything, whatever the inputs."""
        return self._reader.is_lossless

    def read(
        self, x: npt.NDArray[Any], n_samples: int, fidelity: Literal["bit", "integer"] = "bit"
    ) -> tuple[Ints, ReadCounts]:
        """Return inputs times weights as the crossbars read them, counted: as `DenseMatrix`.

        Raises
        ------
        LayoutError, ConfigError
            As `DenseMatrix.read`.
        """
        codes = self._inputs.checked(x, n_samples)
        out = np.zeros((len(codes), self.n_outputs), np.int64)
        if fidelity == "integer":
            self._reader.add_exactly(codes, out)
        else:
            self._reader.add(codes, out)
        return out, self._count(codes, n_samples)

    def partial_sums(self, x: npt.NDArray[Any]) -> tuple[Ints, int]:
        """Return how often each partial sum occurs, before the ADC, and the smallest one counted.

        Raises
        ------
        LayoutError
            As `DenseMatrix.partial_sums`.
        """
        return self._reader.tally(self._inputs.checked(x, 1))

    def _count(self, codes: npt.NDArray[Any], n_samples: int) -> ReadCounts:
        segments, unit = self.segments, self.geometry.unit_rows
        heights, widths, most = segments.heights, segments.widths, segments.reads(unit)
        n_times = len(codes) // max(1, n_samples) * self._inputs.n_slices
        if self.pack_active_rows:
            active = self._inputs.active(codes, n_samples, self._reader.sets, unit)
            opened, reads = active[:, self._list_of, 2], active[:, self._list_of, 3]
        else:
            shape = (n_samples, len(most))
            opened = np.broadcast_to(n_times * heights, shape)
            reads = np.broadcast_to(n_times * most, shape)
        rows, done = opened.sum(axis=0), reads.sum(axis=0)
        n_rows, n_converted = int(rows.sum()), int(done @ widths)
        events = {
            "ou_activation": int(done.sum()),
            "ou_skipped": n_samples * n_times * int(most.sum()) - int(done.sum()),
            "ou_rows": n_rows,
            "ou_cols": n_converted,
            "ou_cells": int(rows @ widths),
            "dac_drive": n_rows,
            "shift_add": n_converted,
            f"adc_conv_{self.adc.width}": n_converted,
        }
        return ReadCounts(Counts(**events), busiest(segments.crossbars, reads))


def _joined_by_rows(segments: Segments) -> tuple[list[Ints], list[Ints], Ints]:
    """Join segments that keep the same rows; return rows, columns, and the list of each segment.

    What they read does not depend on the crossbar they lie on.
    """
    by_rows: dict[bytes, int] = {}
    rows: list[Ints] = []
    columns: list[list[Ints]] = []
    lists = []
    for k in range(len(segments.crossbars)):
        row = segments.rows_of(k)
        at = by_rows.setdefault(row.tobytes(), len(rows))
        if at == len(rows):
            rows.append(row)
            columns.append([])
        columns[at].append(segments.columns_of(k))
        lists.append(at)
    return rows, [np.concatenate(part) for part in columns], np.array(lists, np.int64)
