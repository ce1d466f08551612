"""What holds codes between layers: a buffer, or cells."""

import pytest

from bitpim.crossbar.storage import buffered, in_memory_arrays
from bitpim_traces.records import Geometry
from tests.one_layer import one_layer, quantization


@pytest.mark.parametrize(
    ("bits", "cell_bits", "cells"), [(1, 4, 1), (4, 4, 1), (5, 4, 2), (8, 3, 3), (16, 4, 4)]
)
def test_a_code_takes_as_many_cells_as_its_bits_need(bits: int, cell_bits: int, cells: int) -> None:
    """96 input codes of some bits, 4 output codes of 8."""
    trace = one_layer(
        0, (3, 4, 8), 2, Geometry((4, 4), (4, 4)), inputs=quantization(bits, 0),
        accumulator_bits=40, bias=False,
    )  # fmt: skip
    (layer,) = trace.layers
    out = -(-8 // cell_bits) * 4
    for twice, n_arrays in ((False, -(-out // 6)), (True, -(-2 * out // 6))):
        storage = in_memory_arrays(cell_bits, 6, twice=twice)
        stored = storage(layer, trace.input_quantizations(layer))
        assert stored.events == {"reram_read": 96 * cells, "reram_write": out}
        assert stored.n_arrays == n_arrays
        assert stored.phases(3) == {
            "memory": {"cycles": 0, "reram_read": 288 * cells, "reram_write": 3 * out}
        }
    assert buffered(layer, trace.input_quantizations(layer)).n_arrays == 0
