"""What neurons that are recorded have in common: the array of one, and what its wires carry."""

from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from bitpim.digital.windows import window_of
from bitpim.lookup.rna_mapping import RnaRule
from bitpim.lookup.stepped_rna import SteppedRna
from bitpim.recorded import Recording
from bitpim_kernels.windows import gather_rows
from bitpim_traces.records import LayerRecord

__all__ = [
    "Codes",
    "Ints",
    "Neuron",
    "Place",
    "constants_with",
    "elements_seen",
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

    def run(
        self, recording: Recording, array: SteppedRna, place: Place, images: list[Codes]
    ) -> int:
        """Take all steps of the neuron at a place of the output; return what it comes to.

        Shapes
        ------
        images: (1, height, width, channels) each, the inputs of the layer
        """
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


def elements_seen(layer: LayerRecord, place: Place, image: Codes) -> Ints:
    """Return the codes that the window of a pooling sees: beside the image there are none."""
    geometry, channel, position = layer.geometry, place[0], position_of(layer, place)
    assert geometry is not None
    window = window_of(geometry, layer.input_shapes[0])
    inside = np.ones((1, *image.shape[1:3], 1), np.uint8)
    seen, codes = (np.empty((1, window.n_taps), part.dtype) for part in (inside, image))
    gather_rows(inside, (0, 1), window, 0, position, seen)
    gather_rows(image, (channel, channel + 1), window, 0, position, codes)
    return np.asarray(codes[0][seen[0] == 1], np.int64)
