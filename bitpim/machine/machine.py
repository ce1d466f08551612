"""What every machine is: a plan of a trace, and a prepared network that runs batches of samples."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError
from bitpim.legend import Legend
from bitpim.placement import Placements
from bitpim.recorded import RecordedTile, TileName
from bitpim_traces.records import Trace

__all__ = [
    "FIDELITIES",
    "MEMBERS",
    "Codes",
    "Fidelity",
    "LayerRun",
    "Machine",
    "NetworkPlan",
    "PhaseCounts",
    "PreparedNetwork",
    "Recorder",
    "checked_fidelity",
    "losses_on",
    "recorder_of",
    "takes_codebooks",
]

FIDELITIES = ("bit", "integer")
"""`bit` executes every array step on packed bits; `integer` does exact arithmetic."""

Fidelity = Literal["bit", "integer"]


def checked_fidelity(fidelity: str, jobs: int) -> Fidelity:
    """Return the fidelity that a network is prepared for.

    Raises
    ------
    ConfigError
        It is none of `FIDELITIES`, or there are no threads to run on.
    """
    if fidelity not in FIDELITIES:
        raise ConfigError(f"fidelity: need one of {', '.join(FIDELITIES)}, got {fidelity!r}")
    if jobs < 1:
        raise ConfigError(f"jobs: need at least 1, got {jobs}")
    return cast(Fidelity, fidelity)


Codes = npt.NDArray[np.integer[Any]]
PhaseCounts = Mapping[str, Mapping[str, int]]
"""Event counts by phase of a layer, as in ``{"mac": {"sram_compute_cycles": 1143}}``.

Every phase has `cycles`, the time it takes; the other names are events, those of `bitpim.counts` or
the machine's own.
"""


@dataclass(frozen=True, slots=True)
class LayerRun:
    """One layer's outputs for one batch, batch axis first, and what happened in the arrays."""

    index: int
    codes: Codes
    counts: PhaseCounts


class Recorder(Protocol):
    """A layer laid out on arrays, tile by tile, ready to be executed literally and written down."""

    def tiles(self) -> Sequence[TileName]:
        """All tiles of the layer for one sample, in the order of their numbers."""
        ...

    def record(self, tile: int, inputs: Sequence[Codes], *, after: str = "end") -> RecordedTile:
        """Execute a tile on its array, step by step, and write down all that happens.

        Parameters
        ----------
        tile : its number
        inputs : codes of one sample, batch axis first, as the layer gets them
        after : after which steps the state is kept, one of `recorded.AFTER`

        Raises
        ------
        ConfigError
            There is no such tile.
        """
        ...


class NetworkPlan(Protocol):
    """A whole network laid out on a machine; made without running anything."""

    def table(self) -> list[dict[str, Any]]:
        """One row a layer: index, name, kind, arrays, utilization, cycles by phase, and more.

        What more there is depends on the machine: lanes and passes, or reads and index bits.
        """
        ...

    def totals(self) -> dict[str, Any]:
        """Sums of those columns of the table that mean something when they are added."""
        ...

    @property
    def assumes(self) -> str:
        """What the table assumes of a sample, as in "cycles of one sample ...", or nothing."""
        ...

    def counts(self, index: int, n_samples: int) -> PhaseCounts:
        """Closed-form counts of a layer for that many samples, of inputs that skip nothing."""
        ...

    def placements(self, index: int) -> list[Placements]:
        """What lies where, for each conv group of a layer.

        Raises
        ------
        ConfigError
            The layer, or the machine, places no weights that could be drawn.
        """
        ...


class PreparedNetwork(Protocol):
    """A trace whose weights are laid out once, ready to run batches."""

    batch_multiple: int
    """Batches should hold a multiple of this many samples (the machine's own batch)."""

    def run_batch(self, codes: Codes) -> Iterator[LayerRun]:
        """Run input codes (batch first) through all layers in order; yields each layer once."""
        ...


class Machine(Protocol):
    """One emulated accelerator with its settings."""

    name: str
    settings: Any

    @property
    def legend(self) -> Legend:
        """How its counts are to be read."""
        ...

    def losses(self) -> str | None:
        """Describe what its settings may lose of the exact sums; None where they are exact.

        Then its codes may differ from the referee's, and nothing else may make them.
        """
        ...

    def plan(self, trace: Trace) -> NetworkPlan:
        """Lay a network out; raises MappingError where it does not fit."""
        ...

    def prepare(self, trace: Trace, *, fidelity: str = "bit", jobs: int = 1) -> PreparedNetwork:
        """Make a network ready to run with that many threads; ConfigError on a bad fidelity."""
        ...


def recorder_of(machine: Machine, trace: Trace, index: int) -> Recorder:
    """Lay a layer out to be recorded.

    Raises
    ------
    ConfigError
        The machine records no tiles, or none of such a layer.
    MappingError
        The layer does not fit the machine.
    """
    make = getattr(machine, "recorder", None)
    if make is None:
        raise ConfigError(
            f"machine {machine.name!r}: records no tiles; take one of bitpim's own machines"
        )
    recorder: Recorder = make(trace, index)
    return recorder


def losses_on(machine: Machine, trace: Trace) -> str | None:
    """Describe what a machine's settings may lose of a network's exact sums, else None.

    A machine with settings by layer may tell by a method of this name; else it is `losses`.

    Raises
    ------
    ConfigError
        Settings by layer do not fit the trace.
    """
    asked = getattr(machine, "losses_on", None)
    described: str | None = machine.losses() if asked is None else asked(trace)
    return described


def takes_codebooks(machine: Machine) -> bool:
    """Tell whether a machine runs networks of codebooks; all that say nothing run affine codes."""
    return bool(getattr(machine, "takes_codebooks", False))


MEMBERS = ("name", "settings", "legend", "losses", "plan", "prepare")
"""What an object needs to be a machine."""
