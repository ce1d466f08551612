"""Pytest plugin: kernels stay the plain Python they are written in, and nothing is compiled.

For mutants of kernels: compiling each anew takes minutes, and tests run both forms anyway.
"""

from collections.abc import Callable
from typing import Any

import numba


def njit(*functions: Any, **_options: Any) -> Any:
    """Stand in for Numba's ``njit``."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        function.py_func = function  # type: ignore[attr-defined]
        return function

    return decorate(*functions) if functions else decorate


numba.njit = njit
