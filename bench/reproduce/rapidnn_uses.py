"""One image of a network on RAPIDNN: events, energy by each price table, time, chips.

The chip has 32,768 RNAs. A network with more neurons takes turns, and tables are filled again for
each layer of each image; or it has as many chips as hold every neuron, and tables stay. How layers
follow each other the paper is not known to say: one after the other, or, assumed, as a pipeline.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from bitpim import make_machine
from bitpim.cost.model import CYCLES
from bitpim.cost.tables import PriceTable, load_prices
from bitpim.lookup.rna_plan import RnaPlan
from bitpim.machine.rapidnn import RapidnnSettings
from bitpim.machine.registry import load_preset
from bitpim_traces.records import Trace

__all__ = [
    "SCHEDULES",
    "TABLES",
    "RnaUse",
    "added_events",
    "price_tables",
    "rna_run",
    "rna_uses",
    "scheduled",
]

TABLES = ("rapidnn_45nm", "rapidnn_gates")
SCHEDULES = ("one chip", "one chip, no refill", "all neurons", "all neurons, pipeline")
"""Tables filled for each image; what many images at a time tend to; as many chips as hold every
neuron, layer after layer; the same, a layer working on an image while the next has the one before.
"""

Events = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RnaRun:
    """What images took on RAPIDNN, by layer: events and cycles, all averaged over the images.

    Attributes
    ----------
    cycles, refills : of each layer, without and for filling its tables
    """

    network: str
    plan: RnaPlan
    events: Mapping[str, float]
    cycles: tuple[float, ...]
    refills: tuple[float, ...]
    clock_ghz: float
    operations: int
    settings: RapidnnSettings


@dataclass(frozen=True, slots=True)
class RnaUse:
    """One image of a network on RAPIDNN, scheduled in one of SCHEDULES.

    Attributes
    ----------
    n_chips : chips that it runs on
    interval_s, latency_s : from one image to the next, and of one image through all layers
    energy_pj : of one image, by price table
    area_mm2 : of the RNAs that it uses, as a share of the chips'
    events : of one image
    """

    network: str
    schedule: str
    n_chips: int
    neurons: int
    interval_s: float
    latency_s: float
    energy_pj: Mapping[str, float]
    area_mm2: float
    operations: int
    events: Mapping[str, float]


def price_tables() -> list[PriceTable]:
    """Load the price tables of RAPIDNN."""
    return [load_prices(name) for name in TABLES]


def rna_run(
    trace: Trace, settings: Sequence[str] = (), n_images: int = 1, *, fidelity: str = "integer"
) -> RnaRun:
    """Run the first images and average what they take; every neuron of a chip's tiles is used."""
    made = make_machine("rapidnn", None, settings)
    plan = made.plan(trace)
    assert isinstance(plan, RnaPlan)
    assert isinstance(made.settings, RapidnnSettings)
    prepared = made.prepare(trace, fidelity=fidelity)
    codes = trace.samples.codes.read(0, n_images)
    runs = list(prepared.run_batch(codes))
    cycles = [_cycles(run.counts, fills=False) for run in runs]
    refills = [_cycles(run.counts, fills=True) for run in runs]
    clock = made.legend.clock_ghz
    assert clock is not None
    return RnaRun(
        trace.name,
        plan,
        {e: n / n_images for e, n in added_events([run.counts for run in runs]).items()},
        tuple(n / n_images for n in cycles),
        tuple(n / n_images for n in refills),
        clock,
        operations(trace),
        made.settings,
    )


def _cycles(phases: Mapping[str, Events], *, fills: bool) -> int:
    """Add up cycles: of the phases that fill tables, or of all others."""
    return sum(
        events[CYCLES] for events in phases.values() if ("table_write_bit" in events) is fills
    )


def added_events(runs: Sequence[Mapping[str, Events]]) -> dict[str, int]:
    """Return all events of phases, without cycles."""
    found: dict[str, int] = {}
    for phases in runs:
        for events in phases.values():
            for event, count in events.items():
                if event != CYCLES:
                    found[event] = found.get(event, 0) + count
    return found


def operations(trace: Trace) -> int:
    """Return two for each multiply-accumulate of one image."""
    return 2 * sum(
        prod(layer.output_shape[1:]) * prod(layer.weight.shape)
        for layer in trace.layers
        if layer.weight is not None
    )


def held_on(trace: Trace) -> tuple[int, int]:
    """Return the neurons of a network, and the chips that hold them all."""
    settings = load_preset("rapidnn")
    assert isinstance(settings, RapidnnSettings)
    plan = make_machine("rapidnn").plan(trace)
    assert isinstance(plan, RnaPlan)
    neurons = int(plan.totals()["neurons"])
    return neurons, -(-neurons // settings.chip.n_rnas)


def rna_uses(trace: Trace, n_images: int = 1) -> list[RnaUse]:
    """Return what an image takes by each of SCHEDULES; the network runs twice at most."""
    neurons, n_held = held_on(trace)
    one = rna_run(trace, (), n_images)
    held = one
    if n_held > 1:
        tiles = n_held * one.settings.chip.tiles
        held = rna_run(trace, (f"chip.tiles={tiles}",), n_images)
    return [
        scheduled(held if schedule.startswith("all") else one, schedule, neurons)
        for schedule in SCHEDULES
    ]


def scheduled(run: RnaRun, schedule: str, neurons: int) -> RnaUse:
    """Return what a run comes to by one of SCHEDULES."""
    chip = load_preset("rapidnn").chip
    n_chips = run.settings.chip.tiles // chip.tiles
    rnas = int(run.plan.totals()["arrays"])
    latency = sum(run.cycles) + (sum(run.refills) if schedule == "one chip" else 0)
    interval = max(run.cycles) if schedule.endswith("pipeline") else latency
    filled = {**run.events, "table_write_bit": run.events.get("table_write_bit", 0)}
    if schedule != "one chip":
        filled["table_write_bit"] = 0
    return RnaUse(
        run.network,
        schedule,
        n_chips,
        neurons,
        interval / run.clock_ghz / 1e9,
        latency / run.clock_ghz / 1e9,
        {table.name: priced(filled, table) for table in price_tables()},
        rnas / chip.n_rnas * chip.area_mm2,
        run.operations,
        filled,
    )


def priced(events: Mapping[str, float], table: PriceTable) -> float:
    """Return the energy of averaged events, in picojoule."""
    return sum(n * table.price(event).energy_pj for event, n in events.items())
