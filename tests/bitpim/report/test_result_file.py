"""The result file read back, and two results compared."""

from dataclasses import replace
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from struct import pack
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.cost.tables import parse_prices
from bitpim.errors import ConfigError, ResultError
from bitpim.report.figures import top1
from bitpim.report.result_file import (
    LayerBatch,
    Result,
    ResultWriter,
    compare_results,
    digest_samples,
    open_result,
)
from tests.bitpim.report.small_run import (
    CUTS,
    FIGURES,
    FINAL,
    HEADER,
    LEGEND,
    PRICES,
    START,
    STOP,
    TABLE,
    layers_of,
    run,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.h5"


def test_what_is_written_is_read(path: Path) -> None:
    run(path)
    result = open_result(path)
    assert result.header == HEADER
    assert result.phases == ("load", "mac", "pool")
    assert [(la.index, la.name, la.kind) for la in result.layers] == [
        (0, "conv1", "conv2d"),
        (1, "pool", "max_pool2d"),
        (2, "fc", "linear"),
    ]
    conv = result.layers[0]
    assert conv.counts == {"load": {}, "mac": {"act": 21}}
    assert conv.cycles == {"load": 7, "mac": 70}
    assert conv.energy_pj == {"load": 0.0, "mac": 52.5}
    assert conv.plan == {"arrays": 0, "utilization": 0.5}
    np.testing.assert_array_equal(conv.digests, digest_samples(FINAL[START:STOP]))
    np.testing.assert_array_equal(conv.error_rows, layers_of(START, STOP)[0].error_rows)
    assert (conv.n_cycles, conv.total_energy_pj) == (77, 52.5)
    assert result.layers[2].counts == {}
    assert result.final_codes is not None and result.final_codes.dtype == np.int8
    np.testing.assert_array_equal(result.final_codes, FINAL[START:STOP])
    np.testing.assert_array_equal(result.predictions, top1(FINAL[START:STOP]))
    assert result.figures == FIGURES
    assert result.legend == LEGEND
    assert parse_prices(result.prices_text) == PRICES
    assert result.n_cycles == 77 + 14
    assert result.events() == {"act": 21 + 7 * 2**40}
    assert result.total_energy_pj == 2.5 * (21 + 7 * 2**40)


def test_any_hdf5_tool_reads_it(path: Path) -> None:
    run(path)
    with h5py.File(path) as file:
        assert file.attrs["format_name"] == "bitpim.result"
        assert list(file["layers/0000/counts"].attrs["axes"]) == ["P", "E"]
        assert file["layers/0000/digests"].shape == (STOP - START, 16)


def test_without_prices_outputs_and_figures(path: Path) -> None:
    with ResultWriter(path, replace(HEADER, options={"layers": "1"})) as writer:
        writer.add_batch(START, STOP, {1: layers_of(START, STOP)[1]}, None)
        assert writer.final_codes() is None
        writer.finish(TABLE)
    result = open_result(path)
    assert [layer.index for layer in result.layers] == [1]
    assert result.layers[0].energy_pj == {}
    assert (result.final_codes, result.predictions, result.figures) == (None, None, None)
    assert (result.prices_name, result.prices_text) == ("", "")


@pytest.mark.parametrize(
    ("shape", "has_predictions"),
    [
        ((3, 4, 4), False),
        ((3, 1, 1), True),
        ((), True),
        ((0,), False),
        ((3, 2), False),
        ((2, 1, 3, 2), False),
        ((3, 1, 1, 1, 1), True),
        ((2, 1, 3, 2, 2), False),
    ],
)
def test_outputs_of_any_shape(path: Path, shape: tuple[int, ...], has_predictions: bool) -> None:
    codes = np.arange(7 * int(np.prod(shape)), dtype=np.uint16).reshape(7, *shape)
    with ResultWriter(path, HEADER) as writer:
        for start, stop in CUTS:
            part = codes[start - START : stop - START]
            writer.add_batch(start, stop, layers_of(start, stop), part)
    with ResultWriter(path, HEADER, resume=True) as writer:
        assert writer.completed == frozenset(range(START, STOP))
        writer.finish(TABLE)
    result = open_result(path)
    assert result.final_codes is not None and result.final_codes.dtype == np.uint16
    np.testing.assert_array_equal(result.final_codes, codes)
    assert (result.predictions is not None) == has_predictions


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(START + 1, STOP - 1)), st.randoms(use_true_random=False))
def test_cuts_and_their_order_do_not_show(
    tmp_path_factory: pytest.TempPathFactory, inner: set[int], random: Any
) -> None:
    folder = tmp_path_factory.mktemp("cuts")
    edges = [START, *sorted(inner), STOP]
    cuts = list(pairwise(edges))
    random.shuffle(cuts)
    assert run(folder / "a.h5", cuts) == run(folder / "b.h5")


