"""Learning rate, parameter groups and averaged weights."""

from __future__ import annotations

import pytest
import torch

from dynrefer.model import DynRefer
from dynrefer.training.config import LossWeights, OptimiserConfig
from dynrefer.training.state import AveragedWeights, build_optimiser, freeze_unused, rate_factor
from tests.tiny import TINY


@pytest.fixture
def model() -> DynRefer:
    torch.manual_seed(0)
    return DynRefer(TINY)


def test_the_rate_warms_up_and_ends_at_zero() -> None:
    factors = [rate_factor(step, 100, 10) for step in range(101)]
    assert factors[:10] == pytest.approx([k / 10 for k in range(1, 11)])
    assert factors[9] == max(factors) == 1
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0)


def test_only_matrices_decay(model: DynRefer) -> None:
    for group in build_optimiser(model, OptimiserConfig(weight_decay=0.05)).param_groups:
        assert group["weight_decay"] == (0.05 if group["params"][0].ndim > 1 else 0)
        assert len({p.ndim > 1 for p in group["params"]}) == 1


def test_a_part_can_have_a_rate_of_its_own(model: DynRefer) -> None:
    optimiser = build_optimiser(model, OptimiserConfig(learning_rate=1.0, rates={"resampler": 0.1}))
    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    for name, parameter in model.trainable_parameters():
        assert rates[id(parameter)] == (0.1 if name.startswith("resampler.") else 1.0)


def test_the_optimiser_holds_exactly_the_trainable_set(model: DynRefer) -> None:
    held = {id(p) for group in build_optimiser(model, OptimiserConfig()).param_groups for p in group["params"]}
    assert held == {id(p) for _, p in model.trainable_parameters()}


@pytest.mark.parametrize(
    ("weights", "frozen"),
    [
        (LossWeights(caption=0), "language"),
        (LossWeights(tag=0), "tagging"),
        (LossWeights(contrast=0), "contrast"),
    ],
)
def test_a_decoder_without_a_loss_is_frozen(model: DynRefer, weights: LossWeights, frozen: str) -> None:
    freeze_unused(model, weights, {}, cached=False)
    parts = {name.split(".")[0] for name, _ in model.trainable_parameters()}
    assert frozen not in parts
    assert {"language", "tagging", "contrast"} - {frozen} <= parts


def test_the_longest_beginning_of_a_name_gives_the_rate(model: DynRefer) -> None:
    rates = {"resampler": 0.1, "resampler.layers.0": 0.5}
    optimiser = build_optimiser(model, OptimiserConfig(learning_rate=1.0, rates=rates))
    found = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    by_name = {name: found[id(p)] for name, p in model.trainable_parameters()}
    assert {rate for name, rate in by_name.items() if name.startswith("resampler.layers.0.")} == {0.5}
    assert {rate for name, rate in by_name.items() if name.startswith("resampler.layers.1.")} == {0.1}


def test_a_rate_of_zero_freezes(model: DynRefer) -> None:
    freeze_unused(model, LossWeights(), {"resampler": 0.0, "resampler.layers.1": 1.0}, cached=False)
    left = {name for name, _ in model.trainable_parameters() if name.startswith("resampler.")}
    assert left and all(name.startswith("resampler.layers.1.") for name in left)


def test_averaged_weights_lag_behind_and_give_way_again(model: DynRefer) -> None:
    average = AveragedWeights(model, 0.9)
    name, parameter = next(model.trainable_parameters())
    before = parameter.detach().clone()
    with torch.no_grad():
        parameter.add_(1)
    average.update(model, step=1000)
    with average.applied(model):
        assert torch.allclose(parameter, before + 0.1, atol=1e-6), name
    assert torch.allclose(parameter, before + 1)
