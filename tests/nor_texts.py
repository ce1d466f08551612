"""Files of NOR programs as the mappers write them: a full adder and an XOR in every form."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["ADDER", "AND_NOT", "FORMS", "XOR", "adder", "json_text", "old_json", "printed", "text"]

Cell = tuple[str, int]
Step = tuple[str, Cell | None, list[Cell]]

ADDER: dict[str, Any] = {
    "name": "full_adder",
    "row": 8,
    "inputs": [("a", 0), ("b", 1), ("c", 2)],
    "outputs": [("sum", 4), ("carry", 5), ("no_carry", 6)],
    "steps": [  # nine NORs in five cells, and an inverter
        ("nor2", ("t0", 7), [("a", 0), ("b", 1)]),
        ("nor2", ("t1", 6), [("a", 0), ("t0", 7)]),
        ("nor2", ("t2", 5), [("b", 1), ("t0", 7)]),
        ("nor2", ("same", 4), [("t1", 6), ("t2", 5)]),
        ("nor2", ("u1", 3), [("same", 4), ("c", 2)]),
        ("", None, [("t1", 6), ("t2", 5)]),
        ("nor2", ("u2", 6), [("u1", 3), ("same", 4)]),
        ("nor2", ("u3", 5), [("u1", 3), ("c", 2)]),
        ("", None, [("same", 4)]),
        ("nor2", ("sum", 4), [("u3", 5), ("u2", 6)]),
        ("", None, [("u2", 6), ("u3", 5)]),
        ("nor2", ("carry", 5), [("t0", 7), ("u1", 3)]),
        ("inv1", ("no_carry", 6), [("carry", 5)]),
    ],
}

XOR: dict[str, Any] = {
    "name": "xor",
    "row": 12,
    "inputs": [("x", 0), ("y", 1)],
    "outputs": [("z", 7)],
    "steps": [
        ("inv1", ("nx", 11), [("x", 0)]),
        ("inv1", ("ny", 10), [("y", 1)]),
        ("nor2", ("both", 9), [("nx", 11), ("ny", 10)]),
        ("nor2", ("none", 8), [("x", 0), ("y", 1)]),
        ("nor2", ("z", 7), [("none", 8), ("both", 9)]),
    ],
}

AND_NOT = """
    Row size: 3
    Inputs: x(M0),y(M1)
    Outputs: z(M1)
    Total cycles: 2
    Reuse cycles: 1
    Execution sequence:
    T0: M1 = inv1 {M0}
    T1: INIT M2
    T2: M2 = inv1 {M1}
"""
"""Text that takes the old content of a cell, and sets none at the start."""


def adder(form: str = "text") -> str:
    """The full adder in one form."""
    return FORMS[form](ADDER)


def text(program: Mapping[str, Any]) -> str:
    """veriSIMPLER's text."""
    taken = {cell for _, cell in program["inputs"]}
    free = [cell for cell in range(program["row"]) if cell not in taken]
    lines = [
        f"Benchmark: {program['name']}",
        f"Row size: {program['row']}",
        f"Number of Gates: {n_gates(program)}",
        f"Inputs: {','.join(f'{name}(M{cell})' for name, cell in program['inputs'])}",
        f"Outputs: {','.join(f'{name}(M{cell})' for name, cell in program['outputs'])}",
        f"Number of PIs: {len(program['inputs'])}",
        f"Number of POs: {len(program['outputs'])}",
        f"Total cycles: {len(program['steps'])}",
        f"Reuse cycles: {n_reuse(program)}",
        f"Reuse cycles percentage: {100 * n_reuse(program) / len(program['steps']):.2f}%",
        "Execution sequence:",
        f"T0: INIT {','.join(f'M{cell}' for cell in free)}",
    ]
    for number, (gate, output, cells) in enumerate(program["steps"], 1):
        listed = ",".join(f"M{cell}" for _, cell in cells)
        said = f"M{output[1]} = {gate} {{{listed}}}" if output else f"INIT {listed}"
        lines.append(f"T{number}: {said}")
    return "\n".join(lines) + "\n"


def json_text(program: Mapping[str, Any]) -> str:
    """SIMPLER's JSON, whose T0 lists as many cells as there are nets."""
    n_inputs, n_nets = len(program["inputs"]), len(program["inputs"]) + n_gates(program)
    first = ",".join(f"'INIT_CYCLE({cell})'" for cell in range(n_inputs, n_nets))
    sequence = {"T0": f"Initialization(Ron){{{first}}}", **named_steps(program)}
    return json.dumps({**head(program), "Execution sequence": sequence}, indent=4)


def old_json(program: Mapping[str, Any]) -> str:
    """Its early JSON: no first initialisation, and steps in no order."""
    steps = dict(reversed(named_steps(program).items()))
    sequence = {"cycle 0": "cycle 0", **steps}
    whole = {
        "Execution sequence": sequence,
        **head(program),
        "Number of Outputs": len(program["outputs"]),
    }
    return json.dumps(whole, indent=4)


def printed(program: Mapping[str, Any]) -> str:
    """What SIMPLER prints."""
    row, steps = program["row"], program["steps"]
    share = n_reuse(program) / len(steps)
    return "\n".join(
        [
            f"\\\\\\\\ MAPPING OF {program['name']} WITH ROW SIZE = {row} \\\\\\\\",
            "",
            f"Inputs:{ports(program['inputs'])}",
            f"Outputs:{ports(program['outputs'])}",
            "",
            "EXECUTION SEQUENCE + MAPPING: {",
            *(f"T0:{name}({cell})=INPUT" for name, cell in program["inputs"]),
            *(f"{key}:{said}" for key, said in named_steps(program).items()),
            "}",
            "",
            "RESULTS AND STATISTICS:",
            f"Benchmark: {program['name']}",
            f"Total number of cycles: {len(steps)}",
            f"Number of reuse cycles: {n_reuse(program)}",
            f"Initialization percentage: {share}",
            f"Number of gates: {n_gates(program)}",
            f"Row size (number of columns): {row} ",
            "",
        ]
    )


def head(program: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Benchmark": program["name"],
        "Row size": program["row"],
        "Number of Gates": n_gates(program),
        "Inputs": ports(program["inputs"]),
        "Outputs": ports(program["outputs"]),
        "Number of Inputs": len(program["inputs"]),
        "Total cycles": len(program["steps"]),
        "Reuse cycles": n_reuse(program),
    }


def named_steps(program: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    steps: Sequence[Step] = program["steps"]
    for number, (gate, output, cells) in enumerate(steps, 1):
        begin = f"{output[0]}({output[1]})={gate}" if output else "Initialization(Ron)"
        found[f"T{number}"] = begin + ports(cells)
    return found


def ports(cells: Sequence[Cell]) -> str:
    return "{" + ",".join(f"{name}({cell})" for name, cell in cells) + "}"


def n_gates(program: Mapping[str, Any]) -> int:
    return sum(output is not None for _, output, _ in program["steps"])


def n_reuse(program: Mapping[str, Any]) -> int:
    return len(program["steps"]) - n_gates(program)


FORMS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "text": text,
    "json": json_text,
    "old json": old_json,
    "printed": printed,
}
