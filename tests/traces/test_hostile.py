"""Files that ask for more than they store, or for what is not theirs: each kind by its own name."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bitpim.cost.tables import load_prices
from bitpim.errors import ConfigError, ResultError, TraceError, TraceFormatError
from bitpim.machine.registry import load_preset
from bitpim.report.journal import Journal
from bitpim.report.result_file import open_result
from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.array_files import open_array, read_archive
from bitpim_traces.open_file import OpenFile
from tests.mutants.hdf5_bytes import checksummed_blocks
from tests.mutants.lookup3 import lookup3
from tests.strategies import small_trace
from tests.traces.edits import redo_digests

V110 = ("v110", "v110")
FILTERED: dict[str, Any] = {"compression": "gzip", "shuffle": True, "fletcher32": True}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_trace(small_trace(1, n_samples=3, kinds=["conv2d", "add"]), tmp_path / "net.h5")
    return tmp_path / "net.h5"


def replaced(path: Path, name: str, **how: Any) -> None:
    """Make a dataset anew, with the attributes it had."""
    with h5py.File(path, "r+", libver=V110) as file:
        kept = dict(file[name].attrs)
        del file[name]
        made = file.create_dataset(name, **how)
        for key, value in kept.items():
            made.attrs.create(key, value)


def test_no_library_reads_a_file_from_elsewhere(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("File", "h5g", "h5o", "h5d"):
        monkeypatch.delattr(h5py, name)
    assert open_trace(path).samples.codes.read().shape[0] == 3


@pytest.mark.parametrize("name", ["/samples/codes", "/layers/0000"])
def test_links_are_not_followed(path: Path, name: str) -> None:
    for link in (h5py.SoftLink("/"), h5py.ExternalLink("other.h5", "/")):
        with h5py.File(path, "r+", libver=V110) as file:
            del file[name]
            file[name] = link
        with pytest.raises(TraceFormatError, match=r"need a plain \(hard\) link"):
            open_trace(path)


def test_values_elsewhere_are_not_read(path: Path) -> None:
    secret = path.with_name("secret")
    secret.write_bytes(b"secret" * 100)
    external = [(str(secret), 0, 75)]
    replaced(path, "samples/codes", shape=(75,), dtype="u1", external=external)
    with pytest.raises(TraceFormatError, match="/samples/codes: need values in this file"):
        open_trace(path)
    layout = h5py.VirtualLayout((3,), "u1")
    layout[...] = h5py.VirtualSource(str(path), "x", (3,))
    with h5py.File(path, "r+", libver=V110) as file:
        del file["samples/codes"]
        file.create_virtual_dataset("samples/codes", layout)
    with pytest.raises(TraceFormatError, match="/samples/codes: need a chunked layout"):
        open_trace(path)


def test_chunks_that_share_bytes_are_refused(path: Path) -> None:
    """Every entry of the array of chunks is made the first one: few bytes, many values."""
    values = np.zeros((64, 5, 40, 40), "u1")
    values[0] = np.random.default_rng(1).integers(0, 256, values[0].shape)
    replaced(path, "samples/codes", data=values, chunks=(1, 5, 40, 40), **FILTERED)
    body = bytearray(path.read_bytes())
    blocks = [b for b in checksummed_blocks(bytes(body)) if body[b[0] :][:4] == b"FADB"]
    start, stop = max(blocks, key=lambda block: block[1] - block[0])
    entry = (stop - start - 18) // 64
    assert entry * 64 + 18 == stop - start
    body[start + 14 : stop - 4] = bytes(body[start + 14 : start + 14 + entry]) * 64
    body[stop - 4 : stop] = lookup3(bytes(body[start : stop - 4])).to_bytes(4, "little")
    path.write_bytes(body)
    with pytest.raises(TraceFormatError, match="that share no bytes"):
        open_trace(path)


def test_tensors_read_at_once_are_bounded_together(path: Path) -> None:
    """Each of them is small enough; together they are 16 MiB of zeros in a small file."""
    n = 2**20
    for name, dtype in (("scale", "<f8"), ("zero_point", "<i8")):
        values = np.zeros(n, dtype)
        replaced(path, f"/layers/0000/output/{name}", data=values, chunks=(n,), **FILTERED)
    redo_digests(path)
    with pytest.raises(TraceFormatError, match="whose size fits the file's"):
        open_trace(path)


def test_a_chunk_that_unpacks_beyond_gzip_is_refused(path: Path) -> None:
    replaced(path, "samples/codes", data=np.zeros((2**20,), "u1"), chunks=(2**20,), **FILTERED)
    with h5py.File(path, "r+", libver=V110) as file:
        file["samples/codes"].id.write_direct_chunk((0,), bytes(100))
    with pytest.raises(TraceFormatError, match="need whole, filtered chunks"):
        open_trace(path)


def test_signatures_after_the_end_cost_nothing(path: Path) -> None:
    """What follows the HDF5 file is never looked at."""
    body = path.read_bytes()
    path.write_bytes(body + b"OHDR\x02\0\xff" * 300_000)
    assert check_trace(path) == []
    reads: list[int] = []
    whole = OpenFile.read

    def counted(self: OpenFile, offset: int, n_bytes: int) -> bytes:
        part = whole(self, offset, n_bytes)
        reads.append(len(part))
        return part

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenFile, "read", counted)
        open_trace(path)
    assert sum(reads) < 3 * len(body)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_and_devices_are_no_files(tmp_path: Path) -> None:
    """None of them waits for the other end."""
    pipe = tmp_path / "a.toml"
    os.mkfifo(pipe)
    for place in (str(pipe), "/dev/zero", str(tmp_path)):
        with pytest.raises(TraceError, match="not a regular file"):
            open_trace(place)
        with pytest.raises(ResultError, match="not a regular file"):
            open_result(place)
        with pytest.raises(TraceError, match="not a regular file"):
            read_archive(place)
        with pytest.raises(TraceError, match="not a regular file"):
            open_array(place)
    for load in (load_prices, lambda name: load_preset("isaac", name)):
        with pytest.raises(ConfigError, match="not a regular file"):
            load(str(pipe))
    with pytest.raises(ResultError, match="is no regular file"):
        Journal(pipe, resume=True)
    link = tmp_path / "b.part"
    link.symlink_to(tmp_path / "target")
    with pytest.raises(ResultError, match="cannot be written"):
        Journal(link, resume=False)
    assert not (tmp_path / "target").exists()


def test_reading_loads_no_hdf5_library(path: Path) -> None:
    code = (
        "import sys; from bitpim_traces import open_trace; "
        f"open_trace({str(path)!r}); print('h5py' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    search = os.pathsep.join(str(root / name) for name in ("kernels", "traces"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
