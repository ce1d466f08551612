"""`bitpim program`: the micro-programs of the arrays, step by step."""

import json as json_text
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitpim.cli import program_costs, program_files
from bitpim.cli.options import Json

if TYPE_CHECKING:
    from bitpim.programs.catalog import Widths

__all__ = ["app"]

app = typer.Typer(help="Micro-programs of the arrays: cycles and steps.", no_args_is_help=True)
app.command()(program_files.run)
app.command()(program_files.check)
app.command()(program_costs.costs)

Bits = Annotated[int, typer.Option("--bits", min=1, max=64, help="Bits of the operands.")]
WeightBits = Annotated[
    int | None,
    typer.Option(
        "--weight-bits", min=1, max=64, help="Bits of the second factor.", show_default="bits"
    ),
]
AccumulatorBits = Annotated[
    int | None,
    typer.Option(
        "--accumulator-bits", min=1, max=64, help="Bits of sums.", show_default="both factors + 8"
    ),
]
ArrayRows = Annotated[int, typer.Option("--rows", min=1, max=65_536, help="Rows of the array.")]


def _widths(bits: int, weight_bits: int | None, total_bits: int | None, n_rows: int) -> "Widths":
    from bitpim.programs.catalog import Widths

    weight = bits if weight_bits is None else weight_bits
    total = min(bits + weight + 8, 64) if total_bits is None else total_bits
    return Widths(bits, weight, total, n_rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Program, such as multiply.")],
    bits: Bits = 8,
    weight_bits: WeightBits = None,
    accumulator_bits: AccumulatorBits = None,
    rows: ArrayRows = 256,
    json: Json = False,
) -> None:
    """Print a program row by row."""
    from bitpim.programs.catalog import catalog_program

    program = catalog_program(name, _widths(bits, weight_bits, accumulator_bits, rows))
    if not json:
        typer.echo("\n".join(program.listing()))
        return
    family = program.family
    row = {
        "name": program.name,
        "family": family.name,
        "cycles": program.n_steps,
        "counts": program.counts.to_dict(),
        "entry": list(program.entry),
        "fields": [
            {"name": field.name, "start": field.start, "width": field.width}
            for field in program.fields
        ],
        "steps": [
            {
                "step": step,
                "opcode": family.by_code[opcode].mnemonic,
                "a": a,
                "b": b,
                "dst": dst,
                **{p.name.lower(): predicate == p.code for p in family.predicates},
                "rows": operands,
                "note": note,
            }
            for step, (opcode, a, b, dst, predicate), operands, note in zip(
                program.step_of,
                program.table.tolist(),
                program.operands,
                program.notes,
                strict=True,
            )
        ],
    }
    typer.echo(json_text.dumps(row))


@app.command(name="list")
def list_programs(
    bits: Bits = 8,
    weight_bits: WeightBits = None,
    accumulator_bits: AccumulatorBits = None,
    rows: ArrayRows = 256,
    json: Json = False,
) -> None:
    """Print the cycles and rows of every program."""
    from bitpim.errors import ProgramError
    from bitpim.programs.catalog import CATALOG, catalog_program

    widths = _widths(bits, weight_bits, accumulator_bits, rows)
    found: list[dict[str, Any]] = []
    for name in CATALOG:
        try:
            program = catalog_program(name, widths)
        except ProgramError as error:
            found.append({"name": name, "error": str(error)})
        else:
            found.append(
                {
                    "name": name,
                    "family": program.family.name,
                    "cycles": program.n_steps,
                    "rows": program.n_rows,
                    "counts": program.counts.to_dict(),
                }
            )
    if json:
        typer.echo(json_text.dumps(found))
        return
    families = dict.fromkeys(row["family"] for row in found if "family" in row)
    tables = [_table([r for r in found if r.get("family") == f], f) for f in families]
    lines = [line for table in tables for line in [*table, ""]]
    lines += [f"{row['name']:<28}{'-':>8}  {row['error']}" for row in found if "error" in row]
    typer.echo("\n".join(lines).rstrip())


def _table(found: Sequence[Mapping[str, Any]], family: str) -> list[str]:
    """Return a line a program, with a column for each event that some count and not others."""
    counted = [row["counts"] for row in found]
    events = list(dict.fromkeys(event for counts in counted for event in counts))
    events = [e for e in events if any(counts.get(e) != counts["cycles"] for counts in counted)]
    heads = {event: event.replace("_", " ") + "s" for event in events}
    lines = [
        f"{family + ' program':<28}{'cycles':>8}{'rows':>6}"
        + "".join(f"{h:>15}" for h in heads.values())
    ]
    for row in found:
        cells = "".join(f"{row['counts'].get(event, 0):>15}" for event in events)
        lines.append(f"{row['name']:<28}{row['cycles']:>8}{row['rows']:>6}{cells}")
    return lines
