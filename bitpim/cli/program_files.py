"""`bitpim program run` and `check`: NOR programs that other tools made."""

import io
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitpim.cli.options import Json, Overwrite, need_other_file, refuse_taken
from bitpim.cli.progress import counted, say_when_compiling
from bitpim.report.text import Cell, as_json, columns, printable, some, with_commas

if TYPE_CHECKING:
    from bitpim.programs.nor_files import NorFile
    from bitpim.proof.lane_inputs import LaneInputs
    from bitpim.proof.program_runs import Checked, Outputs

__all__ = ["check", "run"]

MOST_RUN, MOST_CHECKED = 16, 20
"""Inputs of which all combinations are taken unless lanes are asked for."""
DEFAULT_LANES = 65_536
_SHOWN_LANES = 8
_SHOWN_PORTS = 16

ProgramFile = Annotated[
    str,
    typer.Argument(metavar="FILE", help="Program by SIMPLER or veriSIMPLER, or -."),
]
Lanes = Annotated[
    int | None,
    typer.Option("--lanes", min=1, max=2**30, help="Lanes of random inputs, instead of all."),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, max=2**63 - 1, help="Seed of random inputs.", show_default="0"),
]
WithoutInit = Annotated[
    bool,
    typer.Option("--without-init", help="Let gates AND into cells that were not set."),
]


