"""Pattern crossbars: kernels reordered by pattern, so that pruned weights take no cells.

What the paper says
    Yu et al. 2020 (kernel-reordering weight mapping on pattern pruning): conv kernels keep the
    weights of one of a few patterns, or none. For each input channel the kernels of one pattern
    lie side by side; the rows that the pattern drops are compressed away, all-zero kernels are not
    stored. Operation units open 9 x 8 cells of one such block. Inputs are gathered by pattern,
    reads of zero inputs are skipped, and sums go to outputs by stored index.
What is emulated
    Every OU read of every block, on blocks placed shelf by shelf in crossbars; the gathering, the
    skipping, the scattered accumulation, the bits of index stored and read.
What is left out
    What `dense_crossbar` leaves out; time of gathering and scattering, which is thought hidden.
How it is verified
    `tests/bitpim/machine/test_pattern_crossbar.py`: with a lossless ADC both fidelities equal the
    referee for random masks; with a lossy one the machine equals a naive model block by block, and
    differs from `dense_crossbar` where their operation units differ.
Known differences and assumptions
    Placement, its padding to whole operation units (`mapping.pad_ou_columns`) and the index format
    are ours. Patterns are defined for 3 x 3 kernels; other conv layers follow
    `mapping.other_kernels`, linear layers are always dense. Crossbars are not shared by layers.
    Weights left out take no part in the offset's correction: each block has a sum of its inputs.
"""

from pydantic import Field

from bitpim.config import MachineEntry
from bitpim.crossbar.pattern_layout import OtherKernels, PatternLayout
from bitpim.crossbar.settings import CrossbarMappingSettings, CrossbarSettings
from bitpim.machine.crossbar_machine import CrossbarMachine

__all__ = ["ENTRY", "PatternCrossbarSettings", "PatternMappingSettings", "make"]


class PatternMappingSettings(CrossbarMappingSettings):
    """How pattern blocks are laid, and what happens to layers without patterns."""

    pad_ou_columns: bool = Field(
        description="pad the width of a pattern block to whole OUs: area, no conversions"
    )
    other_kernels: OtherKernels = Field(
        description="conv kernels other than 3 x 3 are laid as dense_crossbar does, or by their "
        "masks; linear layers are always dense"
    )


class PatternCrossbarSettings(CrossbarSettings):
    """Settings of the machine `pattern_crossbar`."""

    mapping: PatternMappingSettings


def make(settings: PatternCrossbarSettings) -> CrossbarMachine:
    """Return the machine that settings describe."""
    mapping = settings.mapping
    layout = PatternLayout(
        row_blocks=mapping.row_blocks,
        zero_skip=mapping.zero_skip,
        pad_ou_columns=mapping.pad_ou_columns,
        other_kernels=mapping.other_kernels,
    )
    return CrossbarMachine(settings, layout)


ENTRY = MachineEntry(
    name="pattern_crossbar",
    settings=PatternCrossbarSettings,
    make=make,
    prices="yu2020",
    wing="bitpim.crossbar",
)
