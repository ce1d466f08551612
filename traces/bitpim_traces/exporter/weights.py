"""Weights as people save them, put into a module."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bitpim_traces.array_files import read_archive
from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.plain import need_plain

__all__ = ["load_weights"]

_ENTRIES = ("state_dict", "model_state_dict", "model", "net")
"""Where checkpoints keep the state dict."""
_PREFIXES = ("module.", "_orig_mod.")
"""What data-parallel training and `torch.compile` put before every name."""


def load_weights(
    module: torch.nn.Module, weights: str | Path | Mapping[str, Any], *, where: str = "weights"
) -> list[str]:
    """Put weights into a module: a state dict, a .npz of arrays, or a .pt of tensors only.

    An entry that wraps the state dict (`state_dict`, `model_state_dict`, `model`, `net`) and the
    prefixes `module.` and `_orig_mod.` are seen through; what was is told, a line each. Only
    counters of batches may be missing.

    Raises
    ------
    TraceDataError
        The file is none of these, names or shapes do not fit the module, or it holds its numbers
        otherwise than in plain tensors.
    """
    need_plain(module)
    if not isinstance(weights, Mapping):
        where = str(weights)
        weights = _read(Path(weights))
    found, said = _unwrapped(weights, where)
    state = {key: torch.as_tensor(value) for key, value in found.items()}
    own = module.state_dict()
    for prefix in _PREFIXES * len(_PREFIXES):
        is_own = all(key.startswith(prefix) for key in own)
        if state and not is_own and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
            said.append(f"{where}: the prefix {prefix!r} of all names is left out")
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    unknown = [k for k in state if k not in own]
    misshapen = [
        f"{k}: {list(own[k].shape)} against {list(state[k].shape)}"
        for k in state
        if k in own and own[k].shape != state[k].shape
    ]
    for what, names in (("missing", missing), ("unknown", unknown), ("misshapen", misshapen)):
        if names:
            raise TraceDataError(
                f"{where}: need the weights of {type(module).__name__}, got {len(names)} {what}"
                f" ({_listed(names)}); give the file that belongs to the module"
            )
    module.load_state_dict(state, strict=False)
    return said


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise TraceDataError(f"{path}: need a file of weights, got none; check the path")
    if path.suffix == ".npz":
        return read_archive(str(path))
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        said = (str(error).splitlines() or [repr(error)])[0]
        raise TraceDataError(
            f"{path}: need a .npz of arrays or a .pt of tensors only, got"
            f" {type(error).__name__}: {said}; save the module's state_dict()"
        ) from error
    if not isinstance(found, Mapping):
        raise TraceDataError(
            f"{path}: need a state dict of tensors, got {type(found).__name__};"
            " save the module's state_dict()"
        )
    return found


def _unwrapped(found: Mapping[str, Any], where: str) -> tuple[Mapping[str, Any], list[str]]:
    """Yield the state dict in a checkpoint, and which entry it was taken from."""
    if _is_state(found):
        return found, []
    for entry in _ENTRIES:
        inner = found.get(entry)
        if isinstance(inner, Mapping) and inner and _is_state(inner):
            return inner, [f"{where}: the weights are those of its entry {entry!r}"]
    raise TraceDataError(
        f"{where}: need a state dict of tensors, or one under {', '.join(_ENTRIES)}, got the keys"
        f" {_listed([str(key) for key in found])}; save the module's state_dict()"
    )


def _is_state(found: Mapping[Any, Any]) -> bool:
    """Tell whether names stand for arrays, and nothing else is there."""
    return all(
        isinstance(name, str) and (torch.is_tensor(value) or hasattr(value, "__array__"))
        for name, value in found.items()
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
