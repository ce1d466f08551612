"""The settings of the crossbar machines: sizes, converter, numbers, mapping, time."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from bitpim.config import Count, LayerPart, Part, Settings, keys_by_layer
from bitpim.crossbar.adc import Adc, CodeTable, adc_models, either, model_named
from bitpim.crossbar.adc.code_table import levels_of, thresholds_of
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.dense_layout import RowBlocks
from bitpim.crossbar.dense_matrix import Skip
from bitpim.crossbar.encodings import Encoding
from bitpim.crossbar.readout import ReadoutPart

__all__ = [
    "ConverterSettings",
    "CrossbarGeometrySettings",
    "CrossbarLayerSettings",
    "CrossbarMappingSettings",
    "CrossbarSettings",
    "CrossbarTimingSettings",
    "NumberSettings",
    "ReadSettings",
    "geometry_of",
]

Lines = Annotated[int, Field(ge=1, le=65_536)]
Share = Annotated[float, Field(gt=0, le=1)]
Figure = Annotated[float, Field(gt=0, le=1_000_000)]


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


def _check_adc_model(value: str) -> str:
    if value not in adc_models():
        raise ValueError(f"need a model of {', '.join(adc_models())}, got {value!r}")
    return value


def _list_adc_models(schema: dict[str, Any]) -> None:
    schema["enum"] = list(adc_models())


def _list_check(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a check of a list as TOML has it; frozen settings hold it as a tuple."""

    def checked(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError(f"need a list, such as [1, 2, 4], got {value!r}")
        check(value)
        return tuple(value)

    return checked


AdcModelName = Annotated[
    str, AfterValidator(_check_adc_model), Field(json_schema_extra=_list_adc_models)
]
Thresholds = Annotated[tuple[int, ...], BeforeValidator(_list_check(thresholds_of))]
Levels = Annotated[tuple[int | float | str, ...], BeforeValidator(_list_check(levels_of))]
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


class ConverterSettings(ReadoutPart):
    """What drives the wordlines, and what reads the bitlines of every OU read."""

    dac_bits: Annotated[int, Field(ge=1, le=8)] = Field(
        description="bits of an input driven in one read"
    )
    adc_model: AdcModelName = Field(
        description="transfer function; exact is no converter: the partial sum itself"
    )
    adc_bits: AdcBits = Field(description="bits of a conversion; unused by adc_model exact")
    adc_range: Literal["maximal", "given", "calibrated"] = Field(
        description="what the top code stands for: the largest partial sum an OU can have, "
        "adc_full_scale, or what calibration saw; models without a range know maximal only"
    )
    adc_full_scale: Count = Field(description="the range in levels; used by adc_range given")
    calibration_samples: Count = Field(
        description="samples whose partial sums are seen; used by adc_range calibrated"
    )
    calibration_coverage: Share = Field(
        description="share of the partial sums that the range holds; used by adc_range calibrated"
    )

    adc_thresholds: Thresholds = Field(
        description="partial sums at which the code rises by one, rising; used by adc_model "
        "code_table"
    )
    adc_levels: Levels = Field(
        description="what each code stands for, one more than adc_thresholds, in levels, none "
        "below the one before: whole numbers, decimals, or texts such as '9/7'; used by adc_model "
        "code_table"
    )

    @model_validator(mode="after")
    def _range_and_bits_fit_the_model(self) -> Self:
        model = model_named(self.adc_model)
        if self.adc_range != "maximal" and not model.takes_range:
            ranged = either(adc_models(lambda known: known.takes_range), "and")
            raise ValueError(
                f"adc_range needs maximal for adc_model {self.adc_model}, got {self.adc_range}; "
                f"{ranged} take other ranges"
            )
        if self.adc_bits < model.least_bits:
            raise ValueError(
                f"adc_bits needs {model.least_bits} to 16 for adc_model {self.adc_model}, got "
                f"{self.adc_bits}; {model.least_bits_because}"
            )
        if model.takes_code_table:
            self._check_code_table()
        return self

    def _check_code_table(self) -> None:
        n, n_codes = len(self.adc_thresholds), len(self.adc_levels)
        if not n or n_codes != n + 1:
            raise ValueError(
                f"adc_model {self.adc_model} needs adc_thresholds, and adc_levels one more, got "
                f"{n} and {n_codes}; set both"
            )
        if n_codes > 1 << self.adc_bits:
            raise ValueError(
                f"adc_bits needs {n.bit_length()} to 16 for {n_codes} adc_levels, got "
                f"{self.adc_bits}; each level is a code"
            )

    @property
    def driven_bits(self) -> int:
        """Bits of the DACs."""
        return self.dac_bits

    @property
    def calibration(self) -> tuple[int, float] | None:
        """Samples and share of partial sums where the range is calibrated."""
        if self.adc_range != "calibrated":
            return None
        return self.calibration_samples, self.calibration_coverage

    def adc(self) -> Adc:
        """Return the ADC; its range is maximal where it is to be calibrated."""
        model = model_named(self.adc_model)
        return Adc(
            self.adc_model,
            self.adc_bits if model.takes_bits else None,
            self.adc_full_scale if self.adc_range == "given" else None,
            CodeTable.of(self.adc_thresholds, self.adc_levels) if model.takes_code_table else None,
        )

    def told(self) -> str:
        """Return model, bits, codes and range."""
        adc = self.adc()
        scale = {"given": f", range {adc.full_scale} given", "calibrated": ", range calibrated"}
        codes = f", {adc.code_table.n_codes} codes given" if adc.code_table else ""
        return (
            f"ADC {adc.model} of {adc.bits} bit{'s' * (adc.bits != 1)}{codes}"
            f"{scale.get(self.adc_range, '')}"
        )

    def integer_refusal(self, geometry: CrossbarGeometry) -> str:
        """Return that the ADC may lose something, and the model that is no converter."""
        adc = self.adc()
        return (
            f"fidelity integer needs a lossless ADC, got {adc.model} of {adc.bits} bits for OUs of "
            f"{geometry.unit_rows} rows; use `--fidelity bit`, or "
            "`--set converter.adc_model=exact` with `--prices none`"
        )

    def unused(self) -> dict[str, str]:
        """Return the keys that change nothing beside the others, each with what would use it."""
        keys, model = {}, model_named(self.adc_model)
        if self.adc_range != "given":
            keys["adc_full_scale"] = "converter.adc_range=given"
        if self.adc_range != "calibrated":
            calibrated = "converter.adc_range=calibrated"
            keys |= {"calibration_samples": calibrated, "calibration_coverage": calibrated}
        if not model.takes_bits:
            keys["adc_bits"] = f"another converter.adc_model than {self.adc_model}"
        if not model.takes_code_table:
            tables = either(adc_models(lambda known: known.takes_code_table))
            keys |= dict.fromkeys(("adc_thresholds", "adc_levels"), f"converter.adc_model={tables}")
        return keys


class NumberSettings(Part):
    """Widths of weights and inputs as the crossbars hold them, and how signed weights lie."""

    weight_bits: WeightBits = Field(
        description='bits of a weight in cells; "trace" takes those of its code, 2 at least'
    )
    input_bits: InputBits = Field(
        description='bits of an input that are driven; "trace" takes those of its code'
    )
    encoding: Encoding = Field(description="how unsigned cells hold signed weights")
    overflow: Literal["error", "saturate"] = Field(
        description="what a sum beyond the layer's declared accumulator does, as a lossy ADC may "
        "make of sums that fit"
    )

    @classmethod
    def by_layer(cls) -> tuple[str, ...]:
        """Return all keys: every layer may hold numbers of its own."""
        return tuple(cls.model_fields)


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

    @classmethod
    def by_layer(cls) -> tuple[str, ...]:
        """Return all keys: every layer is laid out by itself."""
        return tuple(cls.model_fields)


class CrossbarTimingSettings(Part):
    """What one read takes; a crossbar reads one OU at a time."""

    read_cycle_ns: Figure = Field(description="one OU read of one input slice, converted")

    @property
    def clock_compute_ghz(self) -> float:
        """Reads of one crossbar a nanosecond."""
        return 1 / self.read_cycle_ns


class CrossbarLayerSettings(LayerPart):
    """What is said of single layers."""

    digital: bool = Field(
        default=False,
        description="a layer with weights is computed by the digital side, exactly: no crossbar "
        "holds it, nothing converts it",
    )


class ReadSettings(Settings):
    """What the settings of every machine on crossbars have, however columns are read."""

    geometry: CrossbarGeometrySettings
    converter: ReadoutPart
    numbers: NumberSettings
    timing: CrossbarTimingSettings
    layers: CrossbarLayerSettings = CrossbarLayerSettings()

    def unused(self) -> Mapping[str, str]:
        """Return the keys that change nothing beside the others, each with what would use it."""
        if self.layers.digital:
            others = keys_by_layer(type(self)).keys() - {"layers.digital"}
            return dict.fromkeys(others, "layers.digital=false")
        own = {f"converter.{key}": user for key, user in self.converter.unused().items()}
        return {**own, **super().unused()}


class CrossbarSettings(ReadSettings):
    """What the settings of machines have whose columns are read by an ADC."""

    converter: ConverterSettings


def geometry_of(settings: ReadSettings) -> CrossbarGeometry:
    """Return the sizes of the crossbars that settings describe."""
    sizes = settings.geometry
    return CrossbarGeometry(
        sizes.array_rows,
        sizes.array_columns,
        sizes.cell_bits,
        sizes.ou_rows,
        sizes.ou_columns,
        settings.converter.driven_bits,
    )
