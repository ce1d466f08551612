"""Neural Cache: bit-serial arithmetic in the SRAM arrays of a last-level cache.

What the paper says
    Eckert et al., ISCA 2018: 8 KB arrays of 256 wordlines by 256 bitline pairs compute on two
    wordlines at once; elements lie transposed, one a column; 4,032 of the 4,480 arrays of a 35 MB
    cache compute. A convolution's channels lie in neighbouring columns, each multiplies its taps
    bit by bit, and a tree of moves and adds joins them.
What is emulated
    Every step of every program on packed bits: multiply-accumulate, reduction, zero-point
    corrections, requantization, pooling, residual additions, clamps. Counts come from the plan
    (`bitpim.sram.plan`) and are those of the hardware, whatever the host skips.
What is left out
    Time within a cycle, contention on the bus, the cache's normal traffic. Float scales and lookup
    tables run on the CPU and cost bus bytes. The search for a layer's least and greatest value:
    ranges are the trace's.
How it is verified
    `tests/bitpim/machines/test_neural_cache.py`: both fidelities equal the referee on random
    networks of every layer kind. `tests/equivalence/test_cache_arrays.py`: a layer executed array
    by array, row by row, column move by column move gives the same codes and the plan's counts.
Known differences and assumptions
    Signed codes are offset to unsigned (`arithmetic.signed_encoding`); the sum of a window's raw
    codes, for weight zero points, is computed once for all filters; sums are gathered before
    requantization (`mapping.requantize_packing`); widths of the transfers (`transfer.*`).
    Requantization may use all rows of an array: filters it displaces are not counted as loaded
    again. A filter stays where it was loaded, which is exact when the convolutions of a pass are a
    multiple of the filters. Without power-of-two padding, lanes whose partner belongs to another
    convolution receive 0 in a move, at no cost. Constants are broadcast: their rows are counted,
    their bus bytes are not.
"""

from collections.abc import Iterator, Sequence

from bitpim.config import MachineEntry
from bitpim.digital.layers import prepare_layer
from bitpim.errors import ConfigError
from bitpim.legend import Legend
from bitpim.machines.machine import FIDELITIES, Codes, LayerRun
from bitpim.machines.schedule import run_layers
from bitpim.sram.layers import BitLayer, prepare_bit_layer
from bitpim.sram.mapping import plan_network
from bitpim.sram.plan import STREAMING, CachePlan
from bitpim.sram.settings import CacheSettings
from bitpim.threads import use_threads
from bitpim_traces.records import LayerRecord, Trace

__all__ = ["ENTRY", "NeuralCache", "NeuralCacheSettings", "PreparedCache"]


class NeuralCacheSettings(CacheSettings):
    """Settings of the machine `neural_cache`."""


class NeuralCache:
    """The machine with its settings; plans and prepares networks."""

    name = "neural_cache"

    def __init__(self, settings: NeuralCacheSettings) -> None:
        self.settings = settings

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
        return plan_network(trace, self.settings)

    def prepare(self, trace: Trace, *, fidelity: str = "bit", jobs: int = 1) -> "PreparedCache":
        """Lay out the weights once; `jobs` threads share each batch."""
        if fidelity not in FIDELITIES:
            raise ConfigError(f"fidelity: need one of {', '.join(FIDELITIES)}, got {fidelity!r}")
        if jobs < 1:
            raise ConfigError(f"jobs: need at least 1, got {jobs}")
        return PreparedCache(trace, self.plan(trace), self.settings, fidelity, jobs)


class PreparedCache:
    """A network ready to run, layer by layer, on batches of samples."""

    def __init__(
        self,
        trace: Trace,
        plan: CachePlan,
        settings: NeuralCacheSettings,
        fidelity: str,
        jobs: int,
    ) -> None:
        self.batch_multiple = settings.mapping.batch_size
        self.plan = plan
        self._layers = trace.layers
        self._fidelity = fidelity
        self._jobs = jobs
        self._prepared: dict[int, BitLayer] = {}
        self._trace = trace

    def run_batch(self, codes: Codes) -> Iterator[LayerRun]:
        """Run input codes (batch first) through all layers in order; yields each layer once.

        A layer's weights are laid out when it first runs.
        """
        for layer, out in run_layers(self._layers, codes, self._run_layer):
            yield LayerRun(layer.index, out, self.plan.counts(layer.index, codes.shape[0]))

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


ENTRY = MachineEntry(
    name="neural_cache",
    settings=NeuralCacheSettings,
    make=NeuralCache,
    prices="neural_cache_22nm",
    wing="bitpim.sram",
)
