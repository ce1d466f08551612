"""ADC models: what a converter makes of one operation unit's partial sum.

`converter` defines readings, steps and ranges, and shows every model at work; ADC.md says what they
do to a network. A model is one class of the folder `models`, or of any package; `model` says how to
add one.
"""

from bitpim.crossbar.adc import models
from bitpim.crossbar.adc.code_table import CodeTable
from bitpim.crossbar.adc.converter import MAX_ADC_BITS, Adc, models_for_differences
from bitpim.crossbar.adc.model import AdcModel, Sizes, adc_models, either, model_named
from bitpim.crossbar.adc.sizing import calibrate, lossless_bits

__all__ = [
    "MAX_ADC_BITS",
    "Adc",
    "AdcModel",
    "CodeTable",
    "Sizes",
    "adc_models",
    "calibrate",
    "either",
    "lossless_bits",
    "model_named",
    "models",
    "models_for_differences",
]
