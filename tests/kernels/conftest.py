"""Every kernel is tested twice: compiled, and as the plain Python it was written in."""

from collections.abc import Callable
from types import ModuleType
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


@pytest.fixture
def in_python(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Yield a function that puts plain Python in the place of all kernels of some modules."""

    def replace(*modules: ModuleType) -> None:
        for module in modules:
            for name, value in list(vars(module).items()):
                if hasattr(value, "py_func"):
                    monkeypatch.setattr(module, name, value.py_func)

    return replace
