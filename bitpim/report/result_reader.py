"""Reads a result file into records; every fault of a file is a ResultError that names the place."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
import numpy.typing as npt

from bitpim.errors import ResultError
from bitpim.legend import Legend
from bitpim.report.figures import ERROR_COLUMNS, ErrorFigures, LayerFigures
from bitpim.report.result_records import (
    DIGEST_BYTES,
    FORMAT_NAME,
    FORMAT_VERSION,
    LayerResult,
    Result,
    RunHeader,
)
from bitpim.report.result_version_1_0 import legend_of_preset
from bitpim.report.seal import check_seal

__all__ = ["open_result"]

Array = npt.NDArray[Any]
V = TypeVar("V")
_LIMIT_BYTES = 2 << 30  # of one dataset, when unpacked
_NAMES = ("trace_name", "trace_digest", "machine", "preset", "fidelity", "software")


def open_result(path: str | Path) -> Result:
    """Read a result file whole.

    Raises
    ------
    ResultError
        No such file, not a result, damaged, of a later major version, or against RESULT.md.
    """
    place = Path(path)
    check_seal(place)
    try:
        with h5py.File(place, "r") as file:
            return _Reader(place, file).read()
    except ResultError:
        raise
    except Exception as error:  # whatever h5py raises for a file that is not as it should be
        reason = " ".join(str(error).split())
        raise ResultError(f"{place}: is not a readable result ({reason})") from error


class _Reader:
    def __init__(self, path: Path, file: Any) -> None:
        self.path, self.file = path, file

    def fault(self, where: str, need: str, got: object) -> ResultError:
        text = " ".join(repr(got).split())
        shown = text if len(text) <= 80 else text[:77] + "..."
        return ResultError(f"{self.path}: {where}: need {need}, got {shown}")

    def read(self) -> Result:
        version = self.check_version()
        header = self.read_header()
        layers = self.group("layers")
        phases = self.words(layers, "phases")
        events = self.words(layers, "events")
        records = []
        for position, name in enumerate(sorted(layers)):
            if name != f"{position:04d}":
                raise self.fault("/layers", f"a group {position:04d}", name)
            group = self.group(f"layers/{name}")
            records.append(self.read_layer(group, header.n_samples, phases, events))
        final, predictions = self.read_outputs(header.n_samples)
        prices = ("", "")
        if "prices" in self.file:
            group = self.group("prices")
            prices = self.text(group, "name"), self.text(group, "table")
        figures = None
        if "figures" in self.file:
            figures = self.json(self.group("figures"), "figures", _figures)
        if version == (1, 0):
            legend = legend_of_preset(header.preset)
        else:
            legend = self.json(self.file, "legend", Legend.from_dict)
        return Result(header, phases, tuple(records), final, predictions, figures, *prices, legend)

    def check_version(self) -> tuple[int, ...]:
        name = self.file.attrs.get("format_name")
        if name != FORMAT_NAME:
            raise self.fault("/ format_name", repr(FORMAT_NAME), name)
        version = self.integers(self.file, "format_version", 2)
        if version[0] != FORMAT_VERSION[0]:
            raise self.fault(
                "/ format_version", f"{FORMAT_VERSION[0]}.x (another bitpim wrote it)", version
            )
        return version

    def read_header(self) -> RunHeader:
        start, stop = self.integers(self.file, "samples", 2)
        if not 0 <= start < stop:
            raise self.fault("/ samples", "0 <= start < stop", (start, stop))
        names = {name: self.text(self.file, name) for name in _NAMES}
        return RunHeader(
            **names,
            start=start,
            stop=stop,
            options=self.json(self.file, "options", _text_by_text),
            provenance=self.json(self.file, "provenance", _by_text),
        )

    def read_layer(
        self, group: Any, n_samples: int, phases: tuple[str, ...], events: tuple[str, ...]
    ) -> LayerResult:
        counts = self.dataset(group, "counts", "int64", (len(phases), len(events)))
        cycles = self.dataset(group, "cycles", "int64", (len(phases),))
        if counts.min(initial=0) < 0 or cycles.min(initial=0) < 0:
            raise self.fault(group.name, "counts of at least 0", "a negative one")
        energy: Mapping[str, float] = {}
        by_phase = [{e: int(n) for e, n in zip(events, row, strict=True) if n} for row in counts]
        happened = [bool(row) or bool(n) for row, n in zip(by_phase, cycles, strict=True)]
        if "energy_pj" in group:
            energies = self.dataset(group, "energy_pj", "float64", (len(phases),))
            energy = _kept(phases, [float(e) for e in energies], happened)
        return LayerResult(
            index=self.integers(group, "index", 1)[0],
            name=self.text(group, "name"),
            kind=self.text(group, "kind"),
            digests=self.dataset(group, "digests", "uint8", (n_samples, DIGEST_BYTES)),
            counts=_kept(phases, by_phase, happened),
            cycles=_kept(phases, [int(n) for n in cycles], happened),
            energy_pj=energy,
            plan=self.json(group, "plan", _scalar_by_text),
            error_rows=self.dataset(group, "error_rows", "float64", (None, len(ERROR_COLUMNS))),
        )

    def read_outputs(self, n_samples: int) -> tuple[Array | None, Array | None]:
        group = self.group("outputs")
        if "final" not in group:
            return None, None
        final = self.dataset(group, "final", None, (n_samples,))
        if final.dtype.kind not in "iu":
            raise self.fault("/outputs/final", "integers", final.dtype)
        if "predictions" not in group:
            return final, None
        return final, self.dataset(group, "predictions", "int64", (n_samples,))

    def group(self, name: str) -> Any:
        found = self.file.get(name)
        if not isinstance(found, h5py.Group):
            raise self.fault(f"/{name}", "a group", found)
        return found

    def dataset(
        self, group: Any, name: str, dtype: str | None, shape: tuple[int | None, ...]
    ) -> Array:
        """Read a dataset; a shape without dtype fixes the first axes only."""
        where = f"{group.name}/{name}"
        found = group.get(name)
        if not isinstance(found, h5py.Dataset):
            raise self.fault(where, "a dataset", found)
        if dtype is not None and (found.dtype != dtype or len(found.shape) != len(shape)):
            raise self.fault(where, f"{dtype} {shape}", f"{found.dtype} {found.shape}")
        sizes = found.shape[: len(shape)]
        if len(sizes) < len(shape) or any(
            need not in (None, got) for need, got in zip(shape, sizes, strict=True)
        ):
            raise self.fault(where, f"shape {shape}", found.shape)
        if found.nbytes > _LIMIT_BYTES:
            raise self.fault(where, f"at most {_LIMIT_BYTES} bytes", found.nbytes)
        values: Array = found[()]
        return values

    def text(self, place: Any, name: str) -> str:
        found: Any = place.attrs.get(name)
        if not _is_text(found):
            raise self.fault(f"{place.name} {name}", "a text in UTF-8", found)
        return str(found)

    def words(self, place: Any, name: str) -> tuple[str, ...]:
        found = place.attrs.get(name)
        if not isinstance(found, np.ndarray) or found.ndim != 1:
            raise self.fault(f"{place.name} {name}", "a list of words", found)
        words = tuple(found.tolist())
        if not all(map(_is_text, words)) or len(set(words)) != len(words):
            raise self.fault(f"{place.name} {name}", "different words", words)
        return words

    def integers(self, place: Any, name: str, count: int) -> tuple[int, ...]:
        found = np.asarray(place.attrs.get(name))
        if found.dtype.kind not in "iu" or found.size != count:
            raise self.fault(f"{place.name} {name}", f"{count} integers", found)
        return tuple(int(n) for n in found.reshape(-1))

    def json(self, place: Any, name: str, check: Callable[[Any], V]) -> V:
        text = self.text(place, name)
        try:
            return check(json.loads(text))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise self.fault(
                f"{place.name} {name}", f"JSON as in RESULT.md ({error})", text
            ) from error


def _is_text(value: object) -> bool:
    """Whether a value is a text that can be printed; h5py hands on bytes that are no UTF-8."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)


