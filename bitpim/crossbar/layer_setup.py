"""What the settings of a layer make of crossbars: how its weights lie, and how they are read."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from bitpim.config import remedies_by_layer, settings_by_layer
from bitpim.crossbar.adc import Adc, models_for_differences
from bitpim.crossbar.layout import Layout
from bitpim.crossbar.losses import losses_of
from bitpim.crossbar.number_coding import NumberCoding
from bitpim.crossbar.settings import ReadSettings, geometry_of
from bitpim.errors import ConfigError
from bitpim_traces.records import LayerRecord, Trace

__all__ = ["WEIGHTED", "LayerSetup", "losses_by_layer", "setups_by_layer"]

WEIGHTED = ("conv2d", "linear")
"""Kinds of layers that lie on crossbars, unless they are left digital."""

_MOST_NAMES = 4  # of layers that are told


@dataclass(frozen=True, slots=True)
class LayerSetup:
    """The settings of a layer, and what they make of crossbars.

    Attributes
    ----------
    settings : of one layer, or the general ones
    layout : how weights lie; its arguments bear the names of the table `mapping` of the settings
    coding : how numbers meet the crossbars
    adc : the converter; its range is maximal where it is to be calibrated
    """

    settings: ReadSettings
    layout: Layout
    coding: NumberCoding
    adc: Adc

    @classmethod
    def of(cls, settings: ReadSettings, layout: Layout) -> "LayerSetup":
        """Return what settings make of crossbars with a layout.

        Raises
        ------
        ConfigError
            Encoding, converter and layout do not go together.
        """
        numbers = settings.numbers
        if numbers.encoding == "column_flip" and not layout.keeps_columns_whole:
            raise ConfigError(
                f"{settings.machine}: numbers.encoding column_flip needs columns with all their "
                "rows, which this machine does not keep together; use "
                "`--set numbers.encoding=offset`"
            )
        coding = NumberCoding(
            geometry_of(settings), numbers.encoding, numbers.weight_bits, numbers.input_bits
        )
        setup = cls(settings, layout, coding, settings.converter.adc())
        setup._check_converter()
        return setup

    @property
    def is_digital(self) -> bool:
        """Whether the layer is left to the digital side."""
        return self.settings.layers.digital

    @property
    def calibrates(self) -> bool:
        """Whether the converter's range is fitted to samples."""
        return not self.is_digital and self.settings.converter.calibration is not None

    def _check_converter(self) -> None:
        """Raise where the converter does not go with the encoding, or with what is left out."""
        name, model, most = self.settings.machine, self.adc.model, self.coding.geometry.largest_sum
        paired = self.coding.encoding == "differential_paired"
        if paired and not self.adc.reads_below_zero:
            raise ConfigError(
                f"{name}: converter.adc_model {model} reads no partial sums below 0, which "
                "numbers.encoding differential_paired gives; use "
                f"`--set converter.adc_model=clip`, or another of {models_for_differences()}"
            )
        least, unless = -most if paired else 0, self.layout.skips_unless
        if unless and not self.calibrates and self.adc.table(least, most)[-least] != 0:
            raise ConfigError(
                f"{name}: converter.adc_model {model} does not read 0 as 0, so no read of "
                f"zero inputs can be left out; use `--set mapping.{unless}`"
            )


def setups_by_layer(general: LayerSetup, trace: Trace) -> tuple[LayerSetup, ...]:
    """Return the setup of each layer of a network.

    Raises
    ------
    ConfigError
        As `bitpim.config.settings_by_layer`; or a layer's encoding, converter and layout do not go
        together.
    """
    made: dict[int, LayerSetup] = {}
    by_layer = settings_by_layer(general.settings, trace.layers, WEIGHTED)
    for layer, settings in zip(trace.layers, by_layer, strict=True):
        if id(settings) not in made:
            made[id(settings)] = _of_layer(general, settings, layer)
    return tuple(made[id(settings)] for settings in by_layer)


def _of_layer(general: LayerSetup, settings: ReadSettings, layer: LayerRecord) -> LayerSetup:
    """Return the setup of a layer; what settings say of arrays is no matter of a digital one."""
    if not settings.layer_settings or settings.layers.digital:
        return replace(general, settings=settings)
    try:
        with remedies_by_layer(settings):
            return LayerSetup.of(settings, _layout_of(general, settings))
    except ConfigError as error:
        where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
        raise ConfigError(f"{where}: {error}") from error


def _layout_of(general: LayerSetup, settings: ReadSettings) -> Layout:
    """Return the layout with the arguments that a layer has of its own."""
    own = {
        each.key.partition(".")[2]: each.value
        for each in settings.layer_settings
        if each.key.startswith("mapping.")
    }
    layout: Any = general.layout
    known = {field.name for field in fields(layout)} if is_dataclass(layout) else set()
    for name in own.keys() - known:
        raise ConfigError(
            f"{settings.machine}: mapping.{name} is one for all layers, no argument of "
            f"{type(layout).__name__}; use `--set mapping.{name}` without layers"
        )
    made: Layout = replace(layout, **own) if own else layout
    return made


def losses_by_layer(setups: Sequence[LayerSetup], trace: Trace) -> str | None:
    """Describe which converters may lose something by setting, and in which layers."""
    found: dict[str, list[str]] = {}
    weighted = [pair for pair in zip(trace.layers, setups, strict=True) if pair[0].weight]
    for layer, setup in weighted:
        lossy = None if setup.is_digital else losses_of(setup.settings)
        if lossy is not None:
            found.setdefault(lossy, []).append(layer.name)
    if len(found) == 1 and len(next(iter(found.values()))) == len(weighted):
        return next(iter(found))
    return "; ".join(f"{lossy} (in {_named(names)})" for lossy, names in found.items()) or None


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(repr, names[:_MOST_NAMES])) + more
