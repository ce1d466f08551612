"""Mutated NOR program files: each is refused by one error, or runs as a naive reading of it does.

    PYTHONPATH=.:kernels:traces python -m tests.mutants.nor_files 2000

makes so many of each form, and prints what became of them. No reader can see that an operand became
another legal cell: such mutants are accepted with another result, the naive one.
"""

import random
import re
import sys
from collections import Counter

import numpy as np

from bitpim.errors import BitpimError
from bitpim.lookup.nor_array import NorArray
from bitpim.programs.nor_files import NorFile, nor_program
from bitpim.proof.lane_inputs import all_combinations
from tests.naive.nor_files import naive_outputs
from tests.nor_texts import ADDER, FORMS, XOR

__all__ = ["mutate", "outcome_of"]

PIECES = (
    b"M0", b"M3", b"M7", b"0", b"1", b"9", b"nor2", b"nor3", b"inv1", b"INIT", b"{", b"}", b",",
    b"(", b")", b":", b"=", b"T", b"T3", b"\n", b"\r", b" ", b"\"", b"'", b"-1", b"1.5", b"null",
    b"a(0)", b"t0(7)", b"carry(5)", b"INIT_CYCLE(4)", b"99999999999", b"\xff", b"\0", b"\\",
)  # fmt: skip


NOTED = ("nobody reads", "no gate reads", "as it was set")


def mutate(content: bytes, draw: random.Random) -> bytes:
    """Change a file in one to three places: letters, numbers, words or whole lines."""
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        lines = content.split(b"\n")
        at = draw.randrange(len(content) + 1)
        line = draw.randrange(len(lines))
        match draw.randrange(8):
            case 0:
                content = content[:at] + content[at + draw.randint(1, 3) :]
            case 1:
                content = content[:at] + draw.choice(PIECES) + content[at:]
            case 2:
                content = content[:at] + draw.choice(PIECES) + content[at + 1 :]
            case 3:
                content = b"\n".join(lines[:line] + lines[line + 1 :])
            case 4:
                content = b"\n".join(lines[: line + 1] + lines[line:])
            case 5:
                other = draw.randrange(len(lines))
                lines[line], lines[other] = lines[other], lines[line]
                content = b"\n".join(lines)
            case 6:
                content = with_another(content, draw, rb"[0-9]+")
            case 7:
                content = with_another(content, draw, rb"\w+(?:\([0-9]+\))?")
    return content if draw.randrange(20) else content[: draw.randrange(len(content) + 1)]


def with_another(content: bytes, draw: random.Random, pattern: bytes) -> bytes:
    """Put one word of a file in the place of another."""
    words = list(re.finditer(pattern, content))
    if not words:
        return content
    old, new = draw.choice(words), draw.choice(words)
    return content[: old.start()] + new[0] + content[old.end() :]


def outputs_of(file: NorFile) -> dict[str, int]:
    """Run a program in all combinations of its inputs, a bit a lane."""
    given = all_combinations(len(file.inputs))
    array = NorArray(file.program.n_rows, given.n_lanes)
    for port, row in zip(file.inputs, given.block(0, given.n_lanes), strict=True):
        array.write_cells(port.cell, row[None])
    array.run(file.program)
    found = {}
    for port in file.outputs:
        octets = np.packbits(array.read_cells(port.cell, 1)[0], bitorder="little").tobytes()
        found[port.name] = int.from_bytes(octets, "little")
    return found


def outcome_of(content: bytes, original: dict[str, int]) -> str:
    """Say what became of a mutant: refused, same, other, or what is wrong with its reading."""
    try:
        file = nor_program(content, "mutant")
    except BitpimError as error:
        one_line = "\n" not in str(error) and str(error).startswith("mutant, ")
        return "refused" if one_line else f"an error of several lines: {error}"
    found = outputs_of(file)
    if found != naive_outputs(content.decode("utf-8-sig")):
        return "read otherwise than the naive reader does"
    if found == original:
        return "same"
    return (
        "other, noted"
        if any(
            "nobody reads" in n or "no gate reads" in n or "as it was set" in n for n in file.notes
        )
        else "other"
    )


def main() -> None:
    """Make so many mutants of each form; stop at the first that is read wrongly."""
    n_mutants = int(sys.argv[1])
    print("| mutants of | made | refused | same | other, and a note says so | other |")
    print("|---|---|---|---|---|---|")
    for form, write in FORMS.items():
        counts = Counter[str]()
        for seed in range(n_mutants):
            program = (ADDER, XOR)[seed % 2]
            content = mutate(write(program).encode(), random.Random(f"{form} {seed}"))
            outcome = outcome_of(content, naive_outputs(write(program)))
            counts[outcome] += 1
            if outcome not in ("refused", "same", "other, noted", "other"):
                sys.exit(f"{form}, seed {seed}: {outcome}\n{content!r}")
        row = [counts[what] for what in ("refused", "same", "other, noted", "other")]
        print(f"| {form} | {n_mutants:,} |", " | ".join(f"{n:,}" for n in row), "|")


if __name__ == "__main__":
    main()
