"""The one decorator for kernels: Numba's ``njit`` with a cache that notices every edit.

Numba's own cache looks at the decorated file only; an edit in a callee of another file goes
unnoticed. Here the cache folder carries a digest of all kernel sources, so any edit starts a
fresh one. Old kernels are removed as new ones are added, and by ``bitpim cache --prune``.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

from bitpim_kernels.kernel_cache import KernelCache

__all__ = ["kernel"]

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel() -> Callable[[Function], Function]:
    """Compile a pure function of arrays: nogil, cached on disk, no fastmath."""

    def decorate(function: Function) -> Function:
        jitted = numba.njit(nogil=True)(function)
        if not numba.config.DISABLE_JIT:
            jitted._cache = KernelCache(function)
        return jitted  # type: ignore[no-any-return]

    return decorate
