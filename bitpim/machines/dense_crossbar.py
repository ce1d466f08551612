"""Dense crossbars: weight matrices read operation unit by operation unit, nothing left out.

What the paper says
    The "traditional mapping" that pattern pruning is compared with (Yu et al. 2020): each filter is
    unrolled to a column of channel x height x width rows; a weight takes neighbouring columns of
    a few bits each; one cycle opens an operation unit (OU) of 9 wordlines by 8 bitlines (Chen et
    al., ISSCC 2018) for one bit of the inputs.
What is emulated
    Every OU read: the partial sum of each bitline, what the ADC makes of it, shift-and-add over
    input slices and bit-slices, the digital corrections of the encoding and of zero points.
    Reads whose inputs are all zero can be left out (`mapping.zero_skip`).
What is left out
    Everything analogue: device variation, wire resistance, noise. Pooling, residual additions and
    activations run in exact integer logic beside the arrays; of these only buffer accesses are
    counted. Time: layers follow each other, crossbars of a layer work side by side.
How it is verified
    `tests/bitpim/machines/test_dense_crossbar.py`: with a lossless ADC both fidelities equal the
    referee; with a lossy one the machine equals a naive model of the same ADC, OU by OU.
Known differences and assumptions
    The sums of inputs that corrections need are made digitally and cost no event (ISAAC uses a unit
    column). A conv group lies on crossbars of its own. Each code crosses the buffer once a layer.
    Sums are kept exactly until the layer's declared accumulator, which raises or saturates
    (`numbers.overflow`). `mapping.row_blocks` decides where OUs start.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from bitpim.config import MachineEntry
from bitpim.crossbar.adc import Adc, calibrate, models_for_differences
from bitpim.crossbar.dense_blocks import DenseBlocks
from bitpim.crossbar.encodings import StoredWeights, columns_per_weight, encode_weights
from bitpim.crossbar.layers import (
    CrossbarLayer,
    Reader,
    StoredNumbers,
    input_coding,
    weight_numbers,
    weight_width,
)
from bitpim.crossbar.losses import losses_of
from bitpim.crossbar.matrix_maps import DenseMap
from bitpim.crossbar.plan import (
    HEADLINES,
    BufferPlan,
    CrossbarPlan,
    MatrixMapping,
    WeightedPlan,
    buffer_accesses,
)
from bitpim.crossbar.readout import CrossbarMatrix, InputCoding
from bitpim.crossbar.settings import (
    CrossbarMappingSettings,
    CrossbarSettings,
    converter_of,
    geometry_of,
)
from bitpim.digital.layers import PreparedLayer, prepare_layer
from bitpim.errors import ConfigError
from bitpim.legend import Legend
from bitpim.machines.machine import FIDELITIES, Codes, LayerRun
from bitpim.machines.schedule import run_layers
from bitpim.threads import use_threads
from bitpim_traces.records import LayerRecord, Quantization, Trace

__all__ = [
    "ENTRY",
    "DenseCrossbar",
    "DenseCrossbarSettings",
    "PreparedCrossbars",
    "matrix_sizes",
]

Fidelity = Literal["bit", "integer"]


class DenseCrossbarSettings(CrossbarSettings):
    """Settings of the machine `dense_crossbar`."""

    mapping: CrossbarMappingSettings


class DenseCrossbar:
    """The machine with its settings; plans and prepares networks.

    Machines that lay weights out otherwise override `map_layer` and `reader`.
    """

    name = "dense_crossbar"
    batch_multiple = 1
    keeps_columns_whole = True

    def __init__(self, settings: Any) -> None:
        self.settings: DenseCrossbarSettings = settings
        if settings.numbers.encoding == "column_flip" and not self.keeps_columns_whole:
            raise ConfigError(
                f"{self.name}: numbers.encoding column_flip needs columns with all their rows, "
                "which this machine does not keep together; use another encoding"
            )
        self.geometry, self.adc = geometry_of(settings), converter_of(settings.converter)
        self._check_converter()

    def plan(self, trace: Trace) -> CrossbarPlan:
        """Lay a network out.

        Raises
        ------
        MappingError
            A layer does not fit the crossbars, or has codes wider than the machine's numbers.
        """
        layers = tuple(self._plan_layer(trace, layer) for layer in trace.layers)
        return CrossbarPlan(layers, skips=self.skips_unless is not None)

    def prepare(self, trace: Trace, *, fidelity: str = "bit", jobs: int = 1) -> "PreparedCrossbars":
        """Make a network ready to run; `jobs` threads share each batch."""
        if fidelity not in FIDELITIES:
            raise ConfigError(f"fidelity: need one of {', '.join(FIDELITIES)}, got {fidelity!r}")
        if jobs < 1:
            raise ConfigError(f"jobs: need at least 1, got {jobs}")
        return PreparedCrossbars(self, trace, cast(Fidelity, fidelity), jobs)

    @property
    def legend(self) -> Legend:
        """How its counts are to be read."""
        return Legend(self.settings.timing.clock_compute_ghz, headlines=HEADLINES)

    def losses(self) -> str | None:
        """Describe the converter where it may lose something by setting."""
        return losses_of(self.settings)

    # What a machine with another layout overrides.

    def map_layer(self, layer: LayerRecord) -> tuple[str, tuple[MatrixMapping, ...]]:
        """Return the name of the rule a weighted layer is laid out by, and each conv group."""
        n_groups, n_rows, n_outputs = matrix_sizes(layer)
        n_columns = n_outputs * self.columns_per_weight(layer)
        blocks = DenseBlocks(n_rows, n_columns, self.geometry, self.window_rows(layer))
        return "dense", (DenseMap(blocks, _channel_rows(layer)),) * n_groups

    def reader(
        self,
        layer: LayerRecord,
        numbers: StoredNumbers,
        mapping: MatrixMapping,
        adc: Adc,
        inputs: InputCoding,
    ) -> Reader:
        """Return one conv group's matrix as it is read."""
        rows = self.window_rows(layer)
        stored = self.encoded(numbers, self.geometry.rows_used(rows))
        skip = self.settings.mapping.zero_skip
        return CrossbarMatrix(stored, self.geometry, adc, inputs, skip=skip, window_rows=rows)

    @property
    def skips_unless(self) -> str | None:
        """Return the setting that makes the machine read all units, None where it does."""
        return None if self.settings.mapping.zero_skip == "none" else "mapping.zero_skip=none"

    # What all share.

    def columns_per_weight(self, layer: LayerRecord) -> int:
        """Return the bitlines that hold one weight."""
        numbers = self.settings.numbers
        width = weight_width(layer, numbers.weight_bits)
        return columns_per_weight(width, numbers.encoding, self.geometry.cell_bits)

    def window_rows(self, layer: LayerRecord) -> int | None:
        """Return the rows of an input channel's window where they are kept together, else None.

        One row needs no keeping together: 1 x 1 conv kernels and linear layers fill their OUs.
        """
        rows = _channel_rows(layer)
        return rows if self.settings.mapping.row_blocks == "window" and rows > 1 else None

    def encoded(
        self, numbers: StoredNumbers, array_rows: int, kept: npt.NDArray[np.bool_] | None = None
    ) -> StoredWeights:
        """Return weights as cells of this machine."""
        return encode_weights(
            numbers.numbers,
            numbers.bits,
            self.settings.numbers.encoding,
            self.geometry.cell_bits,
            array_rows,
            kept,
            numbers.zeros,
        )

    def numbers(self, layer: LayerRecord) -> list[StoredNumbers]:
        """Return what the cells hold, group by group."""
        bits = self.settings.numbers.weight_bits
        return weight_numbers(layer, bits, lowest=self._holds_lowest)

    def inputs(self, layer: LayerRecord, quantization: Quantization) -> InputCoding:
        """Return how a layer's inputs are cut into slices."""
        return input_coding(layer, quantization, self.settings.numbers.input_bits)

    @property
    def _holds_lowest(self) -> bool:
        """Whether the encoding holds all codes of a width; pairs of magnitudes lack the lowest."""
        return not self.settings.numbers.encoding.startswith("differential")

    def _check_converter(self) -> None:
        """Raise where the converter does not go with the encoding, or with what is left out."""
        model, most = self.adc.model, self.geometry.largest_sum
        paired = self.settings.numbers.encoding == "differential_paired"
        if paired and not self.adc.reads_below_zero:
            raise ConfigError(
                f"{self.name}: converter.adc_model {model} reads no partial sums below 0, which "
                "numbers.encoding differential_paired gives; set converter.adc_model to "
                f"{models_for_differences()}"
            )
        calibrated = self.settings.converter.adc_range == "calibrated"  # then its range is to come
        least = -most if paired else 0
        if self.skips_unless and not calibrated and self.adc.table(least, most)[-least] != 0:
            raise ConfigError(
                f"{self.name}: converter.adc_model {model} does not read 0 as 0, so no read of "
                f"zero inputs can be left out; set {self.skips_unless}"
            )

    def _plan_layer(self, trace: Trace, layer: LayerRecord) -> BufferPlan | WeightedPlan:
        quantizations = trace.input_quantizations(layer)
        accesses = buffer_accesses(layer, quantizations)
        if layer.weight is None:
            return BufferPlan(layer.index, layer.name, layer.kind, accesses)
        if not self._holds_lowest:
            self.numbers(layer)  # raises here and not when the layer's turn comes
        rule, maps = self.map_layer(layer)
        slices = self.inputs(layer, quantizations[0]).digits(self.geometry.dac_bits)
        n_positions = int(np.prod(layer.output_shape[1:], dtype=np.int64))
        return WeightedPlan(
            layer.index,
            layer.name,
            layer.kind,
            accesses,
            rule,
            maps,
            n_positions,
            len(slices),
            self.adc.width,
            self.geometry.rows * self.geometry.columns,
        )


