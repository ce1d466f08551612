"""A PyTorch module read as a float network, through `torch.export`.

The graph, not hooks on modules: so functional adds, concats and flattens are seen, in-place
operators are made functional, and a module used twice is two layers. What depends on constants
alone (reshaped, masked or normalized weights) is computed here and now.
"""

import contextlib
import copy
import functools
import io
import logging
import operator
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.calls import Call, Value
from bitpim_traces.exporter.drafts import SUPPORTED, Draft, refuse
from bitpim_traces.exporter.functional import functional
from bitpim_traces.exporter.plain import plain_module
from bitpim_traces.exporter.raised import said, told
from bitpim_traces.exporter.readers import READERS, read_reshape
from bitpim_traces.exporter.rewrites import network_of
from bitpim_traces.network import FloatNetwork
from bitpim_traces.records import NETWORK_INPUT

__all__ = ["evaluating", "in_float32", "placement", "read_network"]

_BATCH = 2  # batch 1 would hide a view that mixes samples
_LIKE = {
    "zeros_like": 0.0,
    "ones_like": 1.0,
    "new_zeros": 0.0,
    "new_ones": 1.0,
    "full_like": 1,
    "new_full": 2,
}
"""What fills a tensor that is like another: a number, or the place of one among the arguments."""
_IN_THE_SHAPE: dict[str, Callable[[Any, tuple[int, ...]], torch.Tensor]] = {
    "expand_as": torch.Tensor.expand,
    "reshape_as": torch.Tensor.reshape,
    "view_as": torch.Tensor.reshape,
    "type_as": torch.Tensor.reshape,
}
"""What takes no more than the shape of an activation, if its own tensor is constant."""
_IGNORED = ("_assert_tensor_metadata", "_assert_scalar", "_assert_async")


def read_network(
    module: torch.nn.Module, input_shape: tuple[int, ...], *, name: str = ""
) -> tuple[FloatNetwork, str]:
    """Yield the float network a module computes in evaluation, and the softmax left out.

    Batch norm is folded, dropout removed, limiting activations fused. A softmax at the very end is
    dropped and named: "softmax", "log_softmax", or "" where there was none.

    Shapes
    ------
    input_shape : (C, H, W) or (C,), without the batch axis

    Raises
    ------
    TraceDataError
        PyTorch cannot export the module, or an operator has no place in a trace; the message names
        the operator and the path of the module that called it.
    """
    with evaluating(module), torch.no_grad(), _quiet():
        program = _exported(module, input_shape)
        drafts, output = _Reader(program).read()
    return network_of(name or type(module).__name__.lower(), drafts, output, input_shape)


@contextlib.contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Hold a module in evaluation mode, then give every part its own mode back."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        with contextlib.suppress(NotImplementedError):  # one that was exported has no other mode
            module.eval()
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep deprecations, logs and prints inside torch.export from the user: errors say enough."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def in_float32(module: torch.nn.Module | torch.export.ExportedProgram) -> torch.nn.Module:
    """Yield a module whose numbers are float32: itself, or a copy of one of another precision.

    Wrappers around it or its parts are taken off.

    Raises
    ------
    TraceDataError
        A part is no plain Python module, a parameter or buffer no plain tensor.
    """
    if isinstance(module, torch.export.ExportedProgram):
        module = module.module()
    module = plain_module(module)
    tensors = (*module.parameters(), *module.buffers())
    if all(t.dtype == torch.float32 for t in tensors if t.is_floating_point()):
        return module
    where, remedy = type(module).__name__, "give the module in float32: module.float()"
    with told(where, "a module that can be copied to turn it to float32", remedy):
        return copy.deepcopy(module).float()


