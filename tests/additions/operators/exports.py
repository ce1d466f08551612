"""Export a module that calls the toy's PyTorch operator, and print the layers."""

import numpy as np
import torch

from bitpim_traces.exporter import export


class Flipped(torch.nn.Module):
    """A convolution, mirrored."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mirror what the convolution yields."""
        y: torch.Tensor = self.conv(x)
        return y.flip(3)


if __name__ == "__main__":
    torch.manual_seed(0)
    images = np.random.default_rng(0).normal(size=(4, 2, 6, 6)).astype(np.float32)
    print([(layer.kind, dict(layer.params)) for layer in export(Flipped(), images).layers])
