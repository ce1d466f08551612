"""Answers of a CAM as a person reads them: what was asked, the first answers, how near they are."""

from typing import TYPE_CHECKING, Any

from bitpim.report.text import Cell, columns, share, with_commas

if TYPE_CHECKING:
    from bitpim.lookup.answers import Answers
    from bitpim.lookup.words import CamWords

__all__ = ["answer_lines", "count_lines", "distance_lines", "headline"]

_BAR, _BAR_WIDTH = "█", 40
_MOST_BINS = 12
_FEW = 8  # answers that are read sooner than a drawing of them
_WIDEST = 32  # cells that are shown one by one
_MOST_ROWS = 6  # of one query
_NUMBERS = ("nearest", "range")  # kinds for which words are numbers


def headline(answers: "Answers") -> list[str]:
    """Say what was asked of what, with every option that is not as usual."""
    from bitpim.lookup.searches import OPTIONS

    changed = [
        f"{name} {'yes' if value is True else _short(value)}"
        for name, value in answers.options.items()
        if name in OPTIONS and value != OPTIONS[name].default
    ]
    line = (
        f"{answers.kind} search: {_many(len(answers), 'query', 'queries')} in "
        f"{_many(answers.n_rows, 'row', 'rows')} of {_many(answers.n_bits, 'bit', 'bits')}"
    )
    lines = [f"{line}; {', '.join(changed)}" if changed else line]
    faults = answers.options.get("faults")
    if faults:
        lines.append(
            f"faulty cells: {with_commas(faults['stuck_match'])} stuck at match (rate "
            f"{faults['stuck_match_rate']:g}), {with_commas(faults['stuck_mismatch'])} at mismatch "
            f"(rate {faults['stuck_mismatch_rate']:g}), seed {faults['seed']}"
        )
    return lines


def answer_lines(
    answers: "Answers", stored: "CamWords", queries: "CamWords", most: int
) -> list[str]:
    """Show the answers to the first queries as a table."""
    from bitpim.lookup.searches import SEARCHES

    n = min(most, len(answers))
    if not n:
        return []
    asked = _words(queries[:n], answers)
    found = answers.rows[:n, 0].clip(min=0)
    best = _words(type(stored)(stored.bits[found], stored.care[found], stored.n_bits), answers)
    has_many = answers.rows.shape[1] > 1
    head = ["#", "query", *(["rows"] if has_many else ["row", "stored"])]
    head += [] if answers.distances is None else ["distances" if has_many else "distance"]
    has_lists = answers.offsets is not None
    head += ["matches"] if has_lists or not SEARCHES[answers.kind].has_winner else []
    head += ["all rows"] if has_lists else []
    rows = []
    for i in range(n):
        ids = [row for row in answers.rows[i].tolist() if row >= 0]
        cells: list[Cell] = [i, asked[i], _list(ids, has_many)]
        cells += [] if has_many else [best[i] if ids else "-"]
        if answers.distances is not None:
            cells.append(_list(answers.distances[i, : len(ids)].tolist(), has_many))
        if "matches" in head:
            cells.append(int(answers.n_matches[i]))
        if has_lists:
            cells.append(_list(answers.matches_of(i)[: _MOST_ROWS + 1].tolist(), True))
        rows.append(cells)
    lines = columns(head, rows, n_keys=2).split("\n")
    left = len(answers) - n
    return [*lines, f"and {_many(left, 'query', 'queries')} more"] if left else lines


def distance_lines(answers: "Answers") -> list[str]:
    """Say how many queries are answered, and how far the best rows are, as a drawing if many."""
    lines = [f"answered    {share(answers.n_matched, len(answers))} queries"]
    if answers.distances is None or not answers.n_matched:
        n_rows = int(answers.n_matches.sum())
        return [f"{lines[0]}, {_many(n_rows, 'matching row', 'matching rows')} in all"]
    found = answers.distances[:, 0][answers.rows[:, 0] >= 0]
    low, high = int(found.min()), int(found.max())
    mean = sum(map(int, found.tolist())) / len(found)
    lines.append(f"distances   {low:,} to {high:,}, mean {mean:,.4g}")
    if len(found) > _FEW and high > low:
        lines += ["", *_histogram(found, low, high)]
    return lines


def count_lines(answers: "Answers") -> list[str]:
    """List what the hardware did, and what one of each is."""
    from bitpim.counts import EVENTS

    n = max(len(answers), 1)
    rows: list[list[Cell]] = [
        [event, count, f"{count / n:,.4g}", EVENTS[event]]
        for event, count in answers.counts.to_dict().items()
    ]
    return columns(["count of", "in all", "a query", "one is"], rows).split("\n")


def _histogram(found: Any, low: int, high: int) -> list[str]:
    """Draw how many distances lie where, a line a bin."""
    import numpy as np

    span = high - low + 1
    step = -(-span // _MOST_BINS)
    kind = found.dtype.type
    bins = np.bincount(((found - kind(low)) // kind(step)).astype(np.int64))
    most = int(bins.max())
    rows = []
    for place, count in enumerate(bins.tolist()):
        first, last = low + place * step, min(low + (place + 1) * step - 1, high)
        where = with_commas(first) if first == last else f"{with_commas(first)}-{with_commas(last)}"
        length = max(round(_BAR_WIDTH * count / most), 1) if count else 0
        rows.append((where, with_commas(count), _BAR * length))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head = f"{'distance'.rjust(max(widths[0], 8))}  {'queries'.rjust(max(widths[1], 7))}"
    drawn = [
        f"{where.rjust(max(widths[0], 8))}  {count.rjust(max(widths[1], 7))}  {bar}".rstrip()
        for where, count, bar in rows
    ]
    return [head, *drawn]


def _words(words: "CamWords", answers: "Answers") -> list[str]:
    """Write words as numbers where they are compared as such, else as cells; wide ones shorter."""
    if answers.kind in _NUMBERS and words.n_bits <= 64 and not words.n_dont_cares:
        half = 1 << (words.n_bits - 1)
        codes = words.codes().tolist()
        signed = bool(answers.options.get("signed"))
        return [str(code - 2 * half if signed and code >= half else code) for code in codes]
    texts = words.to_text()
    if words.n_bits <= _WIDEST:
        return texts
    return [_wide(text) for text in texts]


def _wide(text: str) -> str:
    if "X" in text:
        return f"{text[:16]}...{text[-12:]}"
    digits = f"{int(text, 2):0{-(-len(text) // 4)}x}"
    return f"0x{digits}" if len(digits) <= 24 else f"0x{digits[:12]}...{digits[-8:]}"


def _list(numbers: list[int], has_many: bool) -> Cell:
    if not has_many:
        return numbers[0] if numbers else None
    more = " ..." if len(numbers) > _MOST_ROWS else ""
    return " ".join(map(str, numbers[:_MOST_ROWS])) + more if numbers else "-"


def _short(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _many(n: int, one: str, more: str) -> str:
    return f"{with_commas(n)} {one if n == 1 else more}"
