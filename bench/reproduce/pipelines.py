"""`python -m bench.reproduce.pipelines [--json]`: ISAAC and PipeLayer as their papers run them.

Early layers have copies, balanced within the chip, and layers work as a pipeline: images a second,
energy an image, and what comes of both, on shapes of networks. Beside them the published peaks,
with what follows from our settings and what does not.

A network that needs more crossbars than a chip has runs on as many chips as hold it once. Energies
are those of events that a machine counts, by its own table; PipeLayer's is for inputs that spike in
every step, unless images are given that run.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import prod

import numpy as np

from bench.reproduce.crossbar_anchors import Quote
from bench.reproduce.outlines import outline, perceptron
from bitpim import make_machine
from bitpim.config import setting_rows
from bitpim.cost.model import CYCLES, energy
from bitpim.crossbar.plan import CrossbarPlan
from bitpim.errors import MappingError
from bitpim.machine.machine import Machine
from bitpim.machine.pipelayer import PipeLayerSettings
from bitpim.machine.registry import load_preset, prices_of
from bitpim.units import cycles_to_s
from bitpim_traces.records import Quantization, Trace

__all__ = [
    "AS_THE_PAPERS",
    "CODES",
    "MACHINES",
    "MachineUse",
    "machine_use",
    "networks",
    "pipelayer_peak",
    "pipelayer_quotes",
]

MACHINES = ("isaac", "pipelayer")
AS_THE_PAPERS = ("schedule.replication=balanced", "schedule.pipeline=true")
CODES = Quantization(16, False, np.ones(1), np.zeros(1, np.int64))
_CHIPS = {"isaac": ("chip.tiles",), "pipelayer": ("chip.morphable_arrays", "chip.memory_arrays")}
"""Settings that grow with the number of chips."""

_MOST_CHIPS = 32
SHOWN = "vgg16"
"""Network whose operations a joule stand beside the published figure."""

QUOTED_DENSITY, QUOTED_EFFICIENCY = 1485.0, 142.9
"""GOPS/s/mm2 and GOPS/s/W that PipeLayer's paper is quoted with."""


@dataclass(frozen=True, slots=True)
class MachineUse:
    """One image of a network on a machine, scheduled as settings say.

    Attributes
    ----------
    arrays : crossbars that hold weights, all copies
    interval_s, latency_s : from one image to the next, and of one image through all layers
    energy_pj, events : of one image
    operations : two for each multiply-accumulate, of one image
    """

    network: str
    machine: str
    settings: tuple[str, ...]
    n_chips: int
    arrays: int
    interval_s: float
    latency_s: float
    energy_pj: float
    prices: str
    operations: int
    events: Mapping[str, float] = field(default_factory=dict, repr=False)

    @property
    def images_per_s(self) -> float:
        """Images a second in the steady state."""
        return 1 / self.interval_s

    @property
    def gops(self) -> float:
        """10^9 operations a second in the steady state."""
        return self.operations / self.interval_s / 1e9

    @property
    def gops_per_w(self) -> float:
        """10^9 operations a joule: the same as GOPS/s/W of the events that are priced."""
        return self.operations / self.energy_pj * 1e3


def machine_use(
    trace: Trace,
    machine: str,
    preset: str | None = None,
    settings: Sequence[str] = AS_THE_PAPERS,
    n_images: int = 0,
) -> MachineUse:
    """Return what one image of a trace takes on ISAAC or PipeLayer, and how often one comes.

    With `n_images` so many run, at integer fidelity, and their events are averaged; else events are
    those of the plan.
    """
    n_chips, chips = _chips(trace, machine, preset)
    made = make_machine(machine, preset, (*chips, *settings))
    plan = made.plan(trace)
    assert isinstance(plan, CrossbarPlan)
    clock = made.legend.clock_ghz
    assert clock is not None
    table = prices_of(machine)
    events = _events(trace, made, plan, n_images)
    spent = energy(events, table).total_pj / max(1, n_images)
    return MachineUse(
        trace.name,
        machine,
        tuple(settings),
        n_chips,
        plan.n_crossbars,
        cycles_to_s(plan.interval_cycles, clock),
        cycles_to_s(plan.latency_cycles, clock),
        spent,
        table.name,
        _operations(trace),
        {event: count / max(1, n_images) for event, count in events.items()},
    )


def _events(trace: Trace, made: Machine, plan: CrossbarPlan, n_images: int) -> dict[str, int]:
    """Return the events of images that run, or of one that the plan tells of."""
    if n_images:
        codes = trace.samples.codes.read(0, n_images)
        runs = made.prepare(trace, fidelity="integer").run_batch(codes)
        counted = [run.counts for run in runs]
    else:
        counted = [plan.counts(layer.index, 1) for layer in plan.layers]
    found: dict[str, int] = {}
    for phases in counted:
        for events in phases.values():
            for event, count in events.items():
                if event != CYCLES:
                    found[event] = found.get(event, 0) + count
    return found


def _chips(trace: Trace, machine: str, preset: str | None) -> tuple[int, tuple[str, ...]]:
    """Return how many chips hold a network once, and the settings of so many."""
    own = {row.key: int(row.value) for row in setting_rows(load_preset(machine, preset))
           if row.key in _CHIPS[machine]}  # fmt: skip
    for n in range(1, _MOST_CHIPS + 1):
        chips = tuple(f"{key}={n * value}" for key, value in own.items())
        try:
            make_machine(machine, preset, (*chips, *AS_THE_PAPERS)).plan(trace)
        except MappingError:
            continue
        return n, chips
    raise MappingError(f"{trace.name!r} on {machine}: need at most {_MOST_CHIPS} chips, got more")


