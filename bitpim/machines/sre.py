"""SRE: crossbars that leave out zero weights by row and column group, and zero inputs by bit.

What the paper says
    Yang et al., ISCA 2019 (sparse ReRAM engine): operation units of 16 x 16 cells; rows whose cells
    are zero in all columns of an operation unit are not stored, and the kept rows' numbers are;
    dynamic wordline activation opens, for each bit of the inputs, only rows whose bit is 1, packed
    into as few reads as they need.
What is emulated
    Every packed OU read: which rows it opens, the partial sums of its columns, what the ADC makes
    of them. A lossy ADC sees packed rows, and so differs from a dense reading.
What is left out
    What `dense_crossbar` leaves out; the index decoder, but for the bits it reads.
How it is verified
    `tests/bitpim/machines/test_sre.py`: with a lossless ADC both fidelities equal the referee; with
    a lossy one the machine equals a naive model that packs row by row.
Known differences and assumptions
    The encoding must keep zero weights as zero cells, hence `numbers.encoding = "differential"`
    (assumed); the order of columns (`mapping.column_order`), how segments of rows share crossbars,
    and indices of clog2(rows) bits, read at every position, are ours.
"""

from typing import Any, Literal

from pydantic import Field

from bitpim.config import MachineEntry, Part
from bitpim.crossbar.adc import Adc
from bitpim.crossbar.layers import Reader, StoredNumbers
from bitpim.crossbar.matrix_maps import CompressedMap
from bitpim.crossbar.plan import MatrixMapping
from bitpim.crossbar.readout import InputCoding
from bitpim.crossbar.row_compression import compress_rows
from bitpim.crossbar.row_packing import PackedMatrix
from bitpim.crossbar.settings import CrossbarSettings
from bitpim.machines.dense_crossbar import DenseCrossbar
from bitpim_traces.records import LayerRecord

__all__ = ["ENTRY", "Sre", "SreMappingSettings", "SreSettings"]


class SreMappingSettings(Part):
    """What Sparse ReRAM Engine leaves out of a dense matrix."""

    drop_zero_rows: bool = Field(
        description="rows of zero cells in all columns of an OU are not stored, their inputs not "
        "driven"
    )
    pack_active_rows: bool = Field(
        description="open only rows whose input slice is not zero, as many as an OU has a read"
    )
    column_order: Literal["weight", "bit_slice"] = Field(
        description="neighbours in an OU: the bit-slices of one output, or one bit-slice of "
        "neighbouring outputs"
    )


class SreSettings(CrossbarSettings):
    """Settings of the machine `sre`."""

    mapping: SreMappingSettings


class Sre(DenseCrossbar):
    """The machine with its settings; plans and prepares networks."""

    name = "sre"
    keeps_columns_whole = False
    settings: Any

    def map_layer(self, layer: LayerRecord) -> tuple[str, tuple[MatrixMapping, ...]]:
        """Return the rule's name, and the rows that each column group of a conv group keeps."""
        mapping = self.settings.mapping
        maps = tuple(
            CompressedMap(
                compress_rows(
                    self.encoded(part, self.geometry.rows),
                    self.geometry,
                    drop_zero_rows=mapping.drop_zero_rows,
                    column_order=mapping.column_order,
                )
            )
            for part in self.numbers(layer)
        )
        return "row_compression" if mapping.drop_zero_rows else "dense", maps

    @property
    def skips_unless(self) -> str | None:
        """Return the setting that makes the machine read all units, None where it does."""
        packs = self.settings.mapping.pack_active_rows
        return "mapping.pack_active_rows=false" if packs else None

    def reader(
        self,
        layer: LayerRecord,
        numbers: StoredNumbers,
        mapping: MatrixMapping,
        adc: Adc,
        inputs: InputCoding,
    ) -> Reader:
        """Return one conv group's matrix as it is read."""
        assert isinstance(mapping, CompressedMap)
        return PackedMatrix(
            self.encoded(numbers, self.geometry.rows),
            self.geometry,
            adc,
            inputs,
            mapping.rows.segments,
            pack_active_rows=self.settings.mapping.pack_active_rows,
        )


ENTRY = MachineEntry(
    name="sre",
    settings=SreSettings,
    make=Sre,
    prices="sre",
    wing="bitpim.crossbar",
)
