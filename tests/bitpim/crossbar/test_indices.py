import pytest

from bitpim.crossbar.indices import bits_for


@pytest.mark.parametrize(("n", "bits"), [(0, 0), (1, 0), (2, 1), (3, 2), (512, 9), (513, 10)])
def test_bits_for_so_many_values(n: int, bits: int) -> None:
    assert bits_for(n) == bits
