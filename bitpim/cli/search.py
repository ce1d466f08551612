"""`bitpim search`: a memory that is asked which of its rows are like a word."""

import re
import sys
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitpim.cli.completion import price_tables
from bitpim.cli.options import Jobs, Json, Overwrite, need_other_file
from bitpim.cli.progress import counted, say_when_compiling
from bitpim.lookup.searches import MODES, OPTIONS, SEARCHES, TIES
from bitpim.report.text import printable

if TYPE_CHECKING:
    from bitpim.cost.tables import PriceTable
    from bitpim.lookup.answers import Answers
    from bitpim.lookup.cells import CellFaults
    from bitpim.lookup.words import CamWords

__all__ = ["search"]

_LIST = re.compile(r"[\s,]*-?[0-9]+(?:[\s,]+-?[0-9]+)*[\s,]*")
_MOST_DIGITS = 4000


def _help(option: str) -> str:
    takers = [kind.name for kind in SEARCHES.values() if OPTIONS[option] in kind.options]
    text = OPTIONS[option].meaning
    of = "" if len(takers) == len(SEARCHES) else f" Of {', '.join(takers)}."
    return f"{text[0].upper()}{text[1:]}.{of}"


def _beginning(names: Any) -> Any:
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


Stored = Annotated[
    str,
    typer.Argument(
        metavar="STORED",
        help="Stored words: text, .npz, .npy or .h5, FILE:NAME for an array of a name; - is"
        " standard input.",
    ),
]
Queries = Annotated[
    str | None,
    typer.Argument(metavar="QUERIES", help="Words to search for; without, those beside STORED."),
]
Kind = Annotated[
    str,
    typer.Option("--kind", help=f"{', '.join(SEARCHES)}.", autocompletion=_beginning(SEARCHES)),
]
Most = Annotated[
    int,
    typer.Option("--limit-rows", min=0, max=10**6, help="Most answers to print; all go to -o."),
]
Rate = Annotated[
    float | None, typer.Option(min=0, max=1, help="Share of the cells that are stuck so.")
]


def search(
    stored: Stored,
    queries: Queries = None,
    *,
    kind: Kind,
    k: Annotated[int | None, typer.Option("-k", "--k", help=_help("k"))] = None,
    limit: Annotated[int | None, typer.Option(help=_help("limit"))] = None,
    top_bits: Annotated[int | None, typer.Option(help=_help("top_bits"))] = None,
    mode: Annotated[
        str | None, typer.Option(help=_help("mode"), autocompletion=_beginning(MODES))
    ] = None,
    stage_bits: Annotated[int | None, typer.Option(help=_help("stage_bits"))] = None,
    signed: Annotated[bool, typer.Option("--signed", help=_help("signed"))] = False,
    weights: Annotated[
        str | None, typer.Option(metavar="FILE|N,N,...", help=_help("weights"))
    ] = None,
    high: Annotated[str | None, typer.Option(metavar="FILE", help=_help("high"))] = None,
    ties: Annotated[
        str | None, typer.Option(help=_help("ties"), autocompletion=_beginning(TIES))
    ] = None,
    every: Annotated[bool, typer.Option("--every", help=_help("every"))] = False,
    stuck_match: Rate = None,
    stuck_mismatch: Rate = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of stuck cells.", show_default="0")
    ] = None,
    bits: Annotated[
        int | None, typer.Option("--bits", min=1, help="Width of words that are integers.")
    ] = None,
    jobs: Jobs = None,
    prices: Annotated[
        str | None,
        typer.Option(
            "--prices",
            help="Price table: packaged, a .toml, or none, as by default.",
            autocompletion=price_tables,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="All answers as a file: .npz, .h5 or .csv."),
    ] = None,
    overwrite: Overwrite = False,
    limit_rows: Most = 10,
    json: Json = False,
) -> None:
    """Search a content-addressable memory: stored words and queries in, rows and counts out.

    \b
    bitpim search rules.txt packets.txt --kind ternary
    bitpim search memory.npz --kind best -k 5 --jobs 2 -o answers.npz
    bitpim search levels.txt readings.txt --kind nearest --bits 16 --mode staged --stage-bits 8
    """
    from bitpim.lookup.answer_files import refuse_output, write_answers
    from bitpim.lookup.cam import Cam
    from bitpim.lookup.searches import search_kind

    search_kind(kind)
    if output is not None:
        refuse_output(output, overwrite=overwrite)
        need_other_file(output, stored, queries, high, weights)
    table = _price_table(prices)
    words, asked = _read(stored, queries, bits)
    options: dict[str, Any] = {
        "k": k, "limit": limit, "top_bits": top_bits, "mode": mode, "stage_bits": stage_bits,
        "signed": signed or None, "weights": _weights(weights),
        "high": _high(high, bits, words.n_bits), "ties": ties, "every": every or None,
    }  # fmt: skip
    options = {name: value for name, value in options.items() if value is not None}
    cam = Cam(words, faults=_faults(words, stuck_match, stuck_mismatch, seed), n_threads=jobs)
    say_when_compiling()
    with counted(f"{kind} search") as progress:
        answers = cam.search(asked, kind, on_progress=progress, **options)
    if output is not None:
        write_answers(answers, output, overwrite=overwrite)
    if json:
        typer.echo(dumps(_content(answers, table, output), allow_nan=False))
    else:
        typer.echo("\n".join(map(printable, _lines(answers, words, asked, limit_rows, output))))
        if table is not None:
            _say_energy(answers, table)


