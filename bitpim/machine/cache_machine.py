"""A machine in a cache: its settings, and the rule by which convolutions lie in its lanes.

All else is the same for all of them: layers of one lane an output element, sums that become codes,
what moves and what the CPU computes.
"""

from collections.abc import Iterator, Sequence

from bitpim.digital.layers import prepare_layer
from bitpim.legend import Legend
from bitpim.machine.machine import (
    Codes,
    Fidelity,
    LayerRun,
    PhaseCounts,
    Recorder,
    checked_fidelity,
)
from bitpim.machine.schedule import run_layers
from bitpim.sram.layers import BitLayer, prepare_bit_layer
from bitpim.sram.network_mapping import plan_network
from bitpim.sram.plan import STREAMING, CachePlan
from bitpim.sram.recording import layer_recorder
from bitpim.sram.rules import ConvRule
from bitpim.sram.settings import CacheSettings
from bitpim.threads import use_threads
from bitpim_traces.records import LayerRecord, Trace

__all__ = ["CacheMachine", "PreparedCache"]


class CacheMachine:
    """The machine with its settings; plans and prepares networks."""

    def __init__(self, settings: CacheSettings, rule: ConvRule) -> None:
        self.name = settings.machine
        self.settings = settings
        self.rule = rule

    @property
    def legend(self) -> Legend:
        """How its counts are to be read."""
        timing = self.settings.timing
        return Legend(timing.clock_compute_ghz, STREAMING, timing.phase_overlap == "stream")

    def losses(self) -> str | None:
        """Nothing: all sums are exact."""
        return None

    def plan(self, trace: Trace) -> CachePlan:
        """Lay a network out.

        Raises
        ------
        MappingError
            A layer does not fit the arrays, or has codes wider than the machine's operands.
        ConfigError
            The cost mode knows no cycles for a layer's widths, or a layer needs the CPU and the
            preset forbids it.
        AccumulatorError
            A sum in the lanes may exceed its rows.
        """
        return plan_network(trace, self.settings, self.rule)

    def recorder(self, trace: Trace, index: int) -> Recorder:
        """Lay a layer out to be recorded, tile by tile.

        Raises
        ------
        ConfigError
            No array computes the layer.
        MappingError, AccumulatorError
            As for `plan`.
        """
        layer = trace.layers[index]
        plan = self.plan(trace).layers[index]
        return layer_recorder(layer, trace.input_quantizations(layer), plan)

    def prepare(self, trace: Trace, *, fidelity: str = "bit", jobs: int = 1) -> "PreparedCache":
        """Lay out the weights once; `jobs` threads share each batch."""
        held, batch = checked_fidelity(fidelity, jobs), self.settings.mapping.batch_size
        return PreparedCache(trace, self.plan(trace), batch, held, jobs)


class PreparedCache:
    """A network ready to run, layer by layer, on batches of samples."""

    def __init__(
        self, trace: Trace, plan: CachePlan, batch_multiple: int, fidelity: Fidelity, jobs: int
    ) -> None:
        self.batch_multiple = batch_multiple
        self.plan = plan
        self._trace = trace
        self._fidelity = fidelity
        self._jobs = jobs
        self._prepared: dict[int, BitLayer] = {}
        self._counts: dict[tuple[int, int], PhaseCounts] = {}  # by layer and samples of a batch

    def run_batch(self, codes: Codes) -> Iterator[LayerRun]:
        """Run input codes (batch first) through all layers in order; yields each layer once.

        A layer's weights are laid out when it first runs.
        """
        for layer, out in run_layers(self._trace, codes, self._run_layer):
            yield LayerRun(layer.index, out, self._counts_of(layer.index, codes.shape[0]))

    def _counts_of(self, index: int, n_samples: int) -> PhaseCounts:
        """Count a batch once for all that are as large; each caller has its own to change."""
        if (index, n_samples) not in self._counts:
            self._counts[index, n_samples] = self.plan.counts(index, n_samples)
        return {phase: dict(of) for phase, of in self._counts[index, n_samples].items()}

    def _run_layer(self, layer: LayerRecord, inputs: Sequence[Codes]) -> Codes:
        if layer.index not in self._prepared:
            quantizations = self._trace.input_quantizations(layer)
            self._prepared[layer.index] = (
                prepare_layer(layer, quantizations)
                if self._fidelity == "integer"
                else prepare_bit_layer(layer, quantizations, self.plan.layers[layer.index])
            )
        use_threads(self._jobs)
        return self._prepared[layer.index].run(inputs)
