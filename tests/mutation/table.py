"""The table of a run, by room or by module, as Markdown, and the survivors one by one."""

from collections.abc import Callable, Iterable, Mapping

from tests.mutation.mirrors import room_of
from tests.mutation.records import Record

__all__ = ["survivors", "table"]


def table(
    records: Iterable[Record],
    found: Mapping[str, int],
    reasons: Mapping[tuple[str, str, str], str],
    name_of: Callable[[str], str] = room_of,
) -> str:
    """Return one row a room, or whatever `name_of` makes of a module, and their sum.

    `found` holds how many mutations each module has.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(name_of(record.module), []).append(record)
    sites: dict[str, int] = {}
    for module, n in found.items():
        sites[name_of(module)] = sites.get(name_of(module), 0) + n
    rows = [(name, *_figures(groups[name], sites[name], reasons)) for name in groups]
    everything = [record for members in groups.values() for record in members]
    rows.append(("all", *_figures(everything, sum(found.values()), reasons)))
    head = ("", "mutations", "tried", "killed", "survived", "of them listed", "killed", "at first")
    lines = [head, ("---",) + ("---:",) * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _figures(
    records: list[Record], sites: int, reasons: Mapping[tuple[str, str, str], str]
) -> tuple[str, ...]:
    alive = [record for record in records if record.survived]
    n = len(records)
    listed = sum(record.change in reasons for record in alive)
    first = sum(record.survived_first for record in records)
    return (
        f"{sites:,}",
        str(n),
        str(n - len(alive)),
        str(len(alive)),
        str(listed),
        _share(n - len(alive), n),
        _share(n - first, n),
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def survivors(records: Iterable[Record], reasons: Mapping[tuple[str, str, str], str]) -> list[str]:
    """Return the survivors without a reason: where, the line, and what it became."""
    return [
        f"{record.module}:{record.line}: {record.operator} {record.occurrence}\n"
        f"  - {record.before}\n  + {record.after}"
        for record in records
        if record.survived and record.change not in reasons
    ]
