"""Stand-ins: a machine that is only the referee, for tests of what surrounds machines."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bitpim.errors import ConfigError
from bitpim.legend import Legend
from bitpim.machine.machine import Codes, LayerRun, PhaseCounts
from bitpim.machine.registry import load_preset
from bitpim.placement import Placements
from bitpim.proof.reference import iter_network
from bitpim.sram.plan import STREAMING
from bitpim_traces.records import Trace

__all__ = ["RefereeMachine", "RefereeNetwork", "RefereePlan"]


@dataclass
class RefereePlan:
    """Counts that grow with the elements and, for the filters, with the machine's batches."""

    trace: Trace
    machine_batch: int

    def table(self) -> list[dict[str, Any]]:
        return [
            {
                "index": layer.index,
                "name": layer.name,
                "kind": layer.kind,
                "arrays": 1,
                "lanes": 64,
                "passes": 2,
                "utilization": 0.5,
                "cycles": {
                    phase: events["cycles"] for phase, events in self.counts(layer.index, 1).items()
                },
            }
            for layer in self.trace.layers
        ]

    def totals(self) -> dict[str, Any]:
        return {}

    @property
    def assumes(self) -> str:
        return ""

    def placements(self, index: int) -> list[Placements]:
        raise ConfigError(f"layer {index}: the referee places nothing")

    def counts(self, index: int, n_samples: int) -> PhaseCounts:
        elements = int(np.prod(self.trace.shape_of(index), dtype=np.int64))
        n_loads = -(-n_samples // self.machine_batch)
        return {
            "filter_load": {"cycles": 3 * n_loads, "sram_row_writes": 5 * n_loads},
            "mac": {"cycles": elements * n_samples, "sram_compute_cycles": elements * n_samples},
        }


@dataclass
class RefereeNetwork:
    """Runs batches by the referee; can be made slow, wrong, or to fail at a layer."""

    plan: RefereePlan
    batch_multiple: int
    machine: "RefereeMachine"
    batches: list[int] = field(default_factory=list)

    def run_batch(self, codes: Codes) -> Iterator[LayerRun]:
        self.batches.append(len(codes))
        for index, out in iter_network(self.plan.trace, codes):
            if self.machine.fail_at == index:
                raise self.machine.failure
            if self.machine.wrong_at == index:
                out = out.copy()
                out.flat[-1] ^= 1
            time.sleep(self.machine.seconds_a_layer)
            yield LayerRun(index, out, self.plan.counts(index, len(codes)))


class RefereeMachine:
    """The referee in the clothes of a machine, with the settings of `neural_cache`."""

    name = "neural_cache"

    def __init__(
        self,
        settings: Any = None,
        *,
        machine_batch: int = 1,
        seconds_a_layer: float = 0.0,
        wrong_at: int | None = None,
        fail_at: int | None = None,
        failure: BaseException | None = None,
    ) -> None:
        self.settings = load_preset("neural_cache") if settings is None else settings
        self.machine_batch = machine_batch
        self.seconds_a_layer = seconds_a_layer
        self.wrong_at = wrong_at
        self.fail_at = fail_at
        self.failure = failure or KeyboardInterrupt()
        self.prepared: RefereeNetwork | None = None

    @property
    def legend(self) -> Legend:
        timing = self.settings.timing
        return Legend(timing.clock_compute_ghz, STREAMING, timing.phase_overlap == "stream")

    def losses(self) -> str | None:
        return None

    def plan(self, trace: Trace) -> RefereePlan:
        return RefereePlan(trace, self.machine_batch)

    def prepare(self, trace: Trace, *, fidelity: str = "bit", jobs: int = 1) -> RefereeNetwork:
        self.prepared = RefereeNetwork(self.plan(trace), self.machine_batch, self)
        return self.prepared
