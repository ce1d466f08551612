"""Every kernel is tested twice: compiled, and as the plain Python it was written in."""

from collections.abc import Callable
from typing import Any

import pytest

Form = Callable[[Any], Callable[..., Any]]


@pytest.fixture(params=["jit", "python"])
def form(request: pytest.FixtureRequest) -> Form:
    """Yield a function that turns a kernel into the form under test."""

    def pick(kernel: Any) -> Callable[..., Any]:
        chosen: Callable[..., Any] = kernel if request.param == "jit" else kernel.py_func
        return chosen

    return pick
