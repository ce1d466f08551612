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
    `tests/bitpim/machines/test_pattern_crossbar.py`: with a lossless ADC both fidelities equal the
    referee for random masks; with a lossy one the machine equals a naive model block by block, and
    differs from `dense_crossbar` where their operation units differ.
Known differences and assumptions
    Placement, its padding to whole operation units (`mapping.pad_ou_columns`) and the index format
    are ours. Patterns are defined for 3 x 3 kernels; other conv layers follow
    `mapping.other_kernels`, linear layers are always dense. Crossbars are not shared by layers.
    Weights left out take no part in the offset's correction: each block has a sum of its inputs.
"""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from bitpim.config import MachineEntry
from bitpim.crossbar.adc import Adc
from bitpim.crossbar.layers import Reader, StoredNumbers
from bitpim.crossbar.masks import layer_masks
from bitpim.crossbar.matrix_maps import PatternMap
from bitpim.crossbar.pattern_blocks import group_by_pattern, lay_patterns
from bitpim.crossbar.patterned import PatternMatrix
from bitpim.crossbar.plan import MatrixMapping
from bitpim.crossbar.readout import InputCoding
from bitpim.crossbar.settings import CrossbarMappingSettings, CrossbarSettings
from bitpim.machines.dense_crossbar import DenseCrossbar
from bitpim_traces.records import LayerRecord

__all__ = ["ENTRY", "PatternCrossbar", "PatternCrossbarSettings", "PatternMappingSettings"]

PATTERN_KERNEL = (3, 3)


class PatternMappingSettings(CrossbarMappingSettings):
    """How pattern blocks are laid, and what happens to layers without patterns."""

    pad_ou_columns: bool = Field(
        description="pad the width of a pattern block to whole OUs: area, no conversions"
    )
    other_kernels: Literal["dense", "patterns"] = Field(
        description="conv kernels other than 3 x 3 are laid as dense_crossbar does, or by their "
        "masks; linear layers are always dense"
    )


class PatternCrossbarSettings(CrossbarSettings):
    """Settings of the machine `pattern_crossbar`."""

    mapping: PatternMappingSettings


class PatternCrossbar(DenseCrossbar):
    """The machine with its settings; plans and prepares networks."""

    name = "pattern_crossbar"
    keeps_columns_whole = False
    settings: Any

    def map_layer(self, layer: LayerRecord) -> tuple[str, tuple[MatrixMapping, ...]]:
        """Return the rule's name, and the pattern blocks of each conv group or a dense layout.

        Raises
        ------
        TraceDataError
            The mask disagrees with the weights, or the pattern set does not cover a kernel.
        """
        if not self._has_patterns(layer):
            return super().map_layer(layer)
        masks, geometry = layer_masks(layer), layer.geometry
        assert geometry is not None
        groups = np.split(masks.codes, geometry.groups)
        columns, pad = self.columns_per_weight(layer), self.settings.mapping.pad_ou_columns
        maps = []
        for codes in groups:
            blocks = group_by_pattern(codes, masks.n_positions, len(masks.patterns))
            layout = lay_patterns(blocks, columns, self.geometry, pad_ou_columns=pad)
            maps.append(PatternMap(layout, columns))
        return "patterns", tuple(maps)

    def reader(
        self,
        layer: LayerRecord,
        numbers: StoredNumbers,
        mapping: MatrixMapping,
        adc: Adc,
        inputs: InputCoding,
    ) -> Reader:
        """Return one conv group's matrix as it is read."""
        if not isinstance(mapping, PatternMap):
            return super().reader(layer, numbers, mapping, adc, inputs)
        blocks = mapping.layout.as_read()
        stored = self.encoded(numbers, self.geometry.rows, blocks.kept)
        skip = self.settings.mapping.zero_skip
        pieces = mapping.pieces
        return PatternMatrix(stored, self.geometry, adc, inputs, blocks, pieces, skip=skip)

    def _has_patterns(self, layer: LayerRecord) -> bool:
        if layer.geometry is None:
            return False
        other = self.settings.mapping.other_kernels
        return layer.geometry.kernel == PATTERN_KERNEL or other == "patterns"


ENTRY = MachineEntry(
    name="pattern_crossbar",
    settings=PatternCrossbarSettings,
    make=PatternCrossbar,
    prices="yu2020",
    wing="bitpim.crossbar",
)
