"""RAPIDNN: networks as lookup tables; pairs of codes are counted, and the nearest is searched for.

What the paper says
    Imani et al., HPCA 2020: weights and inputs are clustered, products of codewords computed
    beforehand. A neuron (RNA) counts how often each pair occurs, shifts and adds products inside
    its crossbar by stateful NOR, and finds activation and code of the result by nearest-distance
    search. 32 tiles of 1,024 RNAs on 124.1 mm2; 68.4x and 49.5x the energy efficiency and 48.1x and
    10.9x the speed of ISAAC and PipeLayer, less than 0.5 % quality lost.
What is emulated
    Counters of every pair, wide or saturating; products shifted by the binary or signed digits of
    counts; the tree of 3:2 carry-save adders and the last addition, as NOR gates on whole words;
    activations by comparator or by a table of points; the nearest codeword by difference, by bits,
    or stage by stage; max pooling by search, average pooling, residual addition and concatenation.
    Neurons on RNAs, RNAs that neurons share, rounds, tables filled again where RNAs are too few.
What is left out
    Control, the buffers of tiles, contention on the way between them, the data block that encodes
    samples but for its searches, wear. Neurons that share an RNA have the same tables here, so
    that sharing costs rounds and no accuracy; the paper trades accuracy for it, and does not say
    how.
How it is verified
    `tests/bitpim/machine/test_rapidnn.py`: equal to the referee at both fidelities, on networks
    with all kinds of layers, and with settings that lose something to a naive model, in codes and
    counts; with codebooks as large as the code range equal to the network of affine codes.
    `tests/bitpim/lookup`: direct sums, counted sums and trees of gates are one number.
Known differences and assumptions
    Sizes, widths and times of blocks are recalled with little certainty (preset keys `neurons`,
    `counters`, `chip`). `adder.cost` says how NOR cycles are counted, `adder.sum_bits` is assumed
    wider than the paper's words, `match.mode` abs is what the paper states and not what bits of a
    match line would give. One round is as slow as its slowest neuron, and phases of a round follow
    each other. Ties go to the lower codeword.
"""

from collections.abc import Iterator, Sequence

from bitpim.config import MachineEntry
from bitpim.errors import ConfigError
from bitpim.legend import Legend
from bitpim.lookup.recording import RnaRecorder
from bitpim.lookup.rna_layers import PreparedRna, prepare_rna_layer
from bitpim.lookup.rna_mapping import plan_rna_network, rules_by_layer
from bitpim.lookup.rna_plan import HEADLINES, RnaPlan
from bitpim.lookup.rna_settings import RnaSettings
from bitpim.machine.machine import Codes, Fidelity, LayerRun, checked_fidelity
from bitpim.machine.schedule import run_layers
from bitpim.threads import use_threads
from bitpim_traces.records import LayerRecord, Trace

__all__ = ["ENTRY", "RapidnnMachine", "RapidnnSettings", "make"]


class RapidnnSettings(RnaSettings):
    """Settings of the machine `rapidnn`."""


class RapidnnMachine:
    """The machine with its settings; plans and prepares networks of codebooks."""

    def __init__(self, settings: RnaSettings) -> None:
        self.name, self.settings = settings.machine, settings

    takes_codebooks = True

    @property
    def legend(self) -> Legend:
        """How its counts are to be read."""
        return Legend(self.settings.timing.clock_ghz, headlines=HEADLINES)

    def losses(self) -> str | None:
        """Describe counters that saturate, and matches that are not the nearest by difference."""
        if self.settings.loses is not None:
            return self.settings.loses
        for own in self.settings.layer_settings:
            if own.key in ("counters.overflow", "match.mode"):
                return f"settings by layer, such as {own.name}={own.value}"
        return None

    def plan(self, trace: Trace) -> RnaPlan:
        """Lay a network out.

        Raises
        ------
        MappingError
            Codes are affine, a kind has no place here, or tables do not fit an RNA.
        AccumulatorError
            A sum could leave the width of sums, or a counter that may not saturate its width.
        ConfigError
            Settings by layer fit no layer, do not go together, or change nothing.
        """
        return plan_rna_network(trace, self.settings)

    def recorder(self, trace: Trace, index: int) -> RnaRecorder:
        """Lay a layer out to be recorded, a neuron a tile.

        Raises
        ------
        ConfigError
            Codes of the layer only move, or as for `plan`.
        MappingError, AccumulatorError
            As for `plan`.
        """
        layer, plan = trace.layers[index], self.plan(trace).layers[index]
        rule = rules_by_layer(self.settings, trace)[index]
        return RnaRecorder(layer, trace.input_quantizations(layer), plan, rule)

    def prepare(self, trace: Trace, *, fidelity: str = "bit", jobs: int = 1) -> "PreparedRapidnn":
        """Make a network ready to run; `jobs` threads share each batch.

        Raises
        ------
        ConfigError
            Fidelity `integer` where settings lose something.
        """
        return PreparedRapidnn(self, trace, checked_fidelity(fidelity, jobs), jobs)


class PreparedRapidnn:
    """A network ready to run, layer by layer, on batches of samples."""

    def __init__(
        self, machine: RapidnnMachine, trace: Trace, fidelity: Fidelity, jobs: int
    ) -> None:
        if fidelity == "integer" and machine.losses() is not None:
            others = "`--set match.mode=abs --set counters.overflow=wide`"
            if machine.settings.loses is None:
                others = "leave them out"
            raise ConfigError(
                f"fidelity integer needs exact sums and nearest values, got {machine.losses()}; "
                f"use `--fidelity bit`, or {others}"
            )
        self.plan = machine.plan(trace)
        self.batch_multiple = 1 if self.plan.resident else machine.settings.mapping.batch_size
        self._rules = rules_by_layer(machine.settings, trace)
        self._trace, self._fidelity, self._jobs = trace, fidelity, jobs
        self._prepared: dict[int, PreparedRna] = {}

    def run_batch(self, codes: Codes) -> Iterator[LayerRun]:
        """Run input codes (batch first) through all layers in order; yields each layer once.

        A layer's tables are made when it first runs.
        """
        counts = {}

        def run(layer: LayerRecord, inputs: Sequence[Codes]) -> Codes:
            use_threads(self._jobs)
            out, activity = self._layer(layer).run(inputs)
            counts[layer.index] = self.plan.layers[layer.index].phases(len(codes), activity)
            return out

        for layer, out in run_layers(self._trace, codes, run):
            yield LayerRun(layer.index, out, counts.pop(layer.index))

    def _layer(self, layer: LayerRecord) -> PreparedRna:
        if layer.index not in self._prepared:
            self._prepared[layer.index] = prepare_rna_layer(
                layer,
                self._trace.input_quantizations(layer),
                self.plan.layers[layer.index],
                self._rules[layer.index],
                bit=self._fidelity == "bit",
            )
        return self._prepared[layer.index]


def make(settings: RapidnnSettings) -> RapidnnMachine:
    """Return the machine that settings describe."""
    return RapidnnMachine(settings)


ENTRY = MachineEntry(
    name="rapidnn",
    settings=RapidnnSettings,
    make=make,
    prices="rapidnn_45nm",
    wing="bitpim.lookup",
)
"""The machine of lookup tables."""
