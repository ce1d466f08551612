"""The network that comes with bitpim, to try things on."""

from importlib import metadata
from pathlib import Path

import bitpim_traces
from bitpim.errors import ConfigError

__all__ = ["sample_path"]

SAMPLE = "samples/v1.0/mnist_cnn.h5"


def sample_path() -> Path:
    """Return the shipped trace, a network that reads digits: in the checkout, or as installed.

    Raises
    ------
    ConfigError
        It is in neither place.

    Examples
    --------
    >>> import bitpim
    >>> bitpim.open_trace(bitpim.sample_path()).name
    'mnist_cnn'
    """
    packages = Path(bitpim_traces.__file__).parents[1]
    places = [packages / SAMPLE, packages / "share" / "bitpim" / SAMPLE]
    try:
        shipped = metadata.files("bitpim") or []
    except metadata.PackageNotFoundError:
        shipped = []
    places += [Path(str(f.locate())) for f in shipped if f.as_posix().endswith(SAMPLE)]
    for place in places:
        if place.exists():
            return place.resolve()
    raise ConfigError(
        f"the shipped trace {SAMPLE} is neither in a checkout nor installed: install bitpim anew, "
        "or name a trace: bitpim demo TRACE"
    )
