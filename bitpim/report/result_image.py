"""The bytes of a result file, made in memory: a function of the content and of nothing else.

How the samples were cut into batches, and in which order they came, does not show.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from bitpim.cost.model import phase_energy_pj
from bitpim.cost.tables import PriceTable
from bitpim.errors import ResultError
from bitpim.legend import Legend
from bitpim.report.figures import ERROR_COLUMNS, ErrorFigures, top1
from bitpim.report.result_records import CYCLES, FORMAT_NAME, FORMAT_VERSION, RunHeader
from bitpim.report.result_schema import axes_of_outputs
from bitpim.report.seal import SEAL_BYTES
from bitpim_traces.new_file import new_file, new_group
from bitpim_traces.whole_file import signals_held

__all__ = ["Batches", "LayerRows", "assemble"]

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.float64]
LayerRows = Sequence[Mapping[str, Any]]
Batches = Iterator[tuple[dict[str, Any], dict[str, Array]]]
"""Fields and arrays of each batch's record, in the order of the samples."""

Counts = dict[str, dict[str, int]]

_COUNT_LIMIT = 2**63
_CHUNK_BYTES = 1 << 18


def assemble(
    header: RunHeader,
    batches: Callable[[], Batches],
    layer_table: LayerRows,
    prices: PriceTable | None,
    figures: ErrorFigures | None,
    legend: Legend,
) -> bytes:
    """Return the HDF5 content of a whole run; `batches` starts over each time it is called.

    Raises
    ------
    ResultError
        Batches hold different layers or shapes, or a layer that the table lacks.
    ConfigError
        The price table lacks an event.
    """
    return _Image(header, batches, layer_table, prices, figures, legend).assemble()


class _Image:
    """The bytes of the HDF5 file of a run, a function of the content alone."""

    def __init__(
        self,
        header: RunHeader,
        batches: Callable[[], Batches],
        layer_table: LayerRows,
        prices: PriceTable | None,
        figures: ErrorFigures | None,
        legend: Legend,
    ) -> None:
        self.header, self.batches = header, batches
        self.rows = {int(row["index"]): row for row in layer_table}
        self.prices, self.figures, self.legend = prices, figures, legend

    def assemble(self) -> bytes:
        digests, errors, counts = self._join_layers()
        # Into a stream: the image that HDF5 1.14 makes of a file in memory has a wrong checksum.
        # Signals are held, as one raised in HDF5's callbacks would be swallowed there.
        stream = io.BytesIO()
        with (
            signals_held(),
            new_file(stream, user_block=SEAL_BYTES) as file,
        ):
            self._write_root(file)
            layers = new_group(file, "layers")
            phases = _in_first_appearance(counts)
            events = sorted({e for c in counts.values() for p in c.values() for e in p} - {CYCLES})
            layers.attrs["phases"] = _words(phases)
            layers.attrs["events"] = _words(events)
            for position, index in enumerate(sorted(digests)):
                group = new_group(layers, f"{position:04d}")
                self._write_layer(group, index, digests[index], errors[index])
                self._write_counts(group, counts[index], phases, events)
            self._write_outputs(file)
        return stream.getvalue()[SEAL_BYTES:]

    def _join_layers(self) -> tuple[dict[int, Array], dict[int, Rows], dict[int, Counts]]:
        digests: dict[int, list[Array]] = {}
        errors: dict[int, list[Rows]] = {}
        counts: dict[int, Counts] = {}
        expected: list[int] | None = None
        for fields, arrays in self.batches():
            if expected not in (None, fields["layers"]):
                raise ResultError("batches of one run hold different layers; start it anew")
            expected = fields["layers"]
            for index, phases in zip(fields["layers"], fields["counts"], strict=True):
                if index not in self.rows:
                    raise ResultError(f"layer {index} is not in the plan's table")
                digests.setdefault(index, []).append(arrays[f"digests {index}"])
                errors.setdefault(index, []).append(arrays[f"errors {index}"])
                _add_counts(counts.setdefault(index, {}), phases)
        if not expected:
            raise ResultError("a run that keeps no layer has no result; keep one")
        self._need_layers(expected)
        return (
            {index: np.concatenate(parts) for index, parts in digests.items()},
            {index: np.concatenate(parts) for index, parts in errors.items()},
            counts,
        )

    def _need_layers(self, indices: list[int]) -> None:
        """See that the batches hold the layers that the run's options name."""
        named = self.header.options.get("layers")
        held = "all" if indices == sorted(self.rows) else ",".join(map(str, indices))
        if named is not None and named != held:
            raise ResultError(f"need batches of layers {named}, got {held}; start the run anew")

    def _write_root(self, file: Any) -> None:
        header = self.header
        file.attrs["format_name"] = FORMAT_NAME
        file.attrs["format_version"] = np.array(FORMAT_VERSION, "<i8")
        for name in ("trace_name", "trace_digest", "machine", "preset", "fidelity", "software"):
            file.attrs[name] = getattr(header, name)
        file.attrs["samples"] = np.array([header.start, header.stop], "<i8")
        file.attrs["options"] = json.dumps(dict(header.options), sort_keys=True)
        file.attrs["provenance"] = json.dumps(dict(header.provenance), sort_keys=True)
        file.attrs["legend"] = json.dumps(self.legend.to_dict(), sort_keys=True)
        if self.prices is not None:
            group = new_group(file, "prices")
            group.attrs["name"] = self.prices.name
            group.attrs["table"] = self.prices.to_toml()
        if self.figures is not None:
            group = new_group(file, "figures")
            group.attrs["figures"] = json.dumps(self.figures.to_dict(), sort_keys=True)

    def _write_layer(self, group: Any, index: int, digests: Array, errors: Rows) -> None:
        row = self.rows[index]
        group.attrs["index"] = np.int64(index)
        group.attrs["name"] = str(row["name"])
        group.attrs["kind"] = str(row["kind"])
        plan = {
            key: value.item() if isinstance(value, np.generic) else value
            for key, value in row.items()
            if key not in ("index", "name", "kind")
            and isinstance(value, bool | int | float | str | np.generic)
        }
        group.attrs["plan"] = json.dumps(plan, sort_keys=True)
        _dataset(group, "digests", digests, "SB")
        rows = _dataset(group, "error_rows", errors.astype("<f8"), "SF")
        rows.attrs["columns"] = _words(ERROR_COLUMNS)

    def _write_counts(
        self, group: Any, counts: Counts, phases: Sequence[str], events: Sequence[str]
    ) -> None:
        table = [[counts.get(phase, {}).get(event, 0) for event in events] for phase in phases]
        cycles = [counts.get(phase, {}).get(CYCLES, 0) for phase in phases]
        shape = (len(phases), len(events))
        _dataset(group, "counts", np.array(table, "<i8").reshape(shape), "PE")
        _dataset(group, "cycles", np.array(cycles, "<i8"), "P")
        if self.prices is not None:
            by_phase = phase_energy_pj(counts, self.prices)
            energy = [by_phase.get(phase, 0.0) for phase in phases]
            _dataset(group, "energy_pj", np.array(energy, "<f8"), "P")

    def _write_outputs(self, file: Any) -> None:
        group = new_group(file, "outputs")
        parts = (arrays.get("final") for _, arrays in self.batches())
        first = next(parts, None)
        if first is None:
            return
        shape, dtype = first.shape[1:], first.dtype
        axes = axes_of_outputs(first.ndim)
        final = _dataset(group, "final", None, axes, shape, dtype, self.header)
        has_classes = 0 not in shape and int(np.prod(shape[1:], dtype=np.int64)) == 1
        pending, done, predictions = [first], 0, [top1(first)] if has_classes else []
        per_chunk = final.chunks[0] if final.chunks else self.header.n_samples
        for part in parts:
            if part is None or part.shape[1:] != shape or part.dtype != dtype:
                raise ResultError("final codes of the batches differ in shape or dtype")
            if has_classes:
                predictions.append(top1(part))
            pending.append(part)
            n_ready = sum(map(len, pending)) // per_chunk * per_chunk
            if n_ready:  # whole chunks only: how the batches were cut must not show in the file
                joined = np.concatenate(pending)
                final[done : done + n_ready] = joined[:n_ready]
                pending, done = [joined[n_ready:]], done + n_ready
        final[done:] = np.concatenate(pending)
        if has_classes:
            _dataset(group, "predictions", np.concatenate(predictions).astype("<i8"), "S")


