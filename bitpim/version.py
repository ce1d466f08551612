"""The version of the installed package."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("bitpim")
except PackageNotFoundError:  # run from a tree that was never installed
    __version__ = "0.0.0"
