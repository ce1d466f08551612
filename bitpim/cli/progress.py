"""What a waiting person sees: a bar on a terminal, and a line while kernels compile."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitpim.run import Progress
    from bitpim_traces.records import Trace

__all__ = [
    "COMPILING",
    "LONG_WORK",
    "counted",
    "say_when_compiling",
    "say_when_long",
    "time_left",
    "watched",
]

COMPILING = "compiling kernels that are not kept yet\n"
"""Said once a run: the first run needs many, a network of new widths a few."""

LONG_WORK = 10**12
"""Operations from which on a replay is said to take long: a quarter of an hour, bit by bit."""

Report = Callable[["Progress"], None]


def say_when_compiling() -> None:
    """Say on stderr, once, if a kernel has to be compiled from here on.

    Numba itself is listened to: whatever is on the disk, a network of other widths may need other
    kernels.
    """
    _announcer().armed = True


def say_when_long(trace: "Trace", samples: str, layers: str | None) -> None:
    """Say on stderr how much work a replay is, where it is much, before it starts."""
    from bitpim.run import n_operations
    from bitpim.selection import chosen_layers, sample_range

    n_samples = len(sample_range(trace, samples))
    each = n_operations(trace, chosen_layers(trace, layers)[-1])
    if each * n_samples >= LONG_WORK:
        samples_text = f"{n_samples:,} sample{'s' * (n_samples != 1)}"
        sys.stderr.write(
            f"{samples_text} of about {each:.1e} operations each: this takes long; Ctrl-C "
            "stops it, --resume goes on\n"
        )


@cache
def _announcer() -> Any:
    from numba.core import event

    class Announcer(event.Listener):  # type: ignore[misc]
        armed = False

        def on_start(self, event: Any) -> None:
            if self.armed:
                self.armed = False
                sys.stderr.write(COMPILING)

        def on_end(self, event: Any) -> None:
            pass

    announcer = Announcer()
    event.register("numba:compile", announcer)
    return announcer


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
def counted(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yield what work tells (done, total): a bar on stderr, or None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress as Bar

    from bitpim.report.text import printable

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(printable(title)), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextlib.contextmanager
def watched(title: str) -> Iterator[Report | None]:
    """Yield what a replay reports to: a bar on stderr, or None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    from bitpim.report.text import printable

    began = time.monotonic()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[place]}", markup=False),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(printable(title), total=1.0, place="")

        def report(progress: "Progress") -> None:
            left = time_left(time.monotonic() - began, progress.share, progress.share_before)
            samples = f"samples {progress.start}:{progress.stop}"
            place = f"{samples}  {printable(progress.layer)}  {left} left"
            bar.update(task, completed=progress.share, place=place)

        yield report
