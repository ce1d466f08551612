"""Records to file and back: equal content, equal bytes, bounded memory, no half files."""

import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitpim_traces
from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.errors import TraceDataError, TraceError
from bitpim_traces.footer import FOOTER_BYTES
from bitpim_traces.provenance import make_provenance
from bitpim_traces.records import REQUANTIZE_MODES, TensorRecord, Trace
from tests.mutants.fingerprint import fingerprint
from tests.strategies import small_trace
from tests.traces.format_text import example_trace

ROOT = Path(__file__).parents[2]


def _written(trace: Trace, path: Path) -> bytes:
    write_trace(trace, path)
    return path.read_bytes()


def _small_chunks(monkeypatch: pytest.MonkeyPatch, n_bytes: int = 64) -> None:
    monkeypatch.setattr("bitpim_traces.tree_writer._CHUNK_BYTES", n_bytes)
    monkeypatch.setattr("bitpim_traces.tree.BLOCK_BYTES", 3 * n_bytes)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(2, 8), (1, 16), (8, 8), (1, 1)]), st.booleans())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, seed: int, bits: tuple[int, int], floats: bool
) -> None:
    folder = tmp_path_factory.mktemp("round")
    trace = small_trace(seed, bits=bits, float_noise=floats)
    first = _written(trace, folder / "first.h5")
    read = open_trace(folder / "first.h5")
    assert fingerprint(_canonical(replace(trace, digest=read.digest))) == fingerprint(read)
    assert _written(read, folder / "second.h5") == first
    assert check_trace(folder / "first.h5", deep=True) == []


def _canonical(trace: Trace) -> Trace:
    """Give tensors the units and roles of the schema, which writing decides."""

    def named(tensor: TensorRecord | None, role: str, units: str) -> TensorRecord | None:
        return None if tensor is None else replace(tensor, role=role, units=units)

    codes = ("weight", "bias", "table")
    floats = ("weight_float", "bias_float", "output_float")
    layers = tuple(
        replace(
            layer,
            **{name: named(getattr(layer, name), name, "code") for name in codes},  # type: ignore[arg-type]
            **{name: named(getattr(layer, name), name, "real") for name in floats},  # type: ignore[arg-type]
            extra=dict(layer.extra),
        )
        for layer in trace.layers
    )
    samples = replace(
        trace.samples,
        codes=replace(trace.samples.codes, role="codes"),
        labels=named(trace.samples.labels, "labels", "1"),
    )
    return replace(trace, layers=layers, samples=samples)


@pytest.mark.parametrize("mode", REQUANTIZE_MODES)
def test_small_chunks_hold_the_same_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    kinds = ["conv2d", "add", "concat", "avg_pool2d", "max_pool2d", "pad", "flatten", "linear"]
    trace = small_trace(7, mode=mode, kinds=kinds, n_samples=9, float_noise=True)
    digest = write_trace(trace, tmp_path / "whole.h5")
    _small_chunks(monkeypatch)
    assert write_trace(trace, tmp_path / "cut.h5") == digest
    assert (tmp_path / "cut.h5").read_bytes() != (tmp_path / "whole.h5").read_bytes()
    whole, cut = open_trace(tmp_path / "whole.h5"), open_trace(tmp_path / "cut.h5")
    assert fingerprint(whole) == fingerprint(cut)


