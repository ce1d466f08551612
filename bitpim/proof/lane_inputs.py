"""What the lanes of a program are given: all combinations, random bits of a seed, or a file's.

Packed as everywhere, 64 lanes a word, lane 0 lowest. Random bits are drawn input by input in the
order of the program, all lanes of one before the next, ``rng.integers(0, 2, n_lanes, uint8)`` of
NumPy's default generator, so that anybody can draw them again.
"""

import codecs
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError, TraceDataError
from bitpim_traces.array_files import read_archive
from bitpim_traces.open_file import read_whole

__all__ = [
    "LaneInputs",
    "all_combinations",
    "given_inputs",
    "inputs_from_file",
    "inputs_of_text",
    "need_room",
    "packed_bits",
    "random_inputs",
    "unpacked_bits",
]

Words = npt.NDArray[np.uint64]
MOST_COMBINED = 26
"""Inputs of which all combinations are run, where asked for; 64 Mi lanes."""
_ROOM = 2**30  # bytes for packed inputs and outputs
MOST_BYTES = 2**26
"""Of a file of inputs."""
_DRAWN = 2**20  # lanes drawn at once: a multiple of the 4 that one draw of the generator yields
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True, eq=False)
class LaneInputs:
    """Inputs of a program in all its lanes.

    Attributes
    ----------
    n_lanes : how many
    said : what they are, in words
    rows : (n_inputs, words) uint64; None where lane l has bit i of l as its input i
    """

    n_lanes: int
    said: str
    n_inputs: int
    rows: Words | None = None

    def block(self, start: int, stop: int) -> Words:
        """Return the packed inputs of some lanes, the first a multiple of 64."""
        if self.rows is not None:
            return self.rows[:, start // 64 : -(-stop // 64)]
        lanes = np.arange(start, stop, dtype=np.uint64)
        bits = [(lanes >> np.uint64(i)) & np.uint64(1) for i in range(self.n_inputs)]
        return packed_bits(np.array(bits, np.uint8).reshape(self.n_inputs, len(lanes)))


def packed_bits(bits: npt.NDArray[Any]) -> Words:
    """Pack 0 and 1 along the last axis, (n, n_lanes) into (n, words) uint64."""
    octets = np.packbits(bits, axis=-1, bitorder="little")
    short = -octets.shape[-1] % 8
    return np.pad(octets, ((0, 0), (0, short))).view(np.dtype("<u8")).astype(np.uint64)


def unpacked_bits(words: Words, n_lanes: int) -> npt.NDArray[np.bool_]:
    """Return the bits of packed rows, (n, n_lanes) bool."""
    octets = np.ascontiguousarray(words.astype("<u8")).view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little")[:, :n_lanes].astype(np.bool_)


def need_room(n_rows: int, n_lanes: int) -> None:
    """Raise ConfigError where packed rows of so many lanes take more memory than a run may."""
    n_bytes = n_rows * n_lanes // 8
    if n_bytes > _ROOM:
        most = _ROOM * 8 // n_rows
        raise ConfigError(
            f"lanes: need at most {most} for {n_rows} inputs and outputs, got {n_lanes}"
        )


def all_combinations(n_inputs: int) -> LaneInputs:
    """Return a lane for each combination of the inputs; input i is bit i of the lane's number.

    Raises
    ------
    ConfigError
        There are too many.
    """
    if n_inputs > MOST_COMBINED:
        raise ConfigError(
            f"lanes: need {MOST_COMBINED} inputs or fewer for all combinations, got {n_inputs}; "
            "give --lanes"
        )
    return LaneInputs(1 << n_inputs, f"all combinations of {n_inputs} inputs", n_inputs)


def random_inputs(n_inputs: int, n_lanes: int, seed: int) -> LaneInputs:
    """Return random bits, drawn as the module says."""
    need_room(max(n_inputs, 1), n_lanes)
    rng = np.random.default_rng(seed)
    rows = np.zeros((n_inputs, -(-n_lanes // 64)), np.uint64)
    for row in rows:
        for start in range(0, n_lanes, _DRAWN):
            n_drawn = min(_DRAWN, n_lanes - start)
            bits = rng.integers(0, 2, n_drawn, dtype=np.uint8)
            row[start // 64 :][: -(-n_drawn // 64)] = packed_bits(bits[None])[0]
    return LaneInputs(n_lanes, f"random, seed {seed}", n_inputs, rows)


def inputs_from_file(path: str, names: Sequence[str]) -> LaneInputs:
    """Read inputs by name, from .npz arrays, a table with commas, or lines ``name = 0110``.

    Raises
    ------
    TraceDataError
        It cannot be read, an input is missing, strange or of another length, or no bit.
    """
    try:
        content = read_whole(path, MOST_BYTES)
    except OSError as error:
        raise TraceDataError(
            f"{path}: need a file of inputs ({error.strerror or error})"
        ) from error
    if content.startswith(_ZIP):
        return given_inputs(read_archive(path), names, path)
    return inputs_of_text(content, names, path)


def inputs_of_text(content: bytes, names: Sequence[str], where: str) -> LaneInputs:
    """Read inputs by name, from a table with commas, or lines ``name = 0110``.

    Raises
    ------
    TraceDataError
        As `inputs_from_file`, or there is too much of it.
    """
    if len(content) > MOST_BYTES:
        raise TraceDataError(f"{where}: need at most {MOST_BYTES} bytes of inputs, got more")
    content = content.removeprefix(codecs.BOM_UTF8)
    head, _, body = content.lstrip().partition(b"\n")
    if b"=" in head:
        return given_inputs(_by_line(content, names, where), names, where)
    line = content.count(b"\n", 0, len(content) - len(content.lstrip())) + 1
    return given_inputs(_by_column(head, body, line, names, where), names, where)


def _by_line(content: bytes, names: Sequence[str], path: str) -> dict[str, npt.NDArray[Any]]:
    """Read ``name = 0110``, lane 0 first."""
    found: dict[str, npt.NDArray[Any]] = {}
    for number, line in enumerate(io.BytesIO(content), 1):
        if not line.strip():
            continue
        name, _, digits = line.decode("utf-8", "replace").partition("=")
        name, bits = name.strip(), digits.strip().replace("_", "")
        if name not in names or name in found or not bits or set(bits) - {"0", "1"}:
            raise TraceDataError(
                f"{path}, line {number}: need `name = 0110` of each input once, got "
                f"{line[:60].decode('utf-8', 'replace')!r}"
            )
        found[name] = np.frombuffer(bits.encode(), np.uint8) - ord("0")
    return found


def _by_column(
    head: bytes, body: bytes, line_of_head: int, names: Sequence[str], path: str
) -> dict[str, npt.NDArray[Any]]:
    """Read a head of names, and a line of bits a lane."""
    listed = [name.strip() for name in head.decode("utf-8", "replace").split(",")]
    if sorted(listed) != sorted(names):
        raise TraceDataError(
            f"{path}, line {line_of_head}: need the names of the {len(names)} inputs by commas, "
            "each once, "
            f"or lines `name = 0110`, got {', '.join(listed)!r:.60}"
        )
    marks = np.frombuffer(body.translate(None, b" \t\r").rstrip(b"\n") + b"\n", np.uint8)
    width = 2 * len(listed)
    if marks.size % width == 0:
        cells = marks.reshape(-1, width)
        bits = cells[:, ::2] - np.uint8(ord("0"))
        ends = np.array([ord(",")] * (len(listed) - 1) + [ord("\n")], np.uint8)
        if (bits <= 1).all() and (cells[:, 1::2] == ends).all():
            return dict(zip(listed, bits.T, strict=True))
    for number, line in enumerate(io.BytesIO(body), line_of_head + 1):
        row = [cell.strip() for cell in line.split(b",")]
        if len(row) != len(listed) or set(row) - {b"0", b"1"}:
            got = line[:60].decode("utf-8", "replace")
            raise TraceDataError(
                f"{path}, line {number}: need {len(listed)} bits by commas, got {got!r}"
            )
    raise TraceDataError(f"{path}: need a line of bits a lane, got none")


def given_inputs(
    values: Mapping[str, npt.NDArray[Any]], names: Sequence[str], where: str
) -> LaneInputs:
    """Return inputs given by name, a bit a lane each.

    Shapes
    ------
    values: (n_lanes,) of 0 and 1 each

    Raises
    ------
    TraceDataError
        As `inputs_from_file`.
    """
    for name in names:
        if name not in values:
            raise TraceDataError(f"{where}: need input {name}, got none of that name")
    if strange := [name for name in values if name not in names]:
        raise TraceDataError(f"{where}: need inputs of the program, got {strange[0]!r:.60}")
    n_lanes = values[names[0]].size if names else 1
    for name in names:
        shape = values[name].shape
        if len(shape) != 1 or not n_lanes:
            raise TraceDataError(
                f"{where}: need a list of bits of {name}, one a lane, got the shape {shape}"
            )
        if shape != (n_lanes,):
            raise TraceDataError(
                f"{where}: need as many lanes of {name} as of {names[0]}, {n_lanes}, got {shape[0]}"
            )
        if not np.isin(values[name], (0, 1)).all():
            raise TraceDataError(f"{where}: need 0 and 1 of {name}, got other numbers")
    need_room(max(len(names), 1), n_lanes)
    bits = np.array([values[name].astype(np.uint8) for name in names], np.uint8)
    rows = packed_bits(bits.reshape(len(names), n_lanes))
    return LaneInputs(n_lanes, f"of {where}", len(names), rows)
