"""Words of a CAM from text, .npz, .npy and HDF5: the same words, or what is wrong and where."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bitpim.errors import BitpimError, LayoutError, TraceDataError
from bitpim.lookup import word_files, word_text
from bitpim.lookup.word_files import read_matrix, read_numbers, read_words, stored_and_queries
from bitpim.lookup.words import CamWords

WORDS = ["01X0", "1111", "0001"]
BITS = np.array([[0, 0, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0]])  # bit 0 first, zero for X
CARE = np.array([[1, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]])


def text_file(folder: Path, content: str | bytes, name: str = "words.txt") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def words_of(words: CamWords) -> list[str]:
    return words.to_text()


@pytest.mark.parametrize(
    "content",
    [
        "01X0\n1111\n0001\n",
        "01X0\n1111\n0001",
        "\ufeff01x0\r\n1111\r\n0001\r\n",
        "01X0\r1111\r0001\r",
        "# a memory\n\n  01_X0  # low bit last\n\t11_11\n0001\n\n#end",
    ],
)
def test_text_of_cells(tmp_path: Path, content: str) -> None:
    assert words_of(read_words(text_file(tmp_path, content))) == WORDS


@pytest.mark.parametrize("width", [1, 2, 63, 64, 65])
def test_plain_cells_read_at_once_are_those_read_line_by_line(tmp_path: Path, width: int) -> None:
    rng = np.random.default_rng(width)
    lines = ["".join(rng.choice(list("01Xx"), width)) for _ in range(7)]
    plain, spaced = "\n".join(lines), "\n\n".join(lines)
    expected = words_of(read_words(text_file(tmp_path, spaced)))
    assert expected == [line.upper() for line in lines]
    for content in (plain, f"{plain}\n"):
        assert words_of(read_words(text_file(tmp_path, content))) == expected
    for odd in (f"{plain}#\n", f"{plain}\n\n", f"{plain[:width]}_{plain[width:]}"):
        assert words_of(read_words(text_file(tmp_path, odd))) == expected


def test_text_of_integers_and_cells_of_a_said_width(tmp_path: Path) -> None:
    path = text_file(tmp_path, "10\n0x0f\n0b1\n-3\n1_0\n1X00\n0010\n15\n")
    found = words_of(read_words(path, n_bits=4))
    assert found == ["1010", "1111", "0001", "1101", "1010", "1X00", "0010", "1111"]


def test_no_integer_can_be_taken_for_cells() -> None:
    """Of N digits 0 and 1, those that are no cells would be numbers: too large, or begun by 0."""
    for n_bits in range(2, 12):
        assert int("1" + "0" * (n_bits - 1)) > 2**n_bits - 1


@pytest.mark.parametrize("n_bits", [1, 63, 64, 65, 130])
def test_integers_of_any_width(tmp_path: Path, n_bits: int) -> None:
    numbers = [0, 1, 2**n_bits - 1, 2 ** (n_bits - 1), -(2 ** (n_bits - 1)), -1]
    path = text_file(tmp_path, "\n".join(map(hex, numbers)))
    found = words_of(read_words(path, n_bits=n_bits))
    assert found == [f"{number % 2**n_bits:0{n_bits}b}" for number in numbers]
    cells = text_file(tmp_path, "\n".join(found), "cells.txt")
    assert words_of(read_words(cells)) == found


@pytest.mark.parametrize(
    ("content", "n_bits", "said"),
    [
        ("0101\n01y1\n", None, ":2: need 0, 1 and X, got 'y' in '01y1'"),
        ("01\n0\N{BULLET}\n", None, ":2: need 0, 1 and X, got '•'"),
        ("0101\n\n# c\n011\n", None, ":4: need 4 bits as in line 1, got 3"),
        ("0101\n17\n", None, ":2: need 0, 1 and X, got '7' in '17'; integers need"),
        ("01\n01X01\n", None, ":2: need 2 bits as in line 1, got 5"),
        ("01 11\n", None, ":1: need 0, 1 and X, got ' '"),
        ("", None, ": need a word or more, got none"),
        (" \n# nothing\n", None, ": need a word or more, got none"),
        (b"0101\n01\xff1\n", None, ":2: need text in UTF-8, got byte 0xff"),
        ("0101\n".encode("utf-16"), None, "got UTF-16"),
        (bytes(range(256)), None, "need text in UTF-8"),
        ("0101\0\n", None, ":1: need 0, 1 and X, got '\\x00'"),
        ("3\n16\n", 4, ":2: need a number in -8..15 for 4 bits, got 16"),
        ("-9\n", 4, ":1: need a number in -8..15 for 4 bits, got -9"),
        ("3\n010\n", 4, ":2: need 4 cells of 0, 1 and X, or an integer"),
        ("3.0\n", 4, ":1: need 4 cells"),
        ("01XX1\n", 4, ":1: need 4 cells"),
        ("0X1F\n", 8, ":1: need 8 cells"),
        ("9" * 4001, 4, ":1: need at most 4000 decimal digits"),
        ("9" * 300, 70, ":1: need a number in -2^69..2^70 - 1 for 70 bits, got 999"),
        ("1\n", 2**20 + 1, "need words of 1..1,048,576 bits"),
    ],
)
def test_a_fault_of_a_text(
    tmp_path: Path, content: str | bytes, n_bits: int | None, said: str
) -> None:
    path = text_file(tmp_path, content)
    with pytest.raises(LayoutError) as error:
        read_words(path, n_bits=n_bits)
    assert str(error.value).startswith(path) and said in str(error.value)
    assert len(str(error.value)) < len(path) + 300 and str(error.value).isprintable()


def npz(folder: Path, **arrays: Any) -> str:
    np.savez_compressed(folder / "m.npz", **arrays)
    return str(folder / "m.npz")


def hdf5(folder: Path, **arrays: Any) -> str:
    with h5py.File(folder / "m.h5", "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values)
    return str(folder / "m.h5")


Writer = Callable[..., str]
BOTH = pytest.mark.parametrize("write", [npz, hdf5])


@BOTH
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", ">i4"])
def test_rows_of_bits_and_their_care(tmp_path: Path, write: Writer, dtype: str) -> None:
    path = write(tmp_path, stored=(BITS | (1 - CARE)).astype(dtype), stored_care=CARE.astype(dtype))
    assert words_of(read_words(path)) == WORDS
    assert words_of(read_words(f"{path}:stored_care")) == ["1101", "1111", "1111"]


@BOTH
@pytest.mark.parametrize("dtype", ["int8", "uint64", ">u2"])
def test_integers(tmp_path: Path, write: Writer, dtype: str) -> None:
    codes = np.array([5, 0, 7], dtype)
    path = write(tmp_path, stored=codes, queries=codes[::-1], other=codes)
    assert words_of(read_words(path, n_bits=3)) == ["101", "000", "111"]
    with pytest.raises(LayoutError, match=r"stored: need the bits of its integers: say --bits N"):
        read_words(path)
    path = write(tmp_path, stored=codes, stored_care=np.array([7, 6, 3]), n_bits=3, queries=codes)
    stored, queries = stored_and_queries(path, None)
    assert (words_of(stored), words_of(queries)) == (["101", "00X", "X11"], ["101", "000", "111"])
    with pytest.raises(LayoutError, match="need one width, got 3 in the file and 4 asked for"):
        read_words(path, n_bits=4)


def test_integers_of_64_bits_and_negative_ones(tmp_path: Path) -> None:
    path = npz(tmp_path, stored=np.array([2**64 - 1, 0], np.uint64), queries=np.array([-1, 5]))
    stored, queries = stored_and_queries(path, None, 64)
    assert stored.codes().tolist() == [2**64 - 1, 0]
    assert queries.codes().tolist() == [2**64 - 1, 5]


def test_integers_that_are_queries_have_the_width_of_the_memory(tmp_path: Path) -> None:
    stored = text_file(tmp_path, "0101\n1111\n")
    np.save(tmp_path / "q.npy", np.array([3, -8]))
    assert words_of(stored_and_queries(stored, str(tmp_path / "q.npy"))[1]) == ["0011", "1000"]
    with pytest.raises(LayoutError, match=r"q\.npy: need integers in -8\.\.15 for 4 bits, got 16"):
        np.save(tmp_path / "q.npy", np.array([3, 16]))
        stored_and_queries(stored, str(tmp_path / "q.npy"))
    path = npz(tmp_path, stored=BITS, queries=np.array([3]), n_bits=5)  # its own width goes first
    assert words_of(stored_and_queries(stored, path)[1]) == ["00011"]
    short = text_file(tmp_path, "11\n", "short.txt")  # eleven, or two cells? nobody knows
    assert stored_and_queries(stored, short)[1].n_bits == 2


def test_an_npy_is_one_array(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", BITS)
    path = str(tmp_path / "w.npy")
    assert words_of(read_words(path)) == ["0100", "1111", "0001"]
    with pytest.raises(LayoutError, match="no name for the one array"):
        read_words(f"{path}:stored")
    (tmp_path / "bare").write_bytes(Path(path).read_bytes())
    assert words_of(read_words(str(tmp_path / "bare"))) == ["0100", "1111", "0001"]


@BOTH
def test_which_array(tmp_path: Path, write: Writer) -> None:
    path = write(tmp_path, codes=BITS)
    assert len(read_words(path)) == 3  # the only one needs no name
    with pytest.raises(LayoutError, match=r"need an array '/?zzz'"):
        read_words(f"{path}:zzz")
    path = write(tmp_path, codes=BITS, stord=BITS, n_bits=4)
    with pytest.raises(LayoutError, match=r"need an array '/?stored', got none; did you mean '/?s"):
        read_words(path)
    with pytest.raises(LayoutError, match=r"need an array '/?zzz', got none; known: /?codes, "):
        read_words(f"{path}:zzz")
    assert len(read_words(f"{path}:codes")) == 3
    with pytest.raises(LayoutError, match=r"need an array '/?queries'"):
        stored_and_queries(f"{path}:codes", None)


def test_groups_and_attributes_of_hdf5(tmp_path: Path) -> None:
    path = str(tmp_path / "m.h5")
    with h5py.File(path, "w") as file:
        file["group/words"] = np.array([1, 2])
        file["group/words"].attrs["n_bits"] = 2
        file["group/more/words"] = np.array([1, 2])
        file["group"].attrs["n_bits"] = np.uint16(7)
        file["beside/words"] = np.array([1, 2])
        file["beside/n_bits"] = 5
        file["bare/words"] = np.array([1, 2])
        file.attrs["n_bits"] = "eight"
    widths = {"/group/words": 2, "group/more/words": 7}
    for name, width in widths.items():
        assert read_words(f"{path}:{name}").n_bits == width
    with pytest.raises(TraceDataError, match="@n_bits: need integers or truth"):
        read_words(f"{path}:/bare/words")
    with h5py.File(path, "a") as file:
        del file.attrs["n_bits"]
    assert read_words(f"{path}:/beside/words").n_bits == 5


@BOTH
@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((2, 3)), "need integers or truth values, got float64"),
        (np.zeros((2, 3, 1), int), r"got shape \(2, 3, 1\)"),
        (np.array([[0, 1], [1, 2]]), "need 0 and 1 in rows of bits, got 2 in row 1, bit 1"),
        (np.array([[0, 1], [-1, 1]]), "got -1 in row 1, bit 0"),
    ],
)
def test_a_wrong_array(tmp_path: Path, write: Writer, values: Any, said: str) -> None:
    path = write(tmp_path, stored=values, queries=BITS)
    with pytest.raises(LayoutError, match=rf"stored: .*{said}"):
        read_words(path)


def test_more_wrong_arrays(tmp_path: Path) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "got shape (0, 4)": {"stored": np.zeros((0, 4), np.uint8)},
        "stored_care: need the shape (3, 4)": {"stored": BITS, "stored_care": CARE[:2]},
        "stored_care: need 0 and 1": {"stored": BITS, "stored_care": CARE + 1},
        "stored_care: need integers or": {"stored": BITS, "stored_care": CARE / 2},
        "rows of 4; leave": {"stored": BITS, "n_bits": 3},
        "need 1..64 bits for integers, got 65": {"stored": BITS[:, 0], "n_bits": 65},
        "need 1..64 bits for integers, got 0": {"stored": BITS[:, 0], "n_bits": 0},
        "need integers in -4..7 for 3 bits, got 8 in row 1": {
            "stored": np.array([7, 8]),
            "n_bits": 3,
        },
        "stored_care: need integers in 0..7": {
            "stored": np.array([7]),
            "stored_care": np.array([-1]),
            "n_bits": 3,
        },
        ".npz: n_bits: need one integer": {"stored": np.array([1]), "n_bits": np.array([3, 4])},
    }
    for said, arrays in wrong.items():
        path = npz(tmp_path, **arrays)
        with pytest.raises(LayoutError) as error:
            read_words(path, n_bits=3 if said.startswith("rows") else None)
        assert said in str(error.value), said


def test_what_is_no_such_file(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.txt")
    with pytest.raises(LayoutError, match="need a file of words that can be read, got: No such"):
        read_words(gone)
    with pytest.raises(LayoutError, match="a folder"):
        read_words(str(tmp_path))
    for name in ("a.npz", "a.npy", "a.h5"):
        text_file(tmp_path, "0101\n", name)
        for path in (str(tmp_path / name), str(tmp_path / f"gone{name}")):
            with pytest.raises(TraceDataError, match=name):
                read_words(path)
    with pytest.raises(LayoutError, match="need queries beside the stored words"):
        stored_and_queries(text_file(tmp_path, "01\n"), None)
    with pytest.raises(LayoutError, match="no array's name for a text"):
        read_words(f"{text_file(tmp_path, '01')}:x")
    odd = text_file(tmp_path, "01\n", "a:b.txt")
    assert len(read_words(odd)) == 1


def test_pickles_and_texts_are_refused(tmp_path: Path) -> None:
    for values in (np.array([{}], object), np.array(["01"])):
        np.savez(tmp_path / "m.npz", stored=values)
        np.save(tmp_path / "m.npy", values, allow_pickle=True)
        for name in ("m.npz", "m.npy"):
            with pytest.raises(TraceDataError, match=r"need \.npz or \.npy of plain arrays"):
                read_words(str(tmp_path / name))
    path = hdf5(tmp_path, stored="01")
    with pytest.raises(TraceDataError, match="stored: need integers or truth values"):
        read_words(path)


def test_sizes_are_bounded_before_memory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LayoutError, match="at most 34,359,738,368 cells"):
        word_text.check_size(2**16, 2**20, "f")
    monkeypatch.setattr(word_files, "MAX_BYTES", 11)
    monkeypatch.setattr("bitpim_traces.stored_values.MAX_BYTES", 11)
    np.save(tmp_path / "m.npy", BITS)
    for path in (
        text_file(tmp_path, "0101\n1010\n1100\n"),
        str(tmp_path / "m.npy"),
        npz(tmp_path, stored=BITS),
        hdf5(tmp_path, stored=BITS),
    ):
        with pytest.raises(BitpimError, match=r"at most 11 bytes|more than 11"):
            read_words(path)


def test_numbers(tmp_path: Path) -> None:
    path = text_file(tmp_path, "3, 4\n5 # more\n\n6,7\n")
    assert read_numbers(path, "weights") == [3, 4, 5, 6, 7]
    assert read_numbers(npz(tmp_path, weights=np.array([1, 9])), "weights") == [1, 9]
    assert read_numbers(hdf5(tmp_path, w=np.array([1, 9]), x=BITS) + ":w", "weights") == [1, 9]
    for content, said in (("3\n4.5\n", ":2: need whole numbers, got '4.5'"), ("#", "got none")):
        with pytest.raises(LayoutError, match=said):
            read_numbers(text_file(tmp_path, content), "weights")
    with pytest.raises(LayoutError, match="need integers"):
        read_numbers(npz(tmp_path, weights=BITS), "weights")


def test_matrices(tmp_path: Path) -> None:
    """A row a line; blanks, commas and remarks between; one row needs no second axis."""
    path = text_file(tmp_path, "# w\n3, -4\n\n5 6 # more\n")
    assert read_matrix(path, "weights").tolist() == [[3, -4], [5, 6]]
    table = np.array([[1, 9], [-2, 0]], np.int8)
    for made, name in ((npz, ""), (npz, ":w"), (hdf5, ":w")):
        arrays = {"w": table, "x": BITS} if name else {"weights": table}
        found = read_matrix(made(tmp_path, **arrays) + name, "weights")
        assert found.tolist() == table.tolist() and found.dtype == np.int64
    np.save(tmp_path / "m.npy", np.array([2**63 - 1, 0], np.uint64))
    assert read_matrix(str(tmp_path / "m.npy"), "weights").tolist() == [[2**63 - 1, 0]]
    (tmp_path / "m.csv").write_text("1,2\r\n3,4\r\n")
    assert read_matrix(str(tmp_path / "m.csv"), "weights").tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("1 2\n3\n", ":2: need 2 numbers, as above, got 1"),
        ("1 2\n\n3 4 5\n", ":3: need 2 numbers, as above, got 3"),
        ("1 2\n3 x\n", ":2: need whole numbers, got 'x'"),
        ("1.0\n", ":1: need whole numbers, got '1.0'"),
        ("# nothing\n", "need numbers, got none"),
        (f"{2**63}\n", "need integers of 64 bits"),
        (f"-{2**63 + 1}\n", "need integers of 64 bits"),
        ("9" * 30, ":1: need whole numbers"),
    ],
)
def test_a_text_that_is_no_matrix_is_refused(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(LayoutError, match=said):
        read_matrix(text_file(tmp_path, content), "weights")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((2, 2)), r"need integers \(m, n\) or \(n,\), at least one, got float64 \(2, 2\)"),
        (np.zeros((2, 2), np.bool_), "got bool"),
        (np.zeros((1, 2, 2), np.int8), r"got int8 \(1, 2, 2\)"),
        (np.zeros((0, 2), np.int8), r"got int8 \(0, 2\)"),
        (np.array(3), r"got int64 \(\)"),
        (np.array([2**63], np.uint64), "need integers of 64 bits"),
    ],
)
def test_an_array_that_is_no_matrix_is_refused(tmp_path: Path, values: Any, said: str) -> None:
    np.save(tmp_path / "m.npy", values)
    with pytest.raises(LayoutError, match=rf"m.npy: {said}|m.npy: need .*{said}"):
        read_matrix(str(tmp_path / "m.npy"), "weights")


def test_small_x_is_a_cell_beside_integers_but_not_in_0x(tmp_path: Path) -> None:
    words = read_words(text_file(tmp_path, "01x0\nx1X1\n0x1\n0xe\n"), n_bits=4)
    assert words.to_text() == ["01X0", "X1X1", "0001", "1110"]
    with pytest.raises(LayoutError, match=r"need a number in -8\.\.15 for 4 bits, got 0x10"):
        read_words(text_file(tmp_path, "0x10\n"), n_bits=4)
