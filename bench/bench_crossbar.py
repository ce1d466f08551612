"""Speed of crossbar reads: against NumPy with one BLAS product a plane pair, and on two threads."""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.dense_matrix import DenseMatrix
from bitpim.crossbar.encodings import encode_weights
from bitpim.crossbar.input_slices import InputCoding
from bitpim.threads import use_threads

Ratio = Callable[[str, Callable[[], object], Callable[[], object]], float]
Floats = npt.NDArray[np.float32]

POSITIONS, ROWS, OUTPUTS = 512, 1152, 256
# arrays of whole OUs, so that both sides read the same row blocks: 9 of 128 rows, 128 of 9
CASES = {
    "crossbar": (CrossbarGeometry(128, 128, 1), Adc("clip", 8)),
    "operation_units": (CrossbarGeometry(1152, 128, 1, 9, 8), Adc("clip", 3)),
}


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """One thread unless the test asks for two."""
    use_threads(1)
    yield
    use_threads(os.cpu_count() or 1)


@contextmanager
def blas_of_one_thread() -> Iterator[None]:
    """Hold NumPy's own OpenBLAS to one thread; another BLAS must be told by its environment."""
    folder = Path(np.__file__).parents[1] / "numpy.libs"
    libraries = [ctypes.CDLL(str(path)) for path in folder.glob("libscipy_openblas*")]
    setters = [library.scipy_openblas_set_num_threads64_ for library in libraries]
    for set_threads in setters:
        set_threads(1)
    yield
    for set_threads in setters:
        set_threads(os.cpu_count() or 1)


def operands() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return the same random inputs and weights each time."""
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 256, (POSITIONS, ROWS), dtype=np.uint8)
    return inputs, rng.integers(-128, 128, (ROWS, OUTPUTS))


def matrix_of(name: str) -> DenseMatrix:
    """Return the weights in two's complement, one bit a cell, on the crossbars of a case."""
    geometry, adc = CASES[name]
    stored = encode_weights(operands()[1], 8, "twos_complement", 1, geometry.rows)
    return DenseMatrix(stored, geometry, adc, InputCoding(8))


class Twin:
    """The same reads with float32 products, in preallocated buffers; its BLAS has one thread."""

    def __init__(self, matrix: DenseMatrix) -> None:
        self.edges = matrix.block_edges.tolist()
        planes = matrix.stored.cells.reshape(ROWS, 8, OUTPUTS)
        self.planes: Floats = np.ascontiguousarray(planes.transpose(1, 0, 2), np.float32)
        self.factors = matrix.stored.factors[0, ::OUTPUTS].tolist()
        self.top = np.float32((1 << int(matrix.adc.width)) - 1)
        self.partial: Floats = np.empty((POSITIONS, OUTPUTS), np.float32)

    def matmul(self, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Return the products; every sum of one plane pair is exact in float32."""
        out = np.zeros((POSITIONS, OUTPUTS))
        joined: Floats = np.empty_like(self.partial)
        for s in range(8):
            plane = ((inputs >> s) & 1).astype(np.float32)
            for weights, factor in zip(self.planes, self.factors, strict=True):
                joined[:] = 0
                for a, b in pairwise(self.edges):
                    np.matmul(plane[:, a:b], weights[a:b], out=self.partial)
                    np.minimum(self.partial, self.top, out=self.partial)
                    joined += self.partial
                out += joined * np.float64(factor << s if factor > 0 else -(-factor << s))
        return out


@pytest.mark.parametrize("name", CASES)
def test_over_numpy(name: str, ratio: Ratio) -> None:
    """Read every operation unit, both sides on one thread."""
    matrix, inputs = matrix_of(name), operands()[0]
    twin = Twin(matrix)
    with blas_of_one_thread():
        assert np.array_equal(matrix.read(inputs, 1)[0], twin.matmul(inputs))
        ratio(f"{name}_over_numpy", lambda: matrix.read(inputs, 1), lambda: twin.matmul(inputs))


@pytest.mark.parametrize("name", CASES)
def test_two_threads_over_one(name: str, ratio: Ratio) -> None:
    """Share the positions out, several matrices' worth."""
    matrix, inputs = matrix_of(name), np.tile(operands()[0], (4, 1))

    def read(n_threads: int) -> None:
        use_threads(n_threads)
        matrix.read(inputs, 4)

    ratio(f"crossbar_two_threads:{name}", lambda: read(2), lambda: read(1))