def placement(module: torch.nn.Module) -> tuple[torch.device, torch.dtype]:
    """Yield the device and floating dtype of a module's parameters."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


def _exported(module: torch.nn.Module, input_shape: tuple[int, ...]) -> Any:
    device, dtype = placement(module)
    example = torch.zeros((_BATCH, *input_shape), device=device, dtype=dtype)
    where = type(module).__name__
    try:
        program = functional(torch.export.export(module, (example,), strict=False), _is_read)
    except TraceDataError:
        raise
    except Exception as error:
        failed = _failure(module, example)
        if failed is not None and not isinstance(failed[1], TypeError):
            path, fault = failed
            remedy = "give samples of the shape it was trained on, channels before rows and columns"
            if isinstance(module, torch.fx.GraphModule):
                remedy += f", and a module exported with a batch of {_BATCH} or of any size"
            raise TraceDataError(
                f"{where}: need samples that the module takes, got {said(fault)} in"
                f" {path or '(root)'} for an input of shape {list(example.shape)}; {remedy}"
            ) from fault
        raise TraceDataError(
            f"{where}: need a module that torch.export can export with one input of shape"
            f" {list(example.shape)}, got {said(error)};"
            " remove control flow that depends on values, give the module one tensor"
        ) from error
    n_inputs = len(program.graph_signature.user_inputs)
    if n_inputs != 1:
        raise TraceDataError(f"{where}: need one input tensor, got {n_inputs}; wrap the module")
    return program


def _is_read(name: str) -> bool:
    """Say whether an operator is read by its name, as `torch.export` has it."""
    return name in READERS or name in _LIKE or name in _IGNORED


def _failure(module: torch.nn.Module, example: torch.Tensor) -> tuple[str, Exception] | None:
    """Run a module as it is; yield the path of the part that fails, and its error."""
    entered: list[str] = []
    handles = []
    for path, part in module.named_modules():
        enter = functools.partial(lambda name, *_: entered.append(name), path)
        handles.append(part.register_forward_pre_hook(enter))
        handles.append(part.register_forward_hook(lambda *_: entered.pop() and None))
    try:
        module(example)
    except Exception as error:
        return (entered[-1] if entered else ""), error
    finally:
        for handle in handles:
            handle.remove()
    return None


class _Reader:
    """One walk over an exported graph."""

    def __init__(self, program: Any) -> None:
        self.program = program
        self.drafts: list[Draft] = []
        self.values: dict[Any, Any] = {}  # graph node -> Value, or tensor where it is constant
        self.changed: set[Any] = set()  # constants that depend on a buffer that a run changes

    def read(self) -> tuple[list[Draft], int]:
        """Yield the drafts in execution order and the index of the network's output."""
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = self._placeholder(node)
            elif node.op == "call_function":
                self._call(node)
            elif node.op == "get_attr":
                self.values[node] = _attribute(self.program.graph_module, node.target)
            elif node.op == "output":
                return self.drafts, self._output(node)
        raise TraceDataError("exported graph: need an output, got none; export the module again")

    def _placeholder(self, node: Any) -> Any:
        signature = self.program.graph_signature
        if node.name in signature.user_inputs:
            return Value(NETWORK_INPUT, tuple(int(n) for n in node.meta["val"].shape[1:]))
        for names, source in (
            (signature.inputs_to_parameters, self.program.state_dict),
            (signature.inputs_to_buffers, {**self.program.constants, **self.program.state_dict}),
            (signature.inputs_to_lifted_tensor_constants, self.program.constants),
        ):
            if node.name in names:
                return source[names[node.name]]
        return None

    def _output(self, node: Any) -> int:
        signature = self.program.graph_signature
        returned = [n for n in node.args[0] if getattr(n, "name", n) in signature.user_outputs]
        if len(signature.user_outputs) != 1 or len(returned) != 1:
            got = len(signature.user_outputs)
            raise TraceDataError(
                f"(root): need one output tensor, got {got}; wrap the module and return one"
            )
        value = self.values.get(returned[0])
        if not isinstance(value, Value) or value.index == NETWORK_INPUT:
            raise TraceDataError(
                "(root): need an output computed from the input by at least one operator,"
                " got a constant or the input itself; export a module that computes something"
            )
        if not value.shape:  # one number a sample: an axis of length 1
            last = self.drafts[value.index]
            self.drafts.append(replace(last, kind="reshape", inputs=(value.index,), shape=(1,)))
            return len(self.drafts) - 1
        return value.index

    def _call(self, node: Any) -> None:
        if node.target is operator.getitem:
            self._getitem(node)
            return
        if not isinstance(node.target, torch._ops.OpOverload):
            if node.users:
                raise refuse(
                    f"{_path(node) or '(root)'}: {node.target}", "an ATen operator", "none"
                )
            return
        name = node.target._schema.name.removeprefix("aten::")
        if name in _IGNORED:
            return
        if name in _LIKE:  # of the shape of an activation, and constant nevertheless
            fill = _LIKE[name]
            fill = float(node.args[fill]) if isinstance(fill, int) else fill
            self.values[node] = torch.full(tuple(node.meta["val"].shape), fill)
            return
        inputs = {source: self.values.get(source) for source in node.all_input_nodes}
        if not any(isinstance(value, Value) for value in inputs.values()):
            args = torch.fx.node.map_arg(node.args, inputs.__getitem__)
            kwargs = torch.fx.node.map_arg(node.kwargs, inputs.__getitem__)
            remedy = "compute it before the module is exported, and keep the result as a buffer"
            where = f"{_path(node) or '(root)'}: {node.target}"
            with told(where, "a constant that can be computed", remedy):
                self.values[node] = node.target(*args, **kwargs)
            self._note_changes(node)
            return
        if name in _IN_THE_SHAPE and not isinstance(inputs[node.args[0]], Value):
            shape = tuple(int(n) for n in node.meta["val"].shape)
            self.values[node] = _IN_THE_SHAPE[name](inputs[node.args[0]], shape)
            self._note_changes(node)
            return
        self._need_kept_buffers(node)
        self._read_operator(node, name, inputs)

    def _note_changes(self, node: Any) -> None:
        written = self.program.graph_signature.buffers_to_mutate
        if node.name in written or self.changed & set(node.all_input_nodes):
            self.changed.add(node)

    def _need_kept_buffers(self, node: Any) -> None:
        """Refuse constants that the module itself changes from one run to the next."""
        changed = self.changed & set(node.all_input_nodes)
        if changed:
            where = f"{_path(node) or '(root)'}: {node.target}"
            names = self.program.graph_signature.buffers_to_mutate.values()
            remedy = "keep it as it is in evaluation (module.eval()), or leave it out"
            got = f"one that each run changes ({', '.join(sorted(names))})"
            raise refuse(where, "numbers that runs do not change", got, remedy)

    def _read_operator(self, node: Any, name: str, inputs: dict[Any, Any]) -> None:
        call = _bound(node, inputs, self._append)
        reader = READERS.get(name)
        if reader is None and "quant" in name:
            remedy = "give the float module, before prepare, convert or quantize_"
            raise refuse(call.where, "a float network", "an operator that quantizes", remedy)
        if reader is None:
            raise TraceDataError(
                f"{call.where}: operator cannot be represented in a trace; supported: {SUPPORTED}"
            )
        if reader is not read_reshape and any(
            isinstance(value, Value) and not value.shape for value in inputs.values()
        ):
            remedy = "keep an axis behind the batch (keepdim=True)"
            raise refuse(call.where, "activations of at least one axis", "one number each", remedy)
        found = reader(call)
        if isinstance(found, Draft):
            self.drafts.append(found)
            if found.shape != call.shape:
                source = Value(len(self.drafts) - 1, found.shape)
                self.drafts.append(call.draft("reshape", source))
            found = Value(len(self.drafts) - 1, call.shape)
        self.values[node] = found

    def _append(self, draft: Draft) -> int:
        self.drafts.append(draft)
        return len(self.drafts) - 1

    def _getitem(self, node: Any) -> None:
        source, position = node.args
        value = self.values.get(source)
        if isinstance(value, list):
            self.values[node] = value[position]
        elif isinstance(value, Value):
            if position == 0:
                self.values[node] = value
            elif node.users:
                raise refuse(
                    f"{_path(node) or '(root)'}: {source.target}",
                    "only its first output used",
                    f"output {position} used",
                )
        elif value is not None:
            self.values[node] = value[position]


