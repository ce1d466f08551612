"""Tiles of layers of one lane an output element."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.digital.windows import elements_met, window_of
from bitpim.recorded import RecordedTile, TileName, need_tile
from bitpim.sram.elementwise_plan import LanePlan, LaneWork
from bitpim.sram.lane_codes import LaneCodes
from bitpim.sram.lane_operands import LaneOperands, lane_operands, multiplier_of
from bitpim.sram.literal_lanes import LanePhases, LiteralLanes
from bitpim.sram.passes import LanePlace, lane_places
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["LaneRecorder"]

Codes = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


class LaneRecorder:
    """A layer laid out by its plan, ready to be executed literally, one sample, tile by tile."""

    def __init__(
        self, layer: LayerRecord, quantizations: Sequence[Quantization], plan: LanePlan
    ) -> None:
        self._layer, self._plan = layer, plan
        self._lane_codes = [LaneCodes.of(one) for one in quantizations]

    @cached_property
    def _places(self) -> list[LanePlace]:
        sizes = [(work.n_outputs, 1) for work in self._plan.work]
        return list(lane_places(self._plan.pool, sizes, in_turn=True))

    def tiles(self) -> Sequence[TileName]:
        """All tiles of a sample, those of one program after those of another."""
        return [TileName(number, self._told(place)) for number, place in enumerate(self._places)]

    def _told(self, place: LanePlace) -> str:
        work = f" {place.work}" if len(self._plan.work) > 1 else ""
        first, last = place.items[0], place.items[-1]
        where = f"pass {place.number_of_pass}, array {place.array}"
        return f"{self._plan.phase}{work}, {where}: elements {first} to {last}"

    def record(self, tile: int, inputs: Sequence[Codes], *, after: str = "end") -> RecordedTile:
        """Execute a tile, step by step, and write down all that happens.

        Raises
        ------
        ConfigError
            There is no such tile.
        """
        need_tile(self._plan.where, tile, len(self._places))
        place = self._places[tile]
        work, settings = self._plan.work[place.work], self._plan.settings
        encoded = [one.encode(c) for one, c in zip(self._lane_codes, inputs, strict=True)]
        taken = lane_operands(self._layer, self._lane_codes, encoded, work)
        n_columns, items = self._plan.pool.n_columns, slice(place.items.start, place.items.stop)

        def columns(codes: Codes) -> npt.NDArray[np.int64]:
            out = np.zeros(n_columns, np.int64)
            out[: len(place.items)] = codes[items]
            return out

        named = {name: columns(codes) for name, codes in taken.named.items()}
        constants = multiplier_of(self._layer, work).items()
        named |= {name: np.full(n_columns, value, np.int64) for name, value in constants}
        phases = LanePhases("input_stream", self._plan.phase)
        literal = LiteralLanes(work.program, settings, n_columns, phases, {}, after=after)
        made = literal.run([columns(codes) for codes in taken.streamed], named)
        codes = made[: len(place.items)] - taken.offset
        places = self._outputs(taken)[items]
        seen = self._seen(work, places, items)
        return RecordedTile(literal.finish(self._told(place)), codes, places, True, seen)

    def _seen(self, work: LaneWork, places: Ints, items: slice) -> Ints:
        """Return the elements of all inputs that the lanes of some outputs take."""
        layer = self._layer
        if layer.geometry is not None:
            window = window_of(layer.geometry, layer.input_shapes[0])
            taps = np.arange(window.n_taps)
            met = [
                elements_met(window, y * window.cols + x, np.full_like(taps, channel), taps)
                for _, channel, y, x in places.tolist()
            ]
        else:
            taken = lane_operands(layer, self._lane_codes, _numbered(layer.input_shapes), work)
            met = [numbers[items] for numbers in taken.named.values()]
        found = np.unique(np.concatenate(met))
        return found[found >= 0]

    def _outputs(self, taken: LaneOperands) -> npt.NDArray[np.int64]:
        """Return the place in the output, sample first, of each lane of a work."""
        lane_of = np.full((1, *self._layer.output_shape), -1)
        taken.place(lane_of, np.arange(taken.n_lanes))
        at = np.argwhere(lane_of >= 0)
        places: npt.NDArray[np.int64] = at[np.argsort(lane_of[lane_of >= 0])]
        return places


def _numbered(shapes: Sequence[tuple[int, ...]]) -> list[Ints]:
    """Return inputs of one sample whose elements are their numbers, counted through all."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    numbers = np.split(np.arange(ends[-1]), ends[:-1])
    return [part.reshape(1, *shape) for part, shape in zip(numbers, shapes, strict=True)]
