"""What PyTorch raises, as the one error that says where, what was needed and what to do."""

import contextlib
from collections.abc import Iterator

from bitpim_traces.errors import TraceDataError

__all__ = ["said", "told"]

_MEMORY = ("allocate memory", "out of memory")


def said(error: BaseException) -> str:
    """Say an error of PyTorch's in one line."""
    lines = (line.strip() for line in str(error).splitlines())
    return f"{type(error).__name__}: {next(filter(None, lines), repr(error))}"


@contextlib.contextmanager
def told(where: str, need: str, remedy: str) -> Iterator[None]:
    """Raise TraceDataError for whatever fails inside, but for what is an answer already.

    A lack of memory stays one, as do errors of bitpim's own.
    """
    try:
        yield
    except (TraceDataError, MemoryError):
        raise
    except Exception as error:
        if any(words in str(error) for words in _MEMORY):
            raise MemoryError(said(error)) from error
        raise TraceDataError(f"{where}: need {need}, got {said(error)}; {remedy}") from error