def test_large_outputs_are_cut_into_the_same_chunks(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    n = 300
    codes = rng.integers(0, 3, (n, 2000)).astype(np.int16)
    header = replace(HEADER, start=0, stop=n)
    contents = []
    for name, size in (("a", 300), ("b", 7), ("c", 64)):
        path = tmp_path / f"{name}.h5"
        with ResultWriter(path, header) as writer:
            for start in range(0, n, size):
                part = codes[start : start + size]
                layer = LayerBatch(digest_samples(part), {})
                writer.add_batch(start, start + len(part), {2: layer}, part)
            writer.finish(TABLE[2:])
        contents.append(path.read_bytes())
        np.testing.assert_array_equal(open_result(path).final_codes, codes)
    assert contents[0] == contents[1] == contents[2]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64])
def test_a_digest_is_blake2b_of_shape_and_codes(dtype: Any) -> None:
    codes = np.arange(24).reshape(2, 3, 4).astype(dtype)
    expected = [
        blake2b(pack("<3i", 2, 3, 4) + pack("<12i", *range(s, s + 12)), digest_size=16).digest()
        for s in (0, 12)
    ]
    assert [row.tobytes() for row in digest_samples(codes)] == expected
    swapped = codes.astype(codes.dtype.newbyteorder(">")).transpose(0, 2, 1).transpose(0, 2, 1)
    np.testing.assert_array_equal(digest_samples(swapped), digest_samples(codes))


def test_a_digest_sees_every_code_and_the_shape() -> None:
    codes = np.zeros((1, 4, 4), np.int8)
    seen = {digest_samples(codes).tobytes(), digest_samples(codes.reshape(1, 16)).tobytes()}
    seen |= {digest_samples(codes.reshape(1, 2, 8)).tobytes()}
    for i in range(16):
        other = codes.copy()
        other.flat[i] = 1
        seen.add(digest_samples(other).tobytes())
    assert len(seen) == 19
    assert digest_samples(np.zeros((0, 3), np.int8)).shape == (0, 16)
    assert digest_samples(np.zeros((2, 0), np.int8)).shape == (2, 16)


@pytest.mark.parametrize(
    "codes", [np.zeros((), np.int8), np.zeros(3), np.array([[2**31]]), np.array([[-(2**31) - 1]])]
)
def test_what_is_no_code_has_no_digest(codes: np.ndarray) -> None:
    with pytest.raises(ResultError):
        digest_samples(codes)


# --- comparing


def results(path: Path, **changed: Any) -> tuple[Result, Result]:
    run(path)
    a = open_result(path)
    return a, replace(a, **changed)


def changed_layer(result: Result, **changed: Any) -> Result:
    return replace(result, layers=(replace(result.layers[0], **changed), *result.layers[1:]))


def test_equal_results_are_equal(path: Path) -> None:
    a, b = results(path)
    found = compare_results(a, b)
    assert found.is_equal and not found.notes
    nan = replace(FIGURES.layers[0], sqnr_db=float("nan"))
    both = [replace(r, figures=replace(FIGURES, layers=(nan,))) for r in (a, b)]
    assert compare_results(*both).is_equal
    known = replace(FIGURES, n_float_labelled=7, float_accuracy=1.0)  # not told by earlier versions
    assert compare_results(a, replace(b, figures=known)).is_equal
    assert not compare_results(a, replace(b, figures=replace(known, accuracy=0.5))).is_equal


