"""`python -m bench.model_table`: writes the tables of traces/MODELS.md.

Which machine runs which kind of layer, and how; which synthetic network needs what. Every cell is
read off a plan, none is written by hand. Takes a few minutes: the networks have their true size.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import bitpim
from bench.layer_kinds import EXAMPLES, Example, trace_of
from bitpim.errors import BitpimError
from bitpim.machine.machine import Machine, takes_codebooks
from bitpim.planning import Plan
from bitpim_traces.modes import MODES
from bitpim_traces.network import FloatNetwork
from bitpim_traces.quantize import CodebookSettings, codebooks_of_trace
from bitpim_traces.records import REQUANTIZE_MODES, Trace
from bitpim_traces.synthetic import NAMES, likeness_of, synthetic_network, weightless_network

__all__ = [
    "DOCUMENT",
    "in_all_modes",
    "joined",
    "shortened",
    "table_of_families",
    "table_of_kinds",
    "table_of_networks",
    "table_of_plans",
    "with_tables",
]

DOCUMENT = Path(__file__).parents[1] / "traces/MODELS.md"

PLACES = {
    "move": "moved",
    "send_codes": "moved",
    "host": "host",
    "buffer": "digital side",
    "memory": "digital side",
}
"""Where a layer that takes no array is run, by the phase it has there."""


@cache
def _presets() -> tuple[tuple[str, str], ...]:
    """Name machine and preset of all that are packaged."""
    return tuple((name, preset) for name in bitpim.machines() for preset in bitpim.presets(name))


_machine = cache(bitpim.make_machine)


def _planned(machine: Machine, trace: Trace) -> Plan | str:
    """Lay a trace out, as codebooks where the machine has them; or say why it is refused."""
    try:
        if takes_codebooks(machine):
            trace = codebooks_of_trace(trace, CodebookSettings(calibration_samples=1))
        return Plan.of(trace, machine)
    except BitpimError as error:
        return f"refused: {shortened(str(error))}"


def shortened(message: str) -> str:
    """Return the need and what was got of a refusal: neither where, nor the remedy."""
    need = re.search(r"(?:^|: )(need .*)", message.partition("; ")[0])
    return need[1] if need else message.partition("; ")[0]


def _place(found: Plan | str) -> str:
    """Say where the last layer of a plan is run."""
    if isinstance(found, str):
        return found
    row = found.network.table()[-1]
    phases = list(row["cycles"])
    if row["arrays"]:
        return "arrays, host" if "host" in phases else "arrays"
    return ", ".join(PLACES[phase] for phase in phases if phase in PLACES)


def in_all_modes(places: Mapping[str, str]) -> str:
    """Join what each requantize mode gives; all integer modes are one where they agree."""
    whole = {place for mode, place in places.items() if not MODES[mode].is_float}
    scaled = {place for mode, place in places.items() if MODES[mode].is_float}
    if len(whole) == len(scaled) == 1:
        (first,), (second,) = whole, scaled
        return first if first == second else f"{first}; float: {second}"
    return "; ".join(f"`{mode}`: {place}" for mode, place in places.items())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in row)}|" for row in lines)


def table_of_kinds(examples: Sequence[Example] = EXAMPLES) -> str:
    """Make the table of kinds of layers by machines.

    Presets of a machine share a column where they agree in all rows.
    """
    columns: dict[tuple[str, str], list[str]] = {pair: [] for pair in _presets()}
    for example in examples:
        traces = {mode: trace_of(example, mode) for mode in REQUANTIZE_MODES}
        for pair, cells in columns.items():
            machine = _machine(*pair)
            places = {mode: _place(_planned(machine, trace)) for mode, trace in traces.items()}
            cells.append(in_all_modes(places))
    shown = dict(joined(columns))
    names = [f"`{e.kind}`" + (f", {e.title}" if e.title else "") for e in examples]
    return _table(["kind", *shown], zip(names, *shown.values(), strict=True))


def joined(columns: Mapping[tuple[str, str], list[str]]) -> Iterator[tuple[str, list[str]]]:
    """Yield one column a machine, or one a preset where these differ."""
    for machine in dict.fromkeys(machine for machine, _ in columns):
        own = {preset: cells for (name, preset), cells in columns.items() if name == machine}
        first, *others = own.values()
        if all(cells == first for cells in others):
            yield f"`{machine}`", first
        else:
            yield from ((f"`{preset}`", cells) for preset, cells in own.items())


def _counted(network: FloatNetwork) -> str:
    """Name the kinds of a network's layers, each with its number."""
    kinds = Counter(layer.kind for layer in network.layers)
    functions = Counter(layer.activation for layer in network.layers if layer.kind == "activation")
    named = {"activation": f" ({', '.join(functions)})"}
    return ", ".join(f"{n} {kind}{named.get(kind, '')}" for kind, n in sorted(kinds.items()))


def _size(network: FloatNetwork) -> tuple[str, str]:
    """Say how many weights and multiply-accumulates a network has."""
    weights = macs = 0
    for layer, shape in zip(network.layers, network.shapes(), strict=True):
        if layer.weight is not None:
            positions = 1
            for side in shape[1:]:
                positions *= side
            weights += layer.weight.size
            macs += layer.weight.size * positions
    return f"{weights:,}", f"{macs:,}"


def table_of_networks(names: Sequence[str] = NAMES) -> str:
    """Make the table of synthetic networks: likeness, image, size, kinds of their layers."""
    head = ["network", "shape of", "image", "weights", "multiply-accumulates", "layers"]
    rows = []
    for name in names:
        network = weightless_network(name)
        image = " x ".join(map(str, network.input_shape))
        rows.append([f"`{name}`", likeness_of(name), image, *_size(network), _counted(network)])
    return _table(head, rows)


def table_of_families(networks: Mapping[str, FloatNetwork]) -> str:
    """Make the table of exported networks, by family: kinds of their layers."""
    rows = ([family, _counted(network)] for family, network in networks.items())
    return _table(["family", "layers"], rows)


def table_of_plans(names: Sequence[str] = NAMES) -> str:
    """Make the table of synthetic networks by presets: arrays needed, or why it is refused."""
    rows = []
    for name in names:
        trace = synthetic_network(name)
        rows.append([f"`{name}`", *(_need(_planned(_machine(*p), trace)) for p in _presets())])
        print(_table(rows[-1], []).splitlines()[0], file=sys.stderr, flush=True)
    return _table(["network", *(f"`{preset}`" for _, preset in _presets())], rows)


def _need(found: Plan | str) -> str:
    """Say how many arrays a plan takes: of all layers, or of one where they take turns."""
    if isinstance(found, str):
        return found
    totals = found.network.totals()
    if "arrays" in totals:
        return f"{totals['arrays']:,}"
    return f"{max(row['arrays'] for row in found.network.table()):,} in turn"


def with_tables(text: str, tables: Mapping[str, str]) -> str:
    """Put tables in the place of those of a text, which stand between comments with their names.

    Raises
    ------
    ValueError
        The text has no place for one.
    """
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"{DOCUMENT.name}: need {begin} and {end} once each; add them")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    return text


def main() -> None:
    """Write all tables."""
    argparse.ArgumentParser(prog="bench.model_table", description=__doc__).parse_args()
    tables = {
        "kinds": table_of_kinds(),
        "networks": table_of_networks(),
        "plans": table_of_plans(),
    }
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text("utf-8"), tables), "utf-8")


if __name__ == "__main__":
    main()
