"""`bitpim program costs`: cycles of adders of stateful NOR, as four sources count them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitpim.cli.options import Json

if TYPE_CHECKING:
    from bitpim.lookup.nor_costs import CostMode, SimplerFigure

__all__ = ["costs"]


def costs(
    bits: Annotated[int, typer.Option("--bits", min=1, max=64, help="Bits of the add.")] = 8,
    operands: Annotated[
        int, typer.Option("--operands", min=2, max=1_000_000, help="Numbers of a sum.")
    ] = 9,
    json: Json = False,
) -> None:
    """Print what adders of stateful NOR cost in cycles, as four sources count."""
    from bitpim.lookup.nor_costs import COST_MODES, SIMPLER_FIGURES
    from bitpim.programs.nor_sums import csa_levels
    from bitpim.report.text import as_json, columns

    modes = [_mode_row(mode, bits, operands) for mode in COST_MODES.values()]
    figures = [_figure_row(figure) for figure in SIMPLER_FIGURES]
    levels = csa_levels(operands)
    if json:
        content = {"bits": bits, "operands": operands, "levels": levels}
        typer.echo(as_json({**content, "modes": modes, "simpler": figures}))
        return
    heads = ["mode", "level", f"add of {bits} bits", f"sum of {operands}", "confidence", "counts"]
    rows = [
        [
            row["mode"],
            f"{row['level_cycles']}",
            f"{row['add_cycles']}" + ("" if row["other"] is None else f" or {row['other']}"),
            f"{row['sum_cycles']}",
            row["confidence"],
            row["summary"],
        ]
        for row in modes
    ]
    typer.echo(f"Cycles of adders; {operands} numbers take {levels} carry-save levels and an add.")
    typer.echo("")
    typer.echo(columns(heads, rows))
    typer.echo("")
    typer.echo("What the SIMPLER tool made of its circuits (quoted), and our programs by its rule;")
    typer.echo("in brackets the steps among them that set cells; the first such step is free.")
    typer.echo("")
    names = ("cells", "simpler", "ours", "wide_simpler", "wide_ours")
    typer.echo(
        columns(
            ["circuit", "cells", "SIMPLER", "ours", "SIMPLER, wide", "ours, wide"],
            [[row["circuit"], *(_text(row, name) for name in names)] for row in figures],
        )
    )
    typer.echo("")
    typer.echo(
        "Its full adder has twelve gates, ours nine. Its adders start with a half adder, ours"
    )
    typer.echo("with a carry that takes a step to be set to 0.")


def _mode_row(mode: "CostMode", bits: int, operands: int) -> dict[str, Any]:
    return {
        "mode": mode.name,
        "level_cycles": mode.level_cycles(),
        "add_cycles": mode.add_cycles(bits),
        "other": None if mode.other_add is None else mode.other_add(bits),
        "sum_cycles": mode.sum_cycles(operands, bits),
        "confidence": mode.confidence,
        "source": mode.source,
        "summary": mode.summary,
    }


def _figure_row(figure: "SimplerFigure") -> dict[str, Any]:
    from bitpim.lookup.nor_costs import simpler_cycles, simpler_sets

    ours = figure.ours(figure.row_size)
    return {
        "circuit": figure.circuit,
        "cells": figure.row_size,
        "simpler": figure.cycles,
        "simpler_sets": figure.n_sets,
        "ours": simpler_cycles(ours),
        "ours_sets": simpler_sets(ours),
        "wide_simpler": figure.wide_cycles,
        "wide_ours": simpler_cycles(figure.ours(None)),
    }


def _text(row: dict[str, Any], name: str) -> str:
    sets = row.get(f"{name}_sets")
    return f"{row[name]}" + ("" if sets is None else f" ({sets})")