def _bound(node: Any, inputs: dict[Any, Any], append: Callable[[Draft], int]) -> Call:
    """Name the arguments of a graph node by the schema and put values in their places."""
    schema = node.target._schema
    arguments = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
    arguments |= dict(zip((a.name for a in schema.arguments), node.args, strict=False))
    arguments |= dict(node.kwargs)
    arguments = torch.fx.node.map_arg(arguments, inputs.__getitem__)
    # The order of the schema, so that a reader may ask for the first or second argument.
    ordered = {a.name: arguments[a.name] for a in schema.arguments if a.name in arguments}
    produced = node.meta["val"]
    while isinstance(produced, (tuple, list)):
        produced = produced[0]
    shape = tuple(int(n) for n in produced.shape)
    path = _path(node)
    call = Call(str(node.target), ordered, shape[1:], path, append, _owned(node))
    if not shape or shape[0] != _BATCH:
        got = f"an output of shape {list(shape)} for a batch of {_BATCH}"
        raise refuse(call.where, "the batch as first axis, kept as it is", got)
    if not produced.is_floating_point():
        raise refuse(call.where, "a floating-point output", str(produced.dtype))
    return call


def _path(node: Any) -> str:
    """Yield the path of the module whose forward called the operator; empty for the root."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]).removeprefix("L['self'].") if stack else ""


def _owned(node: Any) -> bool:
    """Say whether the innermost module is a layer of PyTorch's own."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    kind = stack[-1][1] if stack else ""
    written = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    return written.startswith("torch.nn.modules.") and ".container." not in written


def _attribute(module: Any, target: str) -> Any:
    for part in target.split("."):
        module = getattr(module, part)
    return module
