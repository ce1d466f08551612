"""How a machine's counts are to be read: its clock, which phases stream, its headline figures.

A machine states it and a result file keeps it, so that whoever reads counts needs to know neither
the machine nor its events.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Headline", "Legend"]


@dataclass(frozen=True, slots=True)
class Headline:
    """A figure by which a kind of array is known: events added up, or their share of others.

    Attributes
    ----------
    name : as a column is headed, such as ``OU reads``
    events : names of the events that are added; one that ends in ``*`` stands for all that begin so
    of : events whose sum it is divided by; a plain count where there are none
    form : how it is written: a whole number, a ratio, or a share in per cent
    """

    name: str
    events: tuple[str, ...]
    of: tuple[str, ...] = ()
    form: Literal["count", "ratio", "share"] = "count"

    def value(self, counts: Mapping[str, int]) -> float | int | None:
        """Return the figure for some counts; None where it would be divided by nothing."""
        total = _sum(counts, self.events)
        if self.form == "count":
            return total
        base = _sum(counts, self.of)
        return total / base if base else None

    def text(self, counts: Mapping[str, int]) -> str:
        """Return the figure as it is written, ``-`` where there is none."""
        value = self.value(counts)
        if value is None:
            return "-"
        forms = {"count": "{:,}", "ratio": "{:.1f}", "share": "{:.1%}"}
        return forms[self.form].format(value).replace("%", " %")


def _sum(counts: Mapping[str, int], names: tuple[str, ...]) -> int:
    exact = {name for name in names if not name.endswith("*")}
    starts = tuple(name[:-1] for name in names if name.endswith("*"))
    return sum(n for event, n in counts.items() if event in exact or event.startswith(starts))


@dataclass(frozen=True, slots=True)
class Legend:
    """What a reader of a machine's counts has to know.

    Attributes
    ----------
    clock_ghz : clock of its cycles
    streaming : phases that move codes to and from the arrays; the others compute
    overlaps : whether a layer streams while it computes, so that it takes the longer of the two
    headlines : figures that say more than cycles by phase
    """

    clock_ghz: float
    streaming: tuple[str, ...] = ()
    overlaps: bool = False
    headlines: tuple[Headline, ...] = ()

    def elapsed(self, cycles_by_phase: Mapping[str, int]) -> int:
        """Return the cycles a layer takes, phases one after the other or overlapping."""
        streaming = sum(n for phase, n in cycles_by_phase.items() if phase in self.streaming)
        computing = sum(cycles_by_phase.values()) - streaming
        return max(streaming, computing) if self.overlaps else streaming + computing

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Legend":
        """Return the legend that `as_dict` made plain values of.

        Raises
        ------
        ValueError
            A value is missing, superfluous or of the wrong kind.
        """
        try:
            headlines = tuple(
                Headline(str(h["name"]), _words(h["events"]), _words(h["of"]), _form(h["form"]))
                for h in content["headlines"]
            )
            clock, overlaps = float(content["clock_ghz"]), content["overlaps"]
            if not 0 < clock < float("inf") or not isinstance(overlaps, bool):
                raise ValueError(f"need a clock above 0 and a truth value, got {clock}, {overlaps}")
            return cls(clock, _words(content["streaming"]), overlaps, headlines)
        except (KeyError, TypeError) as error:
            raise ValueError(f"no legend: {error!r}") from error


def _words(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or not all(isinstance(v, str) for v in values):
        raise ValueError(f"need a list of words, got {values!r}")
    return tuple(values)


def _form(value: Any) -> Literal["count", "ratio", "share"]:
    for form in ("count", "ratio", "share"):
        if value == form:
            return form
    raise ValueError(f"need a form of count, ratio or share, got {value!r}")
