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
    `tests/bitpim/machine/test_sre.py`: with a lossless ADC both fidelities equal the referee; with
    a lossy one the machine equals a naive model that packs row by row.
Known differences and assumptions
    The encoding must keep zero weights as zero cells, hence `numbers.encoding = "differential"`
    (assumed); the order of columns (`mapping.column_order`), how segments of rows share crossbars,
    and indices of clog2(rows) bits, read at every position, are ours.
"""

from pydantic import Field

from bitpim.config import MachineEntry, Part
from bitpim.crossbar.compressed_layout import ColumnOrder, CompressedLayout
from bitpim.crossbar.settings import CrossbarSettings
from bitpim.machine.crossbar_machine import CrossbarMachine

__all__ = ["ENTRY", "SreMappingSettings", "SreSettings", "make"]


class SreMappingSettings(Part):
    """What Sparse ReRAM Engine leaves out of a dense matrix."""

    drop_zero_rows: bool = Field(
        description="rows of zero cells in all columns of an OU are not stored, their inputs not "
        "driven"
    )
    pack_active_rows: bool = Field(
        description="open only rows whose input slice is not zero, as many as an OU has a read"
    )
    column_order: ColumnOrder = Field(
        description="neighbours in an OU: the bit-slices of one output, or one bit-slice of "
        "neighbouring outputs"
    )

    @classmethod
    def by_layer(cls) -> tuple[str, ...]:
        """Return all keys: every layer is laid out by itself."""
        return tuple(cls.model_fields)


class SreSettings(CrossbarSettings):
    """Settings of the machine `sre`."""

    mapping: SreMappingSettings


def make(settings: SreSettings) -> CrossbarMachine:
    """Return the machine that settings describe."""
    mapping = settings.mapping
    layout = CompressedLayout(
        drop_zero_rows=mapping.drop_zero_rows,
        pack_active_rows=mapping.pack_active_rows,
        column_order=mapping.column_order,
    )
    return CrossbarMachine(settings, layout)


ENTRY = MachineEntry(
    name="sre",
    settings=SreSettings,
    make=make,
    prices="sre",
    wing="bitpim.crossbar",
)
