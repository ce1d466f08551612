"""The settings of the crossbar machines: sizes, converter, numbers, mapping, time."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from bitpim.config import Count, Part, Settings
from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.dense_layout import RowBlocks
from bitpim.crossbar.dense_matrix import Skip

__all__ = [
    "ConverterSettings",
    "CrossbarGeometrySettings",
    "CrossbarMappingSettings",
    "CrossbarSettings",
    "CrossbarTimingSettings",
    "NumberSettings",
    "converter_of",
    "geometry_of",
]

Lines = Annotated[int, Field(ge=1, le=65_536)]
Share = Annotated[float, Field(gt=0, le=1)]
Figure = Annotated[float, Field(gt=0, le=1_000_000)]
RANGELESS_MODELS = ("exact", "clip")


def _is_bits(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _check_adc_bits(value: Any) -> Any:
    if not _is_bits(value, 1, 16):
        raise ValueError(f"need 1 to 16 bits, got {value!r}; no converter is adc_model exact")
    return value


def _width_check(least: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value != "trace" and not _is_bits(value, least, 16):
            raise ValueError(f'need {least} to 16 bits, or "trace" for its own, got {value!r}')
        return value

    return check


AdcBits = Annotated[int, Field(ge=1, le=16), BeforeValidator(_check_adc_bits)]
WeightBits = Annotated[
    Annotated[int, Field(ge=2, le=16)] | Literal["trace"], BeforeValidator(_width_check(2))
]
InputBits = Annotated[
    Annotated[int, Field(ge=1, le=16)] | Literal["trace"], BeforeValidator(_width_check(1))
]


class CrossbarGeometrySettings(Part):
    """One crossbar, and the operation unit (OU) that one read opens."""

    array_rows: Lines = Field(description="wordlines of one crossbar")
    array_columns: Lines = Field(description="bitlines of one crossbar")
    cell_bits: Annotated[int, Field(ge=1, le=8)] = Field(description="bits one cell holds")
    ou_rows: Lines = Field(description="wordlines that one read opens; array_rows opens all")
    ou_columns: Lines = Field(description="bitlines that one read senses; array_columns senses all")

    @model_validator(mode="after")
    def _unit_lies_within_the_array(self) -> Self:
        for unit, array in (("ou_rows", "array_rows"), ("ou_columns", "array_columns")):
            got, most = getattr(self, unit), getattr(self, array)
            if got > most:
                raise ValueError(
                    f"{unit} needs 1 to {array} = {most}, got {got}; an operation unit lies within "
                    "one array"
                )
        return self


class ConverterSettings(Part):
    """What drives the wordlines, and what reads the bitlines of every OU read."""

    dac_bits: Annotated[int, Field(ge=1, le=8)] = Field(
        description="bits of an input driven in one read"
    )
    adc_model: Literal["exact", "clip", "floor", "round", "sign_magnitude", "symmetric"] = Field(
        description="transfer function; exact is no converter: the partial sum itself"
    )
    adc_bits: AdcBits = Field(description="bits of a conversion; unused by adc_model exact")
    adc_range: Literal["maximal", "given", "calibrated"] = Field(
        description="what the top code stands for: the largest partial sum an OU can have, "
        "adc_full_scale, or what calibration saw; exact and clip know maximal only"
    )
    adc_full_scale: Count = Field(description="the range in levels; used by adc_range given")
    calibration_samples: Count = Field(
        description="samples whose partial sums are seen; used by adc_range calibrated"
    )
    calibration_coverage: Share = Field(
        description="share of the partial sums that the range holds; used by adc_range calibrated"
    )

    @model_validator(mode="after")
    def _range_and_bits_fit_the_model(self) -> Self:
        if self.adc_model in RANGELESS_MODELS and self.adc_range != "maximal":
            raise ValueError(
                f"adc_range needs maximal for adc_model {self.adc_model}, got {self.adc_range}; "
                "floor, round, sign_magnitude and symmetric take other ranges"
            )
        if self.adc_model == "sign_magnitude" and self.adc_bits < 2:
            raise ValueError(
                f"adc_bits needs 2 to 16 for adc_model sign_magnitude, got {self.adc_bits}; one "
                "bit is the sign"
            )
        return self

    def unused(self) -> dict[str, str]:
        """Return the keys that change nothing beside the others, each with what would use it."""
        keys = {}
        if self.adc_range != "given":
            keys["adc_full_scale"] = "converter.adc_range=given"
        if self.adc_range != "calibrated":
            calibrated = "converter.adc_range=calibrated"
            keys |= {"calibration_samples": calibrated, "calibration_coverage": calibrated}
        if self.adc_model == "exact":
            keys["adc_bits"] = "another converter.adc_model than exact"
        return keys


class NumberSettings(Part):
    """Widths of weights and inputs as the crossbars hold them, and how signed weights lie."""

    weight_bits: WeightBits = Field(
        description='bits of a weight in cells; "trace" takes those of its code'
    )
    input_bits: InputBits = Field(
        description='bits of an input that are driven; "trace" takes those of its code'
    )
    encoding: Literal[
        "offset", "differential", "differential_paired", "twos_complement", "column_flip"
    ] = Field(description="how unsigned cells hold signed weights")
    overflow: Literal["error", "saturate"] = Field(
        description="what a sum beyond the layer's declared accumulator does, as a lossy ADC may "
        "make of sums that fit"
    )


class CrossbarMappingSettings(Part):
    """How the weight matrix of a layer is cut into OUs, and which reads are left out."""

    row_blocks: RowBlocks = Field(
        description="OUs follow each other from an array's first row, or every input channel's "
        "window starts a new one and stays in one array"
    )
    zero_skip: Skip = Field(
        description="reads left out: none, those whose inputs are zero in this input slice, or "
        "those whose inputs are zero in all"
    )


class CrossbarTimingSettings(Part):
    """What one read takes; a crossbar reads one OU at a time."""

    read_cycle_ns: Figure = Field(description="one OU read of one input slice, converted")

    @property
    def clock_compute_ghz(self) -> float:
        """Reads of one crossbar a nanosecond."""
        return 1 / self.read_cycle_ns


class CrossbarSettings(Settings):
    """What the settings of every crossbar machine have."""

    geometry: CrossbarGeometrySettings
    converter: ConverterSettings
    numbers: NumberSettings
    timing: CrossbarTimingSettings

    def unused(self) -> Mapping[str, str]:
        """Return the keys that change nothing beside the others, each with what would use it."""
        return {f"converter.{key}": user for key, user in self.converter.unused().items()}


def geometry_of(settings: CrossbarSettings) -> CrossbarGeometry:
    """Return the sizes of the crossbars that settings describe."""
    sizes = settings.geometry
    return CrossbarGeometry(
        sizes.array_rows,
        sizes.array_columns,
        sizes.cell_bits,
        sizes.ou_rows,
        sizes.ou_columns,
        settings.converter.dac_bits,
    )


def converter_of(settings: ConverterSettings) -> Adc:
    """Return the ADC that settings describe; its range is maximal where it is to be calibrated."""
    if settings.adc_model == "exact":
        return Adc()
    full_scale = settings.adc_full_scale if settings.adc_range == "given" else None
    return Adc(settings.adc_model, settings.adc_bits, full_scale)
