"""Whether settings alone may take crossbars away from exact sums."""

from bitpim.config import toml_text
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.settings import CrossbarSettings, converter_of, geometry_of

__all__ = ["losses_of", "may_lose_by_layer"]


def losses_of(settings: CrossbarSettings) -> str | None:
    """Describe the converter where it may lose something by setting, else None.

    A converter whose range is calibrated may meet a partial sum that calibration did not.
    """
    converter, geometry = settings.converter, geometry_of(settings)
    least, most = _reach(geometry, settings.numbers.encoding)
    adc = converter_of(converter)
    if adc.bits is None:
        return None
    if converter.adc_range != "calibrated" and adc.is_lossless(least, most):
        return None
    scale = {"given": f", range {adc.full_scale} given", "calibrated": ", range calibrated"}
    codes = f", {adc.code_table.n_codes} codes given" if adc.code_table else ""
    return (
        f"ADC {adc.model} of {adc.bits} bit{'s' * (adc.bits != 1)}{codes}"
        f"{scale.get(converter.adc_range, '')}, partial sums {least} to {most} of OUs of "
        f"{geometry.unit_rows} rows"
    )


def may_lose_by_layer(settings: CrossbarSettings) -> str | None:
    """Describe the first setting by layer that may lose something in some network, else None."""
    for own in settings.layer_settings:
        if own.key.startswith("converter.") or own.key == "numbers.encoding":
            return f"settings by layer, such as {own.name}={toml_text(own.value)}"
    return None


def _reach(geometry: CrossbarGeometry, encoding: str) -> tuple[int, int]:
    """Return the least and the largest partial sum that cells of an encoding can yield."""
    most = geometry.largest_sum
    if encoding == "differential_paired":
        return -most, most
    if encoding == "column_flip":  # an array's column whose cells sum to more is complemented
        full = geometry.rows * geometry.top_level * ((1 << geometry.dac_bits) - 1)
        return 0, min(most, full // 2)
    return 0, most
