"""What a person may choose when a float network is quantized."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from bitpim_traces.errors import TraceDataError
from bitpim_traces.modes import MODES, REQUANTIZE_MODES
from bitpim_traces.numbers.few_values import TERNARY_THRESHOLD

__all__ = [
    "ACTIVATION_VALUES",
    "CALIBRATION_METHODS",
    "SCHEMES",
    "WEIGHT_VALUES",
    "LayerBits",
    "Settings",
]

SCHEMES = ("affine", "symmetric")
WEIGHT_VALUES = ("codes", "ternary", "binary")
ACTIVATION_VALUES = ("codes", "binary")

_LATER = {
    "weight_values": "codes",
    "ternary_threshold": TERNARY_THRESHOLD,
    "activation_values": "codes",
    "raw_output": False,
}
"""Settings that came later, and what older traces have: what is not chosen leaves their digests."""
CALIBRATION_METHODS = ("minmax", "percentile", "mse")


@dataclass(frozen=True, slots=True)
class LayerBits:
    """What one layer has otherwise than the settings of the network; None: no difference."""

    weight_bits: int | None = None
    activation_bits: int | None = None
    weight_values: str | None = None
    activation_values: str | None = None

    def as_plain(self) -> dict[str, Any]:
        """Yield it as words and numbers, for provenance."""
        plain: dict[str, Any] = {
            "weight_bits": self.weight_bits,
            "activation_bits": self.activation_bits,
        }
        return (
            plain if self.weight_values is None else plain | {"weight_values": self.weight_values}
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """How a float network becomes codes; making one checks every value.

    Attributes
    ----------
    weight_bits, activation_bits
        Widths, 1 to 16. Of 1 bit, affine codes hold one sign; symmetric ones of both signs are -1
        and 1 times a scale (activations: and 0), which take 2 bits to store.
    weight_values
        "codes": all codes of weight_bits. "ternary": -1, 0 and 1 times a scale, "binary": -1 and 1;
        weight_bits, weight_scheme and weight_calibration say nothing then. Weights that are pruned
        stay 0 if ternary, and cannot be binary.
    ternary_threshold
        Share of the mean magnitude of a channel (or, without per_channel, of a layer) above which a
        ternary weight is not 0; 0 to below 1.
    activation_values
        "codes": all codes of activation_bits. "binary": what the function sign puts out is -1 or 1,
        and 1 where it is given 0; other layers, and widths, stay as they are.
    per_channel
        One weight scale an output channel, or one a tensor.
    weight_scheme, activation_scheme
        "affine": unsigned codes with a zero point. "symmetric": zero point 0, signed codes, or
        for activations that are never negative unsigned ones.
    requantize
        One of REQUANTIZE_MODES.
    multiplier_bits
        Width of the multipliers of truncate_shift and half_up_shift, 2 to 31.
    accumulator_bits
        Width every accumulator is proven to fit, 8 to 48.
    calibration, percentile
        How activation ranges are observed: "minmax", "percentile" or "mse"; with "percentile" the
        share (in percent) of values inside the range, split evenly over both ends.
    weight_calibration
        "minmax", or "mse" to shrink each scale to the least squared error.
    output_bits
        Width of the network's last layer; None: activation_bits.
    raw_output
        The last layer, a conv2d or linear, puts its accumulators out as they are: codes of
        accumulator_bits, with one weight scale for all its channels.
    reference_samples
        How many of the first samples keep float reference outputs.
    overrides
        Widths and values by layer name; "input" names the network input. Where weights are ternary
        or binary a layer has no width of its own, and where activations are binary none either.

    Raises
    ------
    TraceDataError
        A value is out of its range.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    weight_values: str = "codes"
    ternary_threshold: float = TERNARY_THRESHOLD
    activation_values: str = "codes"
    per_channel: bool = True
    weight_scheme: str = "symmetric"
    activation_scheme: str = "affine"
    requantize: str = "half_up_shift"
    multiplier_bits: int = 16
    accumulator_bits: int = 32
    calibration: str = "minmax"
    percentile: float = 99.99
    weight_calibration: str = "minmax"
    output_bits: int | None = None
    raw_output: bool = False
    reference_samples: int = 32
    overrides: Mapping[str, LayerBits] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _need_word("weight_values", self.weight_values, WEIGHT_VALUES)
        _need_word("activation_values", self.activation_values, ACTIVATION_VALUES)
        _need_word("weight_scheme", self.weight_scheme, SCHEMES)
        _need_word("activation_scheme", self.activation_scheme, SCHEMES)
        _need_word("requantize", self.requantize, REQUANTIZE_MODES)
        _need_word("calibration", self.calibration, CALIBRATION_METHODS)
        _need_word("weight_calibration", self.weight_calibration, ("minmax", "mse"))
        _need_range("weight_bits", self.weight_bits, 1, 16)
        _need_range("activation_bits", self.activation_bits, 1, 16)
        _need_range("multiplier_bits", self.multiplier_bits, 2, 31)
        _need_range("accumulator_bits", self.accumulator_bits, 8, 48)
        _need_range("reference_samples", self.reference_samples, 0, 1 << 31)
        if not 0 <= self.ternary_threshold < 1:
            raise TraceDataError(
                f"settings: need ternary_threshold from 0 to below 1, got {self.ternary_threshold}"
            )
        if not 50 <= self.percentile <= 100:
            raise TraceDataError(f"settings: need percentile from 50 to 100, got {self.percentile}")
        if MODES[self.requantize].shifts_left and self.accumulator_bits > 32:
            raise TraceDataError(
                f"settings: {self.requantize} needs accumulator_bits of at most 32,"
                f" got {self.accumulator_bits}"
            )
        if self.output_bits is not None:
            _need_range("output_bits", self.output_bits, 1, 16)
        for name, own in self.overrides.items():
            _check_own(name, own, self.weight_values_of(name))

    def weight_bits_of(self, name: str) -> int:
        """Weight width of a layer."""
        own = self.overrides.get(name, LayerBits()).weight_bits
        return self.weight_bits if own is None else own

    def weight_values_of(self, name: str) -> str:
        """Values that the weights of a layer have: one of WEIGHT_VALUES."""
        own = self.overrides.get(name, LayerBits()).weight_values
        return self.weight_values if own is None else own

    def activation_values_of(self, name: str) -> str:
        """Values that a sign function puts out: one of ACTIVATION_VALUES."""
        own = self.overrides.get(name, LayerBits()).activation_values
        return self.activation_values if own is None else own

    def activation_bits_of(self, name: str, *, is_output: bool = False) -> int:
        """Width of a layer's output codes."""
        own = self.overrides.get(name, LayerBits()).activation_bits
        if own is not None:
            return own
        return self.output_bits if is_output and self.output_bits else self.activation_bits

    def as_plain(self) -> dict[str, Any]:
        """Yield the settings as words and numbers, for provenance."""
        plain: dict[str, Any] = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name != "overrides"
        }
        plain = {k: v for k, v in plain.items() if k not in _LATER or v != _LATER[k]}
        plain["overrides"] = {n: bits.as_plain() for n, bits in sorted(self.overrides.items())}
        return plain


def _check_own(name: str, own: LayerBits, weight_values: str) -> None:
    where = f"overrides[{name!r}]"
    for bits in (own.weight_bits, own.activation_bits):
        if bits is not None:
            _need_range(where, bits, 1, 16)
    _need_word(where, weight_values, WEIGHT_VALUES)
    _need_word(where, own.activation_values or "codes", ACTIVATION_VALUES)
    if weight_values != "codes" and own.weight_bits is not None:
        raise TraceDataError(
            f"settings: {where}: weight_bits are of codes, and weights there are {weight_values};"
            " give it weight_values codes too, or no weight_bits"
        )
    if own.activation_values == "binary" and own.activation_bits is not None:
        raise TraceDataError(
            f"settings: {where}: need activation_bits or binary activation_values, got both"
        )


def _need_word(name: str, got: str, words: tuple[str, ...]) -> None:
    if got not in words:
        raise TraceDataError(f"settings: need {name} among {', '.join(words)}, got {got!r}")


def _need_range(name: str, got: int, low: int, high: int) -> None:
    if not low <= got <= high:
        raise TraceDataError(f"settings: need {name} from {low} to {high}, got {got}")
