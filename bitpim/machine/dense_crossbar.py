"""Dense crossbars: weight matrices read operation unit by operation unit, nothing left out.

What the paper says
    The "traditional mapping" that pattern pruning is compared with (Yu et al. 2020): each filter is
    unrolled to a column of channel x height x width rows; a weight takes neighbouring columns of
    a few bits each; one cycle opens an operation unit (OU) of 9 wordlines by 8 bitlines (Chen et
    al., ISSCC 2018) for one bit of the inputs.
What is emulated
    Every OU read: the partial sum of each bitline, what the ADC makes of it, shift-and-add over
    input slices and bit-slices, the digital corrections of the encoding and of zero points.
    Reads whose inputs are all zero can be left out (`mapping.zero_skip`).
What is left out
    Everything analogue: device variation, wire resistance, noise. Pooling, residual additions and
    activations run in exact integer logic beside the arrays; of these only buffer accesses are
    counted. Time: layers follow each other, crossbars of a layer work side by side.
How it is verified
    `tests/bitpim/machine/test_dense_crossbar.py`: with a lossless ADC both fidelities equal the
    referee; with a lossy one the machine equals a naive model of the same ADC, OU by OU.
Known differences and assumptions
    The sums of inputs that corrections need are made digitally and cost no event (ISAAC uses a unit
    column). A conv group lies on crossbars of its own. Each code crosses the buffer once a layer.
    Sums are kept exactly until the layer's declared accumulator, which raises or saturates
    (`numbers.overflow`). `mapping.row_blocks` decides where OUs start.
"""

from bitpim.config import MachineEntry
from bitpim.crossbar.dense_layout import DenseLayout
from bitpim.crossbar.settings import CrossbarMappingSettings, CrossbarSettings
from bitpim.machine.crossbar_machine import CrossbarMachine

__all__ = ["ENTRY", "DenseCrossbarSettings", "make"]


class DenseCrossbarSettings(CrossbarSettings):
    """Settings of the machine `dense_crossbar`."""

    mapping: CrossbarMappingSettings


def make(settings: DenseCrossbarSettings) -> CrossbarMachine:
    """Return the machine that settings describe."""
    mapping = settings.mapping
    layout = DenseLayout(row_blocks=mapping.row_blocks, zero_skip=mapping.zero_skip)
    return CrossbarMachine(settings, layout)


ENTRY = MachineEntry(
    name="dense_crossbar",
    settings=DenseCrossbarSettings,
    make=make,
    prices="yu2020",
    wing="bitpim.crossbar",
)
