"""Memory that was limited: too little to load the libraries is found before they are loaded."""

import mmap
import os

__all__ = ["LIBRARY_BYTES", "START_BYTES", "require_room"]

START_BYTES = 64 * 2**20
"""Address space for the command line itself and for saying what is wrong."""
LIBRARY_BYTES = 400 * 2**20
"""Address space that NumPy, Numba and HDF5 take; without it they end the process in their ways."""


def require_room(n_bytes: int) -> None:
    """Raise MemoryError where a limit of this process leaves no room of so many bytes."""
    if os.name == "nt":
        return
    import resource

    limits = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
    if all(limit == resource.RLIM_INFINITY for limit in limits):
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each thread of it takes room of its own
    try:
        mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE).close()
    except (OSError, ValueError) as error:
        raise MemoryError from error
