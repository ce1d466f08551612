"""The record of a program trace."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.open_file import OpenFile
from bitpim_traces.records import TensorRecord

__all__ = ["Expected", "LayerShare", "ProgramTrace", "RowField"]


@dataclass(frozen=True, slots=True)
class RowField:
    """Neighbouring rows that have a name: bit k of it lies in row `start` + k."""

    name: str
    start: int
    width: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What the array must hold after chosen steps.

    Attributes
    ----------
    after : (n,) int64, rising: numbers of steps
    state : by name, as the initial state, with an axis of the chosen steps before the others
    """

    after: npt.NDArray[np.int64]
    state: Mapping[str, TensorRecord]


@dataclass(frozen=True, slots=True)
class LayerShare:
    """What a tile takes of its layer's inputs, and computes of its outputs.

    Attributes
    ----------
    input_places : (n, axes) int32: which input, sample, coordinate
    inputs : (n,) the codes there
    output_places : (m, axes) int32: sample, coordinate
    sums : (m,) int64: what the tile computes of each
    outputs : (m,) what the layer makes there, of all its tiles together; None where it is not known
    """

    input_places: TensorRecord
    inputs: TensorRecord
    output_places: TensorRecord
    sums: TensorRecord
    outputs: TensorRecord | None = None


@dataclass(frozen=True, slots=True)
class ProgramTrace:
    """Steps of one array, and what it holds before, between and after.

    Attributes
    ----------
    name : of the program, or of the tile it was recorded from
    array : kind of the array, which knows what steps, parameters and states mean
    parameters : sizes and settings of the array
    steps : (n_steps, 5) int32: opcode, a, b, dst, predicate
    port : what steps take from outside and give to it, a row each in their order; None if none does
    state : what the array holds before, by name; what is missing is zero
    constants : tables that the array looks up and no step changes, by name
    fields : names of its rows
    marks : (step, text): what begins there
    expected : what it must hold after chosen steps; None where nothing is known
    layer : what a tile has of its layer; None where the program is no tile
    counts : events of the whole run; None where they are not known
    provenance : JSON object: who recorded it, from what
    digest : SHA-256 that names the content; "" before it is in a file
    """

    name: str
    array: str
    parameters: Mapping[str, int | str]
    steps: TensorRecord
    port: TensorRecord | None = None
    state: Mapping[str, TensorRecord] = field(default_factory=dict)
    constants: Mapping[str, TensorRecord] = field(default_factory=dict)
    fields: tuple[RowField, ...] = ()
    marks: tuple[tuple[int, str], ...] = ()
    expected: Expected | None = None
    layer: LayerShare | None = None
    counts: Mapping[str, int] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    file: OpenFile | None = field(default=None, compare=False, repr=False)

    @property
    def n_steps(self) -> int:
        """Steps of the whole program."""
        return self.steps.shape[0]
