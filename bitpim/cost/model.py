"""Energy and time: counts times the prices of one table, cycles over a clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum

from bitpim.cost.tables import PriceTable
from bitpim.errors import ConfigError
from bitpim.units import cycles_to_s

__all__ = ["CYCLES", "Energy", "Sensitivity", "energy", "phase_energy_pj", "seconds", "sensitivity"]

CYCLES = "cycles"
"""The entry of a phase's counts that is its time; every other entry counts an event."""


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy by event, by the prices of one table.

    Energies are not added: two tables may bear one name. Add counts, and price their sum.
    """

    table: str
    by_event_pj: Mapping[str, float]

    @property
    def total_pj(self) -> float:
        """Energy of all events."""
        return fsum(self.by_event_pj.values())


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What the total becomes when one price is multiplied by `factor`, and divided by it."""

    event: str
    confidence: str
    share: float  # of the total, 0 to 1
    factor: float
    low_pj: float
    high_pj: float


def energy(counts: Mapping[str, int], table: PriceTable) -> Energy:
    """Return the energy of each event; `cycles` is time and is passed over.

    Raises
    ------
    ConfigError
        The table has no price for an event, or a count is negative.
    """
    by_event = {}
    for event in sorted(set(counts) - {CYCLES}):
        if counts[event] < 0:
            raise ConfigError(f"event {event!r}: a count cannot be negative, got {counts[event]}")
        by_event[event] = counts[event] * table.price(event).energy_pj
    return Energy(table.name, by_event)


def phase_energy_pj(counts: Mapping[str, Mapping[str, int]], table: PriceTable) -> dict[str, float]:
    """Return the energy of each phase of a layer, in picojoule."""
    return {phase: energy(events, table).total_pj for phase, events in counts.items()}


def sensitivity(
    counts: Mapping[str, int], table: PriceTable, factor: float = 2.0
) -> tuple[Sensitivity, ...]:
    """Return how the total answers to each price, the largest share first.

    Raises
    ------
    ConfigError
        A missing price, or a factor not above 1.
    """
    if not 1.0 < factor < float("inf"):
        raise ConfigError(f"sensitivity factor: need more than 1, got {factor}")
    base = energy(counts, table)
    total = base.total_pj
    rows = []
    for event, part in base.by_event_pj.items():
        low, high = (
            energy(counts, table.scaled(event, change)).total_pj for change in (1 / factor, factor)
        )
        share = part / total if total else 0.0
        rows.append(Sensitivity(event, table.price(event).confidence, share, factor, low, high))
    return tuple(sorted(rows, key=lambda row: (-row.share, row.event)))


def seconds(n_cycles: int, clock_ghz: float) -> float:
    """Return the time of that many cycles.

    Raises
    ------
    ConfigError
        A clock that is not positive.
    """
    if not clock_ghz > 0:
        raise ConfigError(f"clock: need more than 0 GHz, got {clock_ghz}")
    return cycles_to_s(n_cycles, clock_ghz)
