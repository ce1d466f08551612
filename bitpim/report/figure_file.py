"""Figures as files: matplotlib where it is installed, the same bytes for the same figure."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from bitpim.errors import ConfigError, ResultError
from bitpim.report.text import printable
from bitpim_traces.whole_file import refusal, whole_file

__all__ = ["COLOURS", "FORMATS", "literal", "write_figure"]

FORMATS: Final = (".png", ".svg", ".pdf")
COLOURS: Final = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#999999",
    "#004C77",
    "#9A6A00",
    "#006B4E",
    "#8A4F70",
)
"""Okabe and Ito's colours, which colour-blind readers tell apart, then darker shades of them."""

_UNDATED: Mapping[str, Mapping[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}


def write_figure(path: str | Path, draw: Callable[[], Any]) -> Path:
    """Write the figure that `draw` makes as a PNG, SVG or PDF file and return its path.

    The file appears under its name only when it is whole.

    Raises
    ------
    ConfigError
        matplotlib is not installed, or the name ends in none of FORMATS.
    ResultError
        The file cannot be written.
    """
    out = Path(path)
    suffix = out.suffix.lower()
    if suffix not in FORMATS:
        raise ConfigError(f"{out}: need a name that ends in one of {', '.join(FORMATS)}")
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise ConfigError(
            "plots need matplotlib, which is not installed: pip install bitpim[plot]"
        ) from error
    against = refusal(out, overwrite=True)
    if against is not None:
        raise ResultError(against)
    try:
        # No date and a fixed salt: the same figure gives the same file.
        with mpl.rc_context({"svg.hashsalt": "bitpim", "font.size": 9}):
            figure = draw()
            with whole_file(out) as half:
                form = suffix[1:]
                figure.savefig(half.path, dpi=150, format=form, metadata=_UNDATED[suffix])
    except OSError as error:
        raise ResultError(f"{out}: cannot be written ({error.strerror or error})") from error
    return out


def literal(text: str) -> str:
    """Keep dollar signs from being read as mathematics, and escape what cannot be printed."""
    lines = (printable(line) for line in text.split("\n"))
    return "\n".join(lines).replace("$", r"\$")
