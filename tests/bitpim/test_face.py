"""The package's face: what it names. That importing it stays cheap is a rule of the house."""

import pytest

import bitpim
from bitpim.errors import BitpimError


def test_every_name_is_there() -> None:
    for name in bitpim.__all__:
        assert getattr(bitpim, name) is not None
        assert name in dir(bitpim)
    assert bitpim.BitpimError is BitpimError
    assert bitpim.__version__[0].isdigit()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'replai'"):
        bitpim.replai  # noqa: B018
