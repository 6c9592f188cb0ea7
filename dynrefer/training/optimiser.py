"""Learning rate, optimiser and averaged weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dynrefer.model import DynRefer
from dynrefer.training.config import LossWeights, OptimiserConfig


def rate_factor(step: int, steps: int, warmup: int) -> float:
    """Factor on the learning rate: linear warm-up, then a cosine from 1 to 0 at the end."""
    warmup = min(warmup, steps // 2)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def rate_of(name: str, rates: Mapping[str, float]) -> float:
    """Factor on the learning rate of a parameter: that of the longest beginning of its name, 1 without any."""
    beginnings = [start for start in rates if name == start or name.startswith(start + ".")]
    return rates[max(beginnings, key=len)] if beginnings else 1.0


def freeze_unused(model: DynRefer, weights: LossWeights, rates: Mapping[str, float], cached: bool) -> None:
    """Freeze decoders whose losses have no weight, what has the rate 0, and an encoder whose features are cached."""
    off = {
        "encoder": cached,
        "language": not weights.caption,
        "tagging": not weights.tag,
        "contrast": not (weights.contrast or weights.attribute or weights.category),
        "log_temperature": not weights.contrast,
        "contrast_bias": not weights.contrast,
    }
    for name, parameter in model.named_parameters():
        if off.get(name.split(".")[0]) or rate_of(name, rates) == 0:
            parameter.requires_grad_(False)


def build_optimiser(model: DynRefer, config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW over the trainable set; biases, norms and single vectors do not decay. Each group keeps its `base_rate`."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.trainable_parameters():
        rate = config.learning_rate * rate_of(name, config.rates)
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rate, "base_rate": rate, "weight_decay": decay}
            for (rate, decay), parameters in groups.items()
        ],
        betas=config.betas,
        fused=True,
    )


class AveragedWeights:
    """Exponential moving average of the trainable parameters, faster at first so that early weights are forgotten."""

    def __init__(self, model: DynRefer, decay: float) -> None:
        self.decay = decay
        self.values = {name: p.detach().clone() for name, p in model.trainable_parameters()}

    @torch.no_grad()
    def update(self, model: DynRefer, step: int) -> None:
        """Move towards the model's weights after `step` finished steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = [(self.values[name], p.detach()) for name, p in model.trainable_parameters()]
        averages, current = zip(*pairs, strict=True)
        torch._foreach_lerp_(averages, current, 1 - decay)

    @contextmanager
    def applied(self, model: DynRefer) -> Iterator[None]:
        """The model with the averaged weights, inside the block."""
        own = {name: p.detach().clone() for name, p in model.trainable_parameters()}
        _assign(model, self.values)
        try:
            yield
        finally:
            _assign(model, own)


@torch.no_grad()
def _assign(model: DynRefer, values: dict[str, Tensor]) -> None:
    for name, parameter in model.trainable_parameters():
        parameter.copy_(values[name])
