"""Program traces: what is written is read, and a file that breaks a rule is refused by name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bitpim.golden.replaying import replay_program
from bitpim_traces import open_trace, write_trace
from bitpim_traces.errors import (
    TraceDataError,
    TraceError,
    TraceFormatError,
    TraceTooNew,
    TraceTooOld,
)
from bitpim_traces.program_trace.reader import open_program
from bitpim_traces.program_trace.records import Expected, ProgramTrace, RowField
from bitpim_traces.program_trace.schema import FORMAT_VERSION, LAYER, ROOT, axes_of_table
from bitpim_traces.program_trace.writer import write_program
from bitpim_traces.records import TensorRecord
from tests.program_traces import random_program, random_share
from tests.strategies import small_trace
from tests.traces.edits import redo_digests
from tests.traces.format_text import table_of

PAGE = (Path(__file__).parents[3] / "traces" / "PROGRAMS.md").read_text("utf-8")


def tensor(values: Any) -> TensorRecord:
    return TensorRecord.of(np.asarray(values), axes="", role="", units="1")


def same(first: ProgramTrace, second: ProgramTrace) -> bool:
    """Whether two have the same content, but for the digest."""
    plain = [replace(one, digest="", file=None) for one in (first, second)]
    names = ("name", "array", "parameters", "fields", "marks", "counts", "provenance")
    tables = [{"steps": one.steps, "port": one.port, **one.state, **one.constants} for one in plain]
    for one, found in zip(plain, tables, strict=True):
        if one.expected is not None:
            found["after"] = tensor(one.expected.after)
            found |= {f"expected {name}": t for name, t in one.expected.state.items()}
        if one.layer is not None:
            found |= {f"layer {d.name}": getattr(one.layer, d.name) for d in LAYER.datasets}
    values = [{k: None if t is None else t.read().tolist() for k, t in f.items()} for f in tables]
    return values[0] == values[1] and all(
        getattr(plain[0], name) == getattr(plain[1], name) for name in names
    )


@pytest.mark.parametrize("after", ["end", "marks", "every"])
def test_what_is_written_is_read(tmp_path: Path, after: str) -> None:
    program = random_program(1, after=after)
    path = tmp_path / "program.h5"
    digest = write_program(program, path)
    read = open_program(path)
    assert read.digest == digest and same(program, read)
    written = path.read_bytes()
    assert write_program(read, tmp_path / "again.h5") == digest
    assert (tmp_path / "again.h5").read_bytes() == written


def test_what_is_left_out_is_nothing(tmp_path: Path) -> None:
    program = ProgramTrace("none", "sram", {}, tensor(np.empty((0, 5), np.int32)))
    write_program(program, tmp_path / "none.h5")
    read = open_program(tmp_path / "none.h5")
    assert same(program, read)
    assert (read.port, read.expected, read.counts, read.n_steps) == (None, None, None, 0)


def test_constants_and_names_come_back(tmp_path: Path) -> None:
    constants = {"table": tensor(np.arange(-3, 9, dtype=np.int16)), "b": tensor(np.eye(3))}
    program = replace(random_program(2), constants=constants, fields=(RowField("ä", 2, 0),))
    write_program(program, tmp_path / "program.h5")
    assert same(program, open_program(tmp_path / "program.h5"))


@pytest.mark.parametrize("is_known", [True, False])
def test_the_layer_of_a_tile_comes_back(tmp_path: Path, is_known: bool) -> None:
    share = random_share(1)
    share = share if is_known else replace(share, outputs=None)
    program = replace(random_program(2), layer=share)
    digest = write_program(program, tmp_path / "tile.h5")
    read = open_program(tmp_path / "tile.h5")
    assert same(program, read) and read.layer is not None
    assert (read.layer.outputs is None) == (not is_known)
    assert write_program(read, tmp_path / "again.h5") == digest
    assert not same(read, replace(read, layer=random_share(2)))


def test_a_file_states_the_least_version_that_it_needs(tmp_path: Path) -> None:
    for program, minor in ((PROGRAM, 0), (replace(PROGRAM, layer=random_share(1)), 1)):
        write_program(program, tmp_path / "program.h5")
        with h5py.File(tmp_path / "program.h5") as file:
            assert file.attrs["format_version"].tolist() == [1, minor]
        assert open_program(tmp_path / "program.h5").digest


def test_the_page_has_the_tables_of_the_schema() -> None:
    assert table_of(ROOT).strip() in PAGE and table_of(LAYER).strip() in PAGE
    assert f"version {FORMAT_VERSION[0]}.{FORMAT_VERSION[1]}\n" in PAGE
    assert [axes_of_table(n) for n in (1, 2, 3)] == ["X", "XY", "XYZ"]
    assert axes_of_table(3, expected=True) == "EXY"


def expecting(after: Any, **state: Any) -> dict[str, Any]:
    made = {name: tensor(values) for name, values in state.items()}
    return {"expected": Expected(np.asarray(after, np.int64), made)}


def sharing(**changed: Any) -> dict[str, Any]:
    made = {name: tensor(values) for name, values in changed.items()}
    return {"layer": replace(random_share(1), **made)}


PROGRAM = random_program(4)
N = PROGRAM.n_steps
STEPS = PROGRAM.steps.read()
ROWS = np.zeros((1, 6, 2), np.uint64)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"steps": tensor(STEPS[:, :4])}, "/steps: need 5 numbers a step"),
        ({"steps": tensor(STEPS[:, 0])}, "/steps.*axis"),
        ({"steps": tensor(STEPS.astype(np.int64))}, "/steps: need dtype int32, got int64"),
        ({"port": tensor(np.zeros(3, np.uint64))}, "/port"),
        ({"parameters": {"n_rows": 1.5}}, "parameters.n_rows: need a number or a text, got 1.5"),
        ({"parameters": {"n_rows": True}}, "parameters.n_rows: need a number or a text"),
        ({"counts": {"cycles": -1}}, "counts.cycles: need a number, 0 or more, got -1"),
        ({"fields": (RowField("x", -1, 2),)}, "fields: need name, first row, number of rows"),
        ({"fields": (RowField("x", 0, 2**31 + 1),)}, "fields: need name"),
        ({"marks": ((3, "b"), (2, "a"))}, "marks: need a step of 0"),
        ({"marks": ((N + 1, "end"),)}, "marks: need a step of 0"),
        ({"marks": ((-1, "before"),)}, "marks: need a step of 0"),
        ({"state": {"rows": tensor(np.zeros((1, 2, 3, 4), np.uint64))}}, "/state/rows"),
        (expecting([N], rows=ROWS), "/expected/after: need rising numbers of steps"),
        (expecting([-1], rows=ROWS), "/expected/after: need rising numbers of steps"),
        (expecting([3, 3], rows=np.zeros((2, 6, 2))), "/expected/after: need rising numbers"),
        (expecting([2, 3], rows=ROWS), "/expected/rows: need 2 states"),
        (
            {"state": {"rows": tensor(ROWS[0])}, **expecting([2], rows=ROWS[:, :5])},
            r"/expected/rows: need uint64 of shape \(6, 2\) each, as in /state",
        ),
        (sharing(inputs=np.zeros(6, np.uint8)), "/layer/inputs: need a number for each of 7 input"),
        (sharing(sums=np.zeros(4, np.int64)), "/layer/sums: need a number for each of 3 output"),
        (sharing(outputs=np.zeros(2, np.int8)), "/layer/outputs: need a number for each of 3 out"),
        (sharing(inputs=np.zeros(7, np.float32)), "/layer/inputs: need dtype int8 or .*, got flo"),
        (sharing(output_places=np.zeros((3, 4), np.int64)), "/layer/output_places: need dtype in"),
        (sharing(input_places=np.zeros(7, np.int32)), "/layer/input_places.*axis"),
    ],
)
def test_a_program_that_breaks_a_rule_is_not_written(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    path = tmp_path / "program.h5"
    with pytest.raises(TraceError, match=words) as refused:
        write_program(replace(PROGRAM, **changed), path)
    assert "not written: mend the program by PROGRAMS.md" in str(refused.value)
    assert not path.exists()


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("{", "need one JSON object"),
        ("[]", "need one JSON object of parameters, fields, marks, counts, provenance"),
        ('{"parameters":{}}', "need one JSON object of"),
        (
            '{"parameters":[],"fields":[],"marks":[],"counts":null,"provenance":{}}',
            "header: parameters: need its form",
        ),
        (
            '{"parameters":{},"fields":[["x",0]],"marks":[],"counts":null,"provenance":{}}',
            "fields: need name",
        ),
        (
            '{"parameters":{},"fields":[],"marks":[],"counts":null,"provenance":{},"more":1}',
            "need one JSON object of parameters",
        ),
        (
            '{"parameters":{},"fields":[],"marks":[[0,1]],"counts":null,"provenance":{}}',
            "marks: need a step",
        ),
    ],
)
def test_a_header_that_is_none_is_refused(tmp_path: Path, header: str, words: str) -> None:
    def change(file: Any) -> None:
        del file["header"]
        raw = np.array([header.encode()])
        made = file.create_dataset(
            "header", data=raw, chunks=(1,), compression=1, shuffle=True, fletcher32=True
        )
        for name, value in (
            ("axes", "K"),
            ("units", "1"),
            ("role", "header"),
            ("sha256", "0" * 64),
        ):
            made.attrs.create(name, np.bytes_(value))

    path = edited(tmp_path, change)
    redo_digests(path)
    with pytest.raises(TraceError, match=words):
        open_program(path)


def edited(tmp_path: Path, change: Any) -> Path:
    """Change a file by h5py, which drops the seal; the digest then fits no more."""
    path = tmp_path / "program.h5"
    write_program(PROGRAM, path)
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        change(file)
    return path


@pytest.mark.parametrize(
    ("version", "error"),
    [((2, 0), TraceTooNew), ((0, 9), TraceTooOld), ((-1, 0), TraceFormatError)],
)
def test_another_major_version_is_refused(
    tmp_path: Path, version: tuple[int, int], error: type[TraceError]
) -> None:
    def change(file: Any) -> None:
        file.attrs.create("format_version", np.array(version, np.int64))

    with pytest.raises(error):
        open_program(edited(tmp_path, change))


def test_a_changed_name_no_longer_fits_the_digest(tmp_path: Path) -> None:
    def change(file: Any) -> None:
        file.attrs.create("name", np.bytes_("another"))

    with pytest.raises(TraceDataError, match="/@digest"):
        open_program(edited(tmp_path, change))


def test_another_kind_of_file_is_told_apart(tmp_path: Path) -> None:
    write_program(PROGRAM, tmp_path / "program.h5")
    write_trace(small_trace(1), tmp_path / "net.h5")
    with pytest.raises(TraceFormatError, match=r"'bitpim.program': this is another kind of file"):
        open_program(tmp_path / "net.h5")
    with pytest.raises(TraceFormatError, match=r"'bitpim.trace': this is another kind of file"):
        open_trace(tmp_path / "program.h5")
    for name, words in (("none.h5", "need a program trace, got none"), ("", "cannot|can be read")):
        with pytest.raises(TraceError, match=words):
            open_program(tmp_path / name)


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "program.h5"
    path.write_text("mine")
    with pytest.raises(TraceError, match="--overwrite replaces it"):
        write_program(PROGRAM, path, overwrite=False)
    with pytest.raises(TraceError):
        write_program(replace(PROGRAM, counts={"cycles": -1}), path)
    assert path.read_text() == "mine"


def test_steps_stream(tmp_path: Path) -> None:
    """Steps that nobody holds are written and run block by block."""
    table = np.array([(2, 0, -1, 1, 0), (8, 1, 0, 0, 0)], np.int32)
    loaded: list[int] = []

    def load(start: int, stop: int) -> Any:
        loaded.append(stop - start)
        return table[np.arange(start, stop) % 2]

    n = 600_000
    steps = TensorRecord((n, 5), np.dtype(np.int32), "", "1", "", load)
    write_program(replace(PROGRAM, steps=steps, port=None, expected=None, marks=(), counts=None),
                  tmp_path / "long.h5")  # fmt: skip
    assert max(loaded) < n // 2
    run = replay_program(open_program(tmp_path / "long.h5"))
    assert run.equal and run.n_steps == n and run.counts["cycles"] == n
