"""What neurons that are recorded have in common: the array of one, and what its wires carry."""

from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from bitpim.digital.windows import elements_met, window_of
from bitpim.lookup.rna_mapping import RnaRule
from bitpim.lookup.stepped_rna import SteppedRna
from bitpim.recorded import Recording
from bitpim_traces.records import LayerRecord

__all__ = [
    "Codes",
    "Ints",
    "Neuron",
    "Place",
    "constants_with",
    "elements_seen",
    "firsts_of",
    "parameters_with",
    "position_of",
    "wires",
]

Codes = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Place = tuple[int, ...]

_WIDE: Final = 62  # bits of a counter that no layer fills
_WHOLE: Final = (-(1 << 63), (1 << 63) - 1)


class Neuron(Protocol):
    """What the neurons of a layer are made of, and how one runs."""

    parameters: dict[str, int | str]
    constants: dict[str, Ints]

    def elements(self, place: Place) -> Ints:
        """Return which elements of all inputs the neuron at a place of the output takes, in turn.

        They are counted through all inputs of one sample, each in C order; -1 is padding.
        """
        ...

    def run(self, recording: Recording, array: SteppedRna, place: Place, codes: Ints) -> int:
        """Take all steps of the neuron, given the codes it takes; return what it comes to."""
        ...


def parameters_with(rule: RnaRule, cost: str, **own: int) -> dict[str, int | str]:
    """Return the parameters of an array; a neuron has its own in the place of the smallest."""
    digits, counter_bits, sum_bits = rule.sums
    return {
        "counter_bits": _WIDE if counter_bits is None else counter_bits,
        "digits": digits,
        "n_operands": 1,
        "sum_bits": sum_bits,
        "cost": cost,
        "match": rule.match.mode,
        "stage_bits": rule.match.stage_bits,
        "point_bits": sum_bits,
        "value_bits": sum_bits,
        "up": 0,
        "n_candidates": 0,
        **own,
    }


def constants_with(**own: npt.ArrayLike) -> dict[str, Ints]:
    """Return the constants of an array; a neuron has its own in the place of those of none."""
    made = {"products": [[0]], "points": np.empty((0, 2)), "values": [], "limits": _WHOLE, **own}
    return {name: np.ascontiguousarray(table, np.int64) for name, table in made.items()}


def wires(array: SteppedRna, number: int) -> Ints:
    """Return the row of the port that carries one number."""
    row = np.zeros(array.port.shape, np.int64)
    row[0] = number
    return row


def position_of(layer: LayerRecord, place: Place) -> int:
    """Return the number of a pixel of the output; 0 where it is no image."""
    shape = layer.output_shape
    return int(np.ravel_multi_index(place[1:], shape[1:])) if len(shape) == 3 else 0


def firsts_of(layer: LayerRecord) -> Ints:
    """Return the number of the first element of each input."""
    sizes = [int(np.prod(shape)) for shape in layer.input_shapes]
    return np.cumsum([0, *sizes[:-1]], dtype=np.int64)


def elements_seen(layer: LayerRecord, place: Place) -> Ints:
    """Return the elements that the window of a pooling sees: beside the image there are none."""
    geometry = layer.geometry
    assert geometry is not None
    window = window_of(geometry, layer.input_shapes[0])
    taps = np.arange(window.n_taps)
    met = elements_met(window, position_of(layer, place), np.full_like(taps, place[0]), taps)
    return met[met >= 0]
