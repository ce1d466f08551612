"""Where mutants live: a copy of the tree, and child processes that test it within limits.

Each trial is a fork of this process, which has loaded the libraries that take long to load and
nothing of the project. The copy comes first on the path of the child.
"""

import importlib
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mutation.mirrors import Trial

__all__ = ["Ground", "Outcome"]

PACKAGES = ("bitpim", "tests")  # whatever begins so is loaded anew, from the copy
LIBRARIES = ("numpy", "numba", "numba.extending", "h5py", "hypothesis", "pydantic")
NOT_COPIED = (".*", "__pycache__", "*.egg-info", "build", "dist", "out")
PYTEST = ("-x", "-q", "--tb=no", "--assert=plain", "-p", "no:cacheprovider")
MEMORY = 8 << 30


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: its exit status, negative for a signal, and the CPU time it took."""

    status: int
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether all tests passed."""
        return self.status == 0

    @property
    def out_of_time(self) -> bool:
        """Whether a limit of time stopped it."""
        return -self.status in (signal.SIGXCPU, signal.SIGALRM, signal.SIGKILL)


class Ground:
    """A copy of the project in a folder of its own; the tree itself is only read."""

    def __init__(
        self, root: Path, folder: Path, plugins: tuple[str, ...] = (), spare: int = 5
    ) -> None:
        self.root, self.tree, self.plugins, self.spare = root, folder / "tree", plugins, spare
        self._folder = folder
        shutil.copytree(
            root,
            self.tree,
            ignore=shutil.ignore_patterns(*NOT_COPIED),
            copy_function=_copy_if_newer,
            dirs_exist_ok=True,
        )
        for library in LIBRARIES:
            importlib.import_module(library)
        self._usual: dict[Trial, float] = {}

    @contextmanager
    def planted(self, module: str, text: str) -> Iterator[None]:
        """Put a text in the place of a module of the copy, and its own back at the end."""
        try:
            (self.tree / module).write_text(text, "utf-8")
            yield
        finally:
            _copy_if_newer(self.root / module, self.tree / module)

    def judge(self, trial: Trial) -> Outcome:
        """Run a trial of a mutant, in five times the CPU time it takes without one and a spare."""
        return self._run(trial, 5 * self._usual[trial] + self.spare, keeps_bytecode=False)

    def warm(self, trial: Trial) -> None:
        """Run a trial without a mutant, once: it must pass, and tells how long it takes."""
        if trial in self._usual:
            return
        for _ in range(1 if trial.plain or trial.anew else 2):  # the second finds kernels compiled
            outcome = self._run(trial, 3600, keeps_bytecode=True)
            if not outcome.passed:
                log = self._log.read_text("utf-8", "replace")[-2000:]
                sys.exit(f"{trial.tests} fails without a mutant, mend it first:\n{log}")
        self._usual[trial] = outcome.seconds

    @property
    def _log(self) -> Path:
        return self._folder / "last.log"

    def _run(self, trial: Trial, limit: float, *, keeps_bytecode: bool) -> Outcome:
        with tempfile.TemporaryDirectory(dir=self._folder) as own:
            cache = own if trial.anew or trial.plain else str(self._folder / "kernels")
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            child = multiprocessing.get_context("fork").Process(
                target=self._child, args=(trial, cache, limit, keeps_bytecode)
            )
            child.start()
            try:
                child.join()
            finally:
                with suppress(ProcessLookupError):  # it, and what it started and left behind
                    os.killpg(child.pid or 0, signal.SIGKILL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            status = child.exitcode or 0
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Outcome(status, used)

    def _child(self, trial: Trial, cache: str, limit: float, keeps_bytecode: bool) -> None:
        """Be the process of a trial."""
        os.setsid()
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 60))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(60 + 20 * int(limit))  # for those that wait and use no CPU
        self._settle(cache)
        if not keeps_bytecode:  # another mutant of the same second and size would be taken for it
            sys.dont_write_bytecode = True
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        plugins = (*self.plugins, *(("tests.mutation.plain_kernels",) if trial.plain else ()))
        chosen = ("-k", "not jit and not compiled") if trial.plain else ()
        named = [word for plugin in plugins for word in ("-p", plugin)]
        status = pytest.main([*PYTEST, *named, *chosen, trial.tests])
        sys.stdout.flush()
        os._exit(int(status))

    def _settle(self, cache: str) -> None:
        """Turn this process to the copy: its paths, its modules, its folder of kernels."""
        os.chdir(self.tree)
        ways = [str(self.tree / part) for part in ("", "kernels", "traces")]
        left = {str(self.root / part) for part in ("", "kernels", "traces")} | {""}
        sys.path[:] = ways + [entry for entry in sys.path if entry not in left]
        for name in [name for name in sys.modules if name.startswith(PACKAGES)]:
            del sys.modules[name]
        importlib.invalidate_caches()
        os.environ |= {
            "BITPIM_CACHE_DIR": cache,
            "PYTHONPATH": os.pathsep.join(ways),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "CI": "1",
        }
        os.environ.pop("NUMBA_CACHE_DIR", None)


def _copy_if_newer(source: str | Path, target: str | Path) -> None:
    """Copy a file with its times, so that what was compiled from it stays true."""
    old, new = Path(source).stat(), None
    with suppress(FileNotFoundError):
        new = Path(target).stat()
    if new is None or (old.st_mtime_ns, old.st_size) != (new.st_mtime_ns, new.st_size):
        shutil.copy2(source, target)
