"""What a family is, and how a network of random weights comes to look trained."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

__all__ = ["Family"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_SETTLED_ON = 8  # samples that batch norms see


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture, small; `needs` are the ATen operators that it is here for.

    Shapes
    ------
    input_shape : without the batch axis
    """

    name: str
    build: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    origin: str  # the public repository or paper whose wiring it follows
    needs: tuple[str, ...] = ()

    def make(self) -> nn.Module:
        """Yield the network, the same at each call, in evaluation mode."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = self.build()
            _settle(module, torch.from_numpy(self.samples(_SETTLED_ON, seed=1)))
        return module.eval()

    def samples(self, n: int, seed: int = 0) -> npt.NDArray[np.float32]:
        """Yield random samples, half of their variance common to all pixels of a channel."""
        rng = np.random.default_rng(seed)
        whole = (n, *self.input_shape)
        common = (*whole[:2], *(1 for _ in whole[2:]))
        values: npt.NDArray[np.float64] = rng.normal(size=whole) + rng.normal(size=common)
        return np.asarray(values / np.sqrt(2.0), dtype=np.float32)


def _settle(module: nn.Module, samples: torch.Tensor) -> None:
    """Draw weights that keep the size of activations; let batch norms see samples once."""
    norms = []
    for part in module.modules():
        if isinstance(part, (*_CONVOLUTIONS, nn.Linear)):
            nn.init.kaiming_normal_(part.weight)
            if part.bias is not None:
                nn.init.normal_(part.bias, std=0.1)
        if isinstance(part, _NORMS):
            norms.append((part, part.momentum))
            part.momentum = 1.0  # the statistics of one batch, taken whole
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.2)
    with torch.no_grad():
        module.train()(samples)
    for norm, momentum in norms:
        norm.momentum = momentum
