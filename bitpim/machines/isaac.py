"""ISAAC: whole crossbars read at once, weights offset and columns flipped to save an ADC bit.

What the paper says
    Shafiee et al., ISCA 2016: crossbars of 128 x 128 cells of 2 bits; a 16-bit weight lies in 8
    neighbouring columns, 2^15 added; 16-bit inputs are driven bit by bit in 16 cycles of 100 ns;
    one 8-bit ADC reads a crossbar's 128 columns within a cycle. A column that could exceed 8 bits
    is stored complemented. 16,128 crossbars on 85.4 mm2 at 65.8 W.
What is emulated
    What `dense_crossbar` emulates, on whole arrays, with column flips by crossbar and column.
What is left out
    The pipeline between layers and the replication of early layers: layers follow each other. The
    figures of the chip are not used for time or energy; a network that needs more crossbars than
    the chip has is refused.
How it is verified
    `tests/bitpim/machines/test_isaac.py`: lossless at 8 bits on random networks and equal to the
    referee at both fidelities; peak rate against the paper's in `bench/reproduce`.
Known differences and assumptions
    Sums of inputs, which offset and flip corrections need, are made digitally; the paper has a unit
    column. Signed inputs are two's complement with a negative slice.
"""

from bitpim.config.crossbar_models import IsaacSettings
from bitpim.errors import MappingError
from bitpim.machines.dense_crossbar import DenseCrossbar
from bitpim.mapping.crossbar_plan import CrossbarPlan
from bitpim_traces.records import Trace

__all__ = ["Isaac"]


class Isaac(DenseCrossbar):
    """The machine with its settings; plans and prepares networks."""

    name = "isaac"
    settings: IsaacSettings

    def plan(self, trace: Trace) -> CrossbarPlan:
        """Lay a network out.

        Raises
        ------
        MappingError
            A layer does not fit the crossbars, the network does not fit the chip, or codes are
            wider than the machine's numbers.
        """
        plan, chip = super().plan(trace), self.settings.chip
        if plan.n_crossbars > chip.n_crossbars:
            raise MappingError(
                f"isaac: need at most {chip.n_crossbars} crossbars, what the chip has, got "
                f"{plan.n_crossbars} for {trace.name!r}; set chip.tiles to use more chips"
            )
        return plan
