"""ADMM on a small classifier: the pull, its turns, hard masks at the end, what is refused."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter import (
    Training,
    accuracy_of,
    admm_prune,
    export,
    finetune,
)
from bitpim_traces.exporter.admm import _Split
from bitpim_traces.masks import masks_of
from bitpim_traces.quantize.admm_settings import ADMM_KINDS, AdmmPruning
from bitpim_traces.quantize.projections import group_mask
from tests.traces.exporter.modules import pictures, small_classifier, weight_at

PULL: dict[str, Any] = {"rounds": 6, "rho": 0.1, "rho_last": 4.0}
SHORT = Training(epochs=6, learning_rate=0.03, batch=16)


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    module = small_classifier()
    finetune(module, *pictures(256, 0), {}, Training(epochs=8, learning_rate=0.1))
    return dict(module.state_dict())


def fresh(trained: dict[str, Any]) -> nn.Sequential:
    module = small_classifier()
    module.load_state_dict(trained)
    return module


def conv(module: nn.Sequential) -> torch.Tensor:
    return weight_at(module, "4")


@pytest.mark.parametrize("kind", ADMM_KINDS)
def test_weights_come_to_the_set_and_the_masks_hold(kind: str, trained: dict[str, Any]) -> None:
    module, test = fresh(trained), pictures(128, 9)
    found = admm_prune(module, *pictures(128, 0), AdmmPruning(kind, 0.5, **PULL), SHORT)
    assert list(found.masks) == ["4.weight"]
    mask = found.masks["4.weight"].mask
    assert found.n_steps == 6 * 8
    assert len(found.residuals) == 6
    assert found.residuals[-1] < 0.4 * found.residuals[0]
    after = conv(module).detach().numpy()
    assert not after[mask == 0].any()
    assert after[mask == 1].all()
    tuned = finetune(module, *pictures(128, 0), found.masks, SHORT, evaluation=test)
    assert not conv(module).detach().numpy()[mask == 0].any()
    assert tuned.accuracy_after > 0.6
    trace = export(module, test[0], labels=test[1], masks=found.masks)
    assert np.array_equal(masks_of(trace)["4"].mask, mask)


def test_what_is_dropped_was_pulled_to_zero_before(trained: dict[str, Any]) -> None:
    """One-shot masks of the same weights cost much, those of ADMM next to nothing."""
    test = pictures(200, 9)
    module = fresh(trained)
    shot = torch.from_numpy(group_mask(conv(module).detach().numpy(), "lane", 0.8).copy())
    with torch.no_grad():
        conv(module).mul_(shot)
    one_shot = accuracy_of(module, *test)
    module = fresh(trained)
    admm_prune(module, *pictures(128, 0), AdmmPruning("lane", 0.8, **PULL), SHORT)
    assert one_shot < 0.8
    assert accuracy_of(module, *test) > one_shot + 0.1


def test_the_pull_is_rho_times_the_difference() -> None:
    """Without samples' gradients, a step of plain SGD is worked out by hand."""
    module = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        weight_at(module, "0").copy_(torch.tensor([3.0, -4.0]).reshape(2, 1, 1, 1))
        weight_at(module, "2").zero_()  # so the loss has no gradient in the convolution
        module.get_parameter("2.bias").zero_()
    images, labels = np.ones((2, 1, 1, 1), np.float32), np.array([0, 1])
    pruning = AdmmPruning("filter", 0.5, rounds=1, rho=0.25, rho_last=0.25, skip_first=False)
    still = Training(learning_rate=0.4, momentum=0.0, weight_decay=0.0)
    found = admm_prune(module, images, labels, pruning, still)
    # Z = (0, -4): W - Z = (3, 0); 3 - 0.4 * 0.25 * 3 = 2.7, then projected
    assert found.masks["0.weight"].mask.ravel().tolist() == [0, 1]
    assert found.residuals == pytest.approx([2.7 / np.hypot(2.7, 4)])
    assert weight_at(module, "0").detach().ravel().tolist() == [0, -4]


