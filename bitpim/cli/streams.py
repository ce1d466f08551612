"""Standard streams that take any text: none is closed, none fails at a sign it does not know."""

import codecs
import contextlib
import io
import os
import sys

__all__ = ["drop_output", "open_streams", "plainly"]

_PLAIN = {
    **{"\u00d7": "x", "\u2013": "-", "\u2014": "-", "…": "..."},
    **{"→": "->", "≤": "<=", "≥": ">=", "±": "+-", "µ": "u", "\u03bc": "u"},
    **{"·": ".", "•": "*", "█": "#", "▓": "=", "▒": "+", "░": "-"},
}
"""What our own signs become; signs in names from files keep their code: \\xe9, \\u4e2d."""

_ASCII = "bitpim_ascii"


def open_streams() -> None:
    """Make standard input, output and error usable, whatever they are.

    One that is closed leads nowhere from here on; else the next file opened would take its number,
    and what is meant for the terminal be written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, and that is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115, PTH123
    codecs.register_error("bitpim.plain", plainly)
    codecs.register(_ascii_by_another_name)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            is_ascii = codecs.lookup(stream.encoding).name == "ascii"
            encoding = _ASCII if is_ascii else stream.encoding
            stream.reconfigure(encoding=encoding, errors="bitpim.plain")


def _ascii_by_another_name(name: str) -> codecs.CodecInfo | None:
    """Find ASCII under a name that typer does not take for a mistake and replace by UTF-8."""
    if name != _ASCII:
        return None
    found = codecs.lookup("ascii")
    return codecs.CodecInfo(
        found.encode, found.decode, found.streamreader, found.streamwriter,
        found.incrementalencoder, found.incrementaldecoder, name=_ASCII,
    )  # fmt: skip


def plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write what a stream cannot encode in ASCII: our own signs by others, the rest by its code."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    plain = [_PLAIN.get(sign, sign).encode("ascii", "backslashreplace") for sign in signs]
    return b"".join(plain).decode(), error.end


def drop_output() -> None:
    """Lead standard output nowhere if it takes no more, so that its end is not said twice."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.close(nowhere)
