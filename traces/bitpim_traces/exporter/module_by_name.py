"""A module by the name of the function that makes it: `package.module:function`."""

import importlib
from collections.abc import Callable
from typing import Any, cast

import torch

from bitpim_traces.errors import TraceDataError

__all__ = ["made_by"]


def made_by(target: str) -> torch.nn.Module:
    """Import `package.module:function`, call it without arguments, yield the module it makes.

    Raises
    ------
    TraceDataError
        There is no such function, it fails, or it makes something else.
    """
    name, _, function_name = target.partition(":")
    function = _function(name, function_name)
    try:
        made = function()
    except Exception as error:
        raise _refusal(target, f"a function that works without arguments, got {error!r}") from error
    if not isinstance(made, torch.nn.Module):
        raise _refusal(target, f"a torch.nn.Module from it, got {type(made).__name__}")
    return made


def _function(name: str, function_name: str) -> Callable[[], Any]:
    try:
        found: Any = importlib.import_module(name)
    except Exception as error:
        raise _refusal(name, f"a module that can be imported, got {error!r}") from error
    for part in function_name.split("."):
        if not hasattr(found, part):
            public = [key for key in vars(found) if not key.startswith("_")][:8]
            raise _refusal(name, f"{function_name} in it, got {', '.join(public)}")
        found = getattr(found, part)
    if not callable(found):
        raise _refusal(f"{name}:{function_name}", f"a function, got {type(found).__name__}")
    return cast("Callable[[], Any]", found)


def _refusal(where: str, need: str) -> TraceDataError:
    return TraceDataError(f"{where}: need {need}; check the name and the current folder")
