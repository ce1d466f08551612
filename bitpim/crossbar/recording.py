"""Tiles of a layer on crossbars, read literally and written down.

A tile is one crossbar of one conv group at one output position: its cells are programmed, the
digits of each input slice driven, its operation units read one by one, their codes added up, and
the sums given out. What the digital side does comes after that: the sums of all crossbars of an
output are added, made whole levels once, and corrected. Outside are also what happens at a position
whatever its inputs (bits of indices, sums sent to outputs by number) and what holds codes between
layers; of that no array counts anything.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.contents import Contents, LeftOut, Patch
from bitpim.crossbar.encodings import Digit, StoredWeights
from bitpim.crossbar.input_slices import InputCoding
from bitpim.crossbar.layers import CrossbarLayer
from bitpim.crossbar.plan import WeightedPlan
from bitpim.crossbar.ragged import edges_of
from bitpim.crossbar.scaling import DigitalScale
from bitpim.crossbar.stepped import (
    CLEAR,
    DRIVE,
    OUTPUT,
    PROGRAM,
    READ,
    READ_PACKED,
    READ_UNLESS_ZERO,
    SHIFT_ADD,
    SHIFT_SUBTRACT,
    SteppedCrossbar,
)
from bitpim.crossbar.unit_lists import UnitLists
from bitpim.errors import LayoutError, MappingError
from bitpim.recorded import RecordedTile, Recording, TileName, TileNames, need_tile

__all__ = ["CrossbarRecorder", "CrossbarTile"]

Codes = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Steps = npt.NDArray[np.int32]

_WHERE = "recorder"


class CrossbarRecorder:
    """A convolution or linear layer on crossbars, to be recorded tile by tile.

    Tiles are numbered crossbar by crossbar, those of all conv groups, then position by position.

    Parameters
    ----------
    layer : made ready to run, as it is read fast
    plan : where it lies
    geometry, adc, inputs : sizes of crossbars, the converter that the layer is read by, and what
        is driven
    """

    def __init__(
        self,
        layer: CrossbarLayer,
        plan: WeightedPlan,
        geometry: CrossbarGeometry,
        adc: Adc,
        inputs: InputCoding,
    ) -> None:
        self._layer, self._plan = layer, plan
        self._geometry, self._adc, self._inputs = geometry, adc, inputs
        self._edges = edges_of(np.array([part.n_crossbars for part in plan.maps], np.int64))

    @property
    def _n_crossbars(self) -> int:
        return int(self._edges[-1])

    def tiles(self) -> Sequence[TileName]:
        """All tiles of the layer for one sample, in the order of their numbers."""
        return TileNames(self._n_crossbars * self._plan.n_positions, self.name)

    def name(self, tile: int) -> TileName:
        """Return the name of a tile."""
        group, crossbar, position = self._place(tile)
        at = self._position(position)
        where = f"position {position}" + (f" (y {at[0]}, x {at[1]})" if len(at) == 2 else "")
        copies = self._plan.n_copies
        copy = f", copy {position % copies} of {copies}" if copies > 1 else ""
        return TileName(tile, f"conv group {group}, crossbar {crossbar}{copy}, {where}")

    def record(self, tile: int, inputs: Sequence[Codes], *, after: str = "end") -> RecordedTile:
        """Read a crossbar literally at one position of a sample, and write down all that happens.

        Sums are of readings, before they are made levels and corrected.

        Raises
        ------
        ConfigError
            There is no such tile, or `after` is none of `recorded.AFTER`.
        LayoutError
            The inputs are not those of one sample of the layer.
        """
        shape = (1, *self._layer.layer.input_shapes[0])
        got = [codes.shape for codes in inputs]
        if got != [shape]:
            raise LayoutError(f"{_WHERE}: need the inputs {shape} of one sample, got {got}")
        return self.record_samples(tile, inputs[0], after=after)

    def record_samples(self, tile: int, codes: Codes, *, after: str = "end") -> RecordedTile:
        """Program a crossbar once and read it for one sample after the other; raises as `record`.

        Shapes
        ------
        codes: (n_samples, ...) as the layer's input
        """
        need_tile(f"layer {self._layer.layer.name!r}", tile, len(self.tiles()))
        group, crossbar, position = self._place(tile)
        stored = self._layer.matrices[group].stored
        contents = self._plan.maps[group].contents(crossbar)
        made = CrossbarTile(contents, stored, self._geometry, self._adc)
        recording = Recording(made.array, made.array.made_of, made.array.made_with, after=after)
        made.program(recording)
        sums, slices = [], self._inputs.digits(self._geometry.dac_bits)
        for sample in range(len(codes)):
            if len(codes) > 1:
                recording.mark(f"input vector {sample}")
            x = self._window(codes[sample : sample + 1], group, position, stored.n_rows)
            sums.append(made.read(recording, x, slices))
        program = recording.finish(
            self.name(tile).told, provenance={"levels_of_a_reading": str(self._step)}
        )
        at, channels = self._position(position), group * stored.n_outputs + made.outputs
        places = np.array(
            [(n, channel, *at) for n in range(len(codes)) for channel in channels.tolist()],
            np.int64,
        )
        is_whole = self._is_whole(group, crossbar, made.outputs)
        seen = self._seen(group, contents, position)
        return RecordedTile(program, np.concatenate(sums), places, is_whole, seen)

    def products(self, codes: Codes, recorded: RecordedTile) -> Ints:
        """Return weights times inputs, as the digital side makes them of recorded sums.

        Shapes
        ------
        codes: (n_samples, rows) inputs of a linear layer that lies on one crossbar
        products: (n_samples, n_outputs)

        Raises
        ------
        MappingError
            It lies on several.
        AccumulatorError
            A sum leaves 64 bits when it is scaled.
        """
        self.need_one_crossbar()
        stored = self._layer.matrices[0].stored
        found = np.zeros((len(codes), stored.n_outputs), np.int64)
        found[tuple(recorded.places.T)] = recorded.sums
        reach = int(np.abs(found).max(initial=0))
        DigitalScale(_WHERE, self._step, reach).apply(found)
        digital = stored.digital
        return found if digital is None else found + codes.astype(np.int64) @ digital

    def need_one_crossbar(self) -> None:
        """Raise MappingError unless all weights lie on one crossbar, with one position."""
        if len(self.tiles()) != 1:
            raise MappingError(
                f"{_WHERE}: need weights that lie on one crossbar, got {len(self.tiles())}; use "
                "another size, by `--set geometry.array_rows` and `--set geometry.array_columns`"
            )

    @property
    def _step(self) -> Fraction:
        """Levels that a reading of 1 counts for."""
        least = -self._geometry.largest_sum if self._layer.matrices[0].stored.paired else 0
        return self._adc.step(least, self._geometry.largest_sum)

    def _place(self, tile: int) -> tuple[int, int, int]:
        """Return conv group, crossbar within it, and position of a tile."""
        position, crossbar = divmod(tile, self._n_crossbars)
        group = int(np.searchsorted(self._edges, crossbar, "right")) - 1
        return group, crossbar - int(self._edges[group]), position

    def _position(self, position: int) -> tuple[int, ...]:
        shape = self._layer.layer.output_shape[1:]
        return tuple(int(at) for at in np.unravel_index(position, shape)) if shape else ()

    def _window(self, codes: Codes, group: int, position: int, n_rows: int) -> Ints:
        row = self._layer.window(codes, group, position)
        x: Ints = self._inputs.checked(_WHERE, row[None], n_rows, 1)[0].astype(np.int64)
        return x

    def _seen(self, group: int, contents: Contents, position: int) -> Ints:
        """Return the elements of the input that wordlines of a crossbar take."""
        rows = np.concatenate([patch.rows for patch in contents.patches])
        met = np.unique(self._layer.elements(group, position)[rows])
        return met[met >= 0]

    def _is_whole(self, group: int, crossbar: int, outputs: Ints) -> bool:
        """Tell whether no other crossbar of the conv group holds cells of these outputs."""
        mapping, n_outputs = self._plan.maps[group], self._layer.matrices[group].stored.n_outputs
        others = (k for k in range(mapping.n_crossbars) if k != crossbar)
        return not any(
            np.isin(outputs, _outputs(mapping.contents(k), n_outputs)).any() for k in others
        )


class CrossbarTile:
    """What lies on one crossbar, on an array that can be read step by step.

    Parameters
    ----------
    contents : what lies there
    stored : the weights of the matrix as cells
    geometry, adc : sizes and converter

    Attributes
    ----------
    array : the array, nothing programmed
    outputs : (n_sums,) the outputs of the matrix that its sums are parts of
    """

    def __init__(
        self, contents: Contents, stored: StoredWeights, geometry: CrossbarGeometry, adc: Adc
    ) -> None:
        self._contents, self._stored, self._geometry = contents, stored, geometry
        self.outputs = _outputs(contents, stored.n_outputs)
        least_sum = -geometry.largest_sum if stored.paired else 0
        self.array = SteppedCrossbar(
            geometry,
            self._lists(),
            adc.table(least_sum, geometry.largest_sum).astype(np.int64),
            n_sums=len(self.outputs),
            paired=stored.paired,
            converter=adc.width,
            counted_as=contents.counted_as,
        )

    def program(self, recording: Recording) -> None:
        """Program the cells of the array."""
        recording.mark("program the cells")
        recording.steps(*self._programming())

    def read(self, recording: Recording, x: Ints, slices: Sequence[Digit]) -> Ints:
        """Read all units of a programmed array for an input vector; return the sums given out.

        Shapes
        ------
        x: (rows of the matrix,) codes
        """
        recording.mark("clear the sums")
        recording.step(CLEAR)
        for number, digit in enumerate(slices):
            top = digit.low + digit.width - 1
            bits = f"bit {top}" if digit.width == 1 else f"bits {digit.low} to {top}"
            recording.mark(f"input slice {number}: {bits}")
            recording.steps(*self._slice(x, digit))
        recording.mark("give the sums out")
        n, width = len(self.outputs), self.array.port.sizes[0]
        steps = [(OUTPUT, at, min(width, n - at), -1, 0) for at in range(0, n, width)]
        return recording.steps(np.array(steps, np.int32)).ravel()[:n]

    def _lists(self) -> UnitLists:
        """Return the lists of all units, patch after patch."""
        patches, stored = self._contents.patches, self._stored
        cells = np.concatenate([patch.columns for patch in patches])
        return UnitLists(
            edges_of(np.concatenate([patch.heights for patch in patches])),
            np.concatenate([patch.row + np.arange(len(patch.rows)) for patch in patches]),
            edges_of(np.concatenate([patch.widths for patch in patches])),
            np.concatenate([patch.column + np.arange(len(patch.columns)) for patch in patches]),
            np.searchsorted(self.outputs, cells % stored.n_outputs),
            np.concatenate(
                [stored.factors[self._group(patch), patch.columns] for patch in patches]
            ),
        )

    def _group(self, patch: Patch) -> int:
        """Return the group of a patch's rows, whose factors join its columns."""
        return int(np.searchsorted(self._stored.row_edges, patch.rows[0], "right")) - 1

    def _programming(self) -> tuple[Steps, Ints]:
        """Return the steps that program all rows with cells, and their port rows."""
        g = self._geometry
        cells = np.zeros((g.rows, self.array.port.sizes[0]), np.int64)
        used = np.zeros(g.rows, np.bool_)
        for patch in self._contents.patches:
            down = slice(patch.row, patch.row + len(patch.rows))
            across = slice(patch.column, patch.column + len(patch.columns))
            cells[down, across] = self._stored.columns(patch.columns, patch.rows).T
            used[down] = True
        rows = np.flatnonzero(used)
        steps = np.full((len(rows), 5), -1, np.int32)
        steps[:, 0], steps[:, 3], steps[:, 4] = PROGRAM, rows, 0
        return steps, cells[rows]

    def _slice(self, x: Ints, digit: Digit) -> tuple[Steps, Ints]:
        """Return the steps that read all units for one input slice, and their port rows.

        Patches are driven one after the other, since they may share wordlines.
        """
        shifted = SHIFT_ADD if digit.factor > 0 else SHIFT_SUBTRACT
        patches = self._contents.patches
        steps: list[tuple[int, ...]] = []
        port = np.zeros((len(patches), self.array.port.sizes[0]), np.int64)
        first_row = first_column = 0
        for driven, patch in zip(port, patches, strict=True):
            inputs = x[patch.rows]
            driven[patch.row : patch.row + len(inputs)] = digit.of(inputs)
            steps.append((DRIVE, -1, -1, -1, 0))
            for row_list, (read, n_parts) in enumerate(self._reads(patch, inputs), first_row):
                for column_list in range(first_column, first_column + len(patch.widths)):
                    for part in range(n_parts):
                        dst = part if read == READ_PACKED else -1
                        steps.append((read, row_list, column_list, dst, 0))
                        steps.append((shifted, digit.low, column_list, -1, 0))
            first_row += len(patch.heights)
            first_column += len(patch.widths)
        return np.array(steps, np.int32), port

    def _reads(self, patch: Patch, inputs: Ints) -> list[tuple[int, int]]:
        """Return for each unit down a patch how it is read, and in how many parts."""
        how: LeftOut = self._contents.left_out
        if how == "packed":
            parts = -(-patch.heights // self._geometry.unit_rows)
            return [(READ_PACKED, n_parts) for n_parts in parts.tolist()]
        if how == "vector":
            idle = [not part.any() for part in np.split(inputs, np.cumsum(patch.heights)[:-1])]
        else:
            idle = [how == "bit_plane"] * len(patch.heights)
        return [(READ_UNLESS_ZERO if skips else READ, 1) for skips in idle]


def _outputs(contents: Contents, n_outputs: int) -> Ints:
    """Return the outputs that a crossbar holds cells of, rising."""
    columns = np.concatenate([patch.columns for patch in contents.patches])
    return np.unique(columns % n_outputs).astype(np.int64)
