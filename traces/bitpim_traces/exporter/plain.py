"""A module as the exporter takes it: no wrapper around it, every number in a plain tensor.

PyTorch keeps numbers in many other ways: packed, sparse, quantized, not yet made. What each of them
needs is said before the module is traced, by the path of the parameter or part that holds it.
"""

import copy
from collections.abc import Iterator

import torch
from torch.nn.parameter import is_lazy

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.raised import told

__all__ = ["need_plain", "plain_module", "plain_name"]

_WRAPPERS = {
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
}
"""Modules that only run the one they hold, by name (importing some takes long), and where."""

_FLOAT = "give the float module it was made of"


def plain_module(module: torch.nn.Module) -> torch.nn.Module:
    """Yield a module without wrappers (`torch.compile`, data parallel) around any part of it.

    It shares the numbers of the module given, which is left as it is.

    Raises
    ------
    TraceDataError
        A part is no plain Python module, or a parameter or buffer no plain tensor.
    """
    where = type(module).__name__
    found = _inside(module)
    parts = found.modules() if not isinstance(found, torch.jit.ScriptModule) else ()
    wrapped = [part for part in parts if _attribute_of(part)]
    if wrapped:
        # A copy of the structure alone: what deepcopy knows already it does not copy.
        memo: dict[int, object] = {id(t): t for _, t in _tensors(found)}
        remedy = "take torch.compile and data parallel off the parts of the module"
        with told(where, "a module that can be copied to unwrap its parts", remedy):
            for part in reversed(wrapped):  # the innermost first
                memo[id(part)] = copy.deepcopy(_inside(part), memo)
            found = copy.deepcopy(found, memo)
    need_plain(found)
    if any(t.is_inference() for _, t in _tensors(found)):
        return copy.deepcopy(found)  # of tensors that PyTorch may trace
    return found


def plain_name(module: torch.nn.Module, name: str) -> str:
    """Yield the name that a parameter or part of a module has in its `plain_module`."""
    wrapped = [(path, _attribute_of(part)) for path, part in module.named_modules()]
    for path, attribute in reversed(wrapped):
        outer = f"{path}." if path else ""
        if attribute and name.startswith(f"{outer}{attribute}."):
            name = outer + name.removeprefix(f"{outer}{attribute}.")
    return name


_WAYS = ("dequantize", "full_tensor", "to_dense")
"""Methods by which kinds of tensors of others yield a plain one."""


def need_plain(module: torch.nn.Module) -> None:
    """Raise TraceDataError unless all parts are Python modules, all numbers in plain tensors."""
    for path, part in _parts(module):
        got = _odd_part(part)
        if got:
            name = f"{type(part).__module__}.{type(part).__qualname__}"
            raise TraceDataError(
                f"{path or '(root)'}: need a part that computes in floats and can be read, got"
                f" {name}, {got}"
            )
    for path, tensor in _tensors(module):
        with told(path, "a plain tensor of numbers", "make it one"):
            found = _odd_tensor(path, tensor)
        if found:
            got, remedy = found
            raise TraceDataError(f"{path}: need a plain tensor of numbers, got {got}; {remedy}")


def _attribute_of(part: torch.nn.Module) -> str | None:
    return _WRAPPERS.get(f"{type(part).__module__}.{type(part).__qualname__}")


def _inside(module: torch.nn.Module) -> torch.nn.Module:
    while (attribute := _attribute_of(module)) is not None:
        module = getattr(module, attribute)
    return module


def _parts(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """Yield parts by path; what is inside of one that cannot be read is left out."""
    pending = [("", module)]
    seen: set[int] = set()
    while pending:
        path, part = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield path, part
        if not _odd_part(part):
            inner = [(f"{path}.{name}".lstrip("."), p) for name, p in part.named_children()]
            pending += reversed(inner)


def _odd_part(part: torch.nn.Module) -> str:
    """Say what is the matter with a part, and what to do; nothing where nothing is."""
    kind = type(part).__module__
    if isinstance(part, torch.jit.ScriptModule):
        return "which is TorchScript; give the Python module that was scripted or traced"
    if not kind.startswith("torch.ao."):
        return ""
    if ".quantized" in kind and ".reference" not in kind:
        return f"whose numbers are packed codes; {_FLOAT}, before convert or quantize_dynamic"
    if kind.startswith(("torch.ao.quantization.observer", "torch.ao.quantization.fake_quantize")):
        return f"which observes for a quantizing of PyTorch's; {_FLOAT}, before prepare"
    return ""


def _tensors(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield parameters and buffers by name, also those that no state dict holds."""
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _odd_tensor(path: str, tensor: torch.Tensor) -> tuple[str, str] | None:
    """Say what a tensor is that is not plain, and what to do; None where it is plain."""
    if is_lazy(tensor):
        return "one without a shape yet (a lazy module's)", "run the module once on a sample"
    kind = type(tensor)
    own_dispatch = kind.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__
    shape = "" if tensor.is_nested else f" of shape {list(tensor.shape)}"
    if tensor.is_meta or kind.__module__.startswith("torch._subclasses."):
        made = "make the module on the CPU, outside of FakeTensorMode, or call its"
        remedy = f"{made} to_empty(device='cpu'); then load its weights"
        return f"one without values (device meta){shape}", remedy
    if tensor.is_nested:
        return "a nested tensor", f"make {path} one tensor, padded to one shape"
    if own_dispatch:
        got = f"{kind.__module__}.{kind.__qualname__}{shape}, which computes in its own way"
        remedy = "give the module as it was before its tensors were replaced"
        for way in _WAYS:
            if getattr(kind, way, None) is not getattr(torch.Tensor, way, None):
                return got, f"{remedy}, or {_replaced(path, tensor, f'.{way}()')}"
        return got, remedy
    if tensor.is_quantized:
        return f"codes of {tensor.dtype}{shape}", _replaced(path, tensor, ".dequantize()")
    if tensor.layout != torch.strided:
        got = f"a sparse one, {tensor.layout}{shape}"
        return got, _replaced(path, tensor, ".to_dense()")
    return None


def _replaced(path: str, tensor: torch.Tensor, call: str) -> str:
    """Say how to put a plain tensor in a parameter's or buffer's place."""
    owner, _, name = path.rpartition(".")
    part = f"module.get_submodule({owner!r})" if owner else "module"
    value = f"{part}.{name}.detach(){call}"
    if isinstance(tensor, torch.nn.Parameter):
        value = f"torch.nn.Parameter({value})"
    return f"set {part}.{name} = {value}"
