"""Bit Prudent over Neural Cache on AlexNet's shape: cycles, bytes, energy, and what moves them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bench.reproduce.pruned_alexnet import (
    CONVOLUTIONS,
    DENSE,
    FORMS,
    PUBLIC_RUNS,
    Form,
    Pruned,
    alexnet,
    spread,
)
from bitpim import make_machine
from bitpim.cost.model import phase_energy_pj
from bitpim.machine.registry import prices_of
from bitpim.sram.plan import Phases, scale_phases

__all__ = [
    "LAYOUTS",
    "SWEPT",
    "Assumption",
    "Narrow",
    "Speed",
    "Use",
    "moved",
    "narrow",
    "public_runs",
    "shared_lanes",
    "swept_shares",
]

FORMULA = "nc_formula"
CALIBRATED = "nc_paper_calibrated"
COSTS = {
    FORMULA: (f"timing.cost_mode={FORMULA}",),
    CALIBRATED: (
        f"timing.cost_mode={CALIBRATED}",
        "mapping.reduction_bits=fixed",
        "timing.move_cycles_per_bit=3",
    ),
}
"""Settings of the two cost modes that know these operations, as the presets of Neural Cache."""

_EXACT = "mapping.pad_channels_to_power_of_two=false"
_OWN_LISTS = "sparsity.gather_list=filter"
LAYOUTS = {
    "padded": (),
    "exact": (_EXACT,),
    "exact, across arrays": (_EXACT, "sparsity.lanes_across_arrays=true", _OWN_LISTS),
}
"""Lanes of a coalesced convolution: a power of two; as many as it needs; or also what arrays have
left.
"""

SWEPT = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of lanes pruned in conv2 to conv5."""

GROUPS = (2, 3, 4, 8)
"""Filters that overlap; each keeps its share of the channels."""

HEAD = CONVOLUTIONS[1:]
"""The layers whose lanes the public runs prune."""


@dataclass(frozen=True, slots=True)
class Use:
    """What one image takes.

    `compute` are the cycles of multiplying and reducing in conv2 to conv5, `pruned` all cycles
    there, `convolutions` and `network` those of more layers.
    """

    compute: int
    pruned: int
    convolutions: int
    network: int
    energy_pj: float
    filter_bytes: int


@dataclass(frozen=True, slots=True)
class Speed:
    """How many times less one image takes than on Neural Cache, by cost mode and layout."""

    what: str
    layout: str
    cost: str
    compute: float
    pruned: float
    convolutions: float
    network: float
    energy: float
    filter_bytes: float


@dataclass(frozen=True, slots=True)
class Narrow:
    """A network of few bits on Bit Prudent, over 8 x 8 bits on Neural Cache; nothing is pruned."""

    form: str
    ends_in_8_bits: bool
    compute: float
    convolutions: float
    network: float
    energy: float


@dataclass(frozen=True, slots=True)
class Assumption:
    """One thing changed: the ratio of conv2 to conv5, all phases, and of the whole network."""

    key: str
    value: str
    pruned: float
    network: float


def _use(
    machine: str,
    form: Form,
    pruned: Pruned,
    assignments: Sequence[str],
    *,
    ends_in_8_bits: bool = False,
) -> Use:
    trace = alexnet(form, pruned, ends_in_8_bits=ends_in_8_bits)
    plan = make_machine(machine, None, list(assignments)).plan(trace)
    n_images = max(
        int(a.split("=")[1]) for a in ("batch_size=1", *assignments) if "batch_size" in a
    )
    phases = {layer.name: plan.counts(layer.index, n_images) for layer in trace.layers}
    prices = prices_of(machine)
    energy = sum(sum(phase_energy_pj(one, prices).values()) for one in phases.values())
    return Use(
        _cycles(phases, HEAD, ("mac", "reduction")),
        _cycles(phases, HEAD),
        _cycles(phases, CONVOLUTIONS),
        _cycles(phases, tuple(phases)),
        energy,
        sum(one.get("filter_load", {}).get("dram_byte", 0) for one in phases.values()),
    )


def _cycles(
    phases: Mapping[str, Mapping[str, Mapping[str, int]]],
    layers: Sequence[str],
    names: Sequence[str] | None = None,
) -> int:
    total: Phases = scale_phases([(1, {k: dict(v) for k, v in phases[n].items()}) for n in layers])
    return sum(events["cycles"] for name, events in total.items() if names is None or name in names)


@lru_cache(maxsize=32)
def _neural_cache(assignments: tuple[str, ...]) -> Use:
    return _use("neural_cache", FORMS["8 x 8 bits"], DENSE, assignments)


def _speed(what: str, layout: str, cost: str, pruned: Pruned, assignments: Sequence[str]) -> Speed:
    base = _neural_cache(COSTS[cost])
    ours = _use("bit_prudent", FORMS["8 x 8 bits"], pruned, (*COSTS[cost], *assignments))
    return Speed(
        what,
        layout,
        cost,
        base.compute / ours.compute,
        base.pruned / ours.pruned,
        base.convolutions / ours.convolutions,
        base.network / ours.network,
        base.energy_pj / ours.energy_pj,
        base.filter_bytes / ours.filter_bytes,
    )


