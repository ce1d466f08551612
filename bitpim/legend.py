"""How a machine's counts are to be read: its clock, which phases stream, its headline figures.

A machine states it and a result file keeps it, so that whoever reads counts needs to know neither
the machine nor its events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from bitpim.errors import ConfigError

__all__ = ["Headline", "Legend"]

Form = Literal["count", "ratio", "share"]
_TEXTS: Mapping[str, str] = {"count": "{:,}", "ratio": "{:.1f}", "share": "{:.1%}"}


@dataclass(frozen=True, slots=True)
class Headline:
    """A figure by which a kind of array is known: events added up, or their share of others.

    Attributes
    ----------
    name : heads a column, and follows the figure in a line: ``1,234 OU reads``
    events : names of the events that are added; one that ends in ``*`` stands for all that begin so
    of : events whose sum it is divided by; none for a count
    form : how it is written: a whole number, a ratio, or a share in per cent

    Raises
    ------
    ConfigError
        A value is of the wrong kind, or the events do not fit the form.
    """

    name: str
    events: tuple[str, ...]
    of: tuple[str, ...] = ()
    form: Form = "count"

    def __post_init__(self) -> None:
        if not _is_word(self.name):
            raise ConfigError(f"headline: need a name on one line, got {self.name!r}")
        if self.form not in get_args(Form):
            raise ConfigError(
                f"headline {self.name!r}: need a form of {', '.join(get_args(Form))}, "
                f"got {self.form!r}"
            )
        for events in (self.events, self.of):
            _need_words(events, f"headline {self.name!r}: events")
        if not self.events or bool(self.of) == (self.form == "count"):
            raise ConfigError(
                f"headline {self.name!r}: need events, and others to divide them by unless it is "
                f"a count, got {self.form} of {self.events!r} by {self.of!r}"
            )

    def occurs(self, counts: Mapping[str, int]) -> bool:
        """Tell whether any of its events is among some counts."""
        return bool(_sum(counts, self.events + self.of))

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
        return _TEXTS[self.form].format(value).replace("%", " %")


@dataclass(frozen=True, slots=True)
class Legend:
    """What a reader of a machine's counts has to know; without arguments, that nothing is known.

    Attributes
    ----------
    clock_ghz : clock of its cycles; None where it is not known, then no time is told
    streaming : phases that move codes to and from the arrays; the others compute
    overlaps : whether a layer streams while it computes, so that it takes the longer of the two
    pipelined : whether layers work at the same time, each on a sample of its own, so that one more
        sample takes the cycles of the slowest layer; every sample takes a layer as long
    headlines : figures that say more than cycles by phase

    Raises
    ------
    ConfigError
        A value is of the wrong kind or range, or two headlines have one name.
    """

    clock_ghz: float | None = None
    streaming: tuple[str, ...] = ()
    overlaps: bool = False
    headlines: tuple[Headline, ...] = ()
    pipelined: bool = False

    def __post_init__(self) -> None:
        clock = self.clock_ghz
        if clock is not None and not (_is_number(clock) and 0 < clock < float("inf")):
            raise ConfigError(f"legend: need a clock above 0 GHz, or none, got {clock!r}")
        for name in ("overlaps", "pipelined"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(
                    f"legend: {name} needs true or false, got {getattr(self, name)!r}"
                )
        _need_words(self.streaming, "legend: streaming phases")
        if not isinstance(self.headlines, tuple) or not all(
            isinstance(headline, Headline) for headline in self.headlines
        ):
            raise ConfigError(f"legend: need a tuple of headlines, got {self.headlines!r}")
        names = [headline.name for headline in self.headlines]
        if len(set(names)) != len(names):
            raise ConfigError(f"legend: need headlines of different names, got {names}")

    def elapsed(self, cycles_by_phase: Mapping[str, int]) -> int:
        """Return the cycles a layer takes, phases one after the other or overlapping."""
        streaming = sum(n for phase, n in cycles_by_phase.items() if phase in self.streaming)
        computing = sum(cycles_by_phase.values()) - streaming
        return max(streaming, computing) if self.overlaps else streaming + computing

    def elapsed_in_all(self, by_layer: Sequence[int], n_samples: int) -> int:
        """Return the cycles of so many samples; `by_layer` are those that each layer takes for all.

        Layers follow each other. Pipelined, the first sample takes the cycles of all layers, and
        every other one comes out those of the slowest layer later.
        """
        if not self.pipelined or n_samples < 2:
            return sum(by_layer)
        slowest = max(by_layer, default=0)
        return slowest - (slowest - sum(by_layer)) // n_samples

    def figures(self, counts: Mapping[str, int]) -> dict[str, float | int | None]:
        """Return the headline figures of some counts by name."""
        return {headline.name: headline.value(counts) for headline in self.headlines}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; `pipelined` only where it is true."""
        values = asdict(self)
        if not self.pipelined:
            del values["pipelined"]
        return values

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Legend":
        """Return the legend that `to_dict` made plain values of; names it does not know are left.

        Raises
        ------
        ConfigError
            A value is missing, or as above.
        """
        try:
            headlines = tuple(
                Headline(h["name"], _listed(h["events"]), _listed(h["of"]), h["form"])
                for h in _listed(content["headlines"])
            )
            clock = content["clock_ghz"]
            if isinstance(clock, int) and not isinstance(clock, bool):
                clock = float(clock)
            streaming, pipelined = _listed(content["streaming"]), content.get("pipelined", False)
            return cls(clock, streaming, content["overlaps"], headlines, pipelined)
        except (KeyError, TypeError, OverflowError) as error:
            raise ConfigError(f"legend: a value is missing or no legend's ({error!r})") from error


def _sum(counts: Mapping[str, int], names: tuple[str, ...]) -> int:
    exact = {name for name in names if not name.endswith("*")}
    starts = tuple(name[:-1] for name in names if name.endswith("*"))
    return sum(n for event, n in counts.items() if event in exact or event.startswith(starts))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_word(value: object) -> bool:
    """Whether a value can be shown as it is, whoever wrote it."""
    return isinstance(value, str) and value.strip() == value != "" and value.isprintable()


def _need_words(values: object, what: str) -> None:
    if not isinstance(values, tuple) or not all(map(_is_word, values)):
        raise ConfigError(f"{what}: need a tuple of names, got {values!r}")


def _listed(values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple):
        raise TypeError(f"need a list, got {values!r}")
    return tuple(values)