def _in_first_appearance(counts: Mapping[int, Counts]) -> list[str]:
    seen: dict[str, None] = {}
    for index in sorted(counts):
        seen.update(dict.fromkeys(counts[index]))
    return list(seen)


def _add_counts(into: Counts, phases: Counts) -> None:
    for phase, events in phases.items():
        total = into.setdefault(phase, {})
        for event, count in events.items():
            total[event] = total.get(event, 0) + count
            if not 0 <= total[event] < _COUNT_LIMIT:
                raise ResultError(
                    f"phase {phase}, event {event}: need a count of 0 to 2^63 - 1, got "
                    f"{total[event]}; run fewer samples"
                )


def _words(words: Sequence[str]) -> Array:
    return np.array(list(words), dtype=h5py.string_dtype())


def _dataset(
    group: Any,
    name: str,
    values: Array | None,
    axes: str,
    shape: tuple[int, ...] = (),
    dtype: Any = None,
    header: RunHeader | None = None,
) -> Any:
    """Make a dataset, with values or empty for all samples of a run; small ones in one chunk."""
    if values is not None:
        whole, dtype = values.shape, values.dtype
    else:
        assert header is not None
        whole = (header.n_samples, *shape)
    row_bytes = int(np.prod(whole[1:], dtype=np.int64)) * np.dtype(dtype).itemsize
    options: dict[str, Any] = {}
    if 0 not in whole:
        rows = min(whole[0], max(1, _CHUNK_BYTES // row_bytes))
        options = {
            "chunks": (rows, *whole[1:]),
            "compression": "gzip",
            "compression_opts": 4,
            "shuffle": True,
            "fletcher32": True,
        }
    made = group.create_dataset(name, shape=whole, dtype=dtype, data=values, **options)
    made.attrs["axes"] = axes
    return made
