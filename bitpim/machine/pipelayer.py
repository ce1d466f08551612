"""PipeLayer: spike trains in, integrate-and-fire counts out, on arrays that compute or hold codes.

What the paper says
    Song et al., HPCA 2017: inputs are trains of weighted spikes, one for each bit, so that no DAC
    is needed; each column's current is integrated and fires spikes that a counter counts, so that
    no ADC is. Arrays of 128 x 128 cells of 4 bits, a conv kernel down a bitline, a 16-bit weight as
    four groups of cells, weights of either sign in arrays of their own. Morphable subarrays compute
    or store, memory subarrays hold codes between layers. Each layer has G copies of its arrays, and
    layers work as a pipeline. 29.31 ns and 1.08 pJ a read spike, 50.88 ns and 3.91 nJ a write
    spike, 82.63 mm2, 1485 GOPS/s/mm2, 142.9 GOPS/s/W.
What is emulated
    Every step of every spike train, and every column's count in it, floor(integral / threshold),
    within `converter.counter_bits`; group sums shifted and added, positive less negative, then the
    activation. Spikes are those that the inputs have. Copies (`schedule.replication`: none, given
    by layer, or balanced within the arrays of the chip) share a layer's positions; with
    `schedule.pipeline` layers work at the same time, each on a sample of its own. Codes between
    layers are read from and written to cells.
What is left out
    Training. Time of writes, which lies behind reads; writing weights, which happens once: the plan
    tells the cells (`weight_writes`), no count has them. Area is not used for anything.
How it is verified
    `tests/bitpim/machine/test_pipelayer.py`: equal to the referee at both fidelities with wide
    counters, codes and counts equal to a naive machine with narrow ones, on layers of any shape;
    `tests/bitpim/machine/test_schedules.py`: copies and pipeline. Peak figures beside the paper's
    in `bench/reproduce`.
Known differences and assumptions
    A cycle is one step of a spike train: a position takes `steps` of them, its logical cycle, which
    the plan counts as `trains`. Counts are taken step by step and joined by shifting and adding; a
    circuit that integrates weighted spikes over a whole train gives the same where no counter
    overflows (`converter.counter_overflow`). A code takes one cell for each `memory.cell_bits` of
    its bits; in a pipeline two outputs of each layer are held. How many arrays the chip has is not
    known: `chip.morphable_arrays` is what the published peak takes.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from bitpim.config import Count, MachineEntry, Part
from bitpim.crossbar.accounts import Accounts
from bitpim.crossbar.plan import CrossbarPlan
from bitpim.crossbar.readout import CounterSettings
from bitpim.crossbar.schedule import Scheduled
from bitpim.crossbar.settings import CrossbarTimingSettings, ReadSettings, geometry_of
from bitpim.crossbar.spikes import SpikeLayout
from bitpim.crossbar.storage import in_memory_arrays
from bitpim.errors import MappingError
from bitpim.legend import Headline
from bitpim.machine.crossbar_machine import CrossbarMachine
from bitpim_traces.records import Trace

__all__ = ["ENTRY", "ArrayChipSettings", "PipeLayerSettings", "make"]

Figure = Annotated[float, Field(gt=0, le=1_000_000)]

HEADLINES = (
    Headline("spike reads", ("spike_read",)),
    Headline("spikes", ("spike",)),
    Headline("of all steps", ("spike",), ("spike", "spike_silent"), "share"),
    Headline("counts", ("if_count",)),
    Headline("cells written", ("reram_write",)),
)


class SpikeTimingSettings(CrossbarTimingSettings):
    """What one spike takes; a read takes one step of all its spike trains."""

    write_spike_ns: Figure = Field(
        description="one write spike, for comparison: writes lie behind reads"
    )


class MemorySettings(Part):
    """The cells that hold codes between layers."""

    cell_bits: Annotated[int, Field(ge=1, le=8)] = Field(description="bits one such cell holds")


class ArrayChipSettings(Part):
    """The arrays of the chip; all are of one size."""

    morphable_arrays: Count = Field(description="arrays that compute, or hold codes")
    memory_arrays: Count = Field(description="arrays that only hold codes")
    area_mm2: Figure = Field(description="area of the chip, for comparison")


class PipeLayerSettings(Scheduled, ReadSettings):
    """Settings of the machine `pipelayer`."""

    converter: CounterSettings
    timing: SpikeTimingSettings
    memory: MemorySettings
    chip: ArrayChipSettings

    @model_validator(mode="after")
    def _counters_count_up_and_hold_what_they_are_said_to(self) -> Self:
        if self.numbers.encoding == "differential_paired":
            raise ValueError(
                "numbers.encoding differential_paired needs counts below 0, which counters do not "
                "have; use `--set numbers.encoding=differential`"
            )
        refusal = self.converter.refusal(geometry_of(self))
        if refusal is not None:
            raise ValueError(refusal)
        return self


def make(settings: PipeLayerSettings) -> CrossbarMachine:
    """Return the machine that settings describe; it refuses what its chip does not hold."""
    sizes, chip = settings.geometry, settings.chip

    def holding_codes(plan: CrossbarPlan) -> int:
        """Return the morphable arrays that hold what memory arrays do not."""
        return max(0, plan.n_memory_arrays - chip.memory_arrays)

    def room(plan: CrossbarPlan) -> int:
        return max(0, chip.morphable_arrays - holding_codes(plan))

    def check(trace: Trace, plan: CrossbarPlan) -> None:
        need = plan.n_crossbars + holding_codes(plan)
        if need > chip.morphable_arrays:
            raise MappingError(
                f"pipelayer: need at most {chip.morphable_arrays} morphable arrays, what the chip "
                f"has, got {need} for {trace.name!r}, {plan.n_crossbars} that compute and "
                f"{holding_codes(plan)} that hold codes; use `--set chip.morphable_arrays={need}`"
            )

    accounts = Accounts(
        "spike_reads",
        "spike_read",
        HEADLINES,
        in_memory_arrays(
            settings.memory.cell_bits,
            sizes.array_rows * sizes.array_columns,
            twice=settings.schedule.pipeline,
        ),
        assumes="that spikes in every step",
        columns=("copies", "positions", "steps", "trains", "weight_writes", "memory_arrays"),
    )
    return CrossbarMachine(settings, SpikeLayout(), check, room=room, accounts=accounts)


ENTRY = MachineEntry(
    name="pipelayer",
    settings=PipeLayerSettings,
    make=make,
    prices="pipelayer",
    wing="bitpim.crossbar",
)
