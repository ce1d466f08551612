"""Crossbar reads, one cell, one operation unit, one conversion at a time, in Python integers."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import floor

Matrix = Sequence[Sequence[int]]
Convert = Callable[[int], int | Fraction]
Column = tuple[int, int, list[int]]  # output, factor, cells


def half_up(value: int | Fraction) -> int:
    return floor(value + Fraction(1, 2))


def adc(model: str, bits: int, scale: int, y: int, signed: bool) -> int | Fraction:
    """Return the levels, a fraction, that the code for a partial sum stands for.

    `scale` is the range. Levels are added up as they are; a sum of them is rounded in the end.
    """
    n = 1 << bits
    if model == "exact":
        return y
    if model == "clip":
        low, high = (-(n // 2), n // 2 - 1) if signed else (0, n - 1)
        return min(max(y, low), high)
    y = min(max(y, -scale), scale)
    if model in ("floor", "round"):
        step = max(Fraction(1), Fraction(scale, n - 1))
        code = floor(y / step) if model == "floor" else half_up(y / step)
        return code * step
    if model == "sign_magnitude":
        step = max(Fraction(1), Fraction(scale, n // 2 - 1))
        size = half_up(abs(y) / step) * step
        return size if y >= 0 else -size
    if model != "symmetric":
        raise ValueError(model)
    step = max(Fraction(1), Fraction(2 * scale, n - 1))
    return half_up((y + scale) / step) * step - scale


def code_table(thresholds: Sequence[int], levels: Sequence[int | float | str], y: int) -> Fraction:
    """Return the level of the code that a partial sum has: one for each threshold it reaches."""
    code = 0
    for threshold in thresholds:
        if y >= threshold:
            code += 1
    return Fraction(str(levels[code]))


def pieces(n_bits: int, piece_bits: int, signed: bool) -> list[tuple[int, int, int]]:
    """Return (lowest bit, width, factor) of the pieces of a number; a sign bit stands alone."""
    magnitude = n_bits - signed
    found = [
        (low, min(piece_bits, magnitude - low), 1 << low) for low in range(0, magnitude, piece_bits)
    ]
    return [*found, (magnitude, 1, -(1 << magnitude))] if signed else found


def piece(number: int, low: int, width: int) -> int:
    return (number >> low) % (1 << width)


def columns_of(weights: Matrix, n: int, encoding: str, cell_bits: int) -> list[Column]:
    """Return each column: its output, its factor and its cells, bit-slice by bit-slice."""
    outputs = range(len(weights[0]))
    if encoding == "twos_complement":
        return [
            (o, factor, [piece(row[o], low, width) for row in weights])
            for low, width, factor in pieces(n, cell_bits, True)
            for o in outputs
        ]
    if encoding == "offset":
        return [
            (o, factor, [piece(row[o] + 2 ** (n - 1), low, width) for row in weights])
            for low, width, factor in pieces(n, cell_bits, False)
            for o in outputs
        ]
    found = []
    parts = pieces(n - 1, cell_bits, False)
    if encoding == "differential_paired":
        for low, width, factor in parts:
            for o in outputs:
                cells = [piece(abs(row[o]), low, width) for row in weights]
                signed = [c if row[o] > 0 else -c for c, row in zip(cells, weights, strict=True)]
                found.append((o, factor, signed))
        return found
    for sign in (1, -1):
        for low, width, factor in parts:
            for o in outputs:
                cells = [piece(max(0, sign * row[o]), low, width) for row in weights]
                found.append((o, sign * factor, cells))
    return found


def row_blocks(
    n_rows: int, array_rows: int, ou_rows: int, window_rows: int | None = None
) -> list[list[int]]:
    """Return the rows of each OU: within an array and a window, from the first row of either on."""
    blocks: list[list[int]] = []
    whole = window_rows is not None and window_rows <= array_rows
    used = array_rows - array_rows % window_rows if whole and window_rows else array_rows
    for row in range(n_rows):
        starts = row % used == 0 or (whole and window_rows and row % window_rows == 0)
        if starts or len(blocks[-1]) == ou_rows:
            blocks.append([])
        blocks[-1].append(row)
    return blocks


def multiply(
    inputs: Matrix,
    columns: Sequence[Column],
    n_outputs: int,
    blocks: Sequence[Sequence[int]],
    slices: Sequence[tuple[int, int, int]],
    convert: Convert,
) -> list[list[int]]:
    """Return what the columns read for each input vector, converted OU by OU, shifted, added.

    Each output is rounded once, when all its levels are added up.
    """
    found = []
    for x in inputs:
        out: list[int | Fraction] = [0] * n_outputs
        for output, factor, cells in columns:
            for low, width, slice_factor in slices:
                for rows in blocks:
                    partial = sum(piece(x[r], low, width) * cells[r] for r in rows)
                    out[output] += factor * slice_factor * convert(partial)
        found.append([half_up(total) for total in out])
    return found
