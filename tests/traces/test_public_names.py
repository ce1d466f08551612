"""What lies beside the packages (bench, makers of samples) uses public names only.

Whoever reads a benchmark or a maker learns from it what a user may call. So each name that it takes
from the house is in the `__all__` of the module it comes from, and no name or module that it takes
from anywhere begins with an underscore.
"""

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted([*ROOT.glob("bench/**/*.py"), *ROOT.glob("traces/samples/**/*.py")])
FOLDERS = {
    "bench": ROOT,
    "bitpim": ROOT,
    "bitpim_kernels": ROOT / "kernels",
    "bitpim_traces": ROOT / "traces",
}


@cache
def home_of(module: str) -> Path | None:
    """File of a module of the house; None where there is none."""
    package, *inner = module.split(".")
    if package not in FOLDERS:
        return None
    place = FOLDERS[package].joinpath(package, *inner)
    return next((p for p in (place / "__init__.py", place.with_suffix(".py")) if p.is_file()), None)


@cache
def public_names(module: str) -> frozenset[str]:
    """What a module of the house lists in `__all__`; nothing where it has none."""
    assert home_of(module) is not None, module
    return frozenset(getattr(import_module(module), "__all__", ()))


def is_private_module(module: str) -> bool:
    return any(part.startswith("_") for part in module.split("."))


def is_private_name(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def module_of(node: ast.expr, modules: dict[str, str]) -> str:
    """Module that an expression stands for; "" where it is none, by the modules taken so far."""
    known = modules.get(ast.unparse(node), "")
    if known or not isinstance(node, ast.Attribute):
        return known
    inner = f"{module_of(node.value, modules)}.{node.attr}"
    return inner if home_of(inner) is not None else ""


def taken(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Yield (line, module, name) of everything that is taken from a module; name "": all of it."""
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, ""
                modules[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                if home_of(inner) is None:
                    yield node.lineno, module, alias.name
                else:
                    yield node.lineno, inner, ""
                    modules[alias.asname or alias.name] = inner
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            module = module_of(node.value, modules)
            if module and not module_of(node, modules):
                yield node.lineno, module, node.attr


def private_members(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of members with a leading underscore of anything but the object itself."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and is_private_name(node.attr)
            and ast.unparse(node.value) not in ("self", "cls")
        ):
            yield node.lineno, ast.unparse(node)


def faults_of(text: str, where: str = "text") -> list[str]:
    tree = ast.parse(text)
    faults = [f"{where}:{line}: {member} is private" for line, member in private_members(tree)]
    for line, module, name in taken(tree):
        if is_private_module(module) or is_private_name(name):
            faults.append(f"{where}:{line}: {module} {name} is private")
        elif module.startswith("."):
            faults.append(f"{where}:{line}: {module} {name}: name the module in full")
        elif home_of(module) is not None and name and name not in public_names(module):
            faults.append(f"{where}:{line}: {name} is not in __all__ of {module}")
        elif module.split(".")[0] in FOLDERS and home_of(module) is None:
            faults.append(f"{where}:{line}: there is no module {module}")
    return faults


def test_benchmarks_and_makers_of_samples_use_public_names_only() -> None:
    assert len(SCRIPTS) > 20
    assert any(path.parent.name == "samples" for path in SCRIPTS)
    faults = [
        fault
        for path in SCRIPTS
        for fault in faults_of(path.read_text("utf-8"), str(path.relative_to(ROOT)))
    ]
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(
    "text",
    [
        "from bitpim_traces.records import Trace\nTrace.of",
        "from bitpim_traces import records\nrecords.NETWORK_INPUT",
        "import bitpim_traces.numbers.affine as affine\naffine.encode",
        "import bitpim_traces.records\nbitpim_traces.records.Trace",
        "from bitpim_traces import quantize\nquantize.assemble.quantize_network",
        "from bench.networks import NETWORKS\nimport numpy as np\nnp.zeros(1)",
        "class A:\n    def b(self):\n        self._c = type(self).__name__",
        "def f():\n    from bitpim_traces.exporter import export",
    ],
)
def test_public_names_are_let_through(text: str) -> None:
    assert faults_of(text) == []


@pytest.mark.parametrize(
    ("text", "need"),
    [
        ("from bitpim_traces.records import _Trace", "private"),
        ("from bitpim_traces.builder import Shape", "not in __all__"),
        ("def f():\n    from bitpim_traces.exporter.export import _first", "private"),
        ("from bench.networks.__main__ import main", "private"),
        ("import torch._dynamo", "private"),
        ("from h5py._hl import files", "private"),
        ("import bitpim_traces.writer as w\nw.Progress", "not in __all__"),
        ("from bitpim_traces import writer\nwriter.Progress", "not in __all__"),
        ("import bitpim_traces.writer\nbitpim_traces.writer.Progress", "not in __all__"),
        ("from bitpim_traces import quantize\nquantize.assemble.Ranges", "not in __all__"),
        ("from bitpim_traces.tree import *", "not in __all__"),
        ("from bitpim_traces.quantize.affine import encode", "no module"),
        ("from .networks import NETWORKS", "in full"),
        ("import bitpim_traces.masks\nbitpim_traces.masks.writer", "not in __all__"),
        ("print(net._steps)", "private"),
    ],
)
def test_a_private_name_is_found(text: str, need: str) -> None:
    (fault,) = faults_of(text)
    assert need in fault
