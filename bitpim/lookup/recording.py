"""Layers of an RNA machine recorded: a tile is one neuron, from the codes it gets to its code."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from bitpim.errors import ConfigError, LayoutError
from bitpim.lookup.coded_neurons import LargestNeuron, TableNeuron
from bitpim.lookup.neurons import Codes, Ints, Neuron
from bitpim.lookup.rna_mapping import RnaRule
from bitpim.lookup.rna_plan import RnaLayerPlan
from bitpim.lookup.stepped_rna import SteppedRna
from bitpim.lookup.summed_neurons import SummedNeuron
from bitpim.recorded import RecordedTile, Recording, TileName, TileNames, need_tile
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["RnaRecorder"]

_AXES: Final = {3: ("channel", "y", "x"), 1: ("output",)}


class RnaRecorder:
    """A layer on RNAs, neuron by neuron.

    Tiles are the elements of the output in their order, the last axis first. What a neuron without
    products computes is its code.

    Raises
    ------
    ConfigError
        The layer only moves codes.
    """

    def __init__(
        self,
        layer: LayerRecord,
        quantizations: Sequence[Quantization],
        plan: RnaLayerPlan,
        rule: RnaRule,
    ) -> None:
        self._where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
        self._layer = layer
        self._dtypes = [code_dtype(quantization) for quantization in quantizations]
        self._neuron = self._made(quantizations, plan, rule)

    def _made(
        self, quantizations: Sequence[Quantization], plan: RnaLayerPlan, rule: RnaRule
    ) -> Neuron:
        if plan.rule == "search":
            return LargestNeuron(self._layer, quantizations[0], plan, rule)
        if plan.rule == "table":
            return TableNeuron(self._layer, plan, rule)
        if self._layer.product_table is None:
            raise ConfigError(
                f"{self._where}: nothing happens in an array there, codes only move or are "
                "clipped on their way; record a layer that arrays compute"
            )
        return SummedNeuron(self._layer, plan, rule)

    def tiles(self) -> Sequence[TileName]:
        """Return the names of all tiles of one sample, made as they are asked for."""
        return TileNames(int(np.prod(self._layer.output_shape)), self._name)

    def _name(self, tile: int) -> TileName:
        place = _place(tile, self._layer.output_shape)
        axes = _AXES.get(len(place), tuple(f"axis {k}" for k in range(len(place))))
        where = ", ".join(f"{axis} {k}" for axis, k in zip(axes, place, strict=True))
        return TileName(tile, f"neuron of {where}")

    def record(self, tile: int, inputs: Sequence[Codes], *, after: str = "end") -> RecordedTile:
        """Run one neuron for one sample literally, and write down all that happens.

        Raises
        ------
        ConfigError
            There is no such tile, or `after` is none of `recorded.AFTER`.
        LayoutError
            The inputs are not those of one sample of the layer.
        """
        names = self.tiles()
        need_tile(self._where, tile, len(names))
        place = _place(tile, self._layer.output_shape)
        given, elements = self._checked(inputs), self._neuron.elements(place)
        codes = np.where(elements < 0, self._layer.pad_code, given[np.maximum(elements, 0)])
        array = SteppedRna(self._neuron.parameters, self._neuron.constants)
        recording = Recording(array, array.made_of, array.made_with, after=after)
        found = self._neuron.run(recording, array, place, codes)
        return RecordedTile(
            recording.finish(names[tile].told),
            np.array([found], np.int64),
            np.array([(0, *place)], np.int64),
            is_whole=True,
            seen=np.unique(elements[elements >= 0]),
        )

    def _checked(self, inputs: Sequence[Codes]) -> Ints:
        """Return the codes of all inputs of one sample, one after the other."""
        need = [(1, *shape) for shape in self._layer.input_shapes]
        got = [codes.shape for codes in inputs]
        if got != need:
            raise LayoutError(f"{self._where}: need the inputs {need} of one sample, got {got}")
        flat = [c.astype(d).reshape(-1) for c, d in zip(inputs, self._dtypes, strict=True)]
        return np.concatenate(flat).astype(np.int64)


def _place(tile: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(at) for at in np.unravel_index(tile, shape))
