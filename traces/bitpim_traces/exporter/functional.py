"""An exported graph without operators that write to their inputs, at the least cost.

PyTorch's own way, `run_decompositions({})`, traces the whole network once more, which takes longer
than exporting it. Most networks do not need it: where nothing else reads the tensor that an
operator writes to, as with `nn.ReLU(inplace=True)`, its form that writes nothing says the same.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["functional"]

_ALWAYS_NEW = ("adaptive_avg_pool2d", "batch_norm", "conv2d", "linear", "max_pool2d")
"""Composite operators whose output is never a view of their input, whatever is given them."""


def functional(program: Any, is_known: Callable[[str], bool]) -> Any:
    """Yield an exported program none of whose operators writes to its inputs.

    It is the given one, changed in place, where that is sound and `is_known` every operator's name
    (without its namespace). Elsewhere PyTorch traces it again, and takes apart unknown operators.
    """
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    writes = strange = False
    for node in calls:
        target = _without_writing(node)
        if target is None:
            writes = True
            continue
        node.target = target  # which tells the next one that nothing writes here
        strange |= target is not operator.getitem and not is_known(_name(target))
    if not strange:
        return program.run_decompositions({}) if writes else program
    table = torch.export.default_decompositions()
    for target in list(table):
        if isinstance(target, torch._ops.OpOverload) and is_known(_name(target)):
            del table[target]
    apart = program.run_decompositions(table)
    if all(is_known(_name(node.target)) for node in apart.graph.nodes if _is_operator(node)):
        return apart
    return program.run_decompositions({})  # so that errors name what the module calls


def _is_operator(node: Any) -> bool:
    return node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)


def _name(target: Any) -> str:
    """Yield an operator's name, without its namespace."""
    return str(target._schema.name).partition("::")[2]


def _without_writing(node: Any) -> Any:
    """Yield the target that a call may have instead of its own; None where that is not known."""
    target = node.target
    if target is operator.getitem:
        return target
    if not isinstance(target, torch._ops.OpOverload):
        return None
    if not target._schema.is_mutable:
        return target
    space, _, name = target._schema.name.partition("::")
    written = node.args[0] if node.args else None
    if not name.endswith("_") or not _is_alone(written, node):
        return None
    plain = getattr(getattr(getattr(torch.ops, space), name[:-1], None), target._overloadname, None)
    return plain if plain is not None and _takes_the_same(plain, target) else None


def _takes_the_same(plain: Any, writing: Any) -> bool:
    """Say whether two operators have the same arguments, of which one writes to the first only."""
    arguments = writing._schema.arguments
    writes = [a.alias_info is not None and a.alias_info.is_write for a in arguments]
    names = [[a.name for a in schema.arguments] for schema in (plain._schema, writing._schema)]
    return names[0] == names[1] and writes[0] and not any(writes[1:]) and not _is_view(plain)


def _is_alone(written: Any, writer: Any) -> bool:
    """Say whether only its writer reads a tensor, which lies in no other tensor's memory."""
    return (
        isinstance(written, torch.fx.Node)
        and list(written.users) == [writer]
        and isinstance(written.target, torch._ops.OpOverload)
        and not _is_view(written.target)
    )


def _is_view(target: Any) -> bool:
    """Say whether an operator's output may lie in the memory of its input."""
    schema = target._schema
    if any(a.alias_info is not None for a in (*schema.arguments, *schema.returns)):
        return True
    composite = torch._C._dispatch_has_kernel_for_dispatch_key(
        target.name(), "CompositeImplicitAutograd"
    )
    return composite and _name(target) not in _ALWAYS_NEW
