"""How energy and time of RAPIDNN answer to each price and setting that is not known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.codebook_traces import LARGEST, at_size
from bench.reproduce.rapidnn_networks import Compared
from bench.reproduce.rapidnn_uses import RnaUse, price_tables, rna_run, scheduled
from bitpim.lookup.nor_costs import COST_MODES

__all__ = ["SETTINGS", "Swept", "swept_prices", "swept_settings", "swept_sizes"]

FACTORS = (0.1, 10.0)
SMALLER = (4, 8, 16, 32)
ONE_PJ = ("code_bit", "table_write_bit")
"""Events without a price in any table: each is set to 1 pJ."""

SETTINGS: Mapping[str, tuple[str, ...]] = {
    **{f"adder.cost={mode}": (f"adder.cost={mode}",) for mode in COST_MODES},
    "adder.digits=signed": ("adder.digits=signed",),
    "adder.sum_bits=64": ("adder.sum_bits=64",),
    "neurons.shared=0.3": ("neurons.shared=0.3",),
    "clock_ghz=2": ("timing.clock_ghz=2",),
}
"""Settings that are recalled or assumed; the preset has apim13, binary, 48 bits, 0, 1 GHz."""


@dataclass(frozen=True, slots=True)
class Swept:
    """One number changed: energies by price table, and time, as factors of what they were."""

    network: str
    change: str
    energy: Mapping[str, float]
    interval: float


def swept_prices(use: RnaUse) -> list[Swept]:
    """Scale each price above 0; and give those that nobody states 1 pJ."""
    found = []
    for table in price_tables():
        base = use.energy_pj[table.name]
        for event in sorted(use.events):
            price = table.price(event).energy_pj
            count = use.events[event]
            factors = FACTORS if price and count else ()
            for factor in factors:
                total = base + count * price * (factor - 1)
                change = f"{table.name}: {event} {price:g} pJ x {factor:g}"
                found.append(Swept(use.network, change, {table.name: total / base}, 1.0))
            if event in ONE_PJ and count:
                change = f"{table.name}: {event} 1 pJ"
                found.append(Swept(use.network, change, {table.name: (base + count) / base}, 1.0))
    return found


def swept_settings(
    compared: Compared, base: RnaUse, settings: Mapping[str, Sequence[str]] = SETTINGS
) -> list[Swept]:
    """Run one image with each of some settings changed, by the schedule of `base`."""
    found = []
    for change, assigned in settings.items():
        run = rna_run(compared.tables, assigned)
        use = scheduled(run, base.schedule, base.neurons)
        energies = {name: pj / base.energy_pj[name] for name, pj in use.energy_pj.items()}
        found.append(Swept(base.network, change, energies, use.interval_s / base.interval_s))
    return found


def swept_sizes(compared: Compared, base: RnaUse) -> list[Swept]:
    """Run one image with smaller codebooks, by the schedule of `base`."""
    found = []
    for size in SMALLER:
        run = rna_run(at_size(compared.tables, size))
        use = scheduled(run, base.schedule, base.neurons)
        energies = {name: pj / base.energy_pj[name] for name, pj in use.energy_pj.items()}
        change = f"codebooks of {size}, not {LARGEST}"
        found.append(Swept(base.network, change, energies, use.interval_s / base.interval_s))
    return found
