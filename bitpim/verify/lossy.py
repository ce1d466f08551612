"""Whether a machine's settings alone may take it away from the referee's codes."""

from typing import Any

from bitpim.arrays.adc import Adc
from bitpim.arrays.crossbar import CrossbarGeometry

__all__ = ["lossy_step"]


def lossy_step(settings: Any) -> str | None:
    """Describe the converter of a machine where it may lose something by setting, else None.

    A converter whose range is calibrated may meet a partial sum that calibration did not.
    """
    converter = getattr(settings, "converter", None)
    if converter is None or converter.adc_model == "exact":
        return None
    sizes = settings.geometry
    geometry = CrossbarGeometry(
        sizes.array_rows,
        sizes.array_columns,
        sizes.cell_bits,
        sizes.ou_rows,
        sizes.ou_columns,
        converter.dac_bits,
    )
    least, most = _reach(geometry, settings.numbers.encoding)
    given = converter.adc_full_scale if converter.adc_range == "given" else None
    adc = Adc(converter.adc_model, converter.adc_bits, given)
    if converter.adc_range != "calibrated" and adc.is_lossless(least, most):
        return None
    scale = {"given": f", range {given} given", "calibrated": ", range calibrated"}
    return (
        f"ADC {adc.model} of {adc.bits} bit{'s' * (adc.bits != 1)}"
        f"{scale.get(converter.adc_range, '')}, partial sums {least} to {most} of OUs of "
        f"{geometry.unit_rows} rows"
    )


def _reach(geometry: CrossbarGeometry, encoding: str) -> tuple[int, int]:
    """Return the least and the largest partial sum that cells of an encoding can yield."""
    most = geometry.largest_sum
    if encoding == "differential_paired":
        return -most, most
    if encoding == "column_flip":  # an array's column whose cells sum to more is complemented
        full = geometry.rows * geometry.top_level * ((1 << geometry.dac_bits) - 1)
        return 0, min(most, full // 2)
    return 0, most
