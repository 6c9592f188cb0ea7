"""Which losses a batch of training has, and which texts are true of which region."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dynrefer.training.config import TrainConfig
from dynrefer.training.losses import LossWeights
from dynrefer.training.objective import compute_losses
from dynrefer.training.setup import Setup, prepare


@pytest.fixture
def setup(config: Path, data: Path, features: Path) -> Setup:
    prepared = prepare(TrainConfig.from_json(config), data, None, features, torch.device("cpu"), print)
    prepared.model.eval()
    return prepared


def contrast(setup: Setup, category: int, names_class: bool) -> float:
    """The contrast's loss when all regions of a batch are said to be of one category."""
    batch = setup.source.batch(setup.source.draw(0))
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
    batch = setup.source.batch(setup.source.draw(0))
    losses = compute_losses(setup.model, batch, setup.bank, LossWeights(caption=0, tag=1, contrast=0))
    assert set(losses) == {"tag", "total"}
    assert losses["total"] == losses["tag"]
