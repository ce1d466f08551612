"""Neurons that add nothing, recorded: the largest of a window is searched for, a code looked up."""

import numpy as np

from bitpim.lookup import stepped_rna as rna
from bitpim.lookup.neurons import (
    Ints,
    Place,
    constants_with,
    elements_seen,
    parameters_with,
    wires,
)
from bitpim.lookup.rna_mapping import RnaRule
from bitpim.lookup.rna_plan import RnaLayerPlan
from bitpim.lookup.stepped_rna import SteppedRna
from bitpim.recorded import Recording
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["LargestNeuron", "TableNeuron"]


class LargestNeuron:
    """A neuron of a max pooling: its candidates are entered, and the largest is searched for."""

    def __init__(
        self, layer: LayerRecord, quantization: Quantization, plan: RnaLayerPlan, rule: RnaRule
    ) -> None:
        codebook = quantization.codebook
        assert codebook is not None and plan.values is not None
        self._layer = layer
        self.parameters = parameters_with(
            rule, plan.cost, value_bits=codebook.value_bits, n_candidates=plan.values.rows
        )
        self.constants = constants_with(values=codebook.values)

    def elements(self, place: Place) -> Ints:
        """Return the elements of the window at a place of the output."""
        return elements_seen(self._layer, place)

    def run(self, recording: Recording, array: SteppedRna, place: Place, codes: Ints) -> int:
        """Take all steps of the neuron, given the codes of its window; return its own."""
        recording.mark("find_largest")
        for code in codes.tolist():
            recording.step(rna.CANDIDATE, port=wires(array, code))
        recording.step(rna.SEEK_LARGEST)
        for number in range(array.n_stages(points=False)):
            recording.step(rna.STAGE_LARGEST, number)
        recording.step(rna.SETTLE_LARGEST)
        return _given(recording)


class TableNeuron:
    """A neuron of a function of codes: it reads a table, one for all or one a channel."""

    def __init__(self, layer: LayerRecord, plan: RnaLayerPlan, rule: RnaRule) -> None:
        assert layer.table is not None
        tables = np.atleast_2d(layer.table.read())
        self._layer, self._n_tables = layer, len(tables)
        self.parameters = parameters_with(rule, plan.cost)
        self.constants = constants_with(products=tables)

    def elements(self, place: Place) -> Ints:
        """Return the element at the place of the output."""
        return np.array([np.ravel_multi_index(place, self._layer.input_shapes[0])], np.int64)

    def run(self, recording: Recording, array: SteppedRna, place: Place, codes: Ints) -> int:
        """Take all steps of the neuron, given the code of its element; return its own."""
        recording.mark("look_up")
        table = place[0] if self._n_tables > 1 else 0
        recording.step(rna.LOOK_UP, table, port=wires(array, int(codes[0])))
        return _given(recording)


def _given(recording: Recording) -> int:
    """Let the neuron give out its code, and return it."""
    recording.mark("give")
    out = recording.step(rna.GIVE_CODE)
    assert out is not None
    return int(out[0])