def test_a_turn_projects_weights_and_what_has_added_up() -> None:
    part = nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        part.weight.copy_(torch.tensor([3.0, -4.0]).reshape(2, 1, 1, 1))
    split = _Split("weight", part, AdmmPruning("filter"), 0.5)
    assert split.target.ravel().tolist() == [0, -4]
    split.dual[0] = 5.0
    assert split.turn() == (5**2 + 4**2, 3**2 + 4**2)  # Z is of 3 + 5 and -4
    assert split.target.ravel().tolist() == [8, 0]
    assert split.dual.ravel().tolist() == [0, -4]


def test_rho_grows_by_one_factor() -> None:
    pruning = AdmmPruning(rounds=3, rho=0.01, rho_last=1.0)
    assert [pruning.rho_of(n) for n in range(4)] == pytest.approx([0.01, 0.1, 1, 1])


def test_the_seed_decides_the_weights(trained: dict[str, Any]) -> None:
    def weights(seed: int) -> list[Any]:
        module = fresh(trained)
        torch.manual_seed(np.random.default_rng().integers(1000))
        settings = Training(learning_rate=0.05, seed=seed)
        admm_prune(module, *pictures(64, 0), AdmmPruning(rounds=1), settings)
        return list(module.state_dict().values())

    first = weights(3)
    assert all(torch.equal(a, b) for a, b in zip(first, weights(3), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, weights(4), strict=True))


def test_progress_is_told(trained: dict[str, Any]) -> None:
    seen: list[Any] = []
    pruning = AdmmPruning(rounds=2)

    def tell(*said: Any) -> None:
        seen.append(said)

    admm_prune(fresh(trained), *pictures(64, 0), pruning, Training(batch=32), progress=tell)
    assert seen == [("pruning by ADMM", 32, 64), ("pruning by ADMM", 64, 64)]


def test_layers_have_shares_of_their_own(trained: dict[str, Any]) -> None:
    module = fresh(trained)
    pruning = AdmmPruning("filter", 0.5, rounds=1, shares={"0": 0.34, "4": 0.0})
    found = admm_prune(module, *pictures(16, 0), pruning)
    assert list(found.masks) == ["0.weight"]
    assert np.count_nonzero(~found.masks["0.weight"].mask.any(axis=(1, 2, 3))) == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kind": "row"}, "kind among filter, channel, shape, lane, pattern, got 'row'"),
        ({"share": 1.0}, "share from 0 to below 1, got 1.0"),
        ({"shares": {"4": -0.1}}, r"need shares\['4'\] from 0"),
        ({"rounds": 0}, "rounds 0"),
        ({"n_patterns": 0}, "n_patterns 0"),
        ({"kept": 10}, "kept from 1 to 9, got 10"),
        ({"rho": 0.0}, "0 < rho <= rho_last"),
        ({"rho": 2.0}, "0 < rho <= rho_last"),
    ],
)
def test_settings_are_checked(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(TraceDataError, match=said):
        AdmmPruning(**wrong)


@pytest.mark.parametrize(
    ("pruning", "said"),
    [
        (AdmmPruning(rounds=9), "a step for each of 9 rounds, got 1"),
        (AdmmPruning("filter", 0.95, rounds=1), "leaves a filter of 8"),
        (AdmmPruning(share=0.0), "need a convolution that kind lane prunes, got 2 of 2"),
        (AdmmPruning(shares={"10": 0.5}), "got '10'"),
    ],
)
def test_what_cannot_be_pruned_is_refused(
    pruning: AdmmPruning, said: str, trained: dict[str, Any]
) -> None:
    with pytest.raises(TraceDataError, match=said):
        admm_prune(fresh(trained), *pictures(16, 0), pruning)


def test_grouped_convolutions_have_no_channels_of_all_filters() -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 4, 1),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    given = pictures(8, 0)
    with pytest.raises(TraceDataError, match="kind channel prunes, got 1 of 2"):
        admm_prune(module, *given, AdmmPruning("channel", rounds=1))
    assert list(admm_prune(module, *given, AdmmPruning(rounds=1)).masks) == ["1.weight"]
