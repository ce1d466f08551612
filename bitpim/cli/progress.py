"""What a waiting person sees: a bar on a terminal, and a line while kernels compile."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bitpim.replay import Progress

__all__ = ["kernels_are_cold", "say_if_cold", "time_left", "watched"]

Report = Callable[["Progress"], None]


def kernels_are_cold() -> bool:
    """Tell whether the kernels have to be compiled first."""
    from bitpim_kernels.jit import cache_root, source_digest

    named = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(named) if named else cache_root() / source_digest()
    return next(folder.rglob("*.nbc"), None) is None


def say_if_cold() -> None:
    """Say on stderr that kernels are compiled, where this run has to do it."""
    if kernels_are_cold():
        sys.stderr.write("compiling kernels, once\n")


def time_left(seconds: float, share: float, share_before: float = 0.0) -> str:
    """Write the time left of a run that took `seconds` from `share_before` to `share`."""
    if share <= share_before or seconds < 1.0:
        return "-:--"
    left = round(seconds / (share - share_before) * (1.0 - share))
    hours, rest = divmod(left, 3600)
    minutes, seconds_left = divmod(rest, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{seconds_left:02d}"
    return f"{minutes}:{seconds_left:02d}"


@contextlib.contextmanager
def watched(title: str) -> Iterator[Report | None]:
    """Yield what a replay reports to: a bar on stderr, or None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    began = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[place]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0, place="")

        def report(progress: "Progress") -> None:
            left = time_left(time.monotonic() - began, progress.share, progress.share_before)
            samples = f"samples {progress.start}:{progress.stop}"
            place = f"{samples}  {progress.layer}  {left} left"
            bar.update(task, completed=progress.share, place=place)

        yield report
