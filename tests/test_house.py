"""The rules of the house as small programs; each says where and what when it is broken."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest

from bitpim.cost.model import CYCLES
from bitpim.counts import EVENTS
from bitpim.machine.machine import takes_codebooks
from bitpim.machine.registry import machine_names, make_machine
from bitpim_traces.modes import MODES
from bitpim_traces.operators import LAYER_KINDS
from bitpim_traces.quantize import Settings, codebooks_of_trace
from bitpim_traces.records import REQUANTIZE_MODES, LayerRecord
from bitpim_traces.synthetic import synthetic_network

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT / "bitpim", ROOT / "kernels" / "bitpim_kernels", ROOT / "traces" / "bitpim_traces")
SOURCES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
KERNELS = sorted((ROOT / "kernels" / "bitpim_kernels").glob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), name_of(path))


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def n_lines(node: Function) -> int:
    """Lines of the body, without the docstring; a command's signature may be long."""
    body = node.body[ast.get_docstring(node) is not None :]
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


def n_listed(tree: ast.Module) -> int:
    """Lines that only list names: `__all__`, tables of homes, imports for type checkers."""
    lists = [node for node in tree.body if isinstance(node, ast.Assign | ast.If | ast.ImportFrom)]
    return sum((node.end_lineno or node.lineno) - node.lineno for node in lists)


def decorator_names(node: Function | ast.ClassDef) -> set[str]:
    calls = (d.func if isinstance(d, ast.Call) else d for d in node.decorator_list)
    return {d.attr if isinstance(d, ast.Attribute) else getattr(d, "id", "") for d in calls}


def kernels() -> list[tuple[Path, Function]]:
    return [
        (path, node)
        for path in KERNELS
        for node in functions(tree_of(path))
        if "kernel" in decorator_names(node)
    ]


def report(faults: list[str]) -> None:
    assert not faults, "\n" + "\n".join(faults)


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 20
    assert len(kernels()) > 5


def test_modules_and_functions_fit_on_a_few_screens() -> None:
    faults = []
    for path in SOURCES:
        n = len(path.read_text("utf-8").splitlines())
        limit = 500
        if path.name == "__init__.py":
            n, limit = n - n_listed(tree_of(path)), 40
        if n > limit:
            faults.append(f"{name_of(path)}: {n} lines, at most {limit}")
        faults += [
            f"{name_of(path)}:{node.lineno}: {node.name} has {n_lines(node)} lines, at most 60"
            for node in functions(tree_of(path))
            if n_lines(node) > 60
        ]
    report(faults)


def test_only_the_kernel_decorator_knows_njit() -> None:
    words = re.compile(r"\b(n?jit|vectorize|guvectorize|stencil|cfunc)\b")
    faults = [
        f"{name_of(path)}:{i}: {line.strip()}"
        for path in SOURCES
        if path.name != "jit.py"
        for i, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(r"numba", line) and words.search(line) and not line.lstrip().startswith("#")
    ]
    faults += [
        f"{name_of(path)}:{node.lineno}: {node.name} is decorated by numba itself"
        for path in SOURCES
        for node in functions(tree_of(path))
        if decorator_names(node) & {"njit", "jit", "vectorize", "guvectorize", "cfunc"}
    ]
    report(faults)


def test_kernels_are_small_and_described() -> None:
    faults = []
    for path, node in kernels():
        arguments = len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs)
        where = f"{name_of(path)}:{node.lineno}: {node.name}"
        if arguments > 8:
            faults.append(f"{where} has {arguments} arguments, at most 8")
        if n_lines(node) > 60:
            faults.append(f"{where} has {n_lines(node)} lines, at most 60")
        if ast.get_docstring(node) is None and not node.name.startswith("_"):
            faults.append(f"{where} has no docstring")
    report(faults)


