"""Kinds of arrays that take steps, and the array that a program trace asks for."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.stepped import SteppedCrossbar
from bitpim.errors import ConfigError, LayoutError, OutOfMemoryError
from bitpim.lookup.stepped_cam import SteppedCam
from bitpim.lookup.stepped_nor import SteppedNor
from bitpim.lookup.stepped_rna import SteppedRna
from bitpim.sram.stepped import SteppedSubarray
from bitpim.stepped import StateForm, SteppedArray
from bitpim_traces.program_trace.records import ProgramTrace
from bitpim_traces.records import TensorRecord

__all__ = ["ARRAYS", "array_of", "need_form"]

ARRAYS: Final[Mapping[str, type[SteppedArray]]] = MappingProxyType(
    {
        made.kind: made
        for made in (SteppedSubarray, SteppedCrossbar, SteppedCam, SteppedRna, SteppedNor)
    }
)
"""Every kind of array, by the name that program traces have."""

_ROOM: Final = 2**33  # bytes that the states of an array may take


def array_of(program: ProgramTrace) -> SteppedArray:
    """Make the array that takes the steps of a program trace, in its initial state.

    Raises
    ------
    ConfigError
        The kind is unknown, or parameters or constants are missing, strange or out of range.
    LayoutError
        A state or the port has another form than the array's.
    OutOfMemoryError
        Its states would take more memory than any array may.
    """
    made = ARRAYS.get(program.array)
    if made is None:
        raise ConfigError(
            f"{program.name}: need an array of {', '.join(ARRAYS)}, got {program.array!r:.60}"
        )
    _need_parameters(made, program)
    constants = _constants(made, program)
    room = _room(program)
    if room > _ROOM:
        raise OutOfMemoryError(
            f"{program.name}: need states of at most {_ROOM} bytes, got {room}; take fewer columns"
        )
    array = made.of(program.parameters, constants)
    forms = {form.name: form for form in array.states}
    for name, tensor in program.state.items():
        if name not in forms:
            raise LayoutError(
                f"{program.name}: need states of {', '.join(forms)}, got {name!r:.60}"
            )
        need_form(forms[name], tensor.shape, tensor.dtype, f"{program.name}: state {name}")
        array.load(name, tensor.read())
    if program.port is not None:
        shape, dtype = program.port.shape[1:], program.port.dtype
        need_form(array.port, shape, dtype, f"{program.name}: rows of the port")
    if program.expected is not None:
        for name, tensor in program.expected.state.items():
            if name not in forms:
                raise LayoutError(
                    f"{program.name}: need expected states of {', '.join(forms)}, got {name!r:.60}"
                )
            where = f"{program.name}: expected state {name}"
            need_form(forms[name], tensor.shape[1:], tensor.dtype, where)
    return array


def need_form(form: StateForm, shape: tuple[int, ...], dtype: "np.dtype[Any]", where: str) -> None:
    """Raise LayoutError unless numbers have the form of a state."""
    if (shape, dtype) != (form.shape, form.stored):
        raise LayoutError(
            f"{where}: need {form.stored.name} of shape {form.shape}, got {dtype.name} of shape "
            f"{shape}"
        )


def _need_parameters(made: type[SteppedArray], program: ProgramTrace) -> None:
    needed = made.parameters
    if program.parameters.keys() != needed.keys():
        raise ConfigError(
            f"{program.name}: need the parameters {', '.join(needed)} of an array {made.kind}, got "
            f"{', '.join(program.parameters) or 'none'}"
        )
    for name, limits in needed.items():
        value = program.parameters[name]
        if value in limits:
            continue
        need = (
            f"{limits.start} to {limits.stop - 1}"
            if isinstance(limits, range)
            else " or ".join(limits)
        )
        raise ConfigError(f"{program.name}: parameter {name} needs {need}, got {value!r:.60}")


def _constants(made: type[SteppedArray], program: ProgramTrace) -> dict[str, npt.NDArray[Any]]:
    if program.constants.keys() != made.constants.keys():
        raise ConfigError(
            f"{program.name}: need the constants {', '.join(made.constants) or 'none'} of an array "
            f"{made.kind}, got {', '.join(program.constants) or 'none'}"
        )
    return {name: _constant(made, program, name) for name in made.constants}


def _constant(made: type[SteppedArray], program: ProgramTrace, name: str) -> npt.NDArray[Any]:
    tensor: TensorRecord = program.constants[name]
    if tensor.dtype != made.constants[name]:
        raise ConfigError(
            f"{program.name}: constant {name} needs {made.constants[name].name}, got "
            f"{tensor.dtype.name}"
        )
    return tensor.read()


def _room(program: ProgramTrace) -> int:
    """Return the bytes that rows of bits come to, by the parameters, before any is taken."""
    rows, columns, bits = (program.parameters.get(n, 1) for n in ("n_rows", "n_columns", "n_bits"))
    assert isinstance(rows, int) and isinstance(columns, int) and isinstance(bits, int)
    return rows * columns * bits // 8
