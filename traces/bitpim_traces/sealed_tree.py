"""A file that a seal may end, as a tree: its signature, its seal, its structure."""

from bitpim_traces.faults import Fault, Report, shown
from bitpim_traces.footer import verify_seal
from bitpim_traces.open_file import OpenFile
from bitpim_traces.scan import Kind, scan
from bitpim_traces.tree import Tree

__all__ = ["sealed_tree"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def sealed_tree(file: OpenFile, report: Report, kind: Kind) -> Tree:
    """Read the structure of a file and report every fault; a damaged one is not looked into."""
    head = file.read(0, len(_SIGNATURE))
    if not head:
        report(Fault("/", "an HDF5 file", "an empty file"))
        return {}
    if head != _SIGNATURE:
        report(Fault("/", "an HDF5 file (signature at its start)", shown(head)))
        return {}
    sealed = verify_seal(file)
    if sealed is False:
        report(Fault("/", "the bytes that the footer's SHA-256 seals", "damaged bytes", "data"))
        return {}
    return scan(file, report, kind, sealed=sealed is True)
