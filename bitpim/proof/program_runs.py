"""NOR programs run in many lanes, block by block, and held against a function.

The program runs on the array, the function in plain NumPy; they share the names of the ports and
nothing else.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitpim.errors import MismatchError, ProgramError
from bitpim.lookup.nor_array import NorArray
from bitpim.programs.nor_files import NorFile
from bitpim.proof.lane_inputs import LaneInputs, need_room, unpacked_bits
from bitpim.proof.netlist import Netlist, is_netlist, read_netlist
from bitpim.proof.word_functions import Functions, read_functions
from bitpim_traces.open_file import read_whole

__all__ = [
    "Checked",
    "Outputs",
    "WrongOutput",
    "check_program",
    "read_reference",
    "run_program",
]

Words = npt.NDArray[np.uint64]
Progress = Callable[[int, int], None]

BLOCK_LANES = 2**18
"""Lanes that a program runs in at once; what is kept beyond a block is packed."""
CHECKED_LANES = 2**14
"""Lanes that are compared at once, in which a reference holds a byte for each net and lane."""
_BLOCK_BITS = 2**29
_REFERENCE_BYTES = 2**24


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """The outputs of a program in all lanes, packed, (n_outputs, words) uint64."""

    rows: Words
    n_lanes: int

    @property
    def crc32(self) -> int:
        """CRC-32 of the outputs one after the other, a bit a lane, lane 0 lowest in its byte."""
        n_bytes = -(-self.n_lanes // 8)
        crc = 0
        for row in self.rows:
            crc = zlib.crc32(row.astype("<u8").tobytes()[:n_bytes], crc)
        return crc

    def bits(self, start: int = 0, stop: int | None = None) -> npt.NDArray[np.bool_]:
        """Return the outputs of some lanes, (n_outputs, lanes) bool; `start` a multiple of 64."""
        stop = self.n_lanes if stop is None else min(stop, self.n_lanes)
        return unpacked_bits(self.rows[:, start // 64 : -(-stop // 64)], stop - start)


@dataclass(frozen=True, slots=True)
class WrongOutput:
    """An output that differs from the function.

    Attributes
    ----------
    name, cell : the output
    n_lanes : in how many lanes it is wrong
    lane : the first of them
    inputs : what that lane was given, by name
    got, expected : what the program and the function say there
    """

    name: str
    cell: int
    n_lanes: int
    lane: int
    inputs: dict[str, int]
    got: int
    expected: int


@dataclass(frozen=True, slots=True)
class Checked:
    """A program held against a function."""

    file: str
    against: str
    n_outputs: int
    n_lanes: int
    said: str
    wrong: tuple[WrongOutput, ...]

    def require_equal(self) -> None:
        """Raise MismatchError if an output is wrong."""
        if self.wrong:
            first = self.wrong[0]
            raise MismatchError(
                f"{self.file}: {len(self.wrong)} of {self.n_outputs} outputs differ from "
                f"{self.against}; the first is {first.name}, cell {first.cell}, in "
                f"{first.n_lanes} of {self.n_lanes} lanes"
            )


def read_reference(against: str) -> Netlist | Functions:
    """Read what a program is to compute: the file of a netlist or of functions, or functions.

    Raises
    ------
    ProgramError
        It is neither; the error names the line.
    """
    is_text = "=" in against or "\n" in against
    try:
        text = read_whole(against, _REFERENCE_BYTES).decode("utf-8-sig")
        name = against
    except UnicodeDecodeError as error:
        raise ProgramError(f"{against}: need UTF-8 text, got other bytes") from error
    except OSError as error:
        if not is_text:
            raise ProgramError(
                f"{against}: need a netlist, a file of functions or `name = expression` "
                f"({error.strerror or error})"
            ) from error
        text, name = against, "the function"
    return read_netlist(text, name) if is_netlist(text) else read_functions(text, name)


def run_program(file: NorFile, inputs: LaneInputs, *, progress: Progress | None = None) -> Outputs:
    """Run a program in all lanes.

    Raises
    ------
    ConfigError
        Inputs and outputs take more memory than a run may.
    """
    need_room(len(file.inputs) + len(file.outputs), inputs.n_lanes)
    rows = np.zeros((len(file.outputs), -(-inputs.n_lanes // 64)), np.uint64)
    for start, stop, _, outputs in _blocks(file, inputs, BLOCK_LANES, progress):
        rows[:, start // 64 : -(-stop // 64)] = outputs
    return Outputs(rows, inputs.n_lanes)


def check_program(
    file: NorFile,
    path: str,
    reference: Netlist | Functions,
    inputs: LaneInputs,
    *,
    progress: Progress | None = None,
) -> Checked:
    """Compare every output of a program with a function in all lanes.

    Raises
    ------
    ProgramError
        Ports are missing on either side, or the function has no answer; it names line and lane.
    """
    names, wanted = (tuple(p.name for p in ports) for ports in (file.inputs, file.outputs))
    reference.check_ports(names, wanted)
    wrong: dict[str, WrongOutput] = {}
    for start, stop, given, outputs in _blocks(file, inputs, CHECKED_LANES, progress):
        n_lanes = stop - start
        bits = unpacked_bits(given, n_lanes)
        values = dict(zip(names, bits, strict=True))
        expected = reference.evaluate(values, wanted, n_lanes, start)
        for port, got in zip(file.outputs, unpacked_bits(outputs, n_lanes), strict=True):
            differs = got != expected[port.name]
            n_wrong = int(np.count_nonzero(differs))
            if not n_wrong:
                continue
            before = wrong.get(port.name)
            if before is None:
                at = int(np.argmax(differs))
                lane_inputs = {name: int(values[name][at]) for name in names}
                found = WrongOutput(
                    port.name, port.cell, n_wrong, start + at, lane_inputs, int(got[at]),
                    int(expected[port.name][at]),
                )  # fmt: skip
            else:
                found = _more(before, n_wrong)
            wrong[port.name] = found
    in_order = tuple(wrong[name] for name in wanted if name in wrong)
    return Checked(path, reference.name, len(wanted), inputs.n_lanes, inputs.said, in_order)


def _more(wrong: WrongOutput, n_lanes: int) -> WrongOutput:
    return replace(wrong, n_lanes=wrong.n_lanes + n_lanes)


def _blocks(
    file: NorFile, inputs: LaneInputs, most_lanes: int, progress: Progress | None
) -> Iterator[tuple[int, int, Words, Words]]:
    """Run a program block by block; yield the lanes of each, its inputs and its outputs, packed."""
    array: NorArray | None = None
    n_lanes = min(most_lanes, _BLOCK_BITS // file.program.n_rows // 64 * 64)
    for start in range(0, inputs.n_lanes, n_lanes):
        stop = min(start + n_lanes, inputs.n_lanes)
        given = inputs.block(start, stop)
        if array is None or array.n_lanes != stop - start:
            array = NorArray(file.program.n_rows, stop - start)
        for port, row in zip(file.inputs, given, strict=True):
            array.write_cells(port.cell, row[None])
        array.run(file.program)
        cells = [array.read_cells(port.cell, 1, packed=True) for port in file.outputs]
        yield start, stop, given, np.concatenate(cells)
        if progress:
            progress(stop, inputs.n_lanes)
