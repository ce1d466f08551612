import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitpim.errors import ResultError
from bitpim.report.journal import MAGIC, Journal, pack_record, unpack_record

PAYLOADS = [b"", b"a", b"bc" * 40, bytes(range(256))]


def write(path: Path, payloads: list[bytes]) -> list[int]:
    """Write a journal and return where each record ends."""
    ends = []
    with Journal(path, resume=False) as journal:
        for payload in payloads:
            journal.append(payload)
            ends.append(path.stat().st_size)
    return ends


def kept(path: Path, *, resume: bool = True) -> list[bytes]:
    with Journal(path, resume=resume) as journal:
        return list(journal)


def test_records_are_kept_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "r.part"
    write(path, PAYLOADS)
    assert kept(path) == PAYLOADS
    with Journal(path, resume=True) as journal:
        assert len(journal) == len(PAYLOADS)
        assert journal.append(b"more") == len(PAYLOADS)
        assert journal.payload(1) == b"a"
    assert kept(path) == [*PAYLOADS, b"more"]


def test_without_resume_it_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "r.part"
    write(path, PAYLOADS)
    assert kept(path, resume=False) == []
    assert kept(path) == []


def test_cut_at_every_byte_it_keeps_every_whole_record(tmp_path: Path) -> None:
    path = tmp_path / "r.part"
    ends = write(path, PAYLOADS)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        n = sum(end <= size for end in ends)
        with Journal(path, resume=True) as journal:
            assert list(journal) == PAYLOADS[:n], size
            journal.append(b"next")
        assert kept(path) == [*PAYLOADS[:n], b"next"]


@settings(deadline=None)
@given(st.integers(min_value=len(MAGIC)), st.integers(0, 7))
def test_a_flipped_bit_drops_that_record_and_those_after_it(position: int, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.part"
        ends = write(path, PAYLOADS)
        content = bytearray(path.read_bytes())
        at = len(MAGIC) + (position - len(MAGIC)) % (len(content) - len(MAGIC))
        content[at] ^= 1 << bit
        path.write_bytes(content)
        assert kept(path) == PAYLOADS[: sum(end <= at for end in ends)]


@pytest.mark.parametrize("resume", [True, False])
def test_a_foreign_file_is_left_alone(tmp_path: Path, resume: bool) -> None:
    path = tmp_path / "r.part"
    path.write_bytes(b"my thesis")
    with pytest.raises(ResultError, match="not a bitpim journal"):
        Journal(path, resume=resume)
    assert path.read_bytes() == b"my thesis"


def test_only_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "r.part"
    with Journal(path, resume=False) as first:
        first.append(b"mine")
        with pytest.raises(ResultError, match="another run"):
            Journal(path, resume=False)
        assert first.payload(0) == b"mine"
    assert kept(path) == [b"mine"]


def test_what_can_no_longer_be_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "r.part"
    with Journal(path, resume=False) as journal:
        journal.append(b"mine")
        os.truncate(path, len(MAGIC) + 3)
        with pytest.raises(ResultError, match="record 0 can no longer be read"):
            journal.payload(0)


def test_remove(tmp_path: Path) -> None:
    path = tmp_path / "r.part"
    Journal(path, resume=False).remove()
    assert not path.exists()


arrays = st.sampled_from(["i1", "u1", "<i2", "<u2", "<i4", "<i8", ">i2", "<f8"]).flatmap(
    lambda code: hnp.arrays(code, hnp.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=4))
)


@given(st.dictionaries(st.text(), arrays, max_size=3), st.dictionaries(st.text(), st.text()))
def test_fields_and_arrays_survive(content: dict[str, np.ndarray], fields: dict[str, str]) -> None:
    found_fields, found = unpack_record(pack_record(fields, content))
    assert found_fields == fields
    assert list(found) == list(content)
    for name, array in content.items():
        assert found[name].dtype == array.dtype.newbyteorder("<")
        np.testing.assert_array_equal(found[name], array)


def test_an_array_of_another_kind_is_refused() -> None:
    with pytest.raises(ResultError, match="complex"):
        pack_record({}, {"a": np.zeros(2, complex)})
