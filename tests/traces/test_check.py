"""The checker: each broken rule is found, and all of them at once."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.errors import TraceDataError, TraceError
from bitpim_traces.faults import Fault
from bitpim_traces.records import (
    Geometry,
    LayerRecord,
    Quantization,
    Requantize,
    TensorRecord,
    Trace,
)
from bitpim_traces.rules import check_rules
from bitpim_traces.value_rules import check_values
from tests.strategies import small_trace
from tests.traces.edits import redo_digests
from tests.traces.format_text import example_trace

CONV, FLAT, SCORES = range(3)


def _faults(trace: Trace) -> list[Fault]:
    faults: list[Fault] = []
    check_rules(trace, faults.append)
    return faults


def _changed(index: int, **fields: Any) -> Trace:
    trace = example_trace()
    layers = list(trace.layers)
    layers[index] = replace(layers[index], **fields)
    return replace(trace, layers=tuple(layers))


def _quantization(bits: int = 4, scale: float = 0.25, zero_point: int = 2) -> Quantization:
    return Quantization(bits, False, np.array([scale]), np.array([zero_point]))


def _array(values: Any, dtype: str = "int32") -> np.ndarray[Any, Any]:
    return np.array(values, dtype)


def _codes(shape: tuple[int, ...], dtype: str, axes: str) -> TensorRecord:
    return TensorRecord.of(np.zeros(shape, dtype), axes=axes, role="")


WINDOW = Geometry((2, 2), (2, 2))
BROKEN: list[tuple[int, dict[str, Any], str]] = [
    (CONV, {"name": ""}, "@name"),
    (FLAT, {"name": "conv"}, "@name"),
    (FLAT, {"inputs": (1,)}, "@inputs"),
    (FLAT, {"inputs": (-2,)}, "@inputs"),
    (FLAT, {"inputs": ()}, "@inputs"),
    (FLAT, {"inputs": (0, 0), "input_shapes": ((1, 2, 2),) * 2}, "@inputs"),
    (FLAT, {"input_shapes": ((1, 4, 1),)}, "@inputs"),
    (FLAT, {"output_shape": (5,)}, "@output_shape"),
    (FLAT, {"output_shape": (2, 2)}, "@output_shape"),
    (FLAT, {"output": _quantization(scale=0.5)}, "/output"),
    (FLAT, {"output": _quantization(bits=17)}, "/output@bits"),
    (FLAT, {"clamp": (0, 14)}, "@clamp"),
    (FLAT, {"clamp": (9, 3)}, "@clamp"),
    (FLAT, {"activation": "relu"}, "@activation"),
    (FLAT, {"requantize": Requantize("truncate_shift", _array([1]), _array([0]))}, "/requantize"),
    (FLAT, {"output_float": _codes((2, 4), "float32", "NC")}, "/output_float"),
    (CONV, {"clamp": (1, 15)}, "@clamp"),
    (CONV, {"accumulator_bits": 1}, "@accumulator_bits"),
    (CONV, {"accumulator_bits": 33}, "/bias"),
    (CONV, {"output": _quantization(scale=0.0)}, "/output/scale"),
    (CONV, {"output": _quantization(scale=float("nan"))}, "/output/scale"),
    (CONV, {"output": _quantization(zero_point=16)}, "/output/zero_point"),
    (CONV, {"weight_quantization": None}, "/weight_quantization"),
    (CONV, {"weight_quantization": _quantization(bits=12, zero_point=0)}, "/weight"),
    (CONV, {"weight": _codes((1, 1, 3, 2), "int8", "OIHW")}, "/weight"),
    (CONV, {"geometry": replace(WINDOW, groups=2)}, "@groups"),
    (CONV, {"geometry": replace(WINDOW, stride=(0, 1))}, "@kernel"),
    (CONV, {"geometry": replace(WINDOW, kernel=(9, 2))}, "@kernel"),
    (CONV, {"geometry": replace(WINDOW, padding=(0, 0, -1, 0))}, "@padding"),
    (CONV, {"geometry": replace(WINDOW, ceil_mode=True)}, "@ceil_mode"),
    (CONV, {"geometry": replace(WINDOW, count_include_pad=True)}, "@count_include_pad"),
    (
        CONV,
        {"geometry": Geometry((2, 2), (3, 3), (1, 1, 1, 1)), "pad_code": 7},
        "@pad_code",
    ),
    (CONV, {"requantize": None}, "/requantize"),
    (
        CONV,
        {"requantize": Requantize("truncate_shift", _array([1]), _array([63]))},
        "/requantize/shift",
    ),
    (
        CONV,
        {"requantize": Requantize("truncate_shift", _array([-1]), _array([3]))},
        "/requantize/multiplier",
    ),
    (
        CONV,
        {"requantize": Requantize("fixed_point_half_away", _array([5]), _array([0]))},
        "/requantize/multiplier",
    ),
    (
        CONV,
        {"requantize": Requantize("truncate_shift", scale=_array([1], "float32"))},
        "/requantize/multiplier",
    ),
    (
        CONV,
        {"requantize": Requantize("float_scale_half_even", scale=_array([np.inf], "float32"))},
        "/requantize/scale",
    ),
    (
        SCORES,
        {"requantize": Requantize("half_up_shift", _array([1, 1]), _array([1]))},
        "/requantize/shift",
    ),
    (
        SCORES,
        {"requantize": Requantize("half_up_shift", _array([1] * 3), _array([1] * 3))},
        "/requantize/multiplier",
    ),
    (
        SCORES,
        {"requantize": Requantize("half_up_shift", _array([1]), _array([1]), left_shift=2)},
        "/requantize@output_multiplier",
    ),
    (SCORES, {"table": _codes((16,), "int8", "K")}, "/table"),
]


@pytest.mark.parametrize(("index", "fields", "where"), BROKEN)
def test_a_broken_rule_is_found_where_it_is(
    tmp_path: Path, index: int, fields: dict[str, Any], where: str
) -> None:
    trace = _changed(index, **fields)
    faults = _faults(trace)
    assert f"/layers/{index:04d}{where}" in [fault.where for fault in faults], faults
    with pytest.raises(TraceError):
        write_trace(trace, tmp_path / "net.h5")


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"codes": _codes((1, 1, 4, 4), "int8", "NCHW")}, "/samples/codes"),
        ({"codes": _codes((1, 1, 4, 4), "uint16", "NCHW")}, "/samples/codes"),
        ({"labels": _codes((2,), "int32", "N")}, "/samples/labels"),
        ({"quantization": _quantization(zero_point=-1)}, "/samples/quantization/zero_point"),
    ],
)
def test_a_broken_rule_of_samples_is_found(fields: dict[str, Any], where: str) -> None:
    trace = example_trace()
    faults = _faults(replace(trace, samples=replace(trace.samples, **fields)))
    assert where in [fault.where for fault in faults], faults


def test_the_example_breaks_no_rule() -> None:
    assert _faults(example_trace()) == []


@pytest.mark.parametrize("seed", range(36))
def test_random_traces_break_no_rule(tmp_path: Path, seed: int) -> None:
    write_trace(small_trace(seed, bits=(1, 16), float_noise=True), tmp_path / "net.h5")
    assert check_trace(tmp_path / "net.h5", deep=True) == []


def _pool(image: int, window: Geometry) -> Trace:
    """Build a network that is one max pooling."""
    trace = example_trace()
    quantization = trace.samples.quantization
    size = window.output_size(image, image)
    layer = LayerRecord(
        0,
        "pool",
        "max_pool2d",
        (-1,),
        ((1, image, image),),
        (1, *size),
        quantization,
        geometry=window,
        clamp=(0, 15),
        pad_code=0,
    )
    codes = _codes((1, 1, image, image), "uint8", "NCHW")
    return replace(trace, layers=(layer,), samples=replace(trace.samples, codes=codes))


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("before", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("after", [0, 1, 3, 6])
def test_windows_that_miss_the_image_are_found(dilation: int, before: int, after: int) -> None:
    """Against the obvious count of image elements in every window."""
    for image in range(1, 6):
        for kernel in range(1, 4):
            for stride in range(1, 5):
                for ceil_mode in (False, True):
                    window = Geometry(
                        (kernel, 1),
                        (stride, 1),
                        (before, after, 0, 0),
                        (dilation, 1),
                        ceil_mode=ceil_mode,
                    )
                    n_out = window.output_size(image, image)[0]
                    if n_out < 1:
                        continue
                    seen = [
                        any(0 <= k * stride - before + r * dilation < image for r in range(kernel))
                        for k in range(n_out)
                    ]
                    assert (_faults(_pool(image, window)) == []) == all(seen), window


def _edited(tmp_path: Path, edit: Callable[[Any], None], trace: Trace | None = None) -> Path:
    """Write a trace, edit it with h5py, and make its digests fit again."""
    path = tmp_path / "net.h5"
    write_trace(example_trace() if trace is None else trace, path)
    with h5py.File(path, "r+") as file:
        edit(file)
    redo_digests(path)
    return path


def _set(path: str, place: tuple[int, ...], value: float) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        file[path][place] = value

    return edit


DEEP: list[tuple[str, tuple[int, ...], float, str, str]] = [
    (
        "samples/codes",
        (0, 0, 3, 3),
        16,
        "/samples/codes",
        r"4-bit codes 0\.\.15, got 16 at \(0, 0, 3, 3\)",
    ),
    ("samples/labels", (0,), 2, "/samples/labels", r"classes 0\.\.1"),
    ("layers/0000/weight", (0, 0, 1, 1), 4, "/layers/0000/weight", r"3-bit codes -4\.\.3"),
    ("layers/0000/bias", (0,), 2**15 - 40, "/layers/0000", "sums within signed 16 bits"),
    ("layers/0002/output_float", (0, 1), np.nan, "/layers/0002/output_float", "finite numbers"),
]


@pytest.mark.parametrize(("path", "place", "value", "where", "need"), DEEP)
def test_a_wrong_value_is_found_by_the_deep_check_alone(
    tmp_path: Path, path: str, place: tuple[int, ...], value: float, where: str, need: str
) -> None:
    file = _edited(tmp_path, _set(path, place, value))
    assert check_trace(file) == []
    open_trace(file)
    faults = check_trace(file, deep=True)
    assert [fault.where for fault in faults] == [where]
    assert __import__("re").search(need, str(faults[0]))


@pytest.mark.parametrize(("slack", "n_faults"), [(0, 0), (1, 1)])
def test_the_accumulator_bound_is_exact(tmp_path: Path, slack: int, n_faults: int) -> None:
    """Inputs are -8..7 around the zero point; weights 1, -2, 3: the highest sum is 44 + bias."""
    trace = _changed(CONV, bias=TensorRecord.of(_array([127 - 44 + slack]), axes="O", role="bias"))
    layers = (replace(trace.layers[0], accumulator_bits=8), *trace.layers[1:])
    write_trace(replace(trace, layers=layers), tmp_path / "net.h5")
    faults = check_trace(tmp_path / "net.h5", deep=True)
    assert len(faults) == n_faults
    assert all("128 possible" in fault.got for fault in faults)


@pytest.mark.parametrize(("bias", "n_faults"), [(2**32 - 1, 0), (2**32, 1), (-(2**32), 1)])
def test_the_product_bound_is_exact(bias: int, n_faults: int) -> None:
    """Weights of 0 leave the bias alone, times 2^30: below 2^62, or not."""
    trace = _changed(
        CONV,
        accumulator_bits=40,
        weight=_codes((1, 1, 2, 2), "int8", "OIHW"),
        bias=TensorRecord.of(_array([bias], "int64"), axes="O", role="bias"),
        requantize=Requantize("half_up_shift", _array([2**30]), _array([62])),
    )
    faults: list[Fault] = []
    check_values(trace, faults.append)
    assert [fault.need for fault in faults] == ["sums x multiplier below 2^62"] * n_faults


def test_a_product_that_could_overflow_is_found(tmp_path: Path) -> None:
    def huge(file: Any) -> None:
        file["layers/0000/requantize/shift"][0] = 30
        file["layers/0000/requantize/multiplier"][0] = 2**30
        file["layers/0000"].attrs.modify("accumulator_bits", np.int64(32))
        file["layers/0000/bias"][0] = 2**31 - 100
        text = np.bytes_(b"fixed_point_half_away")
        file["layers/0000/requantize"].attrs.create("mode", text)

    faults = check_trace(_edited(tmp_path, huge), deep=True)
    assert [f"{f.where}: {f.need}" for f in faults] == [
        "/layers/0000: sums << shift within 32 bits"
    ]


def test_every_fault_is_listed_not_only_the_first(tmp_path: Path) -> None:
    def edit(file: Any) -> None:
        del file["layers/0000/weight"]
        del file["samples/labels"].attrs["axes"]
        file["layers/0001"].attrs["unknown"] = 1
        file["layers/0002"].attrs["clamp"] = np.array([5, 4])
        file["layers/0002/output"].attrs["bits"] = 99.5

    path = _edited(tmp_path, edit)
    where = {fault.where for fault in check_trace(path)}
    assert where == {
        "/layers/0000/weight",
        "/samples/labels@axes",
        "/layers/0001@unknown",
        "/layers/0002/output@bits",
    }
    with pytest.raises(TraceError, match=r"net\.h5: /layers/000"):
        open_trace(path)


def test_damaged_chunks_are_listed(tmp_path: Path) -> None:
    def edit(file: Any) -> None:
        for path in ("layers/0000/weight", "layers/0002/weight"):
            file[path].id.write_direct_chunk((0,) * file[path].ndim, b"\0" * 12)

    write_trace(example_trace(), tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5", "r+") as file:
        edit(file)
    faults = check_trace(tmp_path / "net.h5", deep=True)
    assert [fault.where for fault in faults] == ["/layers/0000/weight", "/layers/0002/weight"]
    weight = open_trace(tmp_path / "net.h5").layers[0].weight
    assert weight is not None
    with pytest.raises(TraceDataError, match="/layers/0000/weight"):
        weight.read()


def test_only_a_missing_file_raises(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="need a trace file"):
        check_trace(tmp_path / "none.h5")
    (tmp_path / "empty.h5").touch()
    assert [str(f) for f in check_trace(tmp_path / "empty.h5", deep=True)] == [
        "/: need an HDF5 file, got an empty file"
    ]


def test_a_step_that_is_missing_is_one_fault() -> None:
    """What its output would mean without it is no second one."""
    trace = small_trace(1, mode="half_up_shift", kinds=["conv2d", "linear"])
    layer = replace(trace.layers[0], requantize=None)
    faults: list[Fault] = []
    check_rules(replace(trace, layers=(layer, *trace.layers[1:])), faults.append)
    assert [fault.where for fault in faults] == ["/layers/0000/requantize"]
