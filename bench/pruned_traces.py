"""Real networks pruned or made ternary, trained on and exported: traces made once into a folder.

Training sees the first 20,000 training images of CIFAR-10, mirrored and shifted, and, as far as a
recipe says, asks for the answers of the network as it was. Activations are calibrated on the first
1,000 of them. Samples are all test images, with labels and the float network's answers.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.networks.float_networks import float_network
from bitpim import open_trace
from bitpim_traces import write_trace
from bitpim_traces.exporter import (
    FineTuned,
    Progress,
    Training,
    accuracy_of,
    export,
    finetune,
    load_weights,
    prune_module,
)
from bitpim_traces.masks import LayerMask
from bitpim_traces.quantize import LayerBits, Settings
from bitpim_traces.quantize.lanes import LanePruning
from bitpim_traces.records import Trace

__all__ = ["N_CALIBRATION", "RECIPES", "Recipe", "recipe_trace"]

N_CALIBRATION = 1000

_TRAINING = Training(weight_decay=1e-4, mirror=True, shift=4)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is made of a network of `bench.networks.float_networks`, and how it is trained on.

    `pruning` None: no weight is pruned. With `on_codes` weights are trained in sight of the codes
    of `settings`.
    """

    name: str
    network: str
    training: Training
    pruning: LanePruning | None = None
    settings: Settings = field(default_factory=lambda: Settings(calibration="mse"))
    on_codes: bool = False


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "resnet20_lanes50",
            "resnet20",
            # most lanes are in the last stage; a low rate keeps what was learned from more images
            replace(_TRAINING, epochs=7, learning_rate=0.01, distilled=0.95),
            LanePruning(share=0.5, overrides={"layer1*": 0.2, "layer2*": 0.4, "layer3*": 0.546}),
        ),
        Recipe(
            "vgg16q_lanes50",
            "vgg16q_dense",
            replace(_TRAINING, epochs=8, learning_rate=0.03, distilled=0.3),
            LanePruning(share=0.5),
        ),
        Recipe(
            "resnet20_ternary",
            "resnet20",
            replace(_TRAINING, epochs=14, learning_rate=0.05, distilled=0.9),
            settings=Settings(
                calibration="mse",
                weight_values="ternary",
                overrides={
                    "conv1": LayerBits(weight_values="codes"),
                    "linear": LayerBits(weight_values="codes"),
                },
            ),
            on_codes=True,
        ),
    )
}


def recipe_trace(
    recipe: Recipe,
    folder: Path,
    real_data: Path | None,
    *,
    epochs: int | None = None,
    progress: Progress | None = None,
) -> Trace:
    """Open the trace of a recipe in a folder; a missing one is made of `real_data`.

    Trained weights are kept beside it, so that a trace that was deleted is made again in a minute.
    `epochs` stand for the recipe's own.

    Raises
    ------
    FileNotFoundError
        It is missing, and there is no folder of real data.
    """
    path = folder / f"{recipe.name}.h5"
    if not path.exists():
        if real_data is None:
            raise FileNotFoundError(f"{path}: no such trace; give --real-data to make it")
        folder.mkdir(parents=True, exist_ok=True)
        if epochs is not None:
            recipe = replace(recipe, training=replace(recipe.training, epochs=epochs))
        write_trace(_made(recipe, folder, real_data, progress), path)
    return open_trace(path)


def _made(recipe: Recipe, folder: Path, real_data: Path, progress: Progress | None) -> Trace:
    real = float_network(recipe.network, real_data)
    dense = accuracy_of(real.module, real.test, real.test_labels)
    _lay(real.module, torch.channels_last)  # convolutions are a third faster
    teacher = copy.deepcopy(real.module)
    masks: Mapping[str, LayerMask] = {}
    if recipe.pruning is not None:
        masks = prune_module(real.module, recipe.pruning).masks
    kept, training = folder / f"{recipe.name}.npz", recipe.training
    if kept.exists():
        load_weights(real.module, kept)
        told = json.loads(_told_of(kept).read_text("utf-8"))
        training, trained = Training(**told["training"]), FineTuned(**told["measured"])
    else:
        trained = finetune(
            real.module,
            real.taught,
            real.taught_labels,
            masks,
            training,
            settings=recipe.settings if recipe.on_codes else None,
            teacher=teacher,
            evaluation=(real.test, real.test_labels),
            progress=progress,
        )
        _keep(real.module, training, trained, kept)
    _lay(real.module, torch.contiguous_format)
    trace = export(
        real.module,
        real.test,
        labels=real.test_labels,
        settings=replace(recipe.settings, reference_samples=2),
        calibration=real.taught.images[:N_CALIBRATION],
        masks=masks,
        name=recipe.name,
        dataset=real.dataset,
        progress=progress,
    )
    notes = {
        **({} if recipe.pruning is None else {"prune": recipe.pruning.as_plain()}),
        "finetune": {**training.as_plain(), **asdict(trained), "dense_accuracy": dense},
    }
    return replace(trace, provenance={**trace.provenance, **notes})


def _lay(module: nn.Module, layout: torch.memory_format) -> None:
    """Lay out the weights of convolutions."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)


def _keep(module: nn.Module, training: Training, trained: FineTuned, path: Path) -> None:
    state: dict[str, Any] = {n: tensor.numpy() for n, tensor in module.state_dict().items()}
    np.savez(path, **state)
    told = {"training": asdict(training), "measured": asdict(trained)}
    _told_of(path).write_text(json.dumps(told) + "\n", "utf-8")


def _told_of(path: Path) -> Path:
    return path.with_suffix(".json")
