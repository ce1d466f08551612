"""What a person may choose when a float network becomes tables of codebooks."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from bitpim_traces.errors import TraceDataError
from bitpim_traces.quantize.levels import depth_of

__all__ = ["RELU_WAYS", "CodebookSettings", "LayerCodes"]

RELU_WAYS = ("comparator", "table")


@dataclass(frozen=True, slots=True)
class LayerCodes:
    """Sizes of one layer's codebooks that differ from the settings of the network.

    `output_codes` is that of its output, which later layers take as input; None: no difference.
    """

    weight_codes: int | None = None
    output_codes: int | None = None


@dataclass(frozen=True, slots=True)
class CodebookSettings:
    """How a float network becomes tables; making one checks every value.

    Attributes
    ----------
    weight_codes, input_codes
        Values of each codebook at most, a power of two from 2 to 256: of a layer's weights; of
        what layers take as input.
    value_bits
        Width of the values of codebooks, signed, 4 to 16. With 12, sums of layers of a few thousand
        taps fit 32 bits, which replays at fidelity integer are fastest for.
    product_bits, product_fraction_bits
        Width of products, signed, 8 to 48; and their binary places at most, None: as many as
        they take. Where the largest product does not fit, there are as few as it needs.
    accumulator_bits
        Width every sum is proven to fit, 8 to 64.
    activation_rows
        Points of an activation by table, 2 to 65,536.
    relu
        "comparator": sums and codes are clamped. "table": a relu, relu6 or clamp in a layer is a
        table of points, as other functions are. Beyond the sums that were seen its end stands.
    calibration_samples, seed
        How many samples are looked at, at most, and what draws them.
    raw_output
        The last layer puts its sums out as they are. None: where it is a conv2d or linear.
    reference_samples
        How many of the first samples keep float reference outputs.
    overrides
        Sizes by layer name; "input" names the network input.

    Raises
    ------
    TraceDataError
        A value is out of its range.
    """

    weight_codes: int = 64
    input_codes: int = 64
    value_bits: int = 12
    product_bits: int = 32
    product_fraction_bits: int | None = None
    accumulator_bits: int = 48
    activation_rows: int = 64
    relu: str = "comparator"
    calibration_samples: int = 1000
    seed: int = 0
    raw_output: bool | None = None
    reference_samples: int = 32
    overrides: Mapping[str, LayerCodes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        depth_of(self.weight_codes, "settings: weight_codes")
        depth_of(self.input_codes, "settings: input_codes")
        _need_range("value_bits", self.value_bits, 4, 16)
        _need_range("product_bits", self.product_bits, 8, 48)
        if self.product_fraction_bits is not None:
            _need_range("product_fraction_bits", self.product_fraction_bits, -128, 128)
        _need_range("accumulator_bits", self.accumulator_bits, 8, 64)
        _need_range("activation_rows", self.activation_rows, 2, 1 << 16)
        _need_range("calibration_samples", self.calibration_samples, 1, 1 << 31)
        _need_range("seed", self.seed, 0, 1 << 63)
        _need_range("reference_samples", self.reference_samples, 0, 1 << 31)
        if self.relu not in RELU_WAYS:
            words = ", ".join(RELU_WAYS)
            raise TraceDataError(f"settings: need relu among {words}, got {self.relu!r}")
        for name, codes in self.overrides.items():
            for size in (codes.weight_codes, codes.output_codes):
                if size is not None:
                    depth_of(size, f"settings: overrides[{name!r}]")

    def weight_depth_of(self, name: str) -> int:
        """Depth of the tree of a layer's weights."""
        own = self.overrides.get(name, LayerCodes()).weight_codes
        return depth_of(self.weight_codes if own is None else own)

    def output_depth_of(self, name: str) -> int:
        """Depth of the tree of a layer's output, or of the network input."""
        own = self.overrides.get(name, LayerCodes()).output_codes
        return depth_of(self.input_codes if own is None else own)

    def as_plain(self) -> dict[str, Any]:
        """Yield the settings as words and numbers, for provenance."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "overrides"}
        plain["overrides"] = {
            name: {"weight_codes": codes.weight_codes, "output_codes": codes.output_codes}
            for name, codes in sorted(self.overrides.items())
        }
        return plain


def _need_range(name: str, got: int, low: int, high: int) -> None:
    if not low <= got <= high:
        raise TraceDataError(f"settings: need {name} from {low} to {high}, got {got}")
