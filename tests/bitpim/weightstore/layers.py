"""Small layers of weights in clusters, drawn for the tests of the weight store."""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from bitpim.weightstore.settings import CODECS, POSITIONS, SHARES, StoreSettings, WeightCodes
from tests.naive.weight_store import NaiveRules

__all__ = ["Layer", "by_magnitude", "layers"]

SIZES = (0, 1, 2, 63, 64, 65, 127, 200)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layer:
    codes: Ints
    clusters: Ints
    n_clusters: int
    kind: WeightCodes
    settings: StoreSettings

    @property
    def rules(self) -> NaiveRules:
        return NaiveRules(
            self.kind.bits, self.kind.signed, self.kind.zero_point, **asdict(self.settings)
        )


def by_magnitude(codes: Ints, zero_point: int, n_clusters: int) -> Ints:
    """Clusters of equal count by falling magnitude, ties by place."""
    order = np.argsort(-np.abs(codes.ravel() - zero_point), kind="stable")
    clusters = np.empty(codes.size, np.int64)
    clusters[order] = np.arange(codes.size) * n_clusters // max(codes.size, 1)
    return clusters.reshape(codes.shape)


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    bits, signed = draw(st.integers(1, 8)), draw(st.booleans())
    least = -(1 << (bits - 1)) if signed else 0
    most = least + (1 << bits) - 1
    kind = WeightCodes(bits, signed, draw(st.integers(least, most)))
    n, n_clusters = draw(st.sampled_from(SIZES)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    middle = draw(st.integers(least, most))
    spread = draw(st.sampled_from([0, 1, 4, 256]))  # 0: all weights are equal
    codes = np.clip(middle + rng.integers(-spread, spread + 1, n), least, most)
    clusters = draw(
        st.sampled_from(
            [
                by_magnitude(codes, kind.zero_point, n_clusters),
                rng.integers(0, n_clusters, n),
                np.minimum(rng.geometric(0.9, n) - 1, n_clusters - 1),
                np.full(n, n_clusters - 1),
            ]
        )
    )
    settings = StoreSettings(
        codec=draw(st.sampled_from(CODECS)),
        share=draw(st.sampled_from(SHARES)),
        positions=draw(st.sampled_from(POSITIONS)),
        gap_bits=draw(st.integers(1, 8)),
        line_bytes=draw(st.sampled_from([8, 16, 64])),
        checksum_bits=draw(st.sampled_from([8, 16])),
    )
    return Layer(codes, clusters, n_clusters, kind, settings)