def _mode(mode: str, pruned: Pruned) -> tuple[str, ...]:
    """Say that pruned layers leave lanes out; the others are laid as on Neural Cache."""
    return "sparsity.mode=dense", *(f"sparsity.mode@{name}={mode}" for name in pruned.shares)


def _coalesced(what: str, pruned: Pruned, costs: Sequence[str]) -> list[Speed]:
    return [
        _speed(what, layout, cost, pruned, (*_mode("coalesce", pruned), *assignments))
        for layout, assignments in LAYOUTS.items()
        for cost in costs
    ]


def public_runs() -> list[Speed]:
    """Return BP1 and BP3 of the lanes that public runs left zero, after those of no such lanes."""
    runs = {"nothing pruned": (0.0,) * len(CONVOLUTIONS), **PUBLIC_RUNS}
    return [
        row
        for name, shares in runs.items()
        for row in _coalesced(
            name, Pruned(dict(zip(CONVOLUTIONS, shares, strict=True))), tuple(COSTS)
        )
    ]


def swept_shares() -> list[Speed]:
    """Return the same of more and more lanes pruned in conv2 to conv5, by the recalled cycles."""
    return [
        row
        for share in SWEPT
        for row in _coalesced(f"{share:.0%} of lanes", spread(share), (CALIBRATED,))
    ]


def shared_lanes() -> list[Speed]:
    """Return the same of filters that overlap, by both ways to reduce them."""
    found = []
    for group in GROUPS:
        pruned = Pruned(dict.fromkeys(HEAD, 1 - 1 / group), group)
        for reduction in ("masked", "contiguous"):
            assignments = (
                *_mode("overlap", pruned),
                "sparsity.overlap_groups=trace",
                f"sparsity.owner_reduction={reduction}",
            )
            layout = f"overlapping, {reduction}"
            found.append(_speed(f"groups of {group}", layout, CALIBRATED, pruned, assignments))
    return found


def narrow(forms: Sequence[Form] = tuple(FORMS.values())) -> list[Narrow]:
    """Return BP2: fewer bits in all layers, and in all but the first and the last."""
    base = _neural_cache(COSTS[FORMULA])
    rows = []
    for form in forms:
        for ends in (False, True):
            if ends and form.name == "8 x 8 bits":
                continue
            settings = ("sparsity.mode=dense", *COSTS[FORMULA])
            ours = _use("bit_prudent", form, DENSE, settings, ends_in_8_bits=ends)
            rows.append(
                Narrow(
                    form.name,
                    ends,
                    base.compute / ours.compute,
                    base.convolutions / ours.convolutions,
                    base.network / ours.network,
                    base.energy_pj / ours.energy_pj,
                )
            )
    return rows


_BOTH = ("partial_sum", "transfer.", "batch_size", "requantize")  # what Neural Cache has, too
ASSUMPTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "padding": LAYOUTS,
    "gather list": {
        "of an array": ("sparsity.gather_list=array",),
        "of a filter": ("sparsity.gather_list=filter",),
    },
    "layers that lists slow down": {
        "dense": ("sparsity.coalesce_layers=faster",),
        "coalesced": ("sparsity.coalesce_layers=all",),
    },
    "index": {
        "a list": ("sparsity.index_format=list",),
        "a bit a channel": ("sparsity.index_format=bitmap",),
    },
    "signed weights": {
        "last product subtracted": ("sparsity.signed_weights=subtract",),
        "offset, window sums": ("sparsity.signed_weights=offset",),
    },
    "gathering, cycles a row": {
        "hidden": ("sparsity.gather_pipelined=true",),
        **{
            str(n): ("sparsity.gather_pipelined=false", f"sparsity.coalesce_cycles={n}")
            for n in (1, 2, 4)
        },
    },
    "sum of a lane, bits": {str(n): (f"mapping.partial_sum_bits={n}",) for n in (24, 28, 32)},
    "DRAM, bytes a cycle": {str(n): (f"transfer.dram_bytes_per_cycle={n}",) for n in (8, 27, 108)},
    "bus, bytes a cycle": {str(n): (f"transfer.bus_bytes_per_cycle={n}",) for n in (8, 32, 128)},
    "images a batch": {str(n): (f"mapping.batch_size={n}",) for n in (1, 16, 64)},
}
"""What the paper leaves open, and the values tried; what Neural Cache has too changes in both."""


def moved(what: str) -> list[Assumption]:
    """Change one thing at a time, where lanes are pruned as in a public run."""
    pruned = Pruned(dict(zip(CONVOLUTIONS, PUBLIC_RUNS[what], strict=True)))
    mode = (*COSTS[FORMULA], *_mode("coalesce", pruned))
    found = []
    for key, values in ASSUMPTIONS.items():
        for value, assignments in values.items():
            common = tuple(a for a in assignments if any(name in a for name in _BOTH))
            base = _neural_cache((*COSTS[FORMULA], *common))
            ours = _use("bit_prudent", FORMS["8 x 8 bits"], pruned, (*mode, *assignments))
            found.append(
                Assumption(key, value, base.pruned / ours.pruned, base.network / ours.network)
            )
    return found