def is_word(node: ast.AST) -> bool:
    """Tell whether an expression is surely a uint64 word: np.uint64(...) or `word` by name."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) in ("np.uint64", "numpy.uint64")
    return isinstance(node, ast.Name) and (node.id == "word" or node.id.endswith("_word"))


def test_no_bare_integer_meets_a_word() -> None:
    """`uint64 + 1` is int64 in Numba and uint64 in NumPy: constants on words are np.uint64."""
    faults = []
    for path, kernel in kernels():
        for node in ast.walk(kernel):
            if isinstance(node, ast.BinOp):
                pair = (node.left, node.right)
            elif isinstance(node, ast.AugAssign):
                pair = (node.target, node.value)
            else:
                continue
            bare = [n for n in pair if isinstance(n, ast.Constant) and isinstance(n.value, int)]
            if bare and any(is_word(n) for n in pair):
                faults.append(f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}")
    report(faults)


def public(tree: ast.Module | ast.ClassDef) -> Iterator[Function | ast.ClassDef]:
    """Public functions and classes, and the public members of those classes."""
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node)


def test_public_functions_and_classes_say_what_they_are() -> None:
    faults = []
    for path in SOURCES:
        tree = tree_of(path)
        if ast.get_docstring(tree) is None and path.read_text("utf-8").strip():
            faults.append(f"{name_of(path)}: no module docstring")
        faults += [
            f"{name_of(path)}:{node.lineno}: {node.name} has no docstring"
            for node in public(tree)
            if ast.get_docstring(node) is None and "overload" not in decorator_names(node)
        ]
    report(faults)


BANNED_NAMES = re.compile(r"^(data|info|utils?|helpers?|manager|process|misc|do_\w+)$")


def test_banned_names_are_absent() -> None:
    """`bitpim trace info` is a command's name given by its users, not one of ours."""
    faults = []
    for path in SOURCES:
        if BANNED_NAMES.match(path.stem) or path.stem == "core":
            faults.append(f"{name_of(path)}: banned name of a module")
        for node in ast.walk(tree_of(path)):
            name = getattr(node, "name", None)
            if isinstance(node, ast.arg):
                name = node.arg
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                name = node.id
            allowed = path.parent.name == "cli" and name == "info"
            if isinstance(name, str) and BANNED_NAMES.match(name) and not allowed:
                faults.append(f"{name_of(path)}:{getattr(node, 'lineno', 0)}: banned name {name}")
    report(faults)


def tracked_texts() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    binary = (".h5", ".npz", ".png", ".gz")
    return [path for path in paths if path.is_file() and path.suffix not in binary]


def test_no_path_of_one_machine_is_written_down() -> None:
    homes = re.compile(r"(?<![\w.:/-])/(home|Users|root|work|mnt|opt)/\w")
    faults = [
        f"{name_of(path)}:{i}: {line.strip()[:80]}"
        for path in tracked_texts()
        if path != Path(__file__)
        for i, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if homes.search(line)
    ]
    report(faults)


def test_only_the_house_stands_at_the_top() -> None:
    rooms = {"pyproject.toml", "bitpim", "kernels", "traces", "bench", "tests", "README.md"}
    beside = {"LICENSE", "Makefile", "constraints.txt", "CHANGELOG.md", "CONTRIBUTING.md"}
    beside |= {"CITATION.cff"}
    tops = {path.relative_to(ROOT).parts[0] for path in tracked_texts()}
    assert {top for top in tops if not top.startswith(".")} <= rooms | beside


def test_every_error_is_a_bitpim_error_with_a_fitting_builtin_and_a_text() -> None:
    errors = importlib.import_module("bitpim.errors")
    known = [getattr(errors, name) for name in errors.__all__]
    for error in known:
        assert issubclass(error, errors.BitpimError), error
        assert error.__dict__.get("__doc__"), f"{error} has no docstring"
        if not any(other is not error and issubclass(other, error) for other in known):
            builtin = next(c for c in error.__mro__ if c.__module__ == "builtins")
            assert builtin is not Exception, f"{error} inherits no fitting builtin"


# Becomes a fault of the file before it leaves the file floor.
INNER_ERRORS = {"Refused", "Unfit"}


def test_every_error_defined_is_in_the_one_place() -> None:
    known = importlib.import_module("bitpim.errors").__all__
    faults = [
        f"{name_of(path)}:{node.lineno}: {node.name} is not in bitpim.errors"
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).endswith(("Error", "Exception")) for base in node.bases)
        and not node.name.startswith("_")
        and node.name not in known
        and node.name not in INNER_ERRORS
    ]
    report(faults)


