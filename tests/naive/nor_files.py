"""NOR program files read and run the obvious way: all combinations of the inputs, a bit a lane.

It believes the file: what a legal one says, it computes; of others it may compute anything.
"""

import json
import re

__all__ = ["naive_outputs"]


def naive_outputs(text: str) -> dict[str, int]:
    """Yield the outputs by name; bit l of each is that of lane l, whose input i is bit i of l."""
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        return of_json(text)
    lines = [line.strip() for line in text.split("\n")]
    is_named = any(re.match(r"Inputs\s*:\s*\{", line) for line in lines)
    steps = []
    for line in lines:
        step = re.match(r"(?:T|[Cc]ycle ?)(\d+)\s*:(.*)", line)
        if step and "INPUT" not in line:
            steps.append((int(step[1]), step[2].strip()))
        if is_named and line == "}":
            break
    heads = {
        key.strip().lower(): value
        for key, _, value in (line.partition(":") for line in reversed(lines))
    }
    return run(heads["inputs"], heads["outputs"], steps, is_named)


def of_json(text: str) -> dict[str, int]:
    found = json.loads(text)
    sequence = found["Execution sequence"].items()
    steps = [(int(re.findall(r"\d+", key)[0]), step) for key, step in sequence if step != key]
    heads = {key.lower(): value for key, value in found.items()}
    return run(heads["inputs"], heads["outputs"], sorted(steps), True)


def run(inputs: str, outputs: str, steps: list[tuple[int, str]], is_named: bool) -> dict[str, int]:
    """Run steps on cells that are numbers of a bit a lane."""
    places = ports(inputs, is_named)
    n_lanes = 1 << len(places)
    every = (1 << n_lanes) - 1
    cells: dict[int, int] = {}
    for i, (_, cell) in enumerate(places):
        cells[cell] = sum(1 << lane for lane in range(n_lanes) if lane >> i & 1)
    if is_named:  # by convention all others start set; T0 may say so in its own way
        cells = {cell: cells.get(cell, every) for cell in range(1_000)}
        steps = [(number, step) for number, step in steps if number]
    for _, step in steps:
        body = step[step.index("{") :] if "{" in step else step
        numbers = numbers_in(body, is_named)
        if step.startswith("Init") or step.startswith("INIT"):
            for cell in numbers:
                cells[cell] = every
            continue
        target = numbers_in(step[: step.index("=")], is_named)[-1]
        total = 0
        for cell in numbers:
            total |= cells[cell]
        cells[target] &= every & ~total
    return {name: cells[cell] for name, cell in ports(outputs, is_named)}


def ports(listed: str, is_named: bool) -> list[tuple[str, int]]:
    pattern = r"([^\s,{}']+)\((\d+)\)" if is_named else r"([^\s,]+)\(M(\d+)\)"
    return [(name, int(cell)) for name, cell in re.findall(pattern, listed)]


def numbers_in(text: str, is_named: bool) -> list[int]:
    pattern = r"\((\d+)\)'?\s*(?=[,}]|$)" if is_named else r"M(\d+)"
    return [int(number) for number in re.findall(pattern, text)]
