"""The library of programs: each function takes the rows it may use and returns a checked `Program`.

The caller places operands, so the same multiply serves any row plan. Lengths depend on widths only.

>>> from bitpim import programs
>>> from bitpim.programs.program import Field
>>> programs.add(Field("x", 0, 8), Field("y", 8, 8), Field("sum", 16, 9)).n_steps
9
"""

from bitpim.programs.arithmetic import (
    accumulate,
    add,
    add_constant,
    divide,
    multiply,
    multiply_accumulate,
    reduction_step,
    subtract,
    subtract_from,
)
from bitpim.programs.few_bits import add_by_sign, add_by_sign_and_mask, count_agreements
from bitpim.programs.nor_arithmetic import (
    nor_add,
    nor_carry_save,
    nor_divide,
    nor_multiply,
    nor_subtract,
)
from bitpim.programs.nor_sums import csa_levels, nor_sum, nor_sum_scratch
from bitpim.programs.repacking import repack
from bitpim.programs.rescaling import (
    AverageRows,
    Rescale,
    RescaleRows,
    average,
    requantize_fixed_point,
    requantize_shift,
    result_width,
    scaled_width,
)
from bitpim.programs.selection import (
    clamp,
    complement,
    copy,
    equal,
    equal_constant,
    load_constant,
    logic,
    maximum,
    minimum,
    negate_if,
    relu,
    selective_copy,
    shift_left,
    shift_right,
    shift_right_each,
)

__all__ = [
    "AverageRows",
    "Rescale",
    "RescaleRows",
    "accumulate",
    "add",
    "add_by_sign",
    "add_by_sign_and_mask",
    "add_constant",
    "average",
    "clamp",
    "complement",
    "copy",
    "count_agreements",
    "csa_levels",
    "divide",
    "equal",
    "equal_constant",
    "load_constant",
    "logic",
    "maximum",
    "minimum",
    "multiply",
    "multiply_accumulate",
    "negate_if",
    "nor_add",
    "nor_carry_save",
    "nor_divide",
    "nor_multiply",
    "nor_subtract",
    "nor_sum",
    "nor_sum_scratch",
    "reduction_step",
    "relu",
    "repack",
    "requantize_fixed_point",
    "requantize_shift",
    "result_width",
    "scaled_width",
    "selective_copy",
    "shift_left",
    "shift_right",
    "shift_right_each",
    "subtract",
    "subtract_from",
]
