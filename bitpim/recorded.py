"""What an array executes, written down while it executes it: steps, port rows, states after steps.

A wing lays a tile of a layer on one array and drives it through a `Recording`; what comes of it is
a program trace that needs neither network nor machine to be run again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, overload

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError
from bitpim.stepped import N_NUMBERS, SteppedArray
from bitpim_traces.program_trace.records import Expected, ProgramTrace, RowField
from bitpim_traces.records import TensorRecord

__all__ = ["AFTER", "RecordedTile", "Recording", "TileName", "TileNames", "need_tile"]

Array = npt.NDArray[Any]

AFTER: Final = ("end", "marks", "every")
"""After which steps the state is kept: the last, the last before each mark too, or each."""

_NOTHING: Final = -1
_ROOM: Final = 2**31  # bytes that kept states may take


@dataclass(frozen=True, slots=True)
class TileName:
    """A tile of a layer: its number, and where it lies and what it computes, in words."""

    number: int
    told: str


class TileNames(Sequence[TileName]):
    """Names of tiles, made when they are asked for: there may be millions.

    Parameters
    ----------
    n_tiles : how many there are
    name : returns the name of one, by its number
    """

    def __init__(self, n_tiles: int, name: Callable[[int], TileName]) -> None:
        self._numbers, self._name = range(n_tiles), name

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> TileName: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TileName]: ...
    def __getitem__(self, index: int | slice) -> TileName | Sequence[TileName]:
        if isinstance(index, slice):
            return [self._name(number) for number in self._numbers[index]]
        return self._name(self._numbers[index])


def need_tile(where: str, tile: int, n_tiles: int) -> None:
    """Raise ConfigError unless a layer has the tile."""
    if not n_tiles:
        raise ConfigError(f"{where}: has no tile, nothing of it lies on arrays; record another")
    if not 0 <= tile < n_tiles:
        raise ConfigError(
            f"{where}: need one of {n_tiles} tiles, numbered from 0, got {tile}; "
            "`bitpim record --list` shows them"
        )


@dataclass(frozen=True, slots=True, eq=False)
class RecordedTile:
    """The program trace of a tile, and what its array computed of the layer.

    Attributes
    ----------
    program : steps, port and states
    sums : (n,) int64: what was computed, before it is corrected and becomes codes
    places : (n, axes) int64: sample and coordinate of the output that each is a sum, or part, of
    is_whole : whether each is the whole sum of its output, or the part that lies on this array
    seen : (n,) int64, rising: elements of the layer's inputs that the array takes, counted through
        all inputs of one sample, each in C order; padding is none
    """

    program: ProgramTrace
    sums: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    is_whole: bool
    seen: npt.NDArray[np.int64]


class Recording:
    """Drives an array and keeps all that happens to it.

    Parameters
    ----------
    array : the array, as it is before the first step; what it holds then is the initial state
    parameters, constants : what makes such an array
    after : one of `AFTER`
    """

    def __init__(
        self,
        array: SteppedArray,
        parameters: Mapping[str, int | str],
        constants: Mapping[str, Array] | None = None,
        *,
        after: str = "end",
    ) -> None:
        if after not in AFTER:
            raise ConfigError(f"states to keep: need one of {', '.join(AFTER)}, got {after!r}")
        self.array = array
        self._parameters, self._constants = dict(parameters), dict(constants or {})
        self._after = after
        self._initial = {form.name: array.view(form.name).copy() for form in array.states}
        self._steps: list[npt.NDArray[np.int32]] = []
        self._port: list[Array] = []
        self._n_port_rows = 0
        self._marks: list[tuple[int, str]] = []
        self._kept: dict[int, dict[str, Array]] = {}
        self.n_steps = 0

    def mark(self, text: str) -> None:
        """Say what begins with the next step."""
        if self._after == "marks":
            self._keep()
        self._marks.append((self.n_steps, text))

    def step(
        self,
        code: int,
        a: int = _NOTHING,
        b: int = _NOTHING,
        dst: int = _NOTHING,
        predicate: int = 0,
        *,
        port: npt.ArrayLike | None = None,
    ) -> Array | None:
        """Take one step; `port` is the row that it takes in. Return the row that it gives out."""
        table = np.array([(code, a, b, dst, predicate)], np.int32)
        rows = None if port is None else np.asarray(port)[None]
        out = self.steps(table, rows)
        return out[0] if len(out) else None

    def steps(self, table: npt.NDArray[np.int32], port: Array | None = None) -> Array:
        """Take many steps; `port` are the rows that those take in which take any.

        Return the rows of all of them that use the port, in their order.
        """
        if self._after == "every" and len(table) > 1:
            return self._one_by_one(table, port)
        table = np.array(table, np.int32).reshape(-1, N_NUMBERS)
        self.array.check(table, self.n_steps)
        rows = self._port_rows(table, port)
        self.array.check_port(rows, self._n_port_rows)
        out = self.array.run(table, rows)
        self._steps.append(table)
        if len(out):
            self._port.append(out)
            self._n_port_rows += len(out)
        self.n_steps += len(table)
        if self._after == "every":
            self._keep()
        return out

    def _one_by_one(self, table: npt.NDArray[np.int32], port: Array | None) -> Array:
        taken, found = 0, []
        for line in table:
            takes = self.array.forms[int(line[0])].port == "in"
            row = port[taken : taken + 1] if takes and port is not None else None
            taken += takes
            found.append(self.steps(line[None], row))
        return np.concatenate(found)

    def _port_rows(self, table: npt.NDArray[np.int32], port: Array | None) -> Array:
        form = self.array.port
        ways = [self.array.forms[code].port for code in table[:, 0].tolist()]
        ways = [way for way in ways if way != "none"]
        rows = np.zeros((len(ways), *form.shape), form.stored)
        inward = np.array([way == "in" for way in ways], np.bool_)
        if inward.any():
            if port is None or len(port) != inward.sum():
                got = 0 if port is None else len(port)
                raise ConfigError(f"need {inward.sum()} port rows that come in, got {got}")
            rows[inward] = port
        return rows

    def _keep(self) -> None:
        if not self.n_steps:
            return
        values = {f.name: self.array.view(f.name).copy() for f in self.array.states}
        n_bytes = sum(value.nbytes for value in values.values())
        if n_bytes * (len(self._kept) + 1) > _ROOM:
            raise ConfigError(
                f"states of {n_bytes} bytes: need fewer than {_ROOM // n_bytes} of them, got more; "
                "keep them after marks or at the end"
            )
        self._kept[self.n_steps - 1] = values

    def finish(
        self,
        name: str,
        fields: Sequence[RowField] = (),
        provenance: Mapping[str, Any] | None = None,
    ) -> ProgramTrace:
        """Return what was recorded, the state after the last step with it."""
        self._keep()
        after = sorted(self._kept)
        forms = self.array.states
        expected = {
            form.name: _tensor(np.stack([self._kept[step][form.name] for step in after]))
            for form in forms
            if after
        }
        steps = np.concatenate(self._steps) if self._steps else np.empty((0, N_NUMBERS), np.int32)
        return ProgramTrace(
            name=name,
            array=self.array.kind,
            parameters=self._parameters,
            steps=_tensor(steps),
            port=_tensor(np.concatenate(self._port)) if self._port else None,
            state={key: _tensor(value) for key, value in self._initial.items() if value.any()},
            constants={key: _tensor(value) for key, value in self._constants.items()},
            fields=tuple(fields),
            marks=tuple(self._marks),
            expected=Expected(np.array(after, np.int64), expected) if after else None,
            counts=self.array.counts.to_dict(),
            provenance=dict(provenance or {}),
        )


def _tensor(values: Array) -> TensorRecord:
    return TensorRecord.of(values, axes="", role="", units="1")
