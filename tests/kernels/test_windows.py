"""Windows of images in lanes against windows cut out one element at a time."""

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bitpim.digital.windows import window_of
from bitpim_kernels import windows as kernels
from bitpim_kernels.layout import from_planes
from bitpim_kernels.shifted_windows import copy_strided, pack_pixels, positions_are_pixels
from bitpim_traces.records import Geometry
from tests.kernels.conftest import Form

Codes = npt.NDArray[np.int64]


def naive(images: Any, channel: int, tap: int, geometry: Geometry, pad: int, at: range) -> Codes:
    """Yield the code that a tap meets at each output position, 0 beyond the last sample."""
    n_samples, _, height, width = images.shape
    n_rows, n_columns = geometry.output_size(height, width)
    r, s = divmod(tap, geometry.kernel[1])
    codes = []
    for position in at:
        sample, place = divmod(position, n_rows * n_columns)
        y, x = divmod(place, n_columns)
        row = y * geometry.stride[0] + r * geometry.dilation[0] - geometry.padding[0]
        column = x * geometry.stride[1] + s * geometry.dilation[1] - geometry.padding[2]
        inside = 0 <= row < height and 0 <= column < width
        code = int(images[sample, channel, row, column]) if sample < n_samples and inside else pad
        codes.append(code if sample < n_samples else 0)
    return np.array(codes, np.int64)