def test_other_machines_are_noted_not_counted(path: Path) -> None:
    a, b = results(path)
    header = replace(b.header, fidelity="integer", preset="[preset]\nname = 'q'\n")
    found = compare_results(a, replace(b, header=header, prices_text="x", prices_name="u"))
    assert found.is_equal
    assert len(found.notes) == 3
    assert any("fidelity 'bit' and 'integer'" in note for note in found.notes)
    assert "preset p and preset q" in found.notes


def test_each_kind_of_difference_is_found(path: Path) -> None:
    a, _ = results(path)
    layer = a.layers[0]
    digests = layer.digests.copy()
    digests[3:5] ^= 1
    assert a.final_codes is not None
    cases: list[tuple[Result, str, str]] = [
        (replace(a, header=replace(a.header, trace_digest="x")), "run", "trace_digest: 00ff and x"),
        (replace(a, header=replace(a.header, stop=8)), "run", "stop: 9 and 8"),
        (replace(a, layers=a.layers[1:]), "outputs", "layer 0: there and missing"),
        (changed_layer(a, name="x"), "run", "layer 0 conv1 name"),
        (changed_layer(a, digests=digests), "outputs", "of 2 samples, first sample 5"),
        (changed_layer(a, cycles={"mac": 70}), "counts", "cycles of load: 7 and 0"),
        (changed_layer(a, counts={"mac": {"act": 20}}), "counts", "mac act: 21 and 20"),
        (changed_layer(a, error_rows=layer.error_rows + 1), "figures", "conv1 errors: max abs"),
        (replace(a, final_codes=a.final_codes + 1), "outputs", "final codes"),
        (replace(a, final_codes=None), "outputs", "final codes"),
        (replace(a, predictions=None), "outputs", "predictions"),
        (replace(a, figures=None), "figures", "accuracy"),
    ]
    for b, kind, said in cases:
        found = compare_results(a, b)
        assert [d.kind for d in found.differences] == [kind], said
        assert said in str(found.differences[0])
        assert not compare_results(b, a).is_equal


def test_the_first_differences_only(path: Path) -> None:
    a, _ = results(path)
    counts = {"mac": {f"e{i}": 1 for i in range(50)}}
    assert len(compare_results(a, changed_layer(a, counts=counts), limit=5).differences) == 5


# --- what is refused while writing


def batch(**changed: Any) -> dict[int, Any]:
    layer = layers_of(START, STOP)[0]
    return {0: replace(layer, **changed)}


@pytest.mark.parametrize(
    ("layers", "final", "said"),
    [
        (batch(digests=np.zeros((7, 15), np.uint8)), FINAL[2:9], r"need uint8 \(7, 16\)"),
        (batch(digests=np.zeros((6, 16), np.uint8)), FINAL[2:9], r"need uint8 \(7, 16\)"),
        (batch(digests=np.zeros((7, 16), np.int8)), FINAL[2:9], "got int8"),
        (batch(error_rows=np.zeros((1, 2))), FINAL[2:9], "error rows of layer 0"),
        (batch(error_rows=np.zeros((8, 3))), FINAL[2:9], "error rows of layer 0"),
        ({}, FINAL[2:8], "need integers of 7 samples"),
        ({}, FINAL[2:9] * 0.5, "got float64"),
    ],
)
def test_a_batch_of_the_wrong_shape_is_refused(
    path: Path, layers: dict[int, Any], final: np.ndarray, said: str
) -> None:
    with ResultWriter(path, HEADER) as writer:
        with pytest.raises(ResultError, match=said):
            writer.add_batch(START, STOP, layers, final)
        assert not writer.completed


