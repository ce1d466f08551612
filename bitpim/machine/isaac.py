"""ISAAC: whole crossbars read at once, weights offset and columns flipped to save an ADC bit.

What the paper says
    Shafiee et al., ISCA 2016: crossbars of 128 x 128 cells of 2 bits; a 16-bit weight lies in 8
    neighbouring columns, 2^15 added; 16-bit inputs are driven bit by bit in 16 cycles of 100 ns;
    one 8-bit ADC reads a crossbar's 128 columns within a cycle. A column that could exceed 8 bits
    is stored complemented. 16,128 crossbars on 85.4 mm2 at 65.8 W.
What is emulated
    What `dense_crossbar` emulates, on whole arrays, with column flips by crossbar and column. Where
    `schedule.replication` says so, copies of a layer's crossbars share its positions: balanced, a
    layer with k times the positions of the last one has k times its copies, as far as the chip has
    crossbars. With `schedule.pipeline` layers work at the same time, each on a sample of its own.
    Both are off by default: layers have one copy and follow each other.
What is left out
    The order of rows within the pipeline, and the eDRAM that it needs: a stage hands whole samples
    on. The area and power of the chip are not used for time or energy; a network that needs more
    crossbars than the chip has is refused.
How it is verified
    `tests/bitpim/machine/test_isaac.py`: lossless at 8 bits on random networks and equal to the
    referee at both fidelities; `tests/bitpim/machine/test_schedules.py`: copies and pipeline
    against a naive machine, and nothing changed where they are off; peak rate against the paper's
    in `bench/reproduce`.
Known differences and assumptions
    Sums of inputs, which offset and flip corrections need, are made digitally; the paper has a unit
    column. Signed inputs are two's complement with a negative slice. Which layers are copied how
    often is not published for every network: `schedule.copies` takes a list by layer.
"""

from typing import Annotated

from pydantic import Field

from bitpim.config import Count, MachineEntry, Part
from bitpim.crossbar.dense_layout import DenseLayout
from bitpim.crossbar.plan import CrossbarPlan
from bitpim.crossbar.schedule import Scheduled
from bitpim.crossbar.settings import CrossbarMappingSettings, CrossbarSettings
from bitpim.errors import MappingError
from bitpim.machine.crossbar_machine import CrossbarMachine
from bitpim_traces.records import Trace

__all__ = ["ENTRY", "ChipSettings", "IsaacSettings", "make"]

Figure = Annotated[float, Field(gt=0, le=1_000_000)]


class ChipSettings(Part):
    """The whole chip; results are per crossbar, these figures are for comparison."""

    tiles: Count = Field(description="tiles of the chip")
    imas_per_tile: Count = Field(description="in-situ multiply-accumulate units of one tile")
    crossbars_per_ima: Count = Field(description="crossbars of one such unit")
    area_mm2: Figure = Field(description="area of the chip")
    power_w: Figure = Field(description="power of the chip")

    @property
    def n_crossbars(self) -> int:
        """Crossbars of the chip."""
        return self.tiles * self.imas_per_tile * self.crossbars_per_ima


class IsaacSettings(Scheduled, CrossbarSettings):
    """Settings of the machine `isaac`."""

    mapping: CrossbarMappingSettings
    chip: ChipSettings


def make(settings: IsaacSettings) -> CrossbarMachine:
    """Return the machine that settings describe; it refuses what its chip does not hold."""
    mapping, n_crossbars = settings.mapping, settings.chip.n_crossbars

    def check(trace: Trace, plan: CrossbarPlan) -> None:
        if plan.n_crossbars > n_crossbars:
            n_tiles = -(-plan.n_crossbars // (n_crossbars // settings.chip.tiles))
            raise MappingError(
                f"isaac: need at most {n_crossbars} crossbars, what the chip has, got "
                f"{plan.n_crossbars} for {trace.name!r}; use `--set chip.tiles={n_tiles}`"
            )

    layout = DenseLayout(row_blocks=mapping.row_blocks, zero_skip=mapping.zero_skip)
    return CrossbarMachine(settings, layout, check, room=lambda plan: n_crossbars)


ENTRY = MachineEntry(
    name="isaac",
    settings=IsaacSettings,
    make=make,
    prices="isaac",
    wing="bitpim.crossbar",
)
