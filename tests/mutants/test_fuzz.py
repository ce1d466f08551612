"""Thousands of damaged and hostile files: one clear error or the identical content."""

import io
import random
import tracemalloc
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bitpim.config import override, to_toml
from bitpim.cost.tables import load_prices
from bitpim.errors import BitpimError, ConfigError
from bitpim.machine.registry import load_preset
from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.array_files import open_array, read_archive
from bitpim_traces.clusters import masked_to_clusters
from bitpim_traces.errors import TraceDataError, TraceError
from bitpim_traces.mask_files import read_masks, write_masks
from bitpim_traces.masks import LayerMask, masks_of, with_masks
from bitpim_traces.quantize import Clustering, cluster_trace
from bitpim_traces.records import Clusters, TensorRecord
from tests.mutants.hdf5_bytes import checksummed_blocks
from tests.mutants.lookup3 import lookup3
from tests.mutants.objects import OBJECT_MUTATIONS
from tests.mutants.runs import KINDS, run_mutants
from tests.mutants.traces import TraceMutants
from tests.strategies import small_trace

N_MUTANTS = {"trace": 400, "codebooks": 300, "program": 2000, "result": 500, "journal": 500}
N_IN_PROCESS = 1500


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_mutants_are_refused_or_the_same(kind: str, tmp_path: Path) -> None:
    """A mutant has 10 s of a processor and 512 MiB in its own process; a crash names its seed."""
    outcomes = run_mutants(kind, N_MUTANTS[kind], tmp_path)
    # The mutants must bite, and must not all be stopped at the door.
    assert outcomes["refused"] > N_MUTANTS[kind] // 2
    assert outcomes["same"] > 10
    assert outcomes["other"] + outcomes["faulty"] > 2


def test_the_fuzz_covers_every_mutation(tmp_path: Path) -> None:
    """Every mutation changes the file for some seed, so none is a dead letter."""
    mutants = TraceMutants(tmp_path)
    changed = 0
    for seed in range(60):
        path = tmp_path / f"{seed}.h5"
        mutants.make(seed, path)
        changed += path.read_bytes()[: len(mutants.body)] != mutants.body
    assert changed >= 55
    assert len(OBJECT_MUTATIONS) >= 20


def test_metadata_blocks_are_found(tmp_path: Path) -> None:
    """The mutants that put HDF5's checksums right need the blocks."""
    body = TraceMutants(tmp_path).body
    found = {body[start : start + 4] for start, _ in checksummed_blocks(body)}
    assert {b"OHDR", b"FRHP", b"BTHD", b"BTLF", b"FAHD", b"FADB"} <= found


@pytest.mark.parametrize(
    ("key", "expected"),
    [(b"", 0xDEADBEEF), (b"Four score and seven years ago", 0x17770551)],
)
def test_lookup3_is_the_published_one(key: bytes, expected: int) -> None:
    assert lookup3(key) == expected


TOML_PARTS = (
    *("nan", "inf", "-1", "1e400", "9" * 200, "'", '"', '"""', "[", "]", "{", "}", "=", ".", "\n"),
    *("[[a]]", "a.b.c", "\x1b[31m", "é", "\\ud800", "true", "1979-05-27", "[" * 300, ".a" * 600),
    *("[table]", "[preset]", "name", "#", "\0", "\r", "0x" + "f" * 99),
)


def changed_text(dice: random.Random, text: str) -> bytes:
    """Put something strange into a text, or take some of it away."""
    for _ in range(dice.choice([1, 1, 2, 5])):
        at = dice.randrange(len(text) + 1)
        cut = dice.choice([0, 0, 1, 10, 200])
        text = text[:at] + dice.choice(TOML_PARTS) + text[at + cut :]
    content = bytearray(text.encode("utf-8", "surrogatepass"))
    if dice.random() < 0.2:
        content[dice.randrange(len(content))] = dice.randrange(256)
    return bytes(content)


