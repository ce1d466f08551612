"""Whether settings alone may take crossbars away from exact sums."""

from bitpim.config import toml_text
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.settings import ReadSettings, geometry_of

__all__ = ["losses_of", "may_lose_by_layer"]


def losses_of(settings: ReadSettings) -> str | None:
    """Describe the converter where it may lose something by setting, else None.

    A converter whose range is calibrated may meet a partial sum that calibration did not.
    """
    converter, geometry = settings.converter, geometry_of(settings)
    least, most = _reach(geometry, settings.numbers.encoding)
    adc = converter.adc()
    if adc.bits is None:
        return None
    # the range is that of any cells, whatever their encoding lets them yield
    within = adc.is_lossless(least, geometry.largest_sum, (least, most))
    if converter.calibration is None and within:
        return None
    return f"{converter.told()}, partial sums {least} to {most} of OUs of {geometry.unit_rows} rows"


def may_lose_by_layer(settings: ReadSettings) -> str | None:
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
