"""How clustered weights are trained on, and what came of it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bitpim_traces.codebook import Codebook
from bitpim_traces.errors import TraceDataError
from bitpim_traces.network import FloatNetwork

__all__ = ["Retrained", "Retraining"]


@dataclass(frozen=True, slots=True)
class Retraining:
    """How clustered weights are trained on; making one checks every value.

    Attributes
    ----------
    epochs
        How often all samples are seen, at most.
    delta
        Training ends after the epoch whose error is at most that of the float network and this.
    batch
        Samples of a step.
    learning_rate
        First step of Adam, as a share of the root mean square of a layer's weights; it falls along
        a half cosine to almost 0.
    recluster_every
        Steps after which weights are clustered again. 0: which weights share a value stays as it
        was. Between two clusterings nothing corrects a shadow, so that many steps go too far.
    seed
        Decides the order of the samples.

    Raises
    ------
    TraceDataError
        A value is out of its range.
    """

    epochs: int = 4
    delta: float = 0.0
    batch: int = 64
    learning_rate: float = 0.002
    recluster_every: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (("epochs", 0), ("batch", 2), ("recluster_every", 0), ("seed", 0)):
            if getattr(self, name) < low:
                got = getattr(self, name)
                raise TraceDataError(f"retraining: need {name} of at least {low}, got {got}")
        for name, most in (("learning_rate", math.inf), ("delta", 1)):
            if not 0 <= getattr(self, name) < most:
                got = getattr(self, name)
                raise TraceDataError(f"retraining: need {name} from 0 to below {most}, got {got}")

    def as_plain(self) -> dict[str, Any]:
        """Yield the settings as words and numbers, for provenance."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Retrained:
    """The network of the best epoch, and what was measured; its weights are clustered values.

    `codebooks` are those that activations were rounded to, by layer, "input" for the network input.
    `accuracies` are those with clustered weights and activations, before training and after each
    epoch; `epoch` is the best one's place in them.
    """

    network: FloatNetwork
    codebooks: Mapping[str, Codebook]
    float_accuracy: float
    accuracies: tuple[float, ...]
    epoch: int
    n_steps: int
