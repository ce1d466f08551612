"""What `bitpim vectors make` makes vectors of: what is given, and which options go with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from bitpim.cli.record import recorded_from
from bitpim.machine import DEFAULT_CROSSBAR

if TYPE_CHECKING:
    from bitpim_traces.program_trace.records import ProgramTrace

__all__ = ["CROSSBAR", "Made", "made_from"]

CROSSBAR: Final = "crossbar"
"""What is given in the place of a file for a crossbar of one's own."""

Options = Mapping[str, Any]
"""By their names on the command line; None or empty where one is not given."""


@dataclass(frozen=True, slots=True)
class Made:
    """A program trace, and what there is to say of it, in words and as values."""

    program: "ProgramTrace"
    told: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Source:
    """A kind of source: what it is called, options that it needs and takes, and what reads it."""

    told: str
    needs: tuple[str, ...]
    takes: tuple[str, ...]
    made: Callable[[str, Options], Made]


def made_from(source: str, options: Options) -> Made:
    """Return the program trace of what is given, recorded if it has to be.

    Raises
    ------
    typer.BadParameter
        An option is missing, or has no place with what is given.
    BitpimError
        It cannot be read, or not be recorded so.
    """
    kind = _source(source, options)
    for name in kind.needs:
        if not options[name]:
            raise typer.BadParameter(f"is needed for {kind.told}", param_hint=name)
    for name, value in options.items():
        if value not in (None, []) and name not in (*kind.needs, *kind.takes):
            raise typer.BadParameter(f"has no place with {kind.told}", param_hint=name)
    return kind.made(source, options)


def _source(source: str, options: Options) -> _Source:
    from bitpim.programs.catalog import CATALOG
    from bitpim_traces.file_kind import format_name_of
    from bitpim_traces.program_trace.schema import FORMAT_NAME as PROGRAM
    from bitpim_traces.schema import FORMAT_NAME as NETWORK

    if source in (*CATALOG, CROSSBAR) and not Path(source).exists():
        return _CROSSBAR if source == CROSSBAR else _CATALOGUE
    found = format_name_of(source)
    if found == NETWORK or source == "-":
        return _NETWORK
    is_to_be_recorded = any(options[name] for name in _NETWORK.needs)
    return _NETWORK if found != PROGRAM and is_to_be_recorded else _TILE


def _opened(source: str, options: Options) -> Made:
    from bitpim_traces.program_trace.reader import open_program

    return Made(open_program(source))


def _of_catalogue(source: str, options: Options) -> Made:
    from bitpim.golden.program_steps import catalogue_trace

    widths = _or(options["--bits"], 8), _or(options["--lanes"], 64)
    seed = _or(options["--seed"], 0)
    return Made(catalogue_trace(source, bits=widths[0], n_columns=widths[1], seed=seed))


def _recorded(source: str, options: Options) -> Made:
    recorded = recorded_from(
        source,
        options["--machine"],
        options["--layer"],
        _or(options["--tile"], 0),
        preset=options["--preset"],
        assignments=options["--set"],
        sample=_or(options["--sample"], 0),
    )
    return Made(recorded.program)


def _given(source: str, options: Options) -> Made:
    from bitpim.golden.given_crossbar import record_crossbar
    from bitpim.lookup.word_files import read_matrix
    from bitpim.machine.registry import make_machine

    weights, inputs = (read_matrix(options[f"--{role}"], role) for role in ("weights", "inputs"))
    name = DEFAULT_CROSSBAR if options["--machine"] is None else options["--machine"]
    machine = make_machine(name, options["--preset"], options["--set"] or [])
    found = record_crossbar(weights, inputs, machine)
    because = f" ({found.losses})" if found.n_differ else ""
    values = {"n_products": found.exact.size, "n_differ": found.n_differ, "losses": found.losses}
    return Made(found.program, f"{found}{because}", values)


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


_TILE: Final = _Source("a program trace, which is recorded already", (), (), _opened)
_CATALOGUE: Final = _Source(
    "a program of the catalogue", (), ("--bits", "--lanes", "--seed"), _of_catalogue
)
_NETWORK: Final = _Source(
    "a tile of a network", ("--machine", "--layer"), ("--tile", "--sample", "--preset", "--set"),
    _recorded,
)  # fmt: skip
_CROSSBAR: Final = _Source(
    "a crossbar of your own", ("--weights", "--inputs"), ("--machine", "--preset", "--set"), _given
)
