"""What a journal whose checksums are right may say: one case for each rule."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpim.errors import ResultError
from bitpim.report.journal import Journal, pack_record, unpack_record
from bitpim.report.result_file import ResultWriter
from tests.bitpim.report.small_run import CUTS, HEADER, add_missing, run

Fields = dict[str, Any]
Arrays = dict[str, Any]
Change = Callable[[Fields, Arrays], Any]


@pytest.fixture
def records(tmp_path: Path) -> list[tuple[Fields, Arrays]]:
    path = tmp_path / "first.h5"
    with ResultWriter(path, HEADER) as writer:
        add_missing(writer, CUTS[:2])
    with Journal(path.with_name("first.h5.part"), resume=True) as journal:
        return [unpack_record(payload) for payload in journal]


def resumed(tmp_path: Path, records: list[tuple[Fields, Arrays]]) -> bytes:
    path = tmp_path / "net.h5"
    with Journal(path.with_name("net.h5.part"), resume=False) as journal:
        for fields, arrays in records:
            journal.append(pack_record(fields, arrays))
    return run(path, resume=True)


def test_records_as_they_were_go_on(tmp_path: Path, records: list[tuple[Fields, Arrays]]) -> None:
    assert resumed(tmp_path, records) == run(tmp_path / "whole.h5")


BATCHES: list[tuple[str, Change]] = [
    ("samples: need", lambda f, a: f.update(start=1)),
    ("samples: need", lambda f, a: f.update(stop=2)),
    ("samples: need", lambda f, a: f.update(start=True)),
    ("need start, stop", lambda f, a: f.update(more=1)),
    ("layers: need", lambda f, a: f["layers"].reverse()),
    ("layers: need", lambda f, a: f.update(layers=[0, 0, 2])),
    ("layers: need", lambda f, a: f.update(layers=[0, 1, 10_000])),
    ("counts: need", lambda f, a: f["counts"].pop()),
    ("counts of layer 0", lambda f, a: f["counts"][0]["load"].update(cycles=-1)),
    ("counts of layer 0", lambda f, a: f["counts"][0]["load"].update(cycles=2**63)),
    ("counts of layer 0", lambda f, a: f["counts"][0]["load"].update(cycles=1.0)),
    ("counts of layer 0", lambda f, a: f["counts"][0].update({"a\nb": {}})),
    ("arrays: need", lambda f, a: a.pop("digests 1")),
    ("arrays: need", lambda f, a: a.update({"digests 7": a["digests 1"]})),
    ("digests of layer 1", lambda f, a: a.update({"digests 1": a["digests 1"][:1]})),
    ("digests of layer 1", lambda f, a: a.update({"digests 1": a["digests 1"].view("i1")})),
    ("errors of layer 0", lambda f, a: a.update({"errors 0": np.full((1, 3), np.nan)})),
    ("errors of layer 0", lambda f, a: a.update({"errors 0": np.full((1, 3), -1.0)})),
    ("errors of layer 0", lambda f, a: a.update({"errors 0": np.zeros((9, 3))})),
    ("final codes: need", lambda f, a: a.update(final=a["final"][:1])),
    ("final codes: need", lambda f, a: a.update(final=np.zeros((2, 10)))),
]


@pytest.mark.parametrize(("said", "change"), BATCHES)
def test_a_batch_that_no_run_wrote_is_refused(
    tmp_path: Path, records: list[tuple[Fields, Arrays]], said: str, change: Change
) -> None:
    change(*records[1])
    with pytest.raises(ResultError, match=f"net.h5.part: record 1 .*{said}") as error:
        resumed(tmp_path, records)
    assert "--overwrite starts anew" in str(error.value)


def test_samples_are_done_once(tmp_path: Path, records: list[tuple[Fields, Arrays]]) -> None:
    with pytest.raises(ResultError, match=r"record 3 .*2:4 were done before"):
        resumed(tmp_path, [*records, records[1]])


@pytest.mark.parametrize("layers", [[0], [0, 2]])
def test_layers_are_those_of_the_run(
    tmp_path: Path, records: list[tuple[Fields, Arrays]], layers: list[int]
) -> None:
    """Batches that agree with each other, but lack layers that the run keeps."""
    for fields, arrays in records[1:]:
        dropped = set(fields["layers"]) - set(layers)
        fields["counts"] = [fields["counts"][k] for k in layers]
        fields["layers"] = layers
        for index in dropped:
            del arrays[f"digests {index}"], arrays[f"errors {index}"]
    with pytest.raises(ResultError, match="different layers"):
        resumed(tmp_path, records)


@pytest.mark.parametrize(
    "change",
    [
        {"machine": 3},
        {"start": -1},
        {"stop": "9"},
        {"options": {"layers": 1}},
        {"provenance": []},
        {"colour": "red"},
    ],
)
def test_a_header_that_no_run_wrote_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    header = {**asdict(HEADER), **change}
    with pytest.raises(ResultError, match="record 0 is none of this version's"):
        resumed(tmp_path, [({"header": header}, {})])


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff\xff\xff\xff", b"\2\0\0\0{}", b"\x04\0\0\0null", pack_record({}, {}) + b"more"],
)
def test_payloads_that_are_none(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"need|Expecting|codec"):
        unpack_record(payload)