def loaded_after(statement: str) -> set[str]:
    """Top-level modules in a fresh interpreter after a statement."""
    show = "import sys; print('\\n'.join(sorted({m.partition('.')[0] for m in sys.modules})))"
    code = (
        f"import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n  {statement}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code + show], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


HEAVY = {"numba", "h5py", "torch", "numpy", "pydantic", "matplotlib", "onnxruntime"}


def test_importing_bitpim_loads_nothing_heavy() -> None:
    assert "bitpim" in loaded_after("import bitpim")
    assert not loaded_after("import bitpim, bitpim_kernels, bitpim_traces.errors") & HEAVY


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_after("from bitpim.cli.app import run; run(['--help'])")
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_errors_load_without_numba() -> None:
    assert not loaded_after("import bitpim.errors") & HEAVY


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports; raise SystemExit("
         "lint_imports(no_cache=True))"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_the_contract_of_machines_names_every_machine() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    points = project["project"]["entry-points"]["bitpim.machines"]
    contracts = project["tool"]["importlinter"]["contracts"]
    independent = next(c["modules"] for c in contracts if c["name"].startswith("A machine knows"))
    assert sorted(independent) == sorted(value.partition(":")[0] for value in points.values())
    assert all(name == value.partition(":")[0].rpartition(".")[2] for name, value in points.items())


NAMING = {
    "result_version_1_0.py": "what readers of old results knew of phases, kept for them alone",
}
ABOVE_MACHINES = [
    path
    for room in ("report/*", "proof/*", "cli/*", "cost/*", "run", "face")
    for path in sorted((ROOT / "bitpim").glob(f"{room}.py"))
    if path.name not in NAMING
]


def docstrings(tree: ast.Module) -> list[ast.expr]:
    """The docstrings of a module and of its functions."""
    firsts = [node.body[0] for node in [tree, *functions(tree)] if ast.get_docstring(node)]
    return [first.value for first in firsts if isinstance(first, ast.Expr)]


def names_below() -> tuple[set[str], set[str]]:
    """Names of machines, events and phases: those that no prose has, and those that are words.

    A name of the trace format, such as a kind of layer, is the trace's, whoever else bears it.
    """
    traces = [
        synthetic_network("tiny", 0, settings=Settings(requantize=mode))
        for mode in REQUANTIZE_MODES
    ]
    machines = [make_machine(name) for name in machine_names()]
    counts = [
        machine.plan(trace).counts(layer.index, 1)
        for trace in [*traces, codebooks_of_trace(traces[0])]
        for machine in machines
        if takes_codebooks(machine) == any(trace.codebooks)
        for layer in trace.layers
    ]
    phases = {phase for phases in counts for phase in phases}
    events = {event for phases in counts for found in phases.values() for event in found}
    names = {*machine_names(), *EVENTS, *events, *phases} - {CYCLES}
    own = {*LAYER_KINDS, *(f.name for f in fields(LayerRecord))}
    words = {name for name in names - {*machine_names()} if name.isalpha()}
    return names - words, words - own


def test_nothing_above_the_machines_names_a_machine_event_or_phase() -> None:
    names, words = names_below()
    assert len(names) > 40 and {"mac", "read", "gather"} <= words and len(ABOVE_MACHINES) > 30
    starts = {name[: at.end()] for name in names for at in re.finditer("_", name)}
    starts = {start for start in starts if sum(name.startswith(start) for name in names) > 2}
    named = re.compile(rf"(?<!\w)(?:(?:{'|'.join(names)})(?!\w)|{'|'.join(starts)})")
    assert named.search("an ADC's adc_conv_9") and named.search("on isaac") and "ou_" in starts
    faults = [
        f"{name_of(path)}:{node.lineno}: {node.value.strip()[:60]!r}"
        for path in ABOVE_MACHINES
        for tree in [tree_of(path)]
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if not (path.name == "face.py" and node in docstrings(tree))  # examples name machines
        if node.value in words or named.search(node.value)
    ]
    report(faults)


REFEREE = [ROOT / f"bitpim/proof/{name}.py" for name in ("reference", "requantize")]


def test_only_the_referee_compares_with_the_name_of_a_mode() -> None:
    """All others take what they need from its record."""
    faults = [
        f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}"
        for path in SOURCES
        if path not in REFEREE
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Compare)
        and any(isinstance(n, ast.Constant) and n.value in MODES for n in ast.walk(node))
    ]
    report(faults)


SCRIPTS = sorted(
    path for room in ("bench", "traces/samples") for path in (ROOT / room).rglob("*.py")
)


def test_scripts_take_public_names_and_the_face_where_it_has_them() -> None:
    """Benchmarks and makers of samples are users: what they need, every user may have."""
    face = set(importlib.import_module("bitpim").__all__)
    faults = []
    for path in SCRIPTS:
        for node in ast.walk(tree_of(path)):
            where = f"{name_of(path)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bitpim"):
                module = importlib.import_module(node.module or "")
                names = {alias.name for alias in node.names}
                public = {*getattr(module, "__all__", ()), *submodules(module)}
                faults += [f"{where}: {node.module} offers no {name}" for name in names - public]
                if node.module != "bitpim" and not (node.module or "").endswith(".errors"):
                    faults += [f"{where}: {name} is in bitpim itself" for name in names & face]
            if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr):
                own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
                faults += [] if own else [f"{where}: reaches for {ast.unparse(node)}"]
    assert len(SCRIPTS) > 20
    report(faults)


def submodules(module: ModuleType) -> set[str]:
    return {found.name for found in pkgutil.iter_modules(getattr(module, "__path__", ()))}


def test_every_document_named_is_in_the_tree() -> None:
    texts = tracked_texts()
    known = {path.name for path in texts}
    faults = [
        f"{name_of(path)}: {document} is not in the tree"
        for path in texts
        for document in re.findall(r"\b[\w-]+\.md\b", path.read_text("utf-8"))
        if document not in known
    ]
    report(faults)
