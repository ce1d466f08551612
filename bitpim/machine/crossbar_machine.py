"""The base of all machines on crossbars: settings, a layout, and what they make of a network."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bitpim.config import remedies_by_layer
from bitpim.crossbar.accounts import OU_ACCOUNTS, Accounts
from bitpim.crossbar.adc import Adc, calibrate
from bitpim.crossbar.layer_setup import LayerSetup, losses_by_layer, setups_by_layer
from bitpim.crossbar.layers import CrossbarLayer
from bitpim.crossbar.layout import Layout
from bitpim.crossbar.losses import losses_of, may_lose_by_layer
from bitpim.crossbar.plan import CrossbarPlan, LayerPlan, WeightedPlan, plan_network
from bitpim.crossbar.recording import CrossbarRecorder
from bitpim.crossbar.schedule import schedule_of, scheduled
from bitpim.crossbar.settings import ReadSettings
from bitpim.digital.layers import PreparedLayer, prepare_layer
from bitpim.errors import AccumulatorError, ConfigError, MappingError
from bitpim.legend import Legend
from bitpim.machine.machine import Codes, Fidelity, LayerRun, checked_fidelity
from bitpim.machine.schedule import run_layers
from bitpim.threads import use_threads
from bitpim_traces.records import LayerRecord, Quantization, Trace

__all__ = ["CrossbarMachine", "PreparedCrossbars"]

PlanCheck = Callable[[Trace, CrossbarPlan], None]
Room = Callable[[CrossbarPlan], int]
_ANY = 1 << 62


class CrossbarMachine:
    """Crossbars with one layout; plans and prepares networks.

    Parameters
    ----------
    settings : of the machine, whose name it bears
    layout : how weights lie; its arguments bear the names of the table `mapping` of the settings
    check_plan : raises where a network that is laid out does not fit the machine
    room : returns the crossbars that the weights of a network may lie on, which copies may fill;
        as many as they like if None
    accounts : how plans and legend speak

    Raises
    ------
    ConfigError
        Encoding, converter and layout do not go together.
    """

    def __init__(
        self,
        settings: ReadSettings,
        layout: Layout,
        check_plan: PlanCheck | None = None,
        *,
        room: Room | None = None,
        accounts: Accounts = OU_ACCOUNTS,
    ) -> None:
        self.name, self.settings, self.layout = settings.machine, settings, layout
        self.setup = LayerSetup.of(settings, layout)
        self._check_plan, self._room, self._accounts = check_plan, room, accounts

    def plan(self, trace: Trace) -> CrossbarPlan:
        """Lay a network out.

        Raises
        ------
        MappingError
            A layer does not fit the crossbars, the network does not fit the machine, or codes are
            wider than the machine's numbers.
        ConfigError
            Settings by layer fit no layer, do not go together, or change nothing.
        """
        return self.plan_with(trace, self.setups(trace))

    def setups(self, trace: Trace) -> tuple[LayerSetup, ...]:
        """Return what the settings of each layer of a network make of the crossbars."""
        return setups_by_layer(self.setup, trace)

    def plan_with(self, trace: Trace, setups: Sequence[LayerSetup]) -> CrossbarPlan:
        """Lay a network out, each layer by its setup; raises as `plan`."""
        plan, schedule = plan_network(trace, setups, self._accounts), schedule_of(self.settings)
        if schedule is not None:
            room = _ANY if self._room is None else self._room(plan)
            plan = scheduled(plan, setups, schedule, room)
        if self._check_plan is not None:
            self._check_plan(trace, plan)
        return plan

    def prepare(self, trace: Trace, *, fidelity: str = "bit", jobs: int = 1) -> "PreparedCrossbars":
        """Make a network ready to run; `jobs` threads share each batch."""
        return PreparedCrossbars(self, trace, checked_fidelity(fidelity, jobs), jobs)

    def recorder(self, trace: Trace, index: int) -> CrossbarRecorder:
        """Lay a layer out to be recorded, its converter calibrated as it is to run.

        Raises
        ------
        ConfigError
            No crossbar computes the layer.
        MappingError
            The network does not fit.
        """
        return PreparedCrossbars(self, trace, "bit", 1).recorder(index)

    @property
    def legend(self) -> Legend:
        """How its counts are to be read."""
        schedule = schedule_of(self.settings)
        return Legend(
            self.settings.timing.clock_compute_ghz,
            headlines=self._accounts.headlines,
            pipelined=schedule is not None and schedule.pipeline,
        )

    def losses(self) -> str | None:
        """Describe the converter where it may lose something by setting.

        Of settings by layer a trace decides: `losses_on`; without one they count as lossy.
        """
        return losses_of(self.settings) or may_lose_by_layer(self.settings)

    def losses_on(self, trace: Trace) -> str | None:
        """Describe the converters that may lose something of a network, and in which layers."""
        if not self.settings.layer_settings:
            return self.losses()
        return losses_by_layer(self.setups(trace), trace)


class PreparedCrossbars:
    """A network ready to run, layer by layer, on batches of samples."""

    batch_multiple = 1

    def __init__(
        self, machine: CrossbarMachine, trace: Trace, fidelity: Fidelity, jobs: int
    ) -> None:
        self.setups = machine.setups(trace)
        self.plan = machine.plan_with(trace, self.setups)
        self._trace = trace
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
            self._converters = self._calibrated()
        for layer, out in run_layers(self._trace, codes, run):
            yield LayerRun(layer.index, out, counts.pop(layer.index))

    def recorder(self, index: int) -> CrossbarRecorder:
        """Return what records tiles of a layer; raises as `CrossbarMachine.recorder`."""
        layer, plan = self._trace.layers[index], self.plan.layers[index]
        if not isinstance(plan, WeightedPlan):
            raise ConfigError(
                f"layer {index} {layer.name!r} ({layer.kind}): records no tiles, the digital side "
                "computes it and no crossbar; name a convolution or linear layer that lies on some"
            )
        quantization, setup = self._trace.input_quantizations(layer)[0], self.setups[index]
        adc = self._calibrated(index).get(index, setup.adc)
        prepared = self._weighted(layer, quantization, adc)
        inputs = setup.coding.inputs(layer, quantization)
        return CrossbarRecorder(prepared, plan, setup.coding.geometry, adc, inputs)

    def _layer(self, layer: LayerRecord) -> CrossbarLayer | PreparedLayer:
        if layer.index not in self._prepared:
            quantizations = self._trace.input_quantizations(layer)
            adc = (self._converters or {}).get(layer.index, self.setups[layer.index].adc)
            self._prepared[layer.index] = (
                self._weighted(layer, quantizations[0], adc)
                if isinstance(self.plan.layers[layer.index], WeightedPlan)
                else prepare_layer(layer, quantizations)
            )
        return self._prepared[layer.index]

    def _weighted(self, layer: LayerRecord, quantization: Quantization, adc: Adc) -> CrossbarLayer:
        setup = self.setups[layer.index]
        with remedies_by_layer(setup.settings):
            return _laid_out(
                layer, quantization, self.plan.layers[layer.index], setup, adc, self._fidelity
            )

    def _calibrated(self, only: int | None = None) -> dict[int, Adc]:
        """Fit converters to the exact partial sums of the trace's first samples, where to be.

        With `only`, that of one layer. A layer that makes no read keeps the maximal range.
        """
        trace, setups = self._trace, self.setups
        fits = {
            plan.index: fit
            for plan in self.plan.layers
            for fit in [setups[plan.index].settings.converter.calibration]
            if isinstance(plan, WeightedPlan) and fit is not None and only in (None, plan.index)
        }
        if not fits:
            return {}
        if trace.n_samples == 0:
            with remedies_by_layer(setups[min(fits)].settings):
                raise ConfigError(
                    "converter.adc_range calibrated: need samples in the trace to calibrate with, "
                    "got none; use `--set converter.adc_range=maximal`"
                )
        converters = {}

        def run(layer: LayerRecord, inputs: Sequence[Codes]) -> Codes:
            quantizations, setup = trace.input_quantizations(layer), setups[layer.index]
            if layer.index in fits:
                prepared = self._weighted(layer, quantizations[0], setup.adc)
                most, coverage = fits[layer.index]
                seen, least = prepared.partial_sums(inputs[0][:most])
                if seen.any():
                    converters[layer.index] = calibrate(setup.adc, seen, least, coverage)
            return prepare_layer(layer, quantizations).run(inputs)

        use_threads(self._jobs)
        n_seen = min(max(n for n, _ in fits.values()), trace.n_samples)
        for layer, _ in run_layers(trace, trace.samples.codes.read(0, n_seen), run):
            if layer.index == only:
                break
        return converters


def _laid_out(
    layer: LayerRecord,
    quantization: Quantization,
    plan: LayerPlan,
    setup: LayerSetup,
    adc: Adc,
    fidelity: Fidelity,
) -> CrossbarLayer:
    """Lay the weights of a layer out, as its plan says."""
    assert isinstance(plan, WeightedPlan)
    coding = setup.coding
    inputs = coding.inputs(layer, quantization)
    pairs = zip(coding.weights(layer), plan.maps, strict=True)
    where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
    try:
        matrices = [mapping.matrix(weights, coding, adc, inputs) for weights, mapping in pairs]
    except (ConfigError, MappingError, AccumulatorError) as error:
        raise type(error)(f"{where}: {error}") from error
    if fidelity == "integer" and not all(matrix.is_lossless for matrix in matrices):
        raise ConfigError(f"{where}: {setup.settings.converter.integer_refusal(coding.geometry)}")
    return CrossbarLayer(
        layer,
        quantization,
        matrices,
        fidelity,
        saturate=setup.settings.numbers.overflow == "saturate",
        n_copies=plan.n_copies,
        skips=setup.layout.skips_unless is not None,
    )
