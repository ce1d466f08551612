"""RAPIDNN over ISAAC and PipeLayer: energy and speed on one network, and what would be needed.

Every ratio is ours to theirs as the paper has it: their energy over RAPIDNN's, RAPIDNN's images a
second over theirs. Nothing is tuned; where a published ratio is missed, the one number that would
give it is solved for, all others standing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.reproduce.pipelines import AS_THE_PAPERS, MachineUse, machine_use
from bench.reproduce.rapidnn_networks import Compared
from bench.reproduce.rapidnn_uses import RnaUse
from bitpim.config import setting_rows
from bitpim.cost.tables import load_prices
from bitpim.machine.registry import load_preset, prices_of

__all__ = [
    "BASELINES",
    "QUOTED",
    "Baseline",
    "Needed",
    "Ratio",
    "baselines",
    "chip_figures",
    "consistency",
    "needed",
    "ratios",
]

QUOTED: Mapping[str, Mapping[str, float]] = {
    "isaac": {"energy": 68.4, "speed": 48.1},
    "pipelayer": {"energy": 49.5, "speed": 10.9},
}
"""RA1 and RA2: found in the paper's abstract."""

BASELINES: Mapping[str, tuple[str, ...]] = {
    "one copy": (),
    "copies, pipeline": AS_THE_PAPERS,
}
"""How a crossbar machine is scheduled."""

DECIDING = {"rapidnn_45nm": "nor_cycle", "rapidnn_gates": "nor_gate_cell"}
"""The event that decides the energy of each price table."""

CONVERSION = "adc_conv_8"

CHIP_DENSITY, CHIP_EFFICIENCY = 1904.6, 839.1
"""GOPS/s/mm2 and GOPS/s/W of RAPIDNN: recalled with little certainty."""

PEAK_DENSITY = {"isaac": 479.0, "pipelayer": 1485.0}
PEAK_EFFICIENCY = {"isaac": 380.7, "pipelayer": 142.9}
"""GOPS/s/mm2 and GOPS/s/W that PipeLayer's paper is quoted with, for both."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """One image of a network on a crossbar machine; `area_mm2` is that of the arrays it uses."""

    machine: str
    schedule: str
    use: MachineUse
    area_mm2: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """RAPIDNN against one machine, each scheduled in one way.

    Attributes
    ----------
    energy : theirs over ours, by price table of RAPIDNN
    latency : theirs over ours, of one image
    speed, per_chip, per_area : images a second, ours over theirs: as run, a chip, a mm2 of use
    """

    network: str
    schedule: str
    machine: str
    machine_schedule: str
    energy: Mapping[str, float]
    latency: float
    speed: float
    per_chip: float
    per_area: float


@dataclass(frozen=True, slots=True)
class Needed:
    """What one number would have to be for a published ratio, all others standing.

    `value` is None where the number would have to be below 0: no value gives the ratio.
    """

    network: str
    machine: str
    metric: str
    quoted: float
    ours: float
    number: str
    now: float
    value: float | None


def baselines(compared: Compared) -> list[Baseline]:
    """Return what an image takes on ISAAC and PipeLayer, by each of BASELINES."""
    found = []
    for machine in QUOTED:
        held, area = _chip(machine)
        for schedule, settings in BASELINES.items():
            use = machine_use(compared.codes, machine, settings=settings)
            found.append(Baseline(machine, schedule, use, use.arrays / held * area))
    return found


def _chip(machine: str) -> tuple[int, float]:
    """Return the crossbars of a chip, and its area."""
    rows = {row.key: row.value for row in setting_rows(load_preset(machine))}
    if machine == "isaac":
        held = (
            int(rows["chip.tiles"])
            * int(rows["chip.imas_per_tile"])
            * int(rows["chip.crossbars_per_ima"])
        )
    else:
        held = int(rows["chip.morphable_arrays"])
    return held, float(rows["chip.area_mm2"])


def ratios(uses: Sequence[RnaUse], others: Sequence[Baseline]) -> list[Ratio]:
    """Set every schedule of RAPIDNN against every baseline."""
    return [_ratio(use, other) for use in uses for other in others]


def _ratio(ours: RnaUse, other: Baseline) -> Ratio:
    theirs = other.use
    speed = theirs.interval_s / ours.interval_s
    return Ratio(
        ours.network,
        ours.schedule,
        other.machine,
        other.schedule,
        {table: theirs.energy_pj / pj for table, pj in ours.energy_pj.items()},
        theirs.latency_s / ours.latency_s,
        speed,
        speed * theirs.n_chips / ours.n_chips,
        speed * other.area_mm2 / ours.area_mm2,
    )


def needed(uses: Sequence[RnaUse], other: Baseline) -> list[Needed]:
    """Solve for the numbers that would give the published ratios; energy by the first use."""
    first, quoted = uses[0], QUOTED[other.machine]["speed"]
    found = [_needed_price(first, other, table) for table in first.energy_pj]
    if other.machine == "isaac":
        found += [_needed_conversion(first, other, table) for table in first.energy_pj]
    for use in uses:
        speed = other.use.interval_s / use.interval_s
        number = f"times the RNAs, or the clock; {use.schedule}"
        found.append(
            Needed(use.network, other.machine, "speed", quoted, speed, number, 1.0, quoted / speed)
        )
    return found


def _needed_price(use: RnaUse, other: Baseline, table: str) -> Needed:
    """Solve for the price of the event that decides a table of RAPIDNN."""
    event, quoted = DECIDING[table], QUOTED[other.machine]["energy"]
    now = load_prices(table).price(event).energy_pj
    rest = use.energy_pj[table] - use.events[event] * now
    aim = other.use.energy_pj / quoted
    return Needed(
        use.network,
        other.machine,
        "energy",
        quoted,
        other.use.energy_pj / use.energy_pj[table],
        f"{table}: pJ a {event}",
        now,
        (aim - rest) / use.events[event] if aim >= rest else None,
    )


def _needed_conversion(use: RnaUse, other: Baseline, table: str) -> Needed:
    """Solve for the energy of one conversion of ISAAC's ADC."""
    now = prices_of("isaac").price(CONVERSION).energy_pj
    quoted = QUOTED["isaac"]["energy"]
    short = quoted * use.energy_pj[table] - other.use.energy_pj
    return Needed(
        use.network,
        "isaac",
        "energy",
        quoted,
        other.use.energy_pj / use.energy_pj[table],
        f"{table}: pJ a conversion of ISAAC's ADC",
        now,
        now + short / other.use.events[CONVERSION],
    )


