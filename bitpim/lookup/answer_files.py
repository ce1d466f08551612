"""Answers of a CAM as files: .npz, .h5 or .csv, each with all that a reader needs to know.

An .npz has the arrays of `Answers` by their names, and `about`, a text in JSON: kind, options,
sizes, counts, version. An HDF5 file has the same as datasets and attributes, a .csv as comments
above a line for each row found. The same answers give the same bytes.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy

from bitpim.errors import LayoutError
from bitpim.lookup.answers import Answers
from bitpim.version import __version__
from bitpim_traces.new_file import new_file, new_group
from bitpim_traces.whole_file import refusal, signals_held, whole_file

__all__ = ["FORMATS", "about", "refuse_output", "write_answers"]

FORMAT_NAME: Final = "bitpim.answers"
_AXES = {
    "rows": "query, rank",
    "distances": "query, rank",
    "n_matches": "query",
    "offsets": "query and one more",
    "matches": "match",
}
_CHUNK_VALUES = 1 << 15
_LINES = 1 << 14


def about(answers: Answers) -> dict[str, Any]:
    """Return what answers are answers to, and what finding them took, as plain values."""
    return {
        "format_name": FORMAT_NAME,
        "software": f"bitpim {__version__}",
        "kind": answers.kind,
        "options": answers.options,
        "n_queries": len(answers),
        "n_rows": answers.n_rows,
        "n_bits": answers.n_bits,
        "n_matched": answers.n_matched,
        "counts": answers.counts.to_dict(),
    }


def refuse_output(path: Path, *, overwrite: bool) -> None:
    """Raise LayoutError where answers cannot be written under a name, before work is spent."""
    if path.suffix.lower() not in FORMATS:
        raise LayoutError(f"{path}: need a name that ends in one of {', '.join(FORMATS)}")
    against = refusal(path, overwrite=overwrite)
    if against is not None:
        raise LayoutError(against)


def write_answers(answers: Answers, path: Path, *, overwrite: bool = False) -> None:
    """Write answers to a file, which appears under its name when it is whole.

    Raises
    ------
    LayoutError
        The name ends in none of FORMATS, is taken, or the file cannot be written.
    """
    refuse_output(path, overwrite=overwrite)
    parts = FORMATS[path.suffix.lower()](answers)
    try:
        with whole_file(path, overwrite=overwrite) as half, half.path.open("wb") as stream:
            for part in parts:
                stream.write(part)
                half.raise_held()
    except OSError as error:
        raise LayoutError(
            f"{path}: cannot be written ({error.strerror or error}); choose another place"
        ) from error


def _arrays(answers: Answers) -> dict[str, Any]:
    found = {name: getattr(answers, name) for name in _AXES}
    return {
        name: np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        for name, values in found.items()
        if values is not None
    }


def _npz(answers: Answers) -> Iterator[bytes]:
    stream = io.BytesIO()
    texts = {"about": np.array(json.dumps(about(answers)))}
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in {**_arrays(answers), **texts}.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # without the time of writing
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as file:
                npy.write_array(file, values, allow_pickle=False)
    yield stream.getvalue()


def _hdf5(answers: Answers) -> Iterator[bytes]:
    # Signals are held, as one raised in HDF5's callbacks would be swallowed there.
    stream = io.BytesIO()
    described = about(answers)
    with signals_held(), new_file(stream) as file:
        for name in ("format_name", "software", "kind", "n_queries", "n_rows", "n_bits"):
            file.attrs[name] = described[name]
        file.attrs["options"] = json.dumps(answers.options)
        counts = new_group(file, "counts")
        for event, count in described["counts"].items():
            counts.attrs[event] = np.int64(count)
        for name, values in _arrays(answers).items():
            options: dict[str, Any] = {}
            if values.size:
                step = max(1, _CHUNK_VALUES // max(1, values[0].size))
                options = {
                    "chunks": (min(step, len(values)), *values.shape[1:]),
                    "compression": "gzip",
                    "shuffle": True,
                    "fletcher32": True,
                }
            made = file.create_dataset(name, data=values, **options)
            made.attrs["axes"] = _AXES[name]
    yield stream.getvalue()


def _csv(answers: Answers) -> Iterator[bytes]:
    """Yield comments, then a line a query and rank; where no row answers, one with an empty row."""
    described = about(answers)
    for name, value in described.items():
        yield f"# {name}: {value if isinstance(value, str) else json.dumps(value)}\n".encode()
    has_lists = answers.offsets is not None
    yield f"query,rank,row,distance,n_matches{',matches' if has_lists else ''}\n".encode()
    for first in range(0, len(answers), _LINES):
        lines: list[str] = []
        for query in range(first, min(first + _LINES, len(answers))):
            lines += _lines(answers, query, has_lists)
        yield "".join(lines).encode()


def _lines(answers: Answers, query: int, has_lists: bool) -> Iterator[str]:
    listed = " ".join(map(str, answers.matches_of(query).tolist())) if has_lists else ""
    n_matches = int(answers.n_matches[query])
    for rank, row in enumerate(answers.rows[query].tolist()):
        if row < 0 and rank:
            return
        distance = "" if answers.distances is None or row < 0 else answers.distances[query, rank]
        cells = [str(query), str(rank), "" if row < 0 else str(row), str(distance), str(n_matches)]
        yield ",".join([*cells, *([listed if rank == 0 else ""] if has_lists else [])]) + "\n"


FORMATS: Final[Mapping[str, Callable[[Answers], Iterator[bytes]]]] = MappingProxyType(
    {".npz": _npz, ".h5": _hdf5, ".csv": _csv}
)
"""What makes a file of answers, by the end of its name."""