@pytest.mark.parametrize("kind", ["prices", "preset"])
def test_mutants_of_toml_files(kind: str, tmp_path: Path) -> None:
    """A changed comment may pass; what does not pass says so in one line of moderate length."""
    path = tmp_path / "a.toml"
    is_preset = kind == "preset"
    by_layer = ["adc_bits@conv*=6", "adc_thresholds@fc=[1, 2]", "digital@conv1=true"]
    preset = to_toml(override(load_preset("isaac"), by_layer)).replace(
        '"isaac"\ntitle', '"a"\ntitle'
    )
    text = preset if is_preset else load_prices("isaac").to_toml()
    n_refused = 0
    for seed in range(N_IN_PROCESS):
        path.write_bytes(changed_text(random.Random(seed), text))
        try:
            load_preset("isaac", str(path)) if is_preset else load_prices(str(path))
        except ConfigError as error:
            assert "\n" not in str(error), seed
            assert len(str(error)) < 2000, seed
            n_refused += 1
    assert N_IN_PROCESS // 2 < n_refused < N_IN_PROCESS


def archive() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(
        stream, images=np.zeros((4, 3, 5, 5), np.uint8), labels=np.arange(4), other=np.ones(3)
    )
    return stream.getvalue()


def changed_bytes(dice: random.Random, whole: bytes) -> bytes:
    content = bytearray(whole)
    way = dice.randrange(4)
    at = dice.randrange(len(content))
    if way == 0:
        content[at] ^= 1 << dice.randrange(8)
    elif way == 1:
        del content[at:]
    elif way == 2:
        content[at : at + 8] = dice.choice([bytes(8), b"\xff" * 8, dice.randbytes(8)])
    else:
        content[at:at] = dice.randbytes(dice.choice([1, 4, 50]))
    return bytes(content)


def changed_head(dice: random.Random, shape: tuple[int, ...]) -> bytes:
    """An .npy whose head says anything."""
    values = np.zeros(shape, np.uint8)
    said = dice.choice(
        [
            *("(2**70,)", "(-1,)", "(1e3,)", str((2**40,)), str((2**62, 4)), "()", "'a'", "(" * 99),
            *("(True,)", "None", "[3]", str((0,)), str((*shape, 1))),
        ]
    )
    kind = dice.choice(["|u1", "|O", "<f8", "<U9", "|V8", "[('a', '<i4')]", "<m8[s]", "|S1"])
    text = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {said}, }}\n".encode()
    head = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    return head + values.tobytes()


def test_mutants_of_arrays(tmp_path: Path) -> None:
    whole = archive()
    n_refused = 0
    for seed in range(N_IN_PROCESS):
        dice = random.Random(seed)
        path = tmp_path / "a.npz"
        if seed % 2:
            path.write_bytes(changed_bytes(dice, whole))
        else:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
                made.writestr("images.npy", changed_head(dice, (4, 3)))
        try:
            found = read_archive(str(path), "images", ("labels",))["images"]
            assert found.dtype.kind in "biuf"
        except TraceDataError as error:
            assert "\n" not in str(error)
            n_refused += 1
        single = tmp_path / "a.npy"
        single.write_bytes(changed_head(dice, (4, 3)))
        try:
            assert open_array(str(single)).nbytes <= 12
        except TraceDataError as error:
            assert "\n" not in str(error)
            n_refused += 1
    assert n_refused > N_IN_PROCESS


def test_an_archive_takes_no_more_memory_than_it_stores(tmp_path: Path) -> None:
    """A member that states 1 GiB, in the archive or in its head, is refused before it is made."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        text = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1073741824,), }\n"
        head = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
        made.writestr("images.npy", head + bytes(1000))
    tracemalloc.start()
    with pytest.raises(TraceDataError, match="bytes for shape"):
        read_archive(str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    """A directory that states more stored bytes than the archive has."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as made:
        for name in ("images.npy", "labels.npy"):
            made.writestr(name, bytes(600))
        for member in made.filelist:
            member.compress_size = 900
    with pytest.raises(TraceDataError, match="members that share bytes"):
        read_archive(str(path))


