"""Which losses a batch of training has, and which texts are true of which region."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dynrefer.training.config import LossWeights, TrainConfig
from dynrefer.training.losses import name_loss
from dynrefer.training.objective import Batch, compute_losses
from dynrefer.training.setup import Setup, prepare


@pytest.fixture
def setup(config: Path, data: Path, features: Path) -> Setup:
    prepared = prepare(TrainConfig.from_json(config), data, None, features, torch.device("cpu"))
    prepared.model.eval()
    return prepared


def batch_of(setup: Setup) -> Batch:
    batch = setup.collate([setup.dataset[0, place] for place in range(4)]).batch
    assert batch is not None
    return batch


def contrast(setup: Setup, category: int, names_class: bool) -> float:
    """The contrast's loss when all regions of a batch are said to be of one category."""
    batch = batch_of(setup)
    count = len(batch.text_id)
    batch = replace(
        batch,
        text_id=torch.arange(count),
        category=torch.full((count,), category),
        names_class=torch.full((count,), names_class),
    )
    return float(compute_losses(setup.model, batch, setup.bank, LossWeights(caption=0, tag=0))["contrast"].detach())


def test_a_class_name_is_true_of_all_regions_of_the_class(setup: Setup) -> None:
    assert contrast(setup, category=0, names_class=True) != contrast(setup, category=0, names_class=False)


def test_names_of_unknown_classes_are_true_of_their_own_region_only(setup: Setup) -> None:
    assert contrast(setup, category=-1, names_class=True) == contrast(setup, category=-1, names_class=False)


def test_only_losses_with_a_weight_are_computed(setup: Setup) -> None:
    batch = batch_of(setup)
    losses = compute_losses(setup.model, batch, setup.bank, LossWeights(caption=0, tag=1, contrast=0))
    assert set(losses) == {"tag", "total"}
    assert losses["total"] == losses["tag"]


def test_each_name_is_judged_by_itself_and_unknown_ones_are_not() -> None:
    logits = torch.tensor([[2.0, -3.0, 9.0], [5.0, 5.0, 5.0]])
    labels = torch.tensor([[1, 0, -1], [-1, -1, -1]])
    expected = torch.nn.functional.softplus(torch.tensor([-2.0, -3.0])).sum()
    assert torch.isclose(name_loss(logits, labels), expected)


def test_names_have_a_loss_of_their_own(setup: Setup) -> None:
    batch = batch_of(setup)
    batch = replace(batch, names=torch.nn.functional.one_hot(batch.category, 4))
    weights = LossWeights(caption=0, tag=0, contrast=0, name=2.0)
    losses = compute_losses(setup.model, batch, setup.bank, weights)
    assert set(losses) == {"name", "total"}
    assert torch.isfinite(losses["name"]) and losses["name"] > 0
