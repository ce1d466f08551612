"""Random networks of codebooks, small and legal, with odd windows and all kinds that they have."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.builder import Activation, TraceBuilder, WeightCodes
from bitpim_traces.codebook import Codebook, ProductTable
from bitpim_traces.numbers.product_tables import products_of
from bitpim_traces.records import Geometry, Quantization, Trace

__all__ = ["codebook_trace", "random_codebook"]

Ints = npt.NDArray[np.int64]
SIZES = (2, 3, 4, 7, 16, 64, 256)


def random_codebook(
    rng: np.random.Generator, n: int, value_bits: int = 12, low: int = -1
) -> Codebook:
    """Make a codebook of n values, 0 among them; with `low` 0 none is negative."""
    limit = 1 << (value_bits - 1)
    values = np.zeros(1, np.int64)
    while len(values) < n:
        values = np.unique(np.append(values, rng.integers(1 + low * limit, limit)))
    return Codebook(values.astype(np.int64), int(rng.integers(0, 14)), value_bits)


class _Net:
    def __init__(self, seed: int, shape: tuple[int, ...], most_codes: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.sizes = [n for n in SIZES if n <= most_codes]
        self.builder = TraceBuilder(
            f"codebooks{seed}", shape, self.quantization(), accumulator_bits=48
        )

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def quantization(self, low: int = -1) -> Quantization:
        return Quantization.of_codebook(
            random_codebook(self.rng, int(self.rng.choice(self.sizes)), low=low)
        )

    def weight(self, shape: tuple[int, ...]) -> tuple[WeightCodes, Quantization]:
        quantization = self.quantization()
        n_codes = quantization.code_max + 1
        codes = self.rng.integers(0, n_codes, shape)
        bias = self.rng.integers(-5000, 5000, shape[0]) if self.chance(0.7) else None
        return WeightCodes(codes, quantization, bias), quantization

    def table(
        self, weight: Quantization, source: Quantization, output: Quantization
    ) -> ProductTable:
        """Make a table, exact or rounded, with points or without."""
        assert weight.codebook is not None
        assert source.codebook is not None
        fraction = weight.codebook.fraction_bits + source.codebook.fraction_bits
        if self.chance(0.4):
            fraction -= int(self.rng.integers(1, 6))
        table = products_of(weight.codebook, source.codebook, fraction_bits=fraction)
        if output.codebook is not None and self.chance(0.3):
            x = np.unique(self.rng.integers(-100_000, 100_000, 9))
            y = self.rng.integers(-2000, 2000, x.size)
            table = replace(table, points=np.stack([x, y], axis=1))
        return table

    def activation(self, table: ProductTable | None) -> Activation:
        if table is not None and table.points is not None:
            return Activation(str(self.rng.choice(["sigmoid", "relu", "my_own"])))
        kind = str(self.rng.choice(["none", "relu", "relu6"]))
        return Activation(kind)

    def geometry(self, shape: tuple[int, ...], groups: int = 1) -> Geometry:
        kernel = tuple(int(n) for n in self.rng.integers(1, 4, 2))
        dilation = tuple(int(n) for n in self.rng.integers(1, 3, 2))
        need = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        pads = [int(self.rng.integers(0, 3)) for _ in range(4)]
        for axis in (0, 1):  # the window fits in the padded image
            lack = need[axis] - shape[1 + axis] - pads[2 * axis] - pads[2 * axis + 1]
            pads[2 * axis + 1] += max(lack, 0)
        stride = tuple(int(n) for n in self.rng.integers(1, 3, 2))
        parts: Any = (kernel, stride, tuple(pads), dilation, groups)
        return Geometry(*parts)

    def conv2d(self, source: int) -> int:
        shape, before = self.builder.shape(source), self.builder.quantization(source)
        groups = int(self.rng.choice([g for g in (1, 2, 3) if shape[0] % g == 0]))
        geometry = self.geometry(shape, groups)
        n_out = groups * int(self.rng.integers(1, 4))
        weight, of_weight = self.weight((n_out, shape[0] // groups, *geometry.kernel))
        output = self.quantization()
        table = self.table(of_weight, before, output) if self.chance(0.6) else None
        return self.builder.conv2d(
            self.name,
            source,
            weight,
            output,
            geometry,
            activation=self.activation(table),
            table=table,
        )

    @property
    def name(self) -> str:
        return f"l{len(self.builder.layers)}"

    def avg_pool2d(self, source: int) -> int:
        shape = self.builder.shape(source)
        kernel = tuple(
            int(min(n, s)) for n, s in zip(self.rng.integers(1, 4, 2), shape[1:], strict=True)
        )
        pads: Any = tuple((k - 1) // 2 for k in (kernel[0], kernel[0], kernel[1], kernel[1]))
        geometry = Geometry(kernel, (1, 2), pads, count_include_pad=self.chance(0.5))  # type: ignore[arg-type]
        return self.builder.avg_pool2d(self.name, source, geometry, output=self.quantization())

    def max_pool2d(self, source: int) -> int:
        return self.builder.max_pool2d(self.name, source, Geometry((2, 1), (1, 1), (1, 0, 0, 0)))

    def select(self, source: int) -> int:
        return self.builder.max_pool2d(self.name, source, Geometry((1, 1), (2, 1)))

    def add(self, source: int) -> int:
        other = self.conv1x1(source)
        return self.builder.add(
            self.name, [source, other], self.quantization(), activation=self.activation(None)
        )

    def conv1x1(self, source: int) -> int:
        n = self.builder.shape(source)[0]
        weight, _ = self.weight((n, n, 1, 1))
        return self.builder.conv2d(self.name, source, weight, self.quantization(), Geometry((1, 1)))

    def concat(self, source: int) -> int:
        other = source if self.chance(0.3) else self.conv1x1(source)
        output = None if other == source else self.quantization()
        return self.builder.concat(self.name, [source, other], output=output)

    def clip(self, source: int) -> int:
        return self.builder.clip(self.name, source, Activation("relu"))

    def lookup(self, source: int) -> int:
        return self.builder.lookup(self.name, source, "tanh", self.quantization())

    def linear(self, source: int, n_out: int, *, raw: bool) -> int:
        before = self.builder.quantization(source)
        (n_in,) = self.builder.shape(source)
        weight, of_weight = self.weight((n_out, n_in))
        output = self.quantization()
        if raw:
            assert before.codebook is not None
            assert of_weight.codebook is not None
            fraction = before.codebook.fraction_bits + of_weight.codebook.fraction_bits
            output = Quantization(48, True, np.array([2.0**-fraction]), np.zeros(1, np.int64))
        return self.builder.linear(self.name, source, weight, output)


_KINDS = ("conv2d", "avg_pool2d", "max_pool2d", "select", "add", "concat", "clip", "lookup")


def codebook_trace(
    seed: int,
    *,
    n_layers: int = 3,
    n_samples: int = 3,
    most_codes: int = 256,
    kinds: tuple[str, ...] = _KINDS,
    raw: bool | None = None,
) -> Trace:
    """Make a network of codebooks that ends in flatten, linear; its outputs raw sums by chance."""
    sizes = np.random.default_rng([seed, 1])
    shape = tuple(int(n) for n in sizes.integers(1, (5, 7, 6)))
    net, source = _Net(seed, shape, most_codes), -1
    for _ in range(n_layers):
        source = getattr(net, str(net.rng.choice(kinds)))(source)
    source = net.builder.flatten("flat", source)
    net.linear(source, int(net.rng.integers(1, 6)), raw=net.chance(0.5) if raw is None else raw)
    n_codes = net.builder.input_quantization.code_max + 1
    codes = net.rng.integers(0, n_codes, (n_samples, *shape))
    return net.builder.build(codes)
