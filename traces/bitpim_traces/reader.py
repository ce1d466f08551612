"""File -> records: seal, scan, schema, rules; large tensors stay in the file until asked for."""

import logging
import os
from dataclasses import dataclass, replace
from typing import Any

from bitpim_traces.decode import decode
from bitpim_traces.errors import TraceError
from bitpim_traces.faults import Fault, Report, raising_report, shown
from bitpim_traces.file_bounds import EAGER_BYTES, EAGER_MULTIPLE
from bitpim_traces.open_file import OpenFile
from bitpim_traces.records import Trace
from bitpim_traces.rules import check_rules
from bitpim_traces.scan import Kind
from bitpim_traces.schema import FORMAT_NAME, FORMAT_VERSION
from bitpim_traces.sealed_tree import sealed_tree
from bitpim_traces.tree import Tree, digest_of
from bitpim_traces.upgrade import upgrade
from bitpim_traces.versions import minor_of

__all__ = ["Reading", "open_file", "open_trace", "read_trace"]

_LOG = logging.getLogger("bitpim.traces")
_KIND = Kind(Fault.error)


def open_trace(path: str | os.PathLike[str]) -> Trace:
    """Open a trace file; its large tensors are read when asked, from any thread.

    Raises
    ------
    TraceFormatError
        The file is not a trace, or breaks the format.
    TraceDataError
        Its numbers contradict each other or their checksums.
    TraceTooOld, TraceTooNew
        Its major version is not ours.
    """
    name = str(path)
    file = open_file(name)
    trace = read_trace(file, raising_report(name)).trace
    assert trace is not None, "a fault that leaves no trace is raised"
    return replace(trace, file=file)


def open_file(name: str) -> OpenFile:
    """Open a file for reading, or say in one line why not."""
    try:
        return OpenFile(name)
    except FileNotFoundError as error:
        raise TraceError(f"{name}: need a trace file, got none; check the path") from error
    except OSError as error:
        said = error.strerror or error
        raise TraceError(f"{shown(name)}: need a file that can be read, got: {said}") from error


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file gave: its objects, and the trace if one could be made of them."""

    tree: Tree
    trace: Trace | None


def read_trace(file: OpenFile, report: Report) -> Reading:
    """Read a file and report every fault."""
    tree = sealed_tree(file, report, _KIND)
    version = _version(tree, report)
    if version is None:
        return Reading(tree, None)
    newer = version > FORMAT_VERSION
    if newer:
        # One line for the user; the names themselves are a matter between two releases.
        _LOG.warning(
            "%s: format %d.%d is newer than %d.%d: names unknown here are ignored",
            *(file.path, *version, *FORMAT_VERSION),
        )
    _check_digest(tree, report)
    tree = upgrade(tree, version)
    limit = EAGER_MULTIPLE * file.size() + EAGER_BYTES
    trace = decode(tree, report, newer=newer, eager_bytes=limit)
    if trace is not None and version < (FORMAT_VERSION[0], minor_of(trace)):
        need = f"{FORMAT_VERSION[0]}.{minor_of(trace)}, which first had what the file uses"
        report(Fault("/@format_version", need, f"{version[0]}.{version[1]}"))
    check_rules(trace, report)
    return Reading(tree, trace)


def _version(tree: Tree, report: Report) -> tuple[int, int] | None:
    root = tree.get("/")
    if root is None:
        return None  # reported by the scan
    if root.attributes.get("format_name") != FORMAT_NAME:
        got = shown(root.attributes.get("format_name"))
        report(Fault("/@format_name", f"{FORMAT_NAME!r}: this is another kind of file", got))
        return None
    version: Any = root.attributes.get("format_version")
    if not isinstance(version, tuple) or len(version) != 2 or min(version) < 0:
        report(Fault("/@format_version", "two whole numbers: major, minor", shown(version)))
        return None
    if version[0] != FORMAT_VERSION[0]:
        sort = "too_old" if version[0] < FORMAT_VERSION[0] else "too_new"
        need = f"major version {FORMAT_VERSION[0]}"
        report(Fault("/@format_version", need, f"{version[0]}.{version[1]}", sort))
        return None
    return version[0], version[1]


def _check_digest(tree: Tree, report: Report) -> None:
    stated = tree["/"].attributes.get("digest")
    if isinstance(stated, str) and stated != digest_of(tree):
        report(
            Fault(
                "/@digest",
                "the digest of the file's names, attributes and checksums",
                "another",
                "data",
            )
        )