GEOMETRIES = st.builds(
    Geometry,
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padding=st.tuples(*[st.integers(0, 6)] * 4),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    ceil_mode=st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(
    geometry=GEOMETRIES,
    shape=st.tuples(*[st.integers(1, 9)] * 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_taps_of_any_window(geometry: Geometry, shape: tuple[int, int], seed: int) -> None:
    size = geometry.output_size(*shape)
    if min(size) < 1:
        return
    rng = np.random.default_rng(seed)
    n_samples = int(rng.integers(0, 3))
    images = rng.integers(1, 256, (n_samples, 2, *shape)).astype(np.uint8)
    n_positions = n_samples * size[0] * size[1]
    first = int(rng.integers(0, n_positions + 2))
    n_lanes = int(rng.choice([1, 7, 64, 65, n_positions + 3]))
    tap = int(rng.integers(0, geometry.kernel[0] * geometry.kernel[1]))
    lanes = np.full(n_lanes, 77, np.uint8)
    kernels.gather_window(images, 1, tap, window_of(geometry, (2, *shape)), 200, first, lanes)
    expected = naive(images, 1, tap, geometry, 200, range(first, first + n_lanes))
    assert np.array_equal(lanes, expected)


CASES = {
    "1-pixel image": (Geometry((3, 3), padding=(1, 1, 1, 1)), (1, 1)),
    "kernel larger than the image": (Geometry((5, 4), padding=(4, 0, 0, 3)), (1, 1)),
    "asymmetric": (Geometry((2, 3), (3, 2), (1, 0, 0, 2), (2, 1)), (7, 8)),
    "padding only at the left": (Geometry((1, 1), (1, 5), (0, 0, 6, 0)), (2, 3)),
    "windows all in the padding": (Geometry((1, 1), (1, 1), (2, 2, 2, 2)), (1, 1)),
    "ceil mode reaches beyond": (Geometry((2, 2), (3, 3), ceil_mode=True), (4, 4)),
}


@pytest.mark.parametrize("case", CASES)
def test_all_taps_of_a_window(case: str, form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    if form(kernels.gather_window) is not kernels.gather_window:
        monkeypatch.setattr(kernels, "copy_strided", form(copy_strided))
    geometry, shape = CASES[case]
    size = geometry.output_size(*shape)
    rng = np.random.default_rng(3)
    images = rng.integers(-128, 127, (2, 1, *shape)).astype(np.int8)
    n = 2 * size[0] * size[1]
    window = window_of(geometry, (1, *shape))
    for tap in range(window.n_taps):
        lanes = np.empty(n + 1, np.int8)
        form(kernels.gather_window)(images, 0, tap, window, -9, 0, lanes)
        assert np.array_equal(lanes, naive(images, 0, tap, geometry, -9, range(n + 1))), tap


def test_entries_are_gathered_one_by_one(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    if form(kernels.gather_entries) is not kernels.gather_entries:
        for name in ("copy_strided", "gather_window"):
            monkeypatch.setattr(kernels, name, form(getattr(kernels, name)))
    geometry, shape = CASES["asymmetric"]
    images = np.random.default_rng(4).integers(0, 256, (2, 3, *shape)).astype(np.uint8)
    window = window_of(geometry, (3, *shape))
    entries = np.array([[2, 5], [0, 0], [1, 3], [2, 5]])
    n = 2 * window.rows * window.cols
    out = np.empty((4, n), np.uint8)
    form(kernels.gather_entries)(images, entries, window, 7, out)
    for row, (channel, tap) in zip(out, entries.tolist(), strict=True):
        assert np.array_equal(row, naive(images, channel, tap, geometry, 7, range(n)))


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint8, 3), (np.uint16, 16)])
def test_packed_windows_are_the_windows(dtype: Any, bits: int) -> None:
    geometry = Geometry((3, 2), (2, 1), (1, 1, 0, 1), (1, 2))
    rng = np.random.default_rng(bits)
    images = rng.integers(0, 1 << bits, (2, 3, 6, 9)).astype(dtype)
    window = window_of(geometry, (3, 6, 9))
    entries = np.array([[2, 0], [0, 5], [1, 3]], np.int64)
    for first, n_words in ((0, 1), (64, 2), (0, 4)):
        lanes = np.empty(64 * n_words, dtype)
        out = np.full((3, bits, n_words), 2**64 - 1, np.uint64)
        kernels.pack_windows(images, entries, window, 3, first, lanes, out)
        got = from_planes(out, 64 * n_words, dtype=np.int64)
        at = range(first, first + 64 * n_words)
        expected = [naive(images, int(c), int(t), geometry, 3, at) for c, t in entries]
        assert np.array_equal(got, expected)


@pytest.mark.parametrize(
    ("kernel", "strides", "padding", "dilation"),
    [
        ((3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
        ((1, 1), (1, 1), (0, 0, 0, 0), (1, 1)),
        ((2, 5), (1, 1), (1, 0, 4, 0), (1, 1)),  # all padding on one side
        ((3, 2), (1, 1), (20, 20, 0, 13), (20, 13)),  # taps beyond the image
        ((3, 3), (2, 2), (1, 1, 1, 1), (1, 1)),
        ((1, 1), (2, 3), (0, 0, 0, 0), (1, 1)),  # a single phase
        ((3, 3), (1, 2), (1, 1, 0, 2), (1, 1)),
        ((4, 2), (4, 3), (2, 2, 1, 1), (1, 2)),  # taps of every phase; the later ones shorter
        ((3, 2), (2, 2), (20, 20, 0, 13), (20, 13)),  # taps of one phase, beyond the image
        ((2, 2), (11, 9), (0, 0, 0, 0), (10, 8)),  # one position an image
        ((1, 2), (2, 12), (0, 0, 0, 2), (1, 10)),  # a phase without pixels
    ],
)
def test_windows_packed_by_shifts_are_the_windows(
    form: Form, kernel: Any, strides: Any, padding: Any, dilation: Any
) -> None:
    geometry = Geometry(kernel, strides, padding, dilation)
    rng = np.random.default_rng(kernel[1])
    images = rng.integers(0, 8, (2, 3, 11, 9)).astype(np.uint8)
    window = window_of(geometry, (3, 11, 9))
    assert positions_are_pixels(window)
    entries = np.array([[c, t] for c in (2, 0) for t in range(kernel[0] * kernel[1])], np.int64)
    for first, n_words in ((0, 4), (64, 1), (128, 2)):
        out = np.full((len(entries), 3, n_words), 2**64 - 1, np.uint64)
        form(pack_pixels)(images, entries, window, 5, first, out)
        got = from_planes(out, 64 * n_words, dtype=np.int64)
        at = range(first, first + 64 * n_words)
        expected = [naive(images, int(c), int(t), geometry, 5, at) for c, t in entries]
        assert np.array_equal(got, expected)


def test_positions_are_pixels_of_a_phase_where_the_size_is_kept() -> None:
    same = window_of(Geometry((3, 3), padding=(1, 1, 1, 1)), (3, 6, 9))
    assert positions_are_pixels(same)
    for name in ("stride_y", "stride_x", "rows", "cols"):
        assert not positions_are_pixels(same._replace(**{name: 2})), name
    halves = same._replace(stride_y=2, rows=3, stride_x=2, cols=5)  # 9 columns: 5 and 4
    assert positions_are_pixels(halves)
    assert not positions_are_pixels(halves._replace(cols=4))
    assert not positions_are_pixels(halves._replace(rows=4))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_window_packed(seed: int) -> None:
    """By shifts or tap by tap, as the window says."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 8, 2).tolist())
    sizes, strides, dilation = (tuple(rng.integers(1, 4, 2).tolist()) for _ in range(3))
    padding = tuple(rng.integers(0, 4, 4).tolist())
    geometry = Geometry(sizes, strides, padding, dilation)
    size = geometry.output_size(*shape)
    assume(min(size) > 0)
    images = rng.integers(0, 8, (int(rng.integers(1, 4)), 2, *shape)).astype(np.uint8)
    window = window_of(geometry, (2, *shape))
    taps = [[c, t] for c in (1, 0) for t in range(window.n_taps)]
    first, n_words = 64 * int(rng.integers(0, 3)), int(rng.integers(1, 4))
    lanes = np.empty(64 * n_words, np.uint8)
    out = np.full((len(taps), 3, n_words), 2**64 - 1, np.uint64)
    kernels.pack_windows(images, np.array(taps, np.int64), window, 6, first, lanes, out)
    got = from_planes(out, 64 * n_words, dtype=np.int64)
    at = range(first, first + 64 * n_words)
    assert np.array_equal(got, [naive(images, c, t, geometry, 6, at) for c, t in taps])


def test_rows_of_groups(form: Form) -> None:
    codes = np.array([5, -1, 0, -(2**62)], np.int64)
    rows = np.full((66, 8), 7, np.uint64)
    form(kernels.fill_outer_rows)(codes, 66, 2, rows)
    for bit in range(66):
        on = [(int(code) >> bit) & 1 for code in codes]
        assert rows[bit].tolist() == [word * (2**64 - 1) for word in on for _ in range(2)]


def test_rows_that_repeat(form: Form) -> None:
    planes = np.arange(6, dtype=np.uint64).reshape(2, 3)
    rows = np.zeros((2, 12), np.uint64)
    form(kernels.fill_vector_rows)(planes, 4, rows)
    assert np.array_equal(rows, np.tile(planes, 4))


def test_rows_of_chosen_sets_end_in_zeros(form: Form) -> None:
    planes = np.arange(1, 13, dtype=np.uint64).reshape(3, 2, 2)
    rows = np.full((3, 8), 9, np.uint64)
    chosen = np.array([2, 0, 0, 1], np.int64)
    form(kernels.fill_chosen_rows)(planes, chosen, rows)
    assert np.array_equal(rows[:2], np.concatenate(planes[chosen], axis=1))
    assert not rows[2].any()
    form(kernels.fill_chosen_rows)(planes, chosen, rows[:1])  # fewer rows than planes
    assert np.array_equal(rows[0], planes[chosen, 0].reshape(-1))


def check_rows(form: Form, images: Any, channels: range, geometry: Geometry, at: range) -> None:
    window = window_of(geometry, images.shape[1:])
    n_taps = geometry.kernel[0] * geometry.kernel[1]
    out = np.full((len(at), len(channels) * n_taps), 77, images.dtype)
    last = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    ends = (channels.start, channels.stop)
    form(kernels.gather_rows)(last, ends, window, -9, at.start, out)
    taps = [(c, tap) for c in channels for tap in range(n_taps)]
    expected = [naive(images, c, tap, geometry, -9, at) for c, tap in taps]
    assert np.array_equal(out, np.array(expected).reshape(len(taps), len(at)).T)
    by_tap = np.full(out.shape, 77, images.dtype)
    form(kernels.gather_pixels)(last, ends, window, -9, at.start, by_tap)
    turned = out.reshape(len(at), len(channels), n_taps).swapaxes(1, 2)
    assert np.array_equal(by_tap.reshape(turned.shape), turned)


@settings(max_examples=80, deadline=None)
@given(
    geometry=GEOMETRIES,
    shape=st.tuples(*[st.integers(1, 7)] * 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_windows_as_rows(geometry: Geometry, shape: tuple[int, int], seed: int) -> None:
    """Channels of one group, any run of positions; the order is that of flattened weights."""
    size = geometry.output_size(*shape)
    if min(size) < 1:
        return
    rng = np.random.default_rng(seed)
    images = rng.integers(-128, 127, (int(rng.integers(0, 3)), 4, *shape)).astype(np.int8)
    n_positions = images.shape[0] * size[0] * size[1]
    first, stop = np.sort(rng.integers(0, n_positions + 1, 2)).tolist()
    low, high = rng.choice([(0, 4), *combinations(range(5), 2)]).tolist()
    check_rows(lambda kernel: kernel, images, range(low, high), geometry, range(first, stop))


@pytest.mark.parametrize("case", CASES)
def test_all_windows_as_rows(case: str, form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "copy_strided", form(copy_strided))
    geometry, shape = CASES[case]
    size = geometry.output_size(*shape)
    images = np.random.default_rng(4).integers(-128, 127, (2, 3, *shape)).astype(np.int8)
    for channels in (range(3), range(1, 2)):
        check_rows(form, images, channels, geometry, range(2 * size[0] * size[1]))
    check_rows(form, images, range(2, 3), geometry, range(1, 1))