def _operations(trace: Trace) -> int:
    """Return two for each multiply-accumulate of one image."""
    return 2 * sum(
        prod(layer.output_shape[1:]) * prod(layer.weight.shape)
        for layer in trace.layers
        if layer.weight is not None
    )


def networks() -> dict[str, Trace]:
    """Return shapes of networks that the papers run, in 16-bit codes."""
    return {
        "MNIST, 784-512-512-10": perceptron(784, 512, 512, 10, codes=CODES),
        "LeNet-5": outline("lenet5", codes=CODES),
        "AlexNet": outline("alexnet", codes=CODES),
        "VGG-16": outline("vgg16", codes=CODES),
    }


def pipelayer_peak() -> Mapping[str, float]:
    """Return what PipeLayer's chip computes when all morphable arrays do.

    Watts are those of its read spikes, one on every wordline in every step, and, if a read spike
    were one cell's, of one on every cell.
    """
    settings = load_preset("pipelayer")
    assert isinstance(settings, PipeLayerSettings)
    sizes, numbers, chip = settings.geometry, settings.numbers, settings.chip
    groups = -(-(int(numbers.weight_bits) - 1) // sizes.cell_bits)
    weights = sizes.array_rows * sizes.array_columns / (2 * groups)  # of either sign
    train_ns = int(numbers.input_bits) * settings.timing.read_cycle_ns
    of_array = 2 * weights / train_ns  # operations a nanosecond are 10^9 a second
    gops = chip.morphable_arrays * of_array
    spike_pj = prices_of("pipelayer").price("spike").energy_pj
    spikes_per_ns = chip.morphable_arrays * sizes.array_rows / settings.timing.read_cycle_ns
    watts = spikes_per_ns * spike_pj / 1e3
    return {
        "TOPS": gops / 1e3,
        "GOPS/mm2": gops / chip.area_mm2,
        "arrays for the quoted density": QUOTED_DENSITY * chip.area_mm2 / of_array,
        "W": watts,
        "GOPS/W": gops / watts,
        "GOPS/W, a spike a cell": gops / (watts * sizes.array_columns),
    }


def pipelayer_quotes(use: MachineUse | None = None) -> list[Quote]:
    """Set what PipeLayer's paper is quoted with beside what our settings give.

    `use` is that of PipeLayer for a network, whose operations a joule are a third form.
    """
    peak = pipelayer_peak()
    rows = [
        Quote(
            "PipeLayer peak GOPS/s/mm2",
            QUOTED_DENSITY,
            peak["GOPS/mm2"],
            "cannot be derived, quoted: how many arrays compute is not known, and ours"
            f" ({peak['arrays for the quoted density']:,.0f}) are as many as give it",
        ),
        Quote(
            "PipeLayer peak GOPS/s/W",
            QUOTED_EFFICIENCY,
            peak["GOPS/W"],
            "cannot be derived, quoted: a read spike as a wordline's; as a cell's it would be"
            f" {peak['GOPS/W, a spike a cell']:.1f}, and the quoted figure lies between",
        ),
    ]
    if use is not None:
        rows.append(
            Quote(
                f"PipeLayer GOPS/s/W on {use.network}",
                QUOTED_EFFICIENCY,
                use.gops_per_w,
                "derived: codes written between layers at 3.91 nJ a cell outweigh all reads; that"
                " this is what the paper counts is not known",
            )
        )
    return rows


def text(uses: Sequence[MachineUse], quotes: Sequence[Quote]) -> str:
    """Return the tables that a person reads."""
    head = f"{'network':<22}{'machine':<11}{'chips':>5}{'arrays':>9}{'images/s':>12}"
    lines = [
        f"as the papers run them: {' '.join(AS_THE_PAPERS)}",
        "",
        f"{head}{'one image':>12}{'energy':>12}{'TOPS':>8}{'GOPS/W':>9}",
    ]
    lines += [
        f"{use.network:<22}{use.machine:<11}{use.n_chips:>5}{use.arrays:>9,}"
        f"{use.images_per_s:>12,.0f}{use.latency_s * 1e6:>9,.1f} us{use.energy_pj / 1e9:>9,.3f} mJ"
        f"{use.gops / 1e3:>8.2f}{use.gops_per_w:>9,.1f}"
        for use in uses
    ]
    lines += ["", f"{'published':<38}{'paper':>9}{'ours':>9}"]
    for quote in quotes:
        lines.append(f"{quote.metric:<38}{quote.quoted:>9,.1f}{quote.ours:>9,.1f}  {quote.note}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print all of it; PipeLayer's energy is that of inputs that spike in every step."""
    parser = argparse.ArgumentParser(prog="python -m bench.reproduce.pipelines")
    parser.add_argument("--json", action="store_true", help="write JSON instead of text")
    chosen = parser.parse_args(arguments)
    uses = [machine_use(trace, machine) for trace in networks().values() for machine in MACHINES]
    shown = next(use for use in uses if (use.network, use.machine) == (SHOWN, "pipelayer"))
    quotes = pipelayer_quotes(shown)
    if chosen.json:
        found = {
            "uses": [
                asdict(use) | {"images_per_s": use.images_per_s, "gops_per_w": use.gops_per_w}
                for use in uses
            ],
            "quotes": [asdict(quote) for quote in quotes],
            "peak": dict(pipelayer_peak()),
        }
        print(json.dumps(found, indent=2))
    else:
        print(text(uses, quotes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
