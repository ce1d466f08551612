"""What kind of file a file says it is, before any of it is read."""

from bitpim_traces.hdf5 import Hdf5, Refused
from bitpim_traces.open_file import OpenFile

__all__ = ["format_name_of"]


def format_name_of(path: str) -> str | None:
    """Return the format that an HDF5 file says it has; None where it says none, or is no such file.

    Whether it is what it says, its reader finds out.
    """
    try:
        opened = Hdf5(OpenFile(path), 0)
        messages, _ = opened.read(opened.root)
        for attribute in opened.attributes(messages):
            if attribute.name == b"format_name":
                return opened.texts(attribute)[0].decode("utf-8")
    except (OSError, Refused, ValueError, IndexError):
        return None
    return None