def test_mutants_of_masks(tmp_path: Path) -> None:
    """Masks and patterns of any type, shape and value: refused, or what was given."""
    trace = small_trace(1, n_samples=1, kinds=["conv2d", "add"])
    layer = next(item for item in trace.layers if item.weight is not None)
    assert layer.weight is not None
    shape = layer.weight.shape
    n_refused = 0
    for seed in range(N_IN_PROCESS):
        dice = np.random.default_rng(seed)
        sizes = [
            (1,),
            shape,
            shape[:2],
            (*shape, 1),
            (0,) * len(shape),
            tuple(n + 1 for n in shape),
        ]
        of = sizes[int(dice.integers(len(sizes)))] if seed % 3 else shape
        dtype = ["u1", "i1", "f4", "?", "u1", "u1"][int(dice.integers(6))]
        mask = dice.integers(0, [1, 2, 256][seed % 3] + 1, of).astype(dtype)
        patterns = None if seed % 2 else dice.integers(0, 2**32, seed % 5).astype(np.uint32)
        if seed % 5 == 0:
            mask, patterns = np.ones(shape, np.uint8), None
        n_groups = shape[0] + int(dice.integers(3) == 0)
        groups = None if seed % 4 else dice.integers(-1, 9, n_groups).astype(np.int32)
        try:
            made = with_masks(trace, {layer.name: LayerMask(mask, patterns, groups)})
            assert np.array_equal(masks_of(made)[layer.name].mask, mask)
        except TraceError as error:
            assert isinstance(error, BitpimError)
            assert "\n" not in str(error)
            n_refused += 1
    assert N_IN_PROCESS // 2 < n_refused < N_IN_PROCESS


def test_mutants_of_clusters(tmp_path: Path) -> None:
    """Clusters of any type, shape, value and rule: refused in one line, listed, or masked by."""
    trace = small_trace(1, n_samples=1, kinds=["conv2d", "add"])
    layer = next(item for item in trace.layers if item.weight is not None)
    assert layer.weight is not None
    sound = cluster_trace(trace, Clustering(2, layers=(layer.name,)))[0].layers[layer.index]
    assert sound.clusters is not None
    shape, kept = layer.weight.shape, sound.clusters.index.read()
    ends = Counter[str]()
    for seed in range(N_IN_PROCESS // 5):
        dice = np.random.default_rng(seed)
        sizes = [(1,), shape[:2], (*shape, 1), tuple(n + 1 for n in shape), *[shape] * 8]
        values = dice.integers(0, [2, 3, 256][seed % 3], sizes[int(dice.integers(len(sizes)))])
        index = kept if seed % 4 == 0 else values.astype(dice.choice(["u1"] * 8 + ["i1", "f4"]))
        count = int(dice.choice([2, 2, 2, 2, 3, 0, 9, -(2**62)]))
        importance = str(dice.choice([*["magnitude"] * 6, "activation_aware", "", "kmeans"]))
        tensor = TensorRecord.of(index, axes="OIHW"[: index.ndim], role="index", units="1")
        clusters = Clusters(tensor, count, importance, "equal_count")
        path = tmp_path / f"{seed}.h5"
        layers = [replace(r, clusters=clusters) if r is layer else r for r in trace.layers]
        try:
            write_trace(replace(trace, layers=tuple(layers)), path)
            listed = check_trace(path, deep=True)
            with open_trace(path) as found:
                weight = masked_to_clusters(found, 0).layers[layer.index].weight
                assert weight is not None
                weight.read()
            ends["listed" if listed else "sound"] += 1
        except TraceError as error:
            assert "\n" not in str(error)
            ends["refused"] += 1
    assert min(ends[end] for end in ("refused", "listed", "sound")) > 10


def test_mutants_of_mask_files(tmp_path: Path) -> None:
    """A damaged file of masks is refused in one line, or says masks of the shapes there are."""
    shapes = {"conv": (2, 3, 3, 3), "fc": (2, 4)}
    groups = np.arange(2, dtype=np.int32)
    sound = {name: LayerMask(np.ones(s, np.uint8), None, groups) for name, s in shapes.items()}
    write_masks(sound, tmp_path / "a.npz")
    whole, path, n_refused = (tmp_path / "a.npz").read_bytes(), tmp_path / "b.npz", 0
    for seed in range(N_IN_PROCESS):
        dice = random.Random(seed)
        if seed % 2:
            path.write_bytes(changed_bytes(dice, whole))
        else:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
                name = dice.choice(["fc.npy", "fc.overlap_groups.npy", "conv.weight.npy", "x.npy"])
                made.writestr(name, changed_head(dice, (2, 4)))
        try:
            found, _ = read_masks(str(path), shapes)
            assert {n: m.mask.shape for n, m in found.items()}.items() <= shapes.items()
        except TraceDataError as error:
            assert "\n" not in str(error)
            n_refused += 1
    assert N_IN_PROCESS // 2 < n_refused < N_IN_PROCESS
