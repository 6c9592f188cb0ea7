"""Which losses a batch of training has, which texts are true of which region, and the losses' properties."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from dynrefer.training.config import LossWeights
from dynrefer.training.objective import (
    Batch,
    Objective,
    asymmetric_loss,
    attribute_loss,
    pairwise_sigmoid_loss,
)
from dynrefer.training.setup import Setup

SEEDS = st.integers(0, 2**20)


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def batch_of(setup: Setup) -> Batch:
    batch = setup.collate([setup.dataset[0, place] for place in range(4)]).batch
    assert batch is not None
    return batch


def losses_of(setup: Setup, batch: Batch, weights: LossWeights) -> dict[str, torch.Tensor]:
    own = {name: getattr(batch, name) for name in ("text", "text_id", "category", "names_class")}
    batch = batch._replace(**{f"all_{name}": value for name, value in own.items()})
    return Objective(setup.model)(batch, setup.bank, weights)


def contrast(setup: Setup, category: int, names_class: bool) -> float:
    """The contrast's loss when all regions of a batch are said to be of one category."""
    batch = batch_of(setup)
    count = len(batch.text_id)
    batch = batch._replace(
        text_id=torch.arange(count),
        category=torch.full((count,), category),
        names_class=torch.full((count,), names_class),
    )
    return float(losses_of(setup, batch, LossWeights(caption=0, tag=0))["contrast"].detach())


def test_a_class_name_is_true_of_all_regions_of_the_class(setup: Setup) -> None:
    assert contrast(setup, category=0, names_class=True) != contrast(setup, category=0, names_class=False)


def test_names_of_unknown_classes_are_true_of_their_own_region_only(setup: Setup) -> None:
    assert contrast(setup, category=-1, names_class=True) == contrast(setup, category=-1, names_class=False)


def test_only_losses_with_a_weight_are_computed(setup: Setup) -> None:
    losses = losses_of(setup, batch_of(setup), LossWeights(caption=0, tag=1, contrast=0))
    assert set(losses) == {"tag", "total"}
    assert losses["total"] == losses["tag"]


@given(SEEDS)
def test_without_focus_and_clip_the_asymmetric_loss_is_cross_entropy(seed: int) -> None:
    logits, labels = random(seed, 3, 5), (random(seed + 1, 3, 5) > 0).long()
    plain = F.binary_cross_entropy_with_logits(logits, labels.float(), reduction="none").sum(1).mean()
    torch.testing.assert_close(asymmetric_loss(logits, labels, 0.0, 0.0, 0.0), plain, rtol=1e-4, atol=1e-5)


def test_easy_negatives_cost_nothing_and_unknown_tags_never() -> None:
    easy = torch.tensor([[-4.0, -5.0]])  # below the clip of 0.05
    assert asymmetric_loss(easy, torch.zeros(1, 2, dtype=torch.long)) == 0
    assert asymmetric_loss(torch.tensor([[3.0, -3.0]]), torch.full((1, 2), -1)) == 0


def test_a_wrong_negative_costs_more_the_surer_it_is() -> None:
    labels = torch.zeros(1, 1, dtype=torch.long)
    costs = [float(asymmetric_loss(torch.tensor([[logit]]), labels)) for logit in (-2.0, 0.0, 2.0, 4.0)]
    assert costs == sorted(costs) and costs[0] < costs[-1]


@given(SEEDS)
def test_pairwise_loss_counts_every_pair_with_its_sign(seed: int) -> None:
    logits, same = random(seed, 3, 4), random(seed + 1, 3, 4) > 0
    temperature, bias = torch.tensor(0.5), torch.tensor(-1.0)
    scaled = logits * temperature.exp() + bias
    by_hand = F.binary_cross_entropy_with_logits(scaled, same.float(), reduction="sum") / 4
    torch.testing.assert_close(pairwise_sigmoid_loss(logits, same, temperature, bias), by_hand, rtol=1e-4, atol=1e-5)


@given(SEEDS)
def test_pairwise_loss_of_a_batch_is_the_mean_over_the_processes_that_share_it(seed: int) -> None:
    logits, same = random(seed, 4, 4), torch.eye(4, dtype=torch.bool)
    whole = pairwise_sigmoid_loss(logits, same, torch.tensor(1.0), torch.tensor(-2.0))
    parts = [
        pairwise_sigmoid_loss(logits[half], same[half], torch.tensor(1.0), torch.tensor(-2.0), total_texts=2)
        for half in (slice(0, 2), slice(2, 4))
    ]
    torch.testing.assert_close(torch.stack(parts).mean(), whole)


def test_unknown_attributes_are_left_out() -> None:
    logits = torch.tensor([[2.0, -1.0, 9.0]])
    known = attribute_loss(logits, torch.tensor([[1, 0, -1]]))
    torch.testing.assert_close(known, F.binary_cross_entropy_with_logits(logits[:, :2], torch.tensor([[1.0, 0.0]])))
    assert attribute_loss(logits, torch.full((1, 3), -1)) == 0
