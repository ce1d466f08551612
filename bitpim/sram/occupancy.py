"""How much work fits in the arrays at once: passes over all arrays, and array passes in sum."""

from collections.abc import Sequence
from dataclasses import dataclass

from bitpim.errors import MappingError

__all__ = ["ArrayPool", "Occupancy"]


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Items spread over arrays.

    `passes` is how often the arrays are filled; `array_passes` how many arrays work, summed over
    the passes, and `arrays` how many in the fullest; `lanes` are the lanes the items occupy, and
    `utilization` their share of all.
    """

    passes: int
    array_passes: int
    arrays: int
    lanes: int
    utilization: float


@dataclass(frozen=True, slots=True)
class ArrayPool:
    """Equal arrays that compute in lock step, so many in each cache slice."""

    n_arrays: int
    n_columns: int
    n_cache_slices: int = 1

    @property
    def n_lanes(self) -> int:
        """Lanes of all arrays."""
        return self.n_arrays * self.n_columns

    def items_at_once(self, lanes_each: int, *, across: bool = False) -> int:
        """How many items of so many lanes fit; 0 where one needs more arrays than there are."""
        if across:
            return self.n_lanes // lanes_each
        per_array = self.n_columns // lanes_each
        return per_array * self.n_arrays or self.n_arrays // -(-lanes_each // self.n_columns)

    def spread(self, where: str, n_items: int, lanes_each: int) -> Occupancy:
        """Place items of so many neighbouring lanes each; an item may span whole arrays.

        Raises
        ------
        MappingError
            One item needs more arrays than there are.
        """
        each = -(-lanes_each // self.n_columns)
        if lanes_each <= self.n_columns:
            array_passes = -(-n_items // (self.n_columns // lanes_each))
            at_once = self.n_arrays
        else:
            array_passes = n_items * each
            at_once = self.n_arrays // each * each
        if at_once == 0:
            n_slices = -(-each // (self.n_arrays // self.n_cache_slices))
            raise MappingError(
                f"{where}: need {lanes_each} lanes for one dot product, got {self.n_lanes} in "
                f"{self.n_arrays} arrays; use `--set geometry.n_cache_slices={n_slices}`"
            )
        passes = -(-array_passes // at_once)
        return self._occupancy(
            passes, array_passes, min(array_passes, at_once), n_items * lanes_each
        )

    def spread_across(self, where: str, n_items: int, lanes_each: int) -> Occupancy:
        """Place items lane beside lane; one may begin in an array and end in the next.

        Raises
        ------
        MappingError
            One item needs more arrays than there are.
        """
        at_once = self.n_lanes // lanes_each
        if at_once == 0:
            return self.spread(where, n_items, lanes_each)  # says so
        full, rest = divmod(n_items, at_once)
        array_passes, fullest = 0, 0
        for times, items in ((full, at_once), (1, rest)):
            arrays = -(-items * lanes_each // self.n_columns) if times else 0
            array_passes, fullest = array_passes + times * arrays, max(fullest, arrays)
        return self._occupancy(full + (rest > 0), array_passes, fullest, n_items * lanes_each)

    def in_turn(self, places: Sequence[Occupancy]) -> Occupancy:
        """Join works that follow each other, each with passes of its own."""
        return self._occupancy(
            sum(place.passes for place in places),
            sum(place.array_passes for place in places),
            max((place.arrays for place in places), default=0),
            sum(place.lanes for place in places),
        )

    def _occupancy(self, passes: int, array_passes: int, arrays: int, lanes: int) -> Occupancy:
        utilization = lanes / max(passes * self.n_lanes, 1)
        return Occupancy(passes, array_passes, arrays, lanes, utilization)
