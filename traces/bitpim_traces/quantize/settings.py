"""What a person may choose when a float network is quantized."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from bitpim_traces.errors import TraceDataError
from bitpim_traces.modes import MODES, REQUANTIZE_MODES

__all__ = ["CALIBRATION_METHODS", "SCHEMES", "LayerBits", "Settings"]

SCHEMES = ("affine", "symmetric")
CALIBRATION_METHODS = ("minmax", "percentile", "mse")


@dataclass(frozen=True, slots=True)
class LayerBits:
    """Widths of one layer that differ from the settings of the network; None: no difference."""

    weight_bits: int | None = None
    activation_bits: int | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """How a float network becomes codes; making one checks every value.

    Attributes
    ----------
    weight_bits, activation_bits
        Widths, 1 to 16. Of 1 bit, affine codes hold one sign; symmetric ones of both signs are -1
        and 1 times a scale (activations: and 0), which take 2 bits to store.
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
        Widths by layer name; "input" names the network input.

    Raises
    ------
    TraceDataError
        A value is out of its range.
    """

    weight_bits: int = 8
    activation_bits: int = 8
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
        if not 50 <= self.percentile <= 100:
            raise TraceDataError(f"settings: need percentile from 50 to 100, got {self.percentile}")
        if MODES[self.requantize].shifts_left and self.accumulator_bits > 32:
            raise TraceDataError(
                f"settings: {self.requantize} needs accumulator_bits of at most 32,"
                f" got {self.accumulator_bits}"
            )
        if self.output_bits is not None:
            _need_range("output_bits", self.output_bits, 1, 16)
        for name, bits in self.overrides.items():
            for what in (bits.weight_bits, bits.activation_bits):
                if what is not None:
                    _need_range(f"overrides[{name!r}]", what, 1, 16)

    def weight_bits_of(self, name: str) -> int:
        """Weight width of a layer."""
        own = self.overrides.get(name, LayerBits()).weight_bits
        return self.weight_bits if own is None else own

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
        if not self.raw_output:
            del plain["raw_output"]  # what is not chosen leaves the digests of older traces alone
        plain["overrides"] = {
            name: {"weight_bits": bits.weight_bits, "activation_bits": bits.activation_bits}
            for name, bits in sorted(self.overrides.items())
        }
        return plain


def _need_word(name: str, got: str, words: tuple[str, ...]) -> None:
    if got not in words:
        raise TraceDataError(f"settings: need {name} among {', '.join(words)}, got {got!r}")


def _need_range(name: str, got: int, low: int, high: int) -> None:
    if not low <= got <= high:
        raise TraceDataError(f"settings: need {name} from {low} to {high}, got {got}")
