"""Writes a result: finished batches go to a journal, the whole run to one HDF5 file at the end.

The journal is `<name>.part`. The file under the final name is assembled in memory, in an order that
depends on the content alone, written beside it and renamed: it is whole or it is not there.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bitpim.cost.tables import PriceTable
from bitpim.errors import ConfigError, ResultError
from bitpim.legend import Legend
from bitpim.report.figures import ERROR_COLUMNS, ErrorFigures
from bitpim.report.journal import Journal, pack_record, unpack_record
from bitpim.report.journal_rules import batch_of, header_of
from bitpim.report.result_image import Batches, LayerRows, assemble
from bitpim.report.result_reader import open_result
from bitpim.report.result_records import DIGEST_BYTES, PhaseCounts, RunHeader
from bitpim.report.seal import bears_seal, seal_of
from bitpim_traces.whole_file import refusal, whole_file

__all__ = ["LayerBatch", "ResultWriter"]

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.float64]


def _no_rows() -> Rows:
    return np.zeros((0, len(ERROR_COLUMNS)))


@dataclass(frozen=True, slots=True)
class LayerBatch:
    """What one layer gave for one batch of n samples.

    `digests` is uint8 (n, 16), see `digest_samples`; `counts` events by phase, `cycles` among them;
    `error_rows` float64 (up to n, 3), see `figures.error_rows`, for samples with a float reference.
    """

    digests: npt.NDArray[np.uint8]
    counts: PhaseCounts
    error_rows: Rows = field(default_factory=_no_rows)


class ResultWriter:
    """Collects the batches of one run; use it in a `with` statement.

    With `resume`, batches that the journal of the same run holds are `completed`. A run that was
    already finished is complete from the start, and `finish` then only names its file. With
    `overwrite` whatever an earlier run left is replaced: its journal at once, its file at the end.

    Raises
    ------
    ResultError
        The folder cannot be written, the name belongs to a file that is no result, another process
        writes the same result, an earlier run left a result or finished batches and neither
        `resume` nor `overwrite` says what is to become of them, or `resume` meets the journal or
        the file of another run; the message says what differs.
    ConfigError
        Both `resume` and `overwrite`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: RunHeader,
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        if resume and overwrite:
            raise ConfigError("resume and overwrite: need one of them, got both")
        self.path = Path(path)
        _refuse_to_replace(self.path)
        self.part = self.path.with_name(self.path.name + ".part")
        self.header = header
        self._is_finished = False
        if not 0 <= header.start < header.stop:
            raise ResultError(
                f"{self.path}: need samples 0 <= start < stop, got {header.start}:{header.stop}"
            )
        if resume and self.path.exists() and not self.part.exists():
            self._compare_header(open_result(self.path).header, self.path)
            self._is_finished = True
            return
        if not resume and not overwrite:
            self._refuse_to_discard()
        self._journal = Journal(self.part, resume=resume)
        try:
            self._batches = self._read_journal()
        except BaseException:
            self._journal.close()
            raise

    def _refuse_to_discard(self) -> None:
        """Raise ResultError where an earlier run left a result, or batches of one."""
        if self.path.exists() and self.path.stat().st_size:
            raise ResultError(
                f"{self.path}: holds a result already; --overwrite replaces it, or choose another "
                "output"
            )
        if not self.part.exists():
            return
        with Journal(self.part, resume=True) as journal:
            n_batches = max(len(journal) - 1, 0)  # the first record is the header
        if n_batches:
            raise ResultError(
                f"{self.part}: an unfinished run left {n_batches} finished batch"
                f"{'es' if n_batches > 1 else ''}; --resume goes on with it, --overwrite starts "
                "anew"
            )

    def _read_journal(self) -> dict[range, int]:
        """Read which batches are done, starting the journal where it is new."""
        if not len(self._journal):
            self._journal.append(pack_record({"header": asdict(self.header)}))
            return {}
        batches: dict[range, int] = {}
        for index, payload in enumerate(self._journal):
            try:
                fields, arrays = unpack_record(payload)
                if index == 0:
                    began_with = header_of(fields)
                else:
                    batch = batch_of(fields, arrays, self.header)
                    _need_new(batch, batches)
            except ValueError as error:
                raise ResultError(
                    f"{self.part}: record {index} is none of this version's: {error}; "
                    "--overwrite starts anew"
                ) from error
            if index == 0:
                self._compare_header(began_with, self.part)
                self.header = began_with
            else:
                batches[batch] = index
        return batches

    def _compare_header(self, found: RunHeader, where: Path) -> None:
        apart = found.differences(self.header)
        if apart:
            raise ResultError(
                f"{where}: belongs to another run, there and here: {'; '.join(apart)}; --overwrite "
                "starts anew, or choose another output"
            )

    @property
    def completed(self) -> frozenset[int]:
        """The samples that are done."""
        if self._is_finished:
            return frozenset(range(self.header.start, self.header.stop))
        return frozenset(sample for batch in self._batches for sample in batch)

    @property
    def is_finished(self) -> bool:
        """Whether the final file was already there when the run began."""
        return self._is_finished

    def add_batch(
        self, start: int, stop: int, layers: Mapping[int, LayerBatch], final_codes: Array | None
    ) -> None:
        """Keep one batch; it is on the disk when this returns.

        Shapes
        ------
        layers : what each layer gave, by its index
        final_codes : (stop - start, ...), integers; None in a run that keeps no outputs

        Raises
        ------
        ResultError
            Samples outside the run or done before, shapes that do not fit, or a full disk.
        """
        self._check_samples(start, stop)
        _check_shapes(f"{self.path}: samples {start}:{stop}", stop - start, layers, final_codes)
        names = sorted(layers)
        arrays: dict[str, Array] = {} if final_codes is None else {"final": final_codes}
        for index in names:
            arrays[f"digests {index}"] = layers[index].digests
            arrays[f"errors {index}"] = layers[index].error_rows.astype(np.float64, copy=False)
        counts = [
            {phase: {e: int(n) for e, n in events.items()} for phase, events in c.items()}
            for c in (layers[index].counts for index in names)
        ]
        fields = {"start": start, "stop": stop, "layers": names, "counts": counts}
        self._batches[range(start, stop)] = self._journal.append(pack_record(fields, arrays))

    def _check_samples(self, start: int, stop: int) -> None:
        if self._is_finished or not self.header.start <= start < stop <= self.header.stop:
            raise ResultError(
                f"{self.path}: samples {start}:{stop}: not in the run's samples "
                f"{self.header.start}:{self.header.stop} that are still to do"
            )
        try:
            _need_new(range(start, stop), self._batches)
        except ResultError as error:
            raise ResultError(f"{self.path}: {error}") from error

    def error_rows(self) -> dict[int, Rows]:
        """Return the error rows of each layer, all samples in order (done batches only)."""
        rows: dict[int, list[Rows]] = {}
        for fields, arrays in self._in_order():
            for index in fields["layers"]:
                rows.setdefault(index, []).append(arrays[f"errors {index}"])
        return {index: np.concatenate(parts) for index, parts in rows.items()}

    def final_codes(self) -> Array | None:
        """Return the final codes of all samples in order (done batches only), if they are kept."""
        parts = [arrays["final"] for _, arrays in self._in_order() if "final" in arrays]
        return np.concatenate(parts) if parts else None

    def _in_order(self) -> Batches:
        for batch in sorted(self._batches, key=lambda b: b.start):
            yield unpack_record(self._journal.payload(self._batches[batch]))

    def finish(
        self,
        layer_table: LayerRows,
        prices: PriceTable | None = None,
        error_figures: ErrorFigures | None = None,
        legend: Legend | None = None,
    ) -> Path:
        """Write the result under its final name, remove the journal, and return the name.

        `layer_table` is the plan's table: `index`, `name`, `kind`, and scalars that are kept as
        they are; it must hold every layer of the batches. Without a legend nothing is known of how
        the counts are to be read.

        Raises
        ------
        ResultError
            Samples are missing, batches disagree, or the file cannot be written (the journal then
            stays, and a later `resume` finishes).
        ConfigError
            The price table lacks an event.
        """
        if self._is_finished:
            return self.path
        missing = self.header.n_samples - len(self.completed)
        if missing:
            raise ResultError(f"{self.path}: {missing} samples are still to do")
        image = assemble(
            self.header, self._in_order, layer_table, prices, error_figures, legend or Legend()
        )
        _write_whole(self.path, seal_of(image), image)
        self._journal.remove()
        self._is_finished = True
        return self.path

    def close(self) -> None:
        """Let go of the journal; it stays for a later resume unless the run was finished."""
        if not self._is_finished:
            self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _need_new(batch: range, batches: Mapping[range, int]) -> None:
    for done in batches:
        if done.start < batch.stop and batch.start < done.stop:
            raise ResultError(f"samples {batch.start}:{batch.stop} were done before")


