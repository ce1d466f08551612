"""What is ended at random moments: commands that write, a run that is resumed, a loop of runs."""

import getpass
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bitpim_traces import write_trace
from bitpim_traces.synthetic import synthetic_network
from tests.strategies import small_trace

__all__ = ["CASES", "Case"]


@dataclass(frozen=True)
class Case:
    """One thing to run, in a folder that `prepare` fills.

    `arguments` are those of the command line, or name a Python script. A run may be ended at any
    moment: each of `targets` is then the old file or the whole new one. Where `again` is given, it
    goes on and ends with the files of an uninterrupted run.
    """

    name: str
    arguments: tuple[str, ...]
    targets: tuple[str, ...]
    prepare: Callable[[Path], None]
    again: tuple[str, ...] = ()
    libraries_leave: frozenset[str] = frozenset()
    """What a library makes among the temporary files, however a run ends."""

    @property
    def is_script(self) -> bool:
        """Whether Python answers signals as it does by itself: SIGTERM ends it at once."""
        return self.arguments[0].endswith(".py")

    def may_be_left(self) -> set[str]:
        """Return names of what an ended run leaves on purpose: journals, by which it goes on."""
        return {f"{target}.part" for target in self.targets} if self.again else set()


def _networks(folder: Path) -> None:
    """A trace to run, and an old file of each name that is written over."""
    write_trace(synthetic_network("tiny", 1, n_samples=12), folder / "in.h5")
    write_trace(small_trace(1, kinds=["linear"]), folder / "out.h5")


def _run(folder: Path) -> None:
    write_trace(synthetic_network("tiny", 1, n_samples=12), folder / "in.h5")


def _module(folder: Path) -> None:
    _networks(folder)
    np.save(folder / "images.npy", np.random.default_rng(0).random((6, 1, 8, 8), np.float32))
    (folder / "nets.py").write_text(
        "import torch\n\n\ndef net():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), "
        "torch.nn.Flatten(), torch.nn.Linear(144, 3))\n"
    )


def _loop(folder: Path) -> None:
    _run(folder)
    (folder / "loop.py").write_text(
        "import bitpim\n\nfor bits in (4, 5, 6, 7):\n"
        '    out = f"adc{bits}.h5"\n'
        '    bitpim.replay("in.h5", "isaac", out, adc_bits=bits, batch=2, resume=True)\n'
    )


_BIT = ("replay", "in.h5", "-m", "neural_cache", "-o", "out.h5", "--batch", "2")
_INTEGER = (
    "replay",
    "in.h5",
    "-m",
    "isaac",
    "--fidelity",
    "integer",
    "-o",
    "out.h5",
    "--batch",
    "1",
)
CASES = (
    Case("replay, bit", _BIT, ("out.h5",), _run, (*_BIT, "--resume")),
    Case("replay, integer", _INTEGER, ("out.h5",), _run, (*_INTEGER, "--resume")),
    Case(
        "trace synth",
        ("trace", "synth", "lenet5", "-o", "out.h5", "--overwrite"),
        ("out.h5",),
        _networks,
    ),
    Case(
        "trace quantize",
        ("trace", "quantize", "in.h5", "-o", "out.h5", "--overwrite", "--weight-bits", "5"),
        ("out.h5",),
        _networks,
    ),
    Case(
        "export",
        ("export", "nets:net", "--samples", "images.npy", "-o", "out.h5", "--overwrite"),
        ("out.h5",),
        _module,
        libraries_leave=frozenset([f"torchinductor_{getpass.getuser()}"]),
    ),
    Case(
        "a loop of replays",
        ("loop.py",),
        tuple(f"adc{bits}.h5" for bits in (4, 5, 6, 7)),
        _loop,
        ("loop.py",),
    ),
)