def run(
    file: ProgramFile,
    inputs: Annotated[
        str | None,
        typer.Option(
            "--inputs",
            help="Inputs by name: .npz, a table with commas, or lines `name = 0110`; or -.",
        ),
    ] = None,
    lanes: Lanes = None,
    seed: Seed = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the outputs by name, .npz.")
    ] = None,
    without_init: WithoutInit = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Run a NOR program made elsewhere, on given inputs, all combinations or random ones.

    Without --inputs and --lanes all combinations of up to 16 inputs are run,
    of more inputs 65,536 random lanes. The CRC-32 is that of the outputs in
    their order, packed eight lanes a byte.

    \b
    bitpim program run xor.txt
    bitpim program run adder.json --inputs bits.csv -o sums.npz
    """
    from bitpim.proof.program_runs import run_program

    if inputs is not None and (lanes is not None or seed is not None):
        raise typer.BadParameter("need either --inputs or --lanes and --seed", param_hint="INPUTS")
    if file == inputs == "-":
        raise typer.BadParameter("need a file for one of program and inputs, got - for both")
    if output is not None:
        if output.suffix.lower() != ".npz":
            raise typer.BadParameter(
                f"need a name that ends in .npz, got {output}", param_hint="--output"
            )
        refuse_taken(output, overwrite)
        need_other_file(output, file, inputs)
    program = _read(file, without_init)
    if inputs is None:
        given = _chosen(program, lanes, seed, MOST_RUN)
    else:
        given = _given(inputs, [port.name for port in program.inputs])
    say_when_compiling()
    with counted(f"running {program.name}") as progress:
        outputs = run_program(program, given, progress=progress)
    if output is not None:
        _write(output, program, outputs, overwrite)
    if json:
        typer.echo(as_json(_described(program) | _ran(program, given, outputs)))
        return
    rows = [*_heading(program), ("lanes", f"{with_commas(given.n_lanes)}, {given.said}")]
    typer.echo(_aside([*rows, ("crc32", f"{outputs.crc32:08x}")]))
    typer.echo(f"\n{_first_lanes(program, given, outputs)}")
    _echo_notes(program)


def check(
    file: ProgramFile,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", help="Netlist, file of functions, or functions such as 's = a ^ b'."
        ),
    ] = None,
    lanes: Lanes = None,
    seed: Seed = None,
    without_init: WithoutInit = False,
    json: Json = False,
) -> None:
    """Check the steps of a NOR program, and its outputs against a netlist or functions.

    Every output has to be equal in all combinations of up to 20 inputs, else
    in 65,536 random lanes. Exit code 4 if one is not: all wrong outputs are
    listed, each with its first lane.

    \b
    bitpim program check xor.txt --against 'z = x ^ y'
    bitpim program check c17.json --against c17.v
    """
    from bitpim.proof.program_runs import check_program, read_reference

    if against is None and (lanes is not None or seed is not None):
        raise typer.BadParameter("need --against with --lanes and --seed", param_hint="AGAINST")
    program = _read(file, without_init)
    found: Checked | None = None
    if against is not None:
        reference = read_reference(against)
        given = _chosen(program, lanes, seed, MOST_CHECKED)
        say_when_compiling()
        with counted(f"checking {program.name}") as progress:
            found = check_program(program, file, reference, given, progress=progress)
    if json:
        typer.echo(as_json(_described(program) | ({} if found is None else _judged(found))))
    else:
        rows = [*_heading(program), ("steps", "legal")]
        typer.echo(_aside(rows if found is None else [*rows, *_verdict(found)]))
        if found is not None and found.wrong:
            typer.echo(f"\n{_wrong_outputs(found)}")
        _echo_notes(program)
    if found is not None:
        found.require_equal()


def _read(file: str, without_init: bool) -> "NorFile":
    """Read a program by file name, or from standard input where the name is '-'."""
    from bitpim.programs.nor_files import MAX_BYTES, nor_program, read_nor_file

    if file != "-":
        return read_nor_file(file, without_init=without_init)
    content = sys.stdin.buffer.read(MAX_BYTES + 1)
    return nor_program(content, "standard input", without_init=without_init)


def _given(inputs: str, names: list[str]) -> "LaneInputs":
    """Read inputs by file name, or as text from standard input where the name is '-'."""
    from bitpim.proof.lane_inputs import MOST_BYTES, inputs_from_file, inputs_of_text

    if inputs != "-":
        return inputs_from_file(inputs, names)
    return inputs_of_text(sys.stdin.buffer.read(MOST_BYTES + 1), names, "standard input")


def _chosen(
    program: "NorFile", lanes: int | None, seed: int | None, most_inputs: int
) -> "LaneInputs":
    """Return all combinations of few inputs where nothing else is asked for, else random bits."""
    from bitpim.proof.lane_inputs import all_combinations, random_inputs

    n_inputs = len(program.inputs)
    if lanes is None and seed is None and n_inputs <= most_inputs:
        return all_combinations(n_inputs)
    return random_inputs(n_inputs, lanes or DEFAULT_LANES, seed or 0)


def _heading(program: "NorFile") -> list[tuple[str, str]]:
    """Name what a program is and takes."""
    later = f", {with_commas(program.n_cycles - 1)} after the first initialisation"
    cycles = with_commas(program.n_cycles) + later * program.starts_with_init
    return [
        ("program", f"{program.name}, {program.form}"),
        ("ports", f"{some(len(program.inputs), 'input')}, {some(len(program.outputs), 'output')}"),
        ("cycles", cycles),
        ("gates", with_commas(program.n_gates)),
        ("INIT", f"{some(program.n_init_steps, 'step')}, {some(program.n_init_cells, 'cell')}"),
        ("cells", f"{with_commas(program.n_cells)} used of {with_commas(program.row_size)}"),
    ]


def _aside(rows: list[tuple[str, str]]) -> str:
    return "\n".join(f"{name:<9}{printable(value)}" for name, value in rows)


def _echo_notes(program: "NorFile") -> None:
    if program.notes:
        typer.echo("\n" + "\n".join(f"note: {printable(note)}" for note in program.notes))


def _first_lanes(program: "NorFile", given: "LaneInputs", outputs: "Outputs") -> str:
    """Return a table of the first lanes, as many ports as a reader can take in."""
    from bitpim.proof.lane_inputs import unpacked_bits

    n_lanes = min(_SHOWN_LANES, given.n_lanes)
    n_inputs, n_outputs = (
        min(len(ports), _SHOWN_PORTS) for ports in (program.inputs, program.outputs)
    )
    shown = [*program.inputs[:n_inputs], *program.outputs[:n_outputs]]
    bits = [
        *unpacked_bits(given.block(0, n_lanes)[:n_inputs], n_lanes),
        *outputs.bits(0, n_lanes)[:n_outputs],
    ]
    rows: list[list[Cell]] = [[lane, *(int(row[lane]) for row in bits)] for lane in range(n_lanes)]
    table = columns(["lane", *(port.name for port in shown)], rows)
    left = len(program.inputs) + len(program.outputs) - len(shown)
    return f"{table}\n({left} more ports; -o FILE has all outputs)" if left else table


def _verdict(found: "Checked") -> list[tuple[str, str]]:
    n_equal = found.n_outputs - len(found.wrong)
    return [
        ("against", found.against),
        ("lanes", f"{with_commas(found.n_lanes)}, {found.said}"),
        ("outputs", f"{n_equal} of {found.n_outputs} equal"),
    ]


def _wrong_outputs(found: "Checked") -> str:
    """Return a table of the wrong outputs, and the inputs of their first lanes."""
    rows: list[list[Cell]] = [
        [w.name, w.cell, w.n_lanes, w.lane, w.got, w.expected] for w in found.wrong
    ]
    head = ["wrong output", "cell", "wrong lanes", "first lane", "got", "expected"]
    lines = [columns(head, rows), ""]
    first = {wrong.lane: wrong.inputs for wrong in found.wrong}
    for lane in sorted(first)[:_SHOWN_LANES]:
        bits = " ".join(f"{name}={bit}" for name, bit in first[lane].items())
        lines.append(f"lane {lane}: {printable(bits)}")
    return "\n".join(lines)


def _described(program: "NorFile") -> dict[str, Any]:
    return {
        "name": program.name,
        "form": program.form,
        "row_size": program.row_size,
        "inputs": {port.name: port.cell for port in program.inputs},
        "outputs": {port.name: port.cell for port in program.outputs},
        "cycles": program.n_cycles,
        "gates": program.n_gates,
        "init_steps": program.n_init_steps,
        "init_cells": program.n_init_cells,
        "cells": program.n_cells,
        "counts": program.program.counts.to_dict(),
        "notes": list(program.notes),
    }


def _ran(program: "NorFile", given: "LaneInputs", outputs: "Outputs") -> dict[str, Any]:
    first = outputs.bits(0, _SHOWN_LANES).astype(int).tolist()
    names = [port.name for port in program.outputs]
    return {
        "lanes": given.n_lanes,
        "lane_inputs": given.said,
        "crc32": f"{outputs.crc32:08x}",
        "first_lanes": dict(zip(names, first, strict=True)),
    }


def _judged(found: "Checked") -> dict[str, Any]:
    return {
        "against": found.against,
        "lanes": found.n_lanes,
        "lane_inputs": found.said,
        "equal": not found.wrong,
        "wrong": [
            {
                "output": wrong.name,
                "cell": wrong.cell,
                "wrong_lanes": wrong.n_lanes,
                "first_lane": wrong.lane,
                "inputs": wrong.inputs,
                "got": wrong.got,
                "expected": wrong.expected,
            }
            for wrong in found.wrong
        ],
    }


def _write(target: Path, program: "NorFile", outputs: "Outputs", overwrite: bool) -> None:
    """Write the outputs as arrays of 0 and 1 by name; the same outputs make the same bytes."""
    import numpy as np

    from bitpim.errors import TraceError
    from bitpim.proof.lane_inputs import unpacked_bits
    from bitpim_traces.whole_file import whole_file

    try:
        with (
            whole_file(target, overwrite=overwrite) as half,
            half.path.open("wb") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for port, row in zip(program.outputs, outputs.rows, strict=True):
                member = io.BytesIO()
                np.save(member, unpacked_bits(row[None], outputs.n_lanes)[0].astype(np.uint8))
                entry = zipfile.ZipInfo(f"{port.name}.npy")
                archive.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED)
                half.raise_held()
    except OSError as error:
        raise TraceError(
            f"{target}: cannot be written ({error.strerror or error}); choose another place"
        ) from error
