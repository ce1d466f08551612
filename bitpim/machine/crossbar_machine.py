"""The base of all machines on crossbars: settings, a layout, and what they make of a network."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bitpim.crossbar.adc import Adc, calibrate, models_for_differences
from bitpim.crossbar.layers import CrossbarLayer
from bitpim.crossbar.layout import Layout
from bitpim.crossbar.losses import losses_of
from bitpim.crossbar.number_coding import NumberCoding
from bitpim.crossbar.plan import HEADLINES, CrossbarPlan, WeightedPlan, plan_network
from bitpim.crossbar.settings import CrossbarSettings, converter_of, geometry_of
from bitpim.digital.layers import PreparedLayer, prepare_layer
from bitpim.errors import AccumulatorError, ConfigError, MappingError
from bitpim.legend import Legend
from bitpim.machine.machine import Codes, Fidelity, LayerRun, checked_fidelity
from bitpim.machine.schedule import run_layers
from bitpim.threads import use_threads
from bitpim_traces.records import LayerRecord, Quantization, Trace

__all__ = ["CrossbarMachine", "PreparedCrossbars"]

PlanCheck = Callable[[Trace, CrossbarPlan], None]


class CrossbarMachine:
    """Crossbars with one layout; plans and prepares networks.

    Parameters
    ----------
    settings : of the machine, whose name it bears
    layout : how weights lie; its arguments bear the names of the table `mapping` of the settings
    check_plan : raises where a network that is laid out does not fit the machine

    Raises
    ------
    ConfigError
        Encoding, converter and layout do not go together.
    """

    def __init__(
        self,
        settings: CrossbarSettings,
        layout: Layout,
        check_plan: PlanCheck | None = None,
    ) -> None:
        self.name, self.settings, self.layout = settings.machine, settings, layout
        numbers = settings.numbers
        if numbers.encoding == "column_flip" and not layout.keeps_columns_whole:
            raise ConfigError(
                f"{self.name}: numbers.encoding column_flip needs columns with all their rows, "
                "which this machine does not keep together; use `--set numbers.encoding=offset`"
            )
        geometry = geometry_of(settings)
        self.coding = NumberCoding(
            geometry, numbers.encoding, numbers.weight_bits, numbers.input_bits
        )
        self.adc = converter_of(settings.converter)
        self._check_plan = check_plan
        self._check_converter()

    def plan(self, trace: Trace) -> CrossbarPlan:
        """Lay a network out.

        Raises
        ------
        MappingError
            A layer does not fit the crossbars, the network does not fit the machine, or codes are
            wider than the machine's numbers.
        """
        plan = plan_network(trace, self.layout, self.coding, self.adc.width)
        if self._check_plan is not None:
            self._check_plan(trace, plan)
        return plan

    def prepare(self, trace: Trace, *, fidelity: str = "bit", jobs: int = 1) -> "PreparedCrossbars":
        """Make a network ready to run; `jobs` threads share each batch."""
        return PreparedCrossbars(self, trace, checked_fidelity(fidelity, jobs), jobs)

    @property
    def legend(self) -> Legend:
        """How its counts are to be read."""
        return Legend(self.settings.timing.clock_compute_ghz, headlines=HEADLINES)

    def losses(self) -> str | None:
        """Describe the converter where it may lose something by setting."""
        return losses_of(self.settings)

    def _check_converter(self) -> None:
        """Raise where the converter does not go with the encoding, or with what is left out."""
        model, most = self.adc.model, self.coding.geometry.largest_sum
        paired = self.coding.encoding == "differential_paired"
        if paired and not self.adc.reads_below_zero:
            raise ConfigError(
                f"{self.name}: converter.adc_model {model} reads no partial sums below 0, which "
                "numbers.encoding differential_paired gives; use "
                f"`--set converter.adc_model=clip`, or another of {models_for_differences()}"
            )
        calibrated = self.settings.converter.adc_range == "calibrated"  # then its range is to come
        least, unless = -most if paired else 0, self.layout.skips_unless
        if unless and not calibrated and self.adc.table(least, most)[-least] != 0:
            raise ConfigError(
                f"{self.name}: converter.adc_model {model} does not read 0 as 0, so no read of "
                f"zero inputs can be left out; use `--set mapping.{unless}`"
            )


class PreparedCrossbars:
    """A network ready to run, layer by layer, on batches of samples."""

    batch_multiple = 1

    def __init__(
        self, machine: CrossbarMachine, trace: Trace, fidelity: Fidelity, jobs: int
    ) -> None:
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
        for layer, out in run_layers(self._trace, codes, run):
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
        coding = machine.coding
        inputs = coding.inputs(layer, quantization)
        pairs = zip(coding.weights(layer), plan.maps, strict=True)
        try:
            matrices = [mapping.matrix(weights, coding, adc, inputs) for weights, mapping in pairs]
        except (ConfigError, MappingError, AccumulatorError) as error:
            where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
            raise type(error)(f"{where}: {error}") from error
        if self._fidelity == "integer" and not all(matrix.is_lossless for matrix in matrices):
            raise ConfigError(
                f"layer {layer.index} {layer.name!r} ({layer.kind}): fidelity integer needs a "
                f"lossless ADC, got {adc.model} of {adc.bits} bits for OUs of "
                f"{coding.geometry.unit_rows} rows; use `--fidelity bit`, or "
                "`--set converter.adc_model=exact` with `--prices none`"
            )
        saturate = machine.settings.numbers.overflow == "saturate"
        return CrossbarLayer(layer, quantization, matrices, self._fidelity, saturate=saturate)

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
                "none; use `--set converter.adc_range=maximal`"
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
        for _ in run_layers(trace, trace.samples.codes.read(0, n_samples), run):
            pass
        return converters