def _read(stored: str, queries: str | None, bits: int | None) -> "tuple[CamWords, CamWords]":
    """Read stored words and queries; one of them may come from standard input."""
    from bitpim.lookup.word_files import read_words, stored_and_queries

    if stored == "-" and queries in ("-", None):
        raise typer.BadParameter("need a file for one of stored words and queries, got - for both")
    if stored == "-":
        assert queries is not None
        words = _standard_input(bits)
        return words, read_words(queries, "queries", bits, words.n_bits)
    if queries == "-":
        return read_words(stored, "stored", bits), _standard_input(bits)
    return stored_and_queries(stored, queries, bits)


def _standard_input(bits: int | None) -> "CamWords":
    from bitpim.errors import LayoutError
    from bitpim.lookup.word_text import words_of_text
    from bitpim_traces.stored_values import MAX_BYTES

    content = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise LayoutError(
            f"standard input: need at most {MAX_BYTES:,} bytes of text, got more; search in parts"
        )
    return words_of_text(content, "standard input", bits)


def _weights(given: str | None) -> list[int] | None:
    from bitpim.lookup.word_files import read_numbers

    if given is None:
        return None
    if _LIST.fullmatch(given) and len(given) < _MOST_DIGITS:
        return [int(number) for number in given.replace(",", " ").split()]
    paths = (given, given.rpartition(":")[0])
    if "," in given and not any(path and Path(path).exists() for path in paths):
        raise typer.BadParameter(
            f"need whole numbers N,N,... or a file of them, got {given!r}", param_hint="--weights"
        )
    return read_numbers(given, "weights")


def _high(given: str | None, bits: int | None, n_bits: int) -> "CamWords | None":
    from bitpim.lookup.word_files import read_words

    return None if given is None else read_words(given, "high", bits, n_bits)


def _faults(
    words: "CamWords", stuck_match: float | None, stuck_mismatch: float | None, seed: int | None
) -> "CellFaults | None":
    from bitpim.lookup.cells import CellFaults

    if stuck_match is None and stuck_mismatch is None:
        if seed is not None:
            raise typer.BadParameter(
                "nothing is drawn; give --stuck-match or --stuck-mismatch too", param_hint="--seed"
            )
        return None
    return CellFaults.draw(
        len(words),
        words.n_bits,
        stuck_match=stuck_match or 0.0,
        stuck_mismatch=stuck_mismatch or 0.0,
        seed=seed or 0,
    )


def _price_table(name: str | None) -> "PriceTable | None":
    from bitpim.counts import CAM_EVENTS
    from bitpim.machine.registry import any_prices

    if name in (None, "none"):
        return None
    table = any_prices(str(name))
    table.require(CAM_EVENTS)
    return table


def _lines(
    answers: "Answers", words: "CamWords", asked: "CamWords", most: int, output: Path | None
) -> list[str]:
    from bitpim.cli.search_text import answer_lines, count_lines, distance_lines, headline

    lines = [*headline(answers), ""]
    shown = answer_lines(answers, words, asked, most)
    lines += [*shown, ""] if shown else []
    lines += [*distance_lines(answers), "", *count_lines(answers)]
    return [*lines, "", f"all answers in {output}"] if output is not None else lines


def _say_energy(answers: "Answers", table: "PriceTable") -> None:
    from bitpim.cli.cost import energy_text
    from bitpim.cost.model import energy

    counts = answers.counts.to_dict()
    free = [event for event in counts if not table.price(event).energy_pj]
    guessed = {event for event in free if table.price(event).confidence == "assumed"}
    priced = {event: n for event, n in counts.items() if event not in free or event in guessed}
    shown = priced or counts
    text = energy_text(energy(shown, table), shown, table, len(answers), "query")
    left = [event for event in counts if event not in shown]
    typer.echo(f"\n{text}" + (f"\npriced within those: {', '.join(left)}" if left else ""))


def _content(answers: "Answers", table: "PriceTable | None", output: Path | None) -> dict[str, Any]:
    from bitpim.cost.model import energy
    from bitpim.lookup.answer_files import about

    content = {**about(answers), **answers.to_dict()}
    if table is not None:
        found = energy(answers.counts.to_dict(), table)
        prices = {event: table.price(event).model_dump() for event in found.by_event_pj}
        content["energy"] = {
            "prices": table.name,
            "total_pj": found.total_pj,
            "by_event_pj": dict(found.by_event_pj),
            "table": prices,
        }
    return content if output is None else {**content, "output": str(output)}
