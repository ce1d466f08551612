"""Records -> file: atomic, streamed, and the same bytes for the same content."""

import os
from pathlib import Path

from bitpim_traces.decode import decode
from bitpim_traces.encode import encode
from bitpim_traces.errors import TraceError
from bitpim_traces.faults import raising_report
from bitpim_traces.records import Trace
from bitpim_traces.rules import check_derived, check_rules
from bitpim_traces.tree_writer import Progress, with_room_for_digests, write_tree
from bitpim_traces.whole_file import refusal

__all__ = ["write_trace"]


def write_trace(
    trace: Trace,
    path: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    overwrite: bool = True,
) -> str:
    """Write a trace file and yield its digest.

    Tensors stream through in blocks, so memory stays bounded. The file appears under its name
    only when it is complete and on the disk; equal content gives equal bytes. An error or a signal
    leaves what was there before.

    Raises
    ------
    TraceError
        The trace breaks a rule of FORMAT.md, the file cannot be written, or something that is no
        regular file bears its name, or any file without `overwrite`; no file is left behind.
    """
    target = Path(path)
    against = refusal(target, overwrite=overwrite)
    if against is not None:
        raise TraceError(against)
    tree = with_room_for_digests(encode(trace))
    report = raising_report(str(target), "not written: mend the trace by FORMAT.md")
    as_read = decode(tree, report)
    check_rules(as_read, report)
    check_derived(trace, as_read, report)
    return write_tree(tree, target, progress=progress, overwrite=overwrite)
