"""Reads a result file into records: seal, scan, schema, rules, as traces are read.

Every fault of a file is a ResultError of one line that names the place.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from bitpim.errors import ResultError
from bitpim.legend import Legend
from bitpim.report.figures import ErrorFigures, top1
from bitpim.report.result_records import (
    DIGEST_BYTES,
    FORMAT_NAME,
    FORMAT_VERSION,
    LayerResult,
    Result,
    RunHeader,
)
from bitpim.report.result_rules import (
    check_figures,
    check_layers,
    check_legend,
    check_prices,
    check_values,
    figures_of,
    plan_of,
    provenance_of,
    texts_of,
)
from bitpim.report.result_schema import (
    DATASET_ATTRIBUTES,
    FIGURES,
    LAYER,
    LAYERS,
    OUTPUTS,
    PRICES,
    root_of,
)
from bitpim.report.result_version_1_0 import legend_of_preset
from bitpim.report.seal import SEAL_BYTES, check_seal
from bitpim_traces.faults import Fault, shown
from bitpim_traces.file_bounds import MAX_LAYERS
from bitpim_traces.scan import Kind, scan
from bitpim_traces.schema_reader import SchemaReader
from bitpim_traces.strict_text import strict_json
from bitpim_traces.tree import DatasetEntry, Tree, child

__all__ = ["open_result"]

Array = npt.NDArray[Any]
V = TypeVar("V")

_MULTIPLE, _FLOOR_BYTES = 256, 2**26
"""All values of a file, unpacked: at most this multiple of its size and these bytes."""
_COUNT_BYTES = 128  # of a count as one of Python's numbers in a dict
_MAX_TEXT_BYTES = 2**24
_NAMES = ("trace_name", "trace_digest", "machine", "preset", "fidelity", "software")


def open_result(path: str | Path) -> Result:
    """Read a result file whole.

    Raises
    ------
    ResultError
        No such file, not a result, damaged, of a later major version, or against RESULT.md.
    """
    file = check_seal(Path(path))

    def report(fault: Fault) -> None:
        raise _error(fault, file.path)

    kind = Kind(_error, False, SEAL_BYTES, free_texts=True, max_text_bytes=_MAX_TEXT_BYTES)
    tree = scan(file, report, kind, sealed=True)
    version = _version(tree, report)
    return _Reader(tree, report, version, _MULTIPLE * file.size() + _FLOOR_BYTES).read()


def _error(fault: Fault, file: str) -> ResultError:
    return ResultError(f"{file}: {fault}; replay it again")


def _version(tree: Tree, report: Callable[[Fault], None]) -> tuple[int, int]:
    attributes = tree["/"].attributes
    name, version = attributes.get("format_name"), attributes.get("format_version")
    numbers: Any = version
    if name != FORMAT_NAME:
        report(Fault("/@format_name", repr(FORMAT_NAME), shown(name)))
    good = isinstance(version, tuple) and len(version) == 2 and isinstance(version[0], int)
    if not good or numbers[0] != FORMAT_VERSION[0] or numbers[1] < 0:
        need = f"{FORMAT_VERSION[0]}.x (another bitpim wrote it)"
        report(Fault("/@format_version", need, shown(version)))
    return numbers[0], numbers[1]


class _Reader(SchemaReader):
    """Makes records of the tree; its reports never return."""

    def __init__(
        self,
        tree: Tree,
        report: Callable[[Fault], None],
        version: tuple[int, int],
        eager_bytes: int,
    ) -> None:
        newer = version > FORMAT_VERSION
        super().__init__(
            tree,
            report,
            DATASET_ATTRIBUTES,
            newer=newer,
            eager_bytes=eager_bytes,
            tensor_bytes=eager_bytes,
        )
        self.version, self.report = version, report

    def read(self) -> Result:
        root = self.found(root_of(self.version), "/")
        header = self.header(root)
        names = self.found(LAYERS, "/layers")
        layers = self.layers(names["phases"], names["events"], header.n_samples)
        check_layers(layers, self.report)
        final, predictions = self.outputs(header.n_samples)
        prices = ("", "")
        if "/prices" in self.tree:
            group = self.found(PRICES, "/prices")
            prices = group["name"], group["table"]
            check_prices(*prices, layers, self.report)
        figures: ErrorFigures | None = None
        if "/figures" in self.tree:
            text = self.found(FIGURES, "/figures")["figures"]
            figures = self.json("/figures@figures", text, figures_of, are_finite=False)
            check_figures(figures, layers, header.n_samples, self.report)
        if self.version == (1, 0):
            legend = legend_of_preset(header.preset)
        else:
            legend = self.json("/@legend", root["legend"], Legend.from_dict)
        check_legend(legend, self.report)
        phases = names["phases"]
        return Result(header, phases, tuple(layers), final, predictions, figures, *prices, legend)

    def found(self, spec: Any, path: str) -> dict[str, Any]:
        group = self.group(spec, path)
        assert group is not None, "a fault is raised"
        return group

    def header(self, root: Mapping[str, Any]) -> RunHeader:
        start, stop = root["samples"]
        if not 0 <= start < stop < 2**31:
            self.fault("/@samples", "0 <= start < stop < 2^31", f"{start}, {stop}")
        return RunHeader(
            **{name: root[name] for name in _NAMES},
            start=start,
            stop=stop,
            options=self.json("/@options", root["options"], texts_of),
            provenance=self.json("/@provenance", root["provenance"], provenance_of),
        )

    def layers(
        self, phases: tuple[str, ...], events: tuple[str, ...], n_samples: int
    ) -> list[LayerResult]:
        for name, words in (("phases", phases), ("events", events)):
            if len(set(words)) != len(words) or not all(words):
                self.fault(f"/layers@{name}", "different words", shown(words))
        names = [n for n in self.members("/layers") if not self.newer or n[:1] in "0123456789"]
        if not 1 <= len(names) <= MAX_LAYERS:
            self.fault("/layers", f"1 to {MAX_LAYERS} layers", str(len(names)))
        found = []
        for position, name in enumerate(names):
            path = child("/layers", name)
            if name != f"{position:04d}":
                self.fault(path, f"layer {position:04d} here: no gaps, no other names", name)
            found.append(self.layer(path, phases, events, n_samples))
        return found

    def layer(
        self, path: str, phases: tuple[str, ...], events: tuple[str, ...], n_samples: int
    ) -> LayerResult:
        shapes = {
            "digests": (n_samples, DIGEST_BYTES),
            "counts": (len(phases), len(events)),
            "cycles": (len(phases),),
            "energy_pj": (len(phases),),
        }
        for name, shape in shapes.items():
            self.need_shape(child(path, name), shape)
        self.spend(path, len(phases) * len(events) * _COUNT_BYTES)
        group = self.found(LAYER, path)
        check_values(path, group, n_samples, self.report)
        counts, cycles = group["counts"], [int(n) for n in group["cycles"]]
        by_phase = [{e: int(n) for e, n in zip(events, row, strict=True) if n} for row in counts]
        happened = [bool(row) or bool(n) for row, n in zip(by_phase, cycles, strict=True)]
        energy: Mapping[str, float] = {}
        if "energy_pj" in group:
            energy = _kept(phases, [float(e) for e in group["energy_pj"]], happened)
        return LayerResult(
            index=group["index"],
            name=group["name"],
            kind=group["kind"],
            digests=group["digests"],
            counts=_kept(phases, by_phase, happened),
            cycles=_kept(phases, cycles, happened),
            energy_pj=energy,
            plan=self.json(f"{path}@plan", group["plan"], plan_of),
            error_rows=group["error_rows"],
        )

    def need_shape(self, path: str, shape: tuple[int, ...]) -> None:
        entry = self.tree.get(path)
        if isinstance(entry, DatasetEntry) and entry.shape[: len(shape)] != shape:
            self.fault(path, f"shape {shape}", f"{entry.shape}")

    def outputs(self, n_samples: int) -> tuple[Array | None, Array | None]:
        for name in ("final", "predictions"):
            self.need_shape(f"/outputs/{name}", (n_samples,))
        group = self.found(OUTPUTS, "/outputs")
        final, predictions = group.get("final"), group.get("predictions")
        if predictions is not None and (
            final is None or not final[0].size or not np.array_equal(top1(final), predictions)
        ):
            self.fault("/outputs/predictions", "the largest code of each sample", "others")
        return final, predictions

    def json(
        self, where: str, text: str, check: Callable[[Any], V], *, are_finite: bool = True
    ) -> V:
        try:
            return check(strict_json(text, are_finite=are_finite))
        except (ValueError, TypeError, KeyError) as error:
            need = f"JSON as in RESULT.md ({shown(str(error))[1:-1]})"
            self.fault(where, need, shown(text))
            raise


def _kept(phases: tuple[str, ...], values: Sequence[V], happened: Sequence[bool]) -> dict[str, V]:
    return {
        phase: value for phase, value, here in zip(phases, values, happened, strict=True) if here
    }
