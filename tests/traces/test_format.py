"""FORMAT.md against the code, and the version and key tests of a file format."""

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bitpim.proof.reference import requantize, run_network
from bitpim_traces import open_trace, write_trace
from bitpim_traces.errors import TraceError, TraceFormatError, TraceTooNew, TraceTooOld
from bitpim_traces.records import REQUANTIZE_MODES, TensorRecord
from bitpim_traces.schema import DATASET_ATTRIBUTES, FORMAT_VERSION, GROUPS
from bitpim_traces.schema_forms import Group
from bitpim_traces.upgrade import STEPS
from tests.mutants.fingerprint import fingerprint
from tests.traces.edits import redo_digests, set_text
from tests.traces.format_text import example_trace, listing, table_of, with_tables

FORMAT = (Path(__file__).parents[2] / "traces" / "FORMAT.md").read_text()
SAMPLES = sorted((Path(__file__).parents[2] / "traces" / "samples").glob("v*/*.h5"))


@pytest.fixture
def example(tmp_path: Path) -> Path:
    write_trace(example_trace(), tmp_path / "example.h5")
    return tmp_path / "example.h5"


def _program(first_line: str) -> dict[str, Any]:
    """Run the Python block of FORMAT.md that starts with a line."""
    blocks = re.findall(r"```python\n(.*?)```", FORMAT, re.DOTALL)
    (block,) = (b for b in blocks if b.startswith(first_line))
    names: dict[str, Any] = {"np": np, "h5py": h5py}
    exec(block, names)
    return names


@pytest.mark.parametrize("group", [g for g in GROUPS if table_of(g)], ids=lambda g: g.path)
def test_tables_are_the_schema(group: Group) -> None:
    assert table_of(group) in FORMAT


def test_the_tables_of_operators_are_their_records() -> None:
    assert with_tables(FORMAT) == FORMAT


def test_the_table_of_dataset_attributes_is_the_schema() -> None:
    assert table_of(Group("", DATASET_ATTRIBUTES)) in FORMAT


def test_the_version_is_the_schema_s() -> None:
    assert f"version {'.'.join(map(str, FORMAT_VERSION))}\n" in FORMAT
    assert set(STEPS) == {(FORMAT_VERSION[0], minor) for minor in range(FORMAT_VERSION[1])}


def test_the_listing_of_the_worked_example_is_real(example: Path) -> None:
    assert f"```text\n{listing(example)}\n```" in FORMAT


def test_the_numbers_of_the_worked_example_are_real(example: Path) -> None:
    trace = open_trace(example)
    outputs = run_network(trace, trace.samples.codes.read(), keep="all")
    assert outputs[0].tolist() == [[[[2, 2], [6, 5]]]]
    assert outputs[2].tolist() == [[0, 10]]
    assert "All: `[[2, 2], [6, 5]]`" in FORMAT
    assert "Output codes: `[0, 10]`" in FORMAT


def test_the_reference_reader_reads(example: Path) -> None:
    found = _program("def read(path)")["read"](example)
    for layer in open_trace(example).layers:
        path = f"/layers/{layer.index:04d}"
        assert found[path]["kind"] == layer.kind.encode()
        assert tuple(found[path]["output_shape"]) == layer.output_shape
        for name in ("weight", "bias", "output_float"):
            tensor: TensorRecord | None = getattr(layer, name)
            assert (f"{path}/{name}" in found) == (tensor is not None)
            if tensor is not None:
                np.testing.assert_array_equal(found[f"{path}/{name}"], tensor.read())
    assert (
        len(
            re.findall(r"^ {4}.*", "".join(re.findall(r"def read\(path.*?```", FORMAT, re.S)), re.M)
        )
        <= 10
    )


@pytest.mark.parametrize("mode", REQUANTIZE_MODES)
def test_the_reference_requantize_is_the_referee_s(mode: str) -> None:
    rule = _program("def requantize(")["requantize"]
    dice = np.random.default_rng(1)
    for _ in range(2000):
        width = int(dice.integers(2, 24))
        acc = int(dice.integers(-(1 << width), 1 << width))
        multiplier, shift = int(dice.integers(0, 2**15)), int(dice.integers(0, 31))
        if mode == "fixed_point_half_away":
            multiplier, shift = int(dice.integers(2**30, 2**31)), int(dice.integers(-31, 7))
        scale = float(dice.choice([0.5, 0.25, dice.uniform(0, 0.1)]))
        zero = int(dice.integers(-128, 128))
        arrays = (np.array([multiplier]), np.array([shift]), np.array([scale], np.float32))
        expected = int(requantize(np.array([acc]), mode, *arrays)[0]) + zero
        assert rule(acc, mode, zero, multiplier, shift, scale) == expected


# --- the five tests of a file format