class PreparedCrossbars:
    """A network ready to run, layer by layer, on batches of samples."""

    def __init__(self, machine: DenseCrossbar, trace: Trace, fidelity: Fidelity, jobs: int) -> None:
        self.batch_multiple = machine.batch_multiple
        self.plan = machine.plan(trace)
        self._machine, self._trace = machine, trace
        self._fidelity, self._jobs = fidelity, jobs
        self._prepared: dict[int, CrossbarLayer | PreparedLayer] = {}
        self._converters: dict[int, Adc] | None = None

    def run_batch(self, codes: Codes) -> Iterator[LayerRun]:
        """Run input codes (batch first) through all layers in order; yields each layer once.

        A layer's weights are laid out when it first runs.
        """
        counts: dict[int, Any] = {}

        def run(layer: LayerRecord, inputs: Sequence[Codes]) -> Codes:
            use_threads(self._jobs)
            prepared, plan = self._layer(layer), self.plan.layers[layer.index]
            if isinstance(prepared, PreparedLayer):
                counts[layer.index] = plan.counts(len(codes))
                return prepared.run(inputs)
            assert isinstance(plan, WeightedPlan)
            out, reads = prepared.run(inputs[0])
            counts[layer.index] = plan.phases(len(codes), reads)
            return out

        if self._converters is None:
            calibrates = self._machine.settings.converter.adc_range == "calibrated"
            self._converters = self._calibrated() if calibrates else {}
        for layer, out in run_layers(self._trace.layers, codes, run):
            yield LayerRun(layer.index, out, counts.pop(layer.index))

    def _layer(self, layer: LayerRecord) -> CrossbarLayer | PreparedLayer:
        if layer.index not in self._prepared:
            quantizations = self._trace.input_quantizations(layer)
            adc = (self._converters or {}).get(layer.index, self._machine.adc)
            self._prepared[layer.index] = (
                prepare_layer(layer, quantizations)
                if layer.weight is None
                else self._weighted(layer, quantizations[0], adc)
            )
        return self._prepared[layer.index]

    def _weighted(self, layer: LayerRecord, quantization: Quantization, adc: Adc) -> CrossbarLayer:
        machine, plan = self._machine, self.plan.layers[layer.index]
        assert isinstance(plan, WeightedPlan)
        inputs = machine.inputs(layer, quantization)
        pairs = zip(machine.numbers(layer), plan.maps, strict=True)
        readers = [machine.reader(layer, part, mapping, adc, inputs) for part, mapping in pairs]
        if self._fidelity == "integer" and not all(reader.is_lossless for reader in readers):
            raise ConfigError(
                f"layer {layer.index} {layer.name!r} ({layer.kind}): fidelity integer needs a "
                f"lossless ADC, got {adc.model} of {adc.bits} bits for OUs of "
                f"{machine.geometry.unit_rows} rows; use fidelity bit, or more converter.adc_bits"
            )
        saturate = machine.settings.numbers.overflow == "saturate"
        return CrossbarLayer(layer, quantization, readers, self._fidelity, saturate=saturate)

    def _calibrated(self) -> dict[int, Adc]:
        """Fit each layer's converter to the exact partial sums of the trace's first samples.

        A layer that makes no read keeps the maximal range.
        """
        machine, trace = self._machine, self._trace
        settings = machine.settings.converter
        n_samples = min(settings.calibration_samples, trace.n_samples)
        if n_samples == 0:
            raise ConfigError(
                "converter.adc_range calibrated: need samples in the trace to calibrate with, got "
                "none; use maximal or given"
            )
        converters = {}

        def run(layer: LayerRecord, inputs: Sequence[Codes]) -> Codes:
            quantizations = trace.input_quantizations(layer)
            if layer.weight is not None:
                prepared = self._weighted(layer, quantizations[0], machine.adc)
                seen, least = prepared.partial_sums(inputs[0])
                if seen.any():
                    coverage = settings.calibration_coverage
                    converters[layer.index] = calibrate(machine.adc, seen, least, coverage)
            return prepare_layer(layer, quantizations).run(inputs)

        use_threads(self._jobs)
        for _ in run_layers(trace.layers, trace.samples.codes.read(0, n_samples), run):
            pass
        return converters


def matrix_sizes(layer: LayerRecord) -> tuple[int, int, int]:
    """Return conv groups, rows of a group's matrix, and its outputs."""
    assert layer.weight is not None
    n_groups = layer.geometry.groups if layer.geometry else 1
    n_rows = int(np.prod(layer.weight.shape[1:], dtype=np.int64))
    return n_groups, n_rows, layer.weight.shape[0] // n_groups


def _channel_rows(layer: LayerRecord) -> int:
    """Return the matrix rows of one input channel."""
    return layer.geometry.kernel[0] * layer.geometry.kernel[1] if layer.geometry else 1


ENTRY = MachineEntry(
    name="dense_crossbar",
    settings=DenseCrossbarSettings,
    make=DenseCrossbar,
    prices="yu2020",
    wing="bitpim.crossbar",
)
