"""One crossbar with weights and inputs of one's own: programmed, driven, read and added up.

The weights are those of a linear layer, and lie as a machine on crossbars lays them; its settings
say how wide numbers, cells and digits are, what one read opens, and what converts it.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.recording import CrossbarRecorder
from bitpim.errors import ConfigError, MismatchError
from bitpim.golden.layer_shares import share_of
from bitpim.golden.recording import recorder_told
from bitpim.machine import DEFAULT_CROSSBAR
from bitpim.machine.machine import Machine, losses_on, recorder_of
from bitpim_traces.builder import TraceBuilder, WeightCodes
from bitpim_traces.modes import HALF_UP_SHIFT
from bitpim_traces.program_trace.records import ProgramTrace
from bitpim_traces.records import NETWORK_INPUT, Quantization, Requantize, Trace

__all__ = ["GivenCrossbar", "record_crossbar"]

Ints = npt.NDArray[np.int64]

_MOST_BITS: Final = 16
_NAME: Final = "crossbar"
_ONE: Final = np.ones(1), np.zeros(1, np.int64)  # scale and zero point


@dataclass(frozen=True, slots=True, eq=False)
class GivenCrossbar:
    """What a crossbar makes of weights and inputs.

    Attributes
    ----------
    program : its steps, as of a tile
    products : (n_inputs, n_outputs): sums of readings made levels and corrected
    exact : of that shape: weights times inputs, in plain integers
    losses : what the settings may lose, None where nothing
    """

    program: ProgramTrace
    products: Ints
    exact: Ints
    losses: str | None

    @property
    def n_differ(self) -> int:
        """Products that are not exact."""
        return int(np.count_nonzero(self.products != self.exact))

    def __str__(self) -> str:
        n = self.exact.size
        what = f"{n:,} product{'s' * (n != 1)} of weights and inputs"
        if not self.n_differ:
            return f"{what}, each equal to the exact one"
        most = int(np.abs(self.products - self.exact).max())
        return f"{what}, {self.n_differ:,} differ from the exact ones by up to {most}"


def record_crossbar(weights: Ints, inputs: Ints, machine: Machine) -> GivenCrossbar:
    """Program weights into one crossbar, read it for each input vector, and write it all down.

    Shapes
    ------
    weights: (n_outputs, n_rows)
    inputs: (n_inputs, n_rows), one vector or more

    Raises
    ------
    ConfigError
        Shapes do not go together, a number has more than 16 bits, or the machine has no crossbars.
    MappingError
        The settings hold no such weights, drive no such inputs, or several crossbars are needed.
    MismatchError
        The machine loses nothing, but a product is not exact.
    """
    _need_shapes(weights, inputs)
    trace = _linear(weights, inputs)
    recorder = recorder_of(machine, trace, 0)
    if not isinstance(recorder, CrossbarRecorder):
        raise ConfigError(
            f"machine {machine.name!r}: need one on crossbars for weights of your own, such as "
            f"{DEFAULT_CROSSBAR}"
        )
    codes = trace.samples.codes.read()
    recorder.need_one_crossbar()
    recorded = recorder.record_samples(0, codes)
    products = recorder.products(codes, recorded)
    made = GivenCrossbar(
        replace(
            recorded.program,
            name=f"{_NAME}: {inputs.shape[0]} x {inputs.shape[1]} inputs, {len(weights)} outputs",
            layer=share_of(recorded, [codes], products),
            provenance={
                **recorded.program.provenance,
                **recorder_told(machine),
                "layer": _NAME,
                "sums_are_whole": recorded.is_whole,
            },
        ),
        products,
        inputs @ weights.T,
        losses_on(machine, trace),
    )
    if made.losses is None and made.n_differ:
        raise MismatchError(f"machine {machine.name!r}: {made}, though it loses nothing")
    return made


def _need_shapes(weights: Ints, inputs: Ints) -> None:
    fit = weights.ndim == inputs.ndim == 2 and weights.shape[1] == inputs.shape[1]
    if not fit or not weights.size or not inputs.size:
        raise ConfigError(
            "crossbar: need weights (outputs, rows) and inputs (vectors, rows) with as many rows, "
            f"one at least of each, got {weights.shape} and {inputs.shape}"
        )


def _linear(weights: Ints, inputs: Ints) -> Trace:
    """Return a linear layer of these weights, whose samples are the inputs."""
    taken, held = _codes_of("inputs", inputs), _codes_of("weights", weights, least_bits=2)
    builder = TraceBuilder(_NAME, (weights.shape[1],), taken, accumulator_bits=64)
    step = Requantize(HALF_UP_SHIFT.name, np.ones(1, np.int32), np.zeros(1, np.int32))
    output = Quantization(_MOST_BITS, True, *_ONE)
    builder.linear(_NAME, NETWORK_INPUT, WeightCodes(weights, held), output, requantize=step)
    return builder.build(inputs)


def _codes_of(what: str, numbers: Ints, least_bits: int = 1) -> Quantization:
    """Return the narrowest codes that numbers are; weights are always signed."""
    low, high = int(numbers.min()), int(numbers.max())
    signed = low < 0 or least_bits > 1
    bits = max(high.bit_length(), (~low if low < 0 else 0).bit_length()) + signed
    if bits > _MOST_BITS:
        least = -(1 << (_MOST_BITS - 1)) if signed else 0
        raise ConfigError(
            f"crossbar: need {what} of at most {_MOST_BITS} bits, {least}.."
            f"{least + (1 << _MOST_BITS) - 1}, got {low}..{high}"
        )
    return Quantization(max(bits, least_bits), signed, *_ONE)