KEYS = """
/ digest format_name format_version name
/layers
/layers/0000 accumulator_bits activation ceil_mode clamp count_include_pad dilation groups inputs
 kernel kind name output_shape pad_code padding stride
/layers/0000/bias axes role sha256 units
/layers/0000/output axis bits signed
/layers/0000/output/scale axes role sha256 units
/layers/0000/output/zero_point axes role sha256 units
/layers/0000/requantize left_shift mode output_multiplier output_shift
/layers/0000/requantize/multiplier axes role sha256 units
/layers/0000/requantize/shift axes role sha256 units
/layers/0000/weight axes role sha256 units
/layers/0000/weight_quantization axis bits signed
/layers/0000/weight_quantization/scale axes role sha256 units
/layers/0000/weight_quantization/zero_point axes role sha256 units
/layers/0001 accumulator_bits activation clamp inputs kind name output_shape pad_code
/layers/0001/output axis bits signed
/layers/0001/output/scale axes role sha256 units
/layers/0001/output/zero_point axes role sha256 units
/layers/0002 accumulator_bits activation clamp inputs kind name output_shape pad_code
/layers/0002/output axis bits signed
/layers/0002/output/scale axes role sha256 units
/layers/0002/output/zero_point axes role sha256 units
/layers/0002/output_float axes role sha256 units
/layers/0002/requantize left_shift mode output_multiplier output_shift
/layers/0002/requantize/multiplier axes role sha256 units
/layers/0002/requantize/shift axes role sha256 units
/layers/0002/weight axes role sha256 units
/layers/0002/weight_quantization axis bits signed
/layers/0002/weight_quantization/scale axes role sha256 units
/layers/0002/weight_quantization/zero_point axes role sha256 units
/provenance axes role sha256 units
/samples dataset
/samples/codes axes role sha256 units
/samples/labels axes role sha256 units
/samples/quantization axis bits signed
/samples/quantization/scale axes role sha256 units
/samples/quantization/zero_point axes role sha256 units
"""
OBJECTS = {
    line.split()[0]: line.split()[1:] for line in KEYS.replace("\n ", " ").strip().split("\n")
}
OPTIONAL = ("/layers/0002", "/layers/0000/bias", "/layers/0002/output_float", "/samples/labels")


def test_the_exact_list_of_keys(example: Path) -> None:
    found: dict[str, list[str]] = {}
    with h5py.File(example) as file:
        found["/"] = sorted(file.attrs)
        file.visititems(lambda name, item: found.update({f"/{name}": sorted(item.attrs)}))
    assert found == OBJECTS


@pytest.mark.parametrize("path", [p for p in OBJECTS if p != "/"])
@pytest.mark.parametrize("redo", [False, True])
def test_delete_each_object(example: Path, path: str, redo: bool) -> None:
    """A missing object is found by the digest, and without it by the schema."""
    with h5py.File(example, "r+") as file:
        del file[path]
    if redo:
        redo_digests(example)
    if redo and path in OPTIONAL:  # without its last layer it is another trace, but a sound one
        open_trace(example)
    else:
        with pytest.raises(TraceError, match=path[:8] if redo else "/"):
            open_trace(example)


@pytest.mark.parametrize(("path", "name"), [(p, n) for p, names in OBJECTS.items() for n in names])
def test_delete_each_attribute(example: Path, path: str, name: str) -> None:
    with h5py.File(example, "r+") as file:
        del file[path].attrs[name]
    if (path, name) != ("/", "digest"):
        redo_digests(example)
    with h5py.File(example, "r+") as file:  # redo_digests gave it back where it is a checksum
        file[path].attrs.pop(name, None)
    with pytest.raises(TraceFormatError, match=re.escape(f"{path}") if path != "/" else name):
        open_trace(example)


def _stamped(path: Path, version: Any, dtype: str = "<i8") -> Path:
    with h5py.File(path, "r+") as file:
        file.attrs.create("format_version", np.array(version), dtype=dtype)
    redo_digests(path)
    return path


@pytest.mark.parametrize(
    ("version", "error"),
    [((0, 9), TraceTooOld), ((2, 0), TraceTooNew), ((2**40, 3), TraceTooNew)],
)
def test_other_majors(example: Path, version: tuple[int, int], error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"need major version 1, got {version[0]}\.{version[1]}; "):
        open_trace(_stamped(example, version))


@pytest.mark.parametrize("version", [(1,), (1, 0, 0), 1, (1, -1), ()])
def test_no_version_at_all(example: Path, version: Any) -> None:
    with pytest.raises(TraceFormatError, match="/@format_version: need two whole numbers"):
        open_trace(_stamped(example, version))


@pytest.mark.parametrize("name", ["bitpim.result", "tskit.trees", "", "bitpim.trace "])
def test_wrong_name(example: Path, name: str) -> None:
    with h5py.File(example, "r+") as file:
        set_text(file, "format_name", name)
    with pytest.raises(TraceFormatError, match="another kind of file"):
        open_trace(example)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.h5").touch()
    with pytest.raises(TraceFormatError, match="need an HDF5 file, got an empty file"):
        open_trace(tmp_path / "empty.h5")


def test_a_newer_minor_is_read_and_unknown_names_are_ignored(
    example: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = open_trace(example)
    with h5py.File(example, "r+", libver=("v110", "v110")) as file:
        file["layers/0000"].attrs["sparsity"] = 3
        file["layers/0000/weight"].attrs["origin"] = 3
        file["layers"].create_group("schedule")
        file["samples"].create_group("more/nested")
    _stamped(example, (1, 7))
    with caplog.at_level(logging.WARNING):
        found = open_trace(example)
    assert len(caplog.records) == 1
    assert "1.7 is newer than 1.3" in caplog.text
    assert fingerprint(replace(found, digest="")) == fingerprint(replace(expected, digest=""))


def test_unknown_names_of_this_version_are_refused(example: Path) -> None:
    with h5py.File(example, "r+") as file:
        file["layers/0000"].attrs["sparsity"] = 3
    redo_digests(example)
    with pytest.raises(TraceFormatError, match="/layers/0000@sparsity: need only names"):
        open_trace(example)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_shipped_sample_opens(path: Path) -> None:
    trace = open_trace(path)
    assert trace.layers and trace.n_samples
