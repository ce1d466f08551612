"""Price tables: TOML read into frozen, checked models. A table is used whole, never mixed.

A file has a `[table]` head (name, title, technology) and one `[prices.EVENT]` table for each event
of the machine, with the energy of one event, what one event is, and where the number comes from.
"""

from collections.abc import Iterable, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bitpim.config import Confidence, did_you_mean, toml_files, toml_text
from bitpim.counts import EVENTS
from bitpim.errors import ConfigError
from bitpim_traces.faults import shown
from bitpim_traces.strict_text import read_toml_text, strict_toml

__all__ = ["Price", "PriceTable", "list_price_tables", "load_prices", "parse_prices"]

MOST_PJ = 1e30
"""Of one event; so no sum over counts of 64 bits ever leaves the floats."""
_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)
Word = Annotated[str, Field(min_length=1)]


class Price(BaseModel):
    """What one event costs."""

    model_config = _STRICT

    event: Word
    energy_pj: Annotated[float, Field(ge=0, le=MOST_PJ, allow_inf_nan=False)]
    per: Word  # what one event is, in words
    technology: Word
    source: Word
    confidence: Confidence


class PriceTable(BaseModel):
    """The prices of all events of a machine, from one technology."""

    model_config = _STRICT

    name: Word
    title: str = ""
    technology: Word
    prices: tuple[Price, ...]

    @property
    def events(self) -> tuple[str, ...]:
        """Names of the priced events, sorted."""
        return tuple(price.event for price in self.prices)

    def price(self, event: str) -> Price:
        """Return the price of an event.

        Raises
        ------
        ConfigError
            The table does not price that event; zero has to be said, it is never assumed.
        """
        for price in self.prices:
            if price.event == event:
                return price
        meaning = f" ({EVENTS[event]})" if event in EVENTS else did_you_mean(event, self.events)
        raise ConfigError(
            f"price table {self.name}: no price for event {event!r}{meaning}; take a table made "
            f"for the machine, a copy with [prices.{event}], energy_pj = 0.0 if it is free, or run "
            "without prices (--prices none)"
        )

    def require(self, events: Iterable[str]) -> None:
        """Raise ConfigError, naming the event, unless the table prices all of them."""
        for event in events:
            self.price(event)

    def scaled(self, event: str, factor: float) -> "PriceTable":
        """Return the same table with the price of one event multiplied."""
        self.price(event)
        prices = tuple(
            price.model_copy(update={"energy_pj": price.energy_pj * factor})
            if price.event == event
            else price
            for price in self.prices
        )
        return self.model_copy(update={"prices": prices})

    def to_toml(self) -> str:
        """Return the table as TOML that `parse_prices` reads back to an equal table."""
        lines = ["[table]"]
        lines += [
            f"{key} = {toml_text(getattr(self, key))}" for key in ("name", "title", "technology")
        ]
        for price in self.prices:
            lines += ["", f"[prices.{toml_text(price.event)}]"]
            lines += [
                f"{key} = {toml_text(content)}"
                for key, content in price.model_dump(exclude={"event"}).items()
            ]
        return "\n".join(lines) + "\n"


def list_price_tables(*folders: Traversable) -> tuple[str, ...]:
    """Return the names of the packaged price tables, sorted: bitpim's, and those of folders."""
    return tuple(sorted(_packaged(folders)))


def _packaged(folders: Iterable[Traversable]) -> dict[str, Traversable]:
    own = resources.files("bitpim").joinpath("cost", "prices")
    return {name: file for each in (own, *folders) for name, file in toml_files(each).items()}


def load_prices(name_or_path: str | Path, *folders: Traversable) -> PriceTable:
    """Return a packaged price table by name, or one from a TOML file.

    Names are looked up among bitpim's tables and those of `folders`.

    Raises
    ------
    ConfigError
        Unknown name, unreadable file, a price that is incomplete or negative, or a file whose
        table bears the name of a packaged one and is another.
    """
    name = str(name_or_path)
    if name.endswith(".toml") or "/" in name or "\\" in name:
        try:
            text = read_toml_text(name)
        except (OSError, ValueError) as error:
            raise ConfigError(f"price file {name}: cannot be read ({error})") from error
        table = parse_prices(text, where=f"price file {name}")
        _need_own_name(table, _packaged(folders), f"price file {name}")
        return table
    known = _packaged(folders)
    if name not in known:
        raise ConfigError(
            f"unknown price table {name!r}{did_you_mean(name, known)} (a file name ends in .toml)"
        )
    return parse_prices(known[name].read_text("utf-8"), where=f"price table {name}")


def _need_own_name(table: PriceTable, known: Mapping[str, Traversable], where: str) -> None:
    """Refuse a table that would pass for another in every header."""
    if table.name not in known:
        return
    packaged = parse_prices(known[table.name].read_text("utf-8"))
    apart = [
        event
        for event in sorted({*table.events, *packaged.events})
        if event not in table.events
        or event not in packaged.events
        or table.price(event).energy_pj != packaged.price(event).energy_pj
    ]
    if apart:
        more = f" (and {len(apart) - 1} more)" if len(apart) > 1 else ""
        raise ConfigError(
            f"{where}: bears the name of the packaged table {table.name!r} and has another price "
            f"of {apart[0]}{more}; give it a name of its own in [table]"
        )


def parse_prices(text: str, *, where: str = "price table") -> PriceTable:
    """Return the price table that a TOML text states; `where` names it in errors."""
    try:
        tables: dict[str, Any] = strict_toml(text)
    except ValueError as error:
        raise ConfigError(f"{where}: not TOML ({error})") from error
    unknown = sorted(set(tables) - {"table", "prices"})
    if unknown:
        raise ConfigError(
            f"{where}: unknown table {unknown[0]!r}{did_you_mean(unknown[0], ['table', 'prices'])}"
        )
    head, entries = tables.get("table"), tables.get("prices")
    if not isinstance(head, dict) or not isinstance(entries, dict):
        raise ConfigError(f"{where}: needs a [table] and one [prices.EVENT] for each event")
    prices = tuple(_price(event, entries[event], where) for event in sorted(entries))
    try:
        return PriceTable(**{**head, "prices": prices})
    except ValidationError as error:
        raise ConfigError(f"{where}: {_first_fault(error)}") from error


def _price(event: str, entry: object, where: str) -> Price:
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: prices.{event}: need a table, got {shown(entry)}")
    try:
        return Price(**{**entry, "event": event})
    except (ValidationError, TypeError) as error:
        fault = _first_fault(error) if isinstance(error, ValidationError) else str(error)
        raise ConfigError(f"{where}: prices.{event}: {fault}") from error


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    key = ".".join(str(step) for step in fault["loc"])
    got = "" if fault["type"] == "missing" else f", got {shown(fault['input'])}"
    return f"{key}: {fault['msg']}{got}"