def test_samples_are_done_once_and_inside_the_run(path: Path) -> None:
    with ResultWriter(path, HEADER) as writer:
        writer.add_batch(4, 6, {}, None)
        for start, stop in ((1, 3), (8, 10), (5, 5), (6, 5)):
            with pytest.raises(ResultError, match="not in the run's samples"):
                writer.add_batch(start, stop, {}, None)
        for start, stop in ((3, 5), (5, 7), (4, 6), (2, 9)):
            with pytest.raises(ResultError, match="were done before"):
                writer.add_batch(start, stop, {}, None)
        assert writer.completed == {4, 5}
        with pytest.raises(ResultError, match="5 samples are still to do"):
            writer.finish(TABLE)
    assert not path.exists()


def test_batches_must_agree(path: Path) -> None:
    layers = layers_of(2, 4)
    for second, final, said in (
        ({0: layers[0]}, FINAL[2:4], "different layers"),
        (layers, FINAL[2:4, :5], "differ in shape or dtype"),
        (layers, FINAL[2:4].astype(np.int16), "differ in shape or dtype"),
        (layers, None, "differ in shape or dtype"),
    ):
        with ResultWriter(path, replace(HEADER, stop=6), overwrite=True) as writer:
            writer.add_batch(2, 4, layers, FINAL[2:4])
            writer.add_batch(4, 6, second, final)
            with pytest.raises(ResultError, match=said):
                writer.finish(TABLE)
        assert not path.exists()


def test_finish_needs_every_layer_and_price(path: Path) -> None:
    with ResultWriter(path, HEADER) as writer:
        writer.add_batch(START, STOP, layers_of(START, STOP), None)
        with pytest.raises(ResultError, match="layer 2 is not in the plan's table"):
            writer.finish(TABLE[:2])
        with pytest.raises(ConfigError, match="no price for event 'act'"):
            writer.finish(TABLE, PRICES.model_copy(update={"prices": ()}))
        assert not path.exists()
        writer.finish(TABLE, PRICES)  # what was done is not lost
    assert open_result(path).layers[0].energy_pj == {"load": 0.0, "mac": 52.5}


def test_a_count_that_does_not_fit_is_refused(path: Path) -> None:
    layer = replace(layers_of(2, 4)[0], counts={"mac": {"act": 2**62}})
    with ResultWriter(path, replace(HEADER, stop=6)) as writer:
        writer.add_batch(2, 4, {0: layer}, None)
        writer.add_batch(4, 6, {0: layer}, None)
        with pytest.raises(ResultError, match="2\\^63"):
            writer.finish(TABLE)


@pytest.mark.parametrize(("start", "stop"), [(3, 3), (4, 3), (-1, 3)])
def test_a_run_needs_samples(path: Path, start: int, stop: int) -> None:
    with pytest.raises(ResultError, match="0 <= start < stop"):
        ResultWriter(path, replace(HEADER, start=start, stop=stop))
    assert not list(path.parent.iterdir())


def test_the_name_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="is a folder"):
        ResultWriter(tmp_path, HEADER)


@pytest.mark.parametrize("resume", [False, True])
def test_a_file_that_is_no_result_is_never_replaced(path: Path, resume: bool) -> None:
    path.write_bytes(b"a trace, say")
    with pytest.raises(ResultError, match="exists and is not a bitpim result"):
        ResultWriter(path, HEADER, resume=resume)
    assert path.read_bytes() == b"a trace, say"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_an_empty_file_may_be_replaced_and_a_result_where_one_says_so(path: Path) -> None:
    path.touch()
    run(path)
    first = path.read_bytes()
    with pytest.raises(ResultError, match=r"net\.h5: holds a result already; --overwrite replaces"):
        run(path, fidelity="integer")
    assert path.read_bytes() == first and not path.with_name("net.h5.part").exists()
    assert run(path, overwrite=True, fidelity="integer") != first
    assert run(path, overwrite=True) == first


def test_the_worked_example_of_the_specification() -> None:
    text = (Path(__file__).parents[3] / "bitpim" / "report" / "RESULT.md").read_text("utf-8")
    assert digest_samples(np.array([[1, -1]]))[0].tobytes().hex() in text
