"""What a person may choose when a network is pruned by ADMM; the training itself is PyTorch's."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bitpim_traces.errors import TraceDataError
from bitpim_traces.quantize.projections import GROUPED
from bitpim_traces.quantize.pruning_values import need_share, need_word

__all__ = ["ADMM_KINDS", "AdmmPruning"]

ADMM_KINDS = (*GROUPED, "pattern")


@dataclass(frozen=True, slots=True)
class AdmmPruning:
    """What ADMM prunes, and how hard it pulls; making one checks every value.

    Attributes
    ----------
    kind
        What is dropped together: "filter", "channel", "shape", "lane"; or "pattern", where kernels
        keep the weights of a pattern, or nothing.
    share
        Share of a layer's groups that are dropped; with "pattern", of its conv kernels.
    rounds
        Projections, spread evenly over the steps of training.
    rho, rho_last
        Weight of the pull before the first and before the last projection; from one to the next it
        grows by the same factor.
    kept, n_patterns
        Of "pattern": weights a pattern keeps, and the number of patterns of a layer, chosen from
        its weights as they were given.
    skip_first
        Leave the first convolution as it is.
    shares
        Shares of layers, by module path, that differ; 0 leaves a layer as it is.

    Raises
    ------
    TraceDataError
        A value is out of its range.
    """

    kind: str = "lane"
    share: float = 0.5
    rounds: int = 10
    rho: float = 0.01
    rho_last: float = 1.0
    kept: int = 4
    n_patterns: int = 8
    skip_first: bool = True
    shares: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        need_word("admm", "kind", self.kind, ADMM_KINDS)
        need_share("admm", "share", self.share)
        for path, share in self.shares.items():
            need_share("admm", f"shares[{path!r}]", share)
        if self.rounds < 1 or self.n_patterns < 1:
            got = f"rounds {self.rounds} and n_patterns {self.n_patterns}"
            raise TraceDataError(f"admm: need rounds and n_patterns of at least 1, got {got}")
        if not 1 <= self.kept <= 9:
            raise TraceDataError(f"admm: need kept from 1 to 9, got {self.kept}")
        if not 0 < self.rho <= self.rho_last < math.inf:
            raise TraceDataError(
                f"admm: need 0 < rho <= rho_last, got {self.rho} and {self.rho_last}"
            )

    def rho_of(self, n_done: int) -> float:
        """Weight of the pull after so many projections."""
        part = min(1.0, n_done / max(1, self.rounds - 1))
        return float(self.rho * (self.rho_last / self.rho) ** part)

    def as_plain(self) -> dict[str, Any]:
        """Yield the settings as words and numbers, for provenance."""
        return {**asdict(self), "shares": dict(sorted(self.shares.items()))}