def test_every_range_is_what_h5py_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _small_chunks(monkeypatch)
    write_trace(small_trace(2, n_samples=7, float_noise=True), tmp_path / "net.h5")
    trace = open_trace(tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5") as file:
        pairs: list[tuple[TensorRecord | None, str]] = [(trace.samples.codes, "samples/codes")]
        for layer in trace.layers:
            pairs += [
                (getattr(layer, name), f"layers/{layer.index:04d}/{name}")
                for name in ("weight", "bias", "output_float", "weight_float")
            ]
        for record, path in pairs:
            if record is None:
                continue
            stored = file[path]
            assert stored.chunks is not None
            assert record.dtype == stored.dtype
            for start in range(record.shape[0] + 1):
                for stop in range(start, record.shape[0] + 1):
                    np.testing.assert_array_equal(record.read(start, stop), stored[start:stop])


def test_equal_content_gives_equal_bytes_whatever_its_order(tmp_path: Path) -> None:
    trace = small_trace(0)
    turned = replace(trace, provenance=dict(reversed(list(trace.provenance.items()))))
    masks = {
        name: TensorRecord.of(np.ones((2, 3), np.uint8), axes="OK", role="mask", units="1")
        for name in ("mask", "pattern")
    }
    first = replace(trace.layers[0], extra=masks)
    other = replace(trace.layers[0], extra=dict(reversed(list(masks.items()))))
    one = _written(replace(trace, layers=(first, *trace.layers[1:])), tmp_path / "one.h5")
    two = _written(replace(turned, layers=(other, *trace.layers[1:])), tmp_path / "two.h5")
    assert one == two
    read = open_trace(tmp_path / "one.h5").layers[0].extra["mask"]
    assert (read.axes, read.role, read.units) == ("OK", "mask", "1")
    assert read.read().tolist() == [[1, 1, 1], [1, 1, 1]]


def test_any_number_anywhere_changes_the_digest(tmp_path: Path) -> None:
    trace = example_trace()
    digests = {write_trace(trace, tmp_path / "net.h5")}
    conv = trace.layers[0]
    assert conv.bias is not None
    bias = TensorRecord.of(conv.bias.read() + 1, axes="O", role="bias")
    others = [replace(conv, clamp=(3, 15)), replace(conv, name="c"), replace(conv, bias=bias)]
    for other in others:
        changed = replace(trace, layers=(other, *trace.layers[1:]))
        digests.add(write_trace(changed, tmp_path / "net.h5"))
    digests.add(write_trace(replace(trace, name="other"), tmp_path / "net.h5"))
    assert len(digests) == 5


def test_no_samples_is_a_trace(tmp_path: Path) -> None:
    write_trace(small_trace(3, n_samples=0, float_noise=True), tmp_path / "net.h5")
    trace = open_trace(tmp_path / "net.h5")
    assert trace.n_samples == 0
    assert trace.samples.codes.read().shape == trace.samples.codes.shape
    assert check_trace(tmp_path / "net.h5", deep=True) == []


def test_tensors_stream_through(tmp_path: Path) -> None:
    """64 MB of samples made on demand never lie in memory at once, going in or out."""
    n_samples, calls, seen = 256, [], []

    def load(start: int, stop: int) -> np.ndarray[Any, Any]:
        calls.append((start, stop))
        each = (np.arange(start, stop) % 15).astype(np.uint8).reshape(-1, 1, 1, 1)
        return np.tile(each, (1, 1, 512, 512))

    trace = _with_codes(load, (n_samples, 1, 512, 512))
    tracemalloc.start()
    write_trace(trace, tmp_path / "big.h5", progress=lambda done, total: seen.append((done, total)))
    codes = open_trace(tmp_path / "big.h5").samples.codes
    assert all(int(codes.read(k, k + 1).max()) == k % 15 for k in range(0, n_samples, 16))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [c[0] for c in calls[1:]] == [c[1] for c in calls[:-1]], "one pass, in order"
    assert (calls[0][0], calls[-1][1]) == (0, n_samples)
    assert seen[-1][0] == seen[-1][1] >= 2**26
    assert peak < 2**25, f"{peak} bytes"


def _with_codes(load: Callable[[int, int], Any], shape: tuple[int, ...]) -> Trace:
    trace = example_trace()
    codes = TensorRecord(shape, np.dtype("uint8"), "NCHW", "code", "codes", load)
    pool = replace(
        trace.layers[1],
        index=0,
        name="flat",
        inputs=(-1,),
        input_shapes=(shape[1:],),
        output_shape=(int(np.prod(shape[1:])),),
        output=trace.samples.quantization,
    )
    return replace(trace, layers=(pool,), samples=replace(trace.samples, codes=codes, labels=None))


def test_a_load_that_breaks_its_word_is_refused(tmp_path: Path) -> None:
    trace = _with_codes(lambda start, stop: np.zeros((1, 1, 2, 2), np.uint8), (3, 1, 2, 2))
    with pytest.raises(TraceDataError, match=r"/samples/codes: need uint8 of shape .* mend"):
        write_trace(trace, tmp_path / "net.h5")
    assert list(tmp_path.iterdir()) == []


def test_threads_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _small_chunks(monkeypatch)
    write_trace(small_trace(11, n_samples=40), tmp_path / "net.h5")
    trace = open_trace(tmp_path / "net.h5")
    expected = trace.samples.codes.read()
    wrong: list[int] = []

    def read(first: int) -> None:
        wrong.extend(
            k
            for k in range(first, 40, 3)
            if not np.array_equal(trace.samples.codes.read(k, k + 1), expected[k : k + 1])
        )

    threads = [threading.Thread(target=read, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_open_trace_outlives_its_name(tmp_path: Path) -> None:
    write_trace(example_trace(), tmp_path / "net.h5")
    trace = open_trace(tmp_path / "net.h5")
    write_trace(small_trace(1), tmp_path / "net.h5")
    assert trace.samples.codes.read().tolist() == example_trace().samples.codes.read().tolist()


@pytest.mark.parametrize("limit", [0, 1000, 5000, 12000])
def test_a_full_disk_is_one_line_and_no_file(tmp_path: Path, limit: int) -> None:
    """A file-size limit fails writes at the same places as a full disk."""
    program = (
        "import resource, signal, sys\n"
        "from bitpim_traces import write_trace\n"
        "from tests.traces.format_text import example_trace\n"
        "import bitpim_traces.writer\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "try:\n"
        "    write_trace(example_trace(), sys.argv[1])\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    folders = os.pathsep.join(str(ROOT / f) for f in (".", "kernels", "traces"))
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "net.h5")],
        env={**os.environ, "PYTHONPATH": folders, "OPENBLAS_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("TraceError ") and done.stdout.count("\n") == 1
    assert "need a folder with room" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["/proc", "missing/folder"])
def test_a_folder_that_takes_no_file_is_one_line(tmp_path: Path, folder: str) -> None:
    with pytest.raises(TraceError, match=r"need a folder .* that can be written to") as caught:
        write_trace(example_trace(), tmp_path / folder / "net.h5")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    before = _written(example_trace(), tmp_path / "net.h5")

    def fail(start: int, stop: int) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_trace(_with_codes(fail, (3, 1, 2, 2)), tmp_path / "net.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["net.h5"]
    assert (tmp_path / "net.h5").read_bytes() == before


def test_the_writer_refuses_what_the_reader_would(tmp_path: Path) -> None:
    trace = example_trace()
    wrong = replace(trace.layers[0], clamp=(2, 16))
    with pytest.raises(TraceDataError, match=r"/layers/0000@clamp: need .* mend the trace"):
        write_trace(replace(trace, layers=(wrong, *trace.layers[1:])), tmp_path / "net.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04" * 100, b"\x89HDF\r\n\x1a\n" + b"\0" * 600]
)
def test_foreign_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.h5").write_bytes(content)
    with pytest.raises(TraceError, match=r"net\.h5: /"):
        open_trace(tmp_path / "net.h5")


@pytest.mark.parametrize("name", ["missing.h5", ".", "zero\0byte"])
def test_no_file_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(TraceError, match="need a "):
        open_trace(f"{tmp_path}/{name}")


def test_a_seal_that_does_not_fit_is_refused_before_hdf5_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = bytearray(_written(example_trace(), tmp_path / "net.h5"))
    raw[len(raw) // 2] ^= 1
    (tmp_path / "net.h5").write_bytes(raw)
    monkeypatch.setattr("h5py.File", None)
    with pytest.raises(TraceDataError, match="seals"):
        open_trace(tmp_path / "net.h5")


def test_an_edit_by_another_tool_drops_the_seal_and_is_noticed(tmp_path: Path) -> None:
    sealed = len(_written(example_trace(), tmp_path / "net.h5"))
    with h5py.File(tmp_path / "net.h5", "r+") as file:
        file["layers/0002/weight"][0, 0] += 1
    assert (tmp_path / "net.h5").stat().st_size == sealed - FOOTER_BYTES
    weight = open_trace(tmp_path / "net.h5").layers[2].weight
    assert weight is not None
    for start, stop in ((1, 2), (0, 2)):
        with pytest.raises(TraceDataError, match=r"/layers/0002/weight: need .* SHA-256"):
            weight.read(start, stop)
    assert [f.where for f in check_trace(tmp_path / "net.h5", deep=True)] == ["/layers/0002/weight"]


def test_a_file_without_a_seal_is_read(tmp_path: Path) -> None:
    raw = _written(example_trace(), tmp_path / "net.h5")
    expected = fingerprint(open_trace(tmp_path / "net.h5"))
    (tmp_path / "net.h5").write_bytes(raw[:-FOOTER_BYTES])
    assert fingerprint(open_trace(tmp_path / "net.h5")) == expected


def test_the_face_loads_no_library() -> None:
    program = (
        "import sys, bitpim_traces; print(sorted({'h5py', 'numba', 'torch'} & set(sys.modules)))"
    )
    folders = os.pathsep.join(str(ROOT / f) for f in ("kernels", "traces"))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": folders},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="nonsense"):
        _ = bitpim_traces.nonsense


def test_provenance_names_no_one(tmp_path: Path) -> None:
    made = make_provenance("bitpim trace synth", {"bits": 8}, seed=3)
    again = make_provenance("bitpim trace synth", {"bits": 8}, seed=3)
    assert made == again
    write_trace(replace(example_trace(), provenance=made), tmp_path / "net.h5")
    assert open_trace(tmp_path / "net.h5").provenance == made
    assert os.uname().nodename not in str(made)


def test_a_trace_can_be_closed(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    write_trace(small_trace(3, n_samples=60_000), path)
    n_open = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    with open_trace(path) as trace:
        assert trace.samples.codes.read(0, 1).shape[0] == 1
    trace.close()  # once more does nothing
    with pytest.raises(TraceError, match=r"net\.h5: was closed; open it again"):
        trace.samples.codes.read()  # the chunk that was read last may still be there
    if n_open:
        assert len(list(Path("/proc/self/fd").iterdir())) == n_open
    small_trace(3).close()  # one without a file has nothing to close


@pytest.mark.parametrize("kind", ["conv2d", "add", "avg_pool2d", "concat"])
def test_a_mode_that_is_none_is_refused(tmp_path: Path, kind: str) -> None:
    trace = small_trace(1, mode="half_up_shift", kinds=["conv2d", kind])
    layer = trace.layers[-1]
    assert layer.kind == kind
    step = replace(layer.requantize or trace.layers[0].requantize, mode="half_up")  # type: ignore[type-var]
    wrong = replace(trace, layers=(*trace.layers[:-1], replace(layer, requantize=step)))
    where = (
        rf"/layers/000{layer.index}/requantize@mode: need one of float_scale_half_even, .*half_up"
    )
    with pytest.raises(TraceError, match=where):
        write_trace(wrong, tmp_path / "net.h5")
    assert not (tmp_path / "net.h5").exists()