def consistency(others: Sequence[Baseline]) -> dict[str, float]:
    """Compare PipeLayer with ISAAC three ways: by the four ratios, by its paper's table, by ours.

    Above 1, PipeLayer is better.
    """
    energy, speed = ({m: QUOTED[m][name] for m in QUOTED} for name in ("energy", "speed"))
    ours = {(o.machine, o.schedule): o.use for o in others}
    isaac, pipelayer = (ours[machine, "copies, pipeline"] for machine in QUOTED)
    return {
        "energy, by RAPIDNN's ratios": energy["isaac"] / energy["pipelayer"],
        "energy, by PipeLayer's GOPS/s/W": PEAK_EFFICIENCY["pipelayer"] / PEAK_EFFICIENCY["isaac"],
        "energy, ours": isaac.energy_pj / pipelayer.energy_pj,
        "speed, by RAPIDNN's ratios": speed["isaac"] / speed["pipelayer"],
        "speed, by PipeLayer's GOPS/s/mm2": PEAK_DENSITY["pipelayer"] / PEAK_DENSITY["isaac"],
        "speed, ours": isaac.interval_s / pipelayer.interval_s,
    }


def chip_figures() -> dict[str, float]:
    """Return what is recalled of the chip, set against itself.

    Multiply-accumulates of an RNA in a nanosecond, by GOPS/s/mm2 and by GOPS/s/W; both cannot hold
    on one chip of that area and power.
    """
    chip = load_preset("rapidnn").chip
    by_area = CHIP_DENSITY * chip.area_mm2
    by_power = CHIP_EFFICIENCY * chip.power_w
    return {
        "GOPS/s/mm2": CHIP_DENSITY,
        "GOPS/s/W": CHIP_EFFICIENCY,
        "TOPS by area": by_area / 1e3,
        "TOPS by power": by_power / 1e3,
        "MAC an RNA and ns by area": by_area / 2 / chip.n_rnas,
        "MAC an RNA and ns by power": by_power / 2 / chip.n_rnas,
    }
