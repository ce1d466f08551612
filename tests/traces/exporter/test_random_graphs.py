"""Random graphs of readable operators, batch norms and views in odd places, against PyTorch."""

import random
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn
from torch.nn import functional as f

from bitpim_traces.exporter import read_network, torch_forward
from tests.traces.exporter.modules import seeded

Shape = tuple[int, ...]
Step = tuple[Callable[..., torch.Tensor], tuple[int, ...]]
NORMS: dict[int, Callable[[int], nn.Module]] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm1d,
    3: nn.BatchNorm2d,
}


class Drawn(nn.Module):
    """Ten operators, each of what was drawn before, the last ones more often."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.dice = random.Random(seed)
        self.shape = tuple(self.dice.randint(1, 6) for _ in range(self.dice.randint(1, 3)))
        self.parts, self.steps = nn.ModuleList(), list[Step]()
        shapes = [self.shape]
        while len(self.steps) < 10:
            run, inputs = self.dice.choice(self.choices(shapes))
            made = tuple(run(*(torch.zeros(2, *shapes[i]) for i in inputs)).shape[1:])
            if 1 <= len(made) <= 5 and 1 <= np.prod(made) < 400:
                shapes.append(made)
                self.steps.append((run, inputs))

    def owned(self, part: nn.Module) -> nn.Module:
        self.parts.append(part.eval())
        return part

    def choices(self, shapes: list[Shape]) -> list[Step]:
        dice, at = self.dice, self.dice.choice([len(shapes) - 1, self.dice.randrange(len(shapes))])
        shape, rank = shapes[at], len(shapes[at])
        n, width, below = shape[0], shape[-1], dice.randrange(shape[-1])
        axes = [0, *dice.sample(range(1, rank + 1), rank)]
        some = dice.sample(range(1, rank + 1), dice.randint(1, rank))
        constant, every = torch.linspace(-1, 1, width), dice.randint(1, 2)
        of_one: list[Callable[..., torch.Tensor]] = [
            lambda x: x.permute(axes),
            lambda x: x.reshape(len(x), -1, width),
            lambda x: x.unsqueeze(1) if x.ndim < 5 else x.flatten(1, 2),
            lambda x: x[..., below::every],
            lambda x: x[:, : (n + 1) // 2],
            lambda x: x.mean(some, keepdim=True),
            lambda x: x.mean(some, keepdim=True).expand_as(x) * x.amax(some, True).expand_as(x),
            lambda x: f.pad(x, (1, 0)) if x.ndim < 5 else x.tanh(),
            lambda x: x.clamp(-0.4, 0.7),
            lambda x: 1.5 - x * 0.5,
            lambda x: x * constant + 0.5,
            lambda x: torch.cat([x, x.tanh()], 1),
            self.owned(nn.Linear(width, dice.randint(1, 5))),
        ]
        if rank in NORMS:
            of_one += [self.owned(NORMS[rank](n)) for _ in range(3)]
        if rank == 3:
            size, sides = (dice.randint(1, 3), 1), (1, dice.randint(0, 1))
            of_one += [self.owned(nn.Conv2d(n, dice.randint(1, 4), size, padding=sides))] * 3
        mate = dice.choice([k for k, other in enumerate(shapes) if fit(other, shape)])
        of_two: list[Callable[..., torch.Tensor]] = [
            lambda x, y: x + y,
            lambda x, y: x - 2 * y.relu(),
            lambda x, y: x * y.sigmoid(),
        ]
        return [(run, (at,)) for run in of_one] + [(run, (at, mate)) for run in of_two]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = [x]
        for run, inputs in self.steps:
            values.append(run(*(values[i] for i in inputs)))
        return values[-1].sin()  # views alone would do nothing


def fit(one: Shape, other: Shape) -> bool:
    """Tell whether two shapes of one rank broadcast."""
    return len(one) == len(other) and all(
        a == b or 1 in (a, b) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("seed", range(16))
def test_a_random_graph_computes_what_its_module_does(seed: int) -> None:
    with torch.no_grad():
        module = seeded(Drawn(seed), seed)
        assert isinstance(module, Drawn)
        x = torch.randn(3, *module.shape)
        expected = module(x)
        network, _ = read_network(module, module.shape)
        (found,) = torch_forward(network, x).values()
    scale = max(1.0, expected.abs().max().item())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * scale)