def _kept(phases: tuple[str, ...], values: Sequence[V], happened: Sequence[bool]) -> dict[str, V]:
    return {
        phase: value for phase, value, here in zip(phases, values, happened, strict=True) if here
    }


def _by_text(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise TypeError("not an object")
    return content


def _text_by_text(content: Any) -> dict[str, str]:
    if not all(isinstance(value, str) for value in _by_text(content).values()):
        raise TypeError("a value is not a text")
    return _by_text(content)


def _scalar_by_text(content: Any) -> dict[str, int | float | str | bool]:
    if not all(isinstance(v, bool | int | float | str) for v in _by_text(content).values()):
        raise TypeError("a value is not a scalar")
    return _by_text(content)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"not a number: {value!r}")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"not an integer: {value!r}")
    return value


def _figures(content: Any) -> ErrorFigures:
    layers = tuple(
        LayerFigures(
            _count(row["index"]),
            str(row["name"]),
            _count(row["n_samples"]),
            *(_number(row[key]) for key in ("max_abs", "relative_l2", "sqnr_db")),
        )
        for row in content["layers"]
    )
    shares = [None if content[k] is None else _number(content[k]) for k in _SHARES]
    return ErrorFigures(
        layers,
        _count(content["n_compared"]),
        shares[0],
        _count(content["n_labelled"]),
        shares[1],
    )


_SHARES = ("top1_agreement", "accuracy")