def _refuse_to_replace(path: Path) -> None:
    """Raise ResultError where what is no result, such as the trace or a folder, bears the name."""
    against = refusal(path, overwrite=True)
    if against is not None:
        raise ResultError(against)
    try:
        is_other = path.is_file() and path.stat().st_size > 0 and not bears_seal(path)
    except OSError as error:
        raise ResultError(f"{path}: cannot be read ({error.strerror or error})") from error
    if is_other:
        raise ResultError(
            f"{path}: exists and is not a bitpim result; choose another output or move it away"
        )


def _write_whole(path: Path, *pieces: bytes) -> None:
    """Write a file that appears under its name only when all of it is on the disk."""
    try:
        with whole_file(path) as unfinished, unfinished.path.open("wb") as file:
            for piece in pieces:
                file.write(piece)
    except OSError as error:
        raise ResultError(
            f"{path}: cannot be written ({error.strerror or error}); what was finished is kept: "
            "make room and run again with --resume"
        ) from error


def _check_shapes(
    where: str, n_samples: int, layers: Mapping[int, LayerBatch], final_codes: Array | None
) -> None:
    need = (n_samples, DIGEST_BYTES)
    for index, layer in layers.items():
        digests, rows = layer.digests, layer.error_rows
        if digests.shape != need or digests.dtype != np.uint8:
            raise ResultError(
                f"{where}: digests of layer {index}: need uint8 {need}, got {digests.dtype} "
                f"{digests.shape}"
            )
        if rows.ndim != 2 or rows.shape[1] != len(ERROR_COLUMNS) or len(rows) > n_samples:
            raise ResultError(
                f"{where}: error rows of layer {index}: need (at most {n_samples}, "
                f"{len(ERROR_COLUMNS)}), got {rows.shape}"
            )
        if not np.isfinite(rows).all():
            raise ResultError(
                f"{where}: layer {index}: need finite numbers as the float network's outputs; "
                "bitpim trace check --deep says which are not"
            )
    if final_codes is None:
        return
    if final_codes.shape[:1] != (n_samples,) or final_codes.dtype.kind not in "iu":
        raise ResultError(
            f"{where}: final codes: need integers of {n_samples} samples, got "
            f"{final_codes.dtype} {final_codes.shape}"
        )
