"""The training loop that heads and writer share: warm-up and cosine, averaged weights, a line every 50 steps."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dynrefer.files.atomic import written_whole

LINE_EVERY = 50
CHECK_SECONDS = 420.0
SLOW_DECAY = 0.2


@dataclass(frozen=True)
class Schedule:
    """Of one stage. `floor` is the last learning rate as a share of the highest, `averaging` the longest memory."""

    steps: int
    rate: float
    warmup: int = 100
    floor: float = 0.03
    averaging: float = 0.998
    weight_decay: float = 0.01
    decay_vectors: bool = True  # biases and norms as well
    slow: tuple[str, ...] = ()  # parameters that learn at half the rate and are drawn to zero

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.rate * min(1.0, (step + 1) / self.warmup) * (cosine * (1 - self.floor) + self.floor)


class Average:
    """Exponential moving average of what a module learns, faster at first."""

    def __init__(self, module: nn.Module, longest: float) -> None:
        self.longest = longest
        self.values = {name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards the module's weights after step number `step`, counted from 0."""
        memory = min(self.longest, (step + 1) / (step + 20))
        current = dict(module.named_parameters())
        for name, value in self.values.items():
            value.lerp_(current[name], 1 - memory)

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """The module with the averaged weights and in evaluation mode, inside the block."""
        own = {name: value.clone() for name, value in module.state_dict().items() if name in self.values}
        module.load_state_dict(self.values, strict=False)
        module.eval()
        try:
            yield
        finally:
            module.load_state_dict(own, strict=False)
            module.train()

    def save(self, file: Path, others: Mapping[str, Tensor]) -> None:
        """Write the averaged weights, and `others` that were not trained, whole or not at all."""
        with written_whole(file) as draft:
            save_file({**others, **self.values}, draft)


def load_average(module: nn.Module, file: Path) -> None:
    """Put averaged weights into a module; what they do not name stays as it is."""
    unexpected = module.load_state_dict(load_file(file), strict=False).unexpected_keys
    if unexpected:
        raise ValueError(f"{file} is of another network: it has {unexpected[0]}")


def train(
    module: nn.Module,
    losses: Callable[[int], Mapping[str, Tensor]],
    schedule: Schedule,
    out: Path,
    check: Callable[[], Any],
    init: Path | None = None,
    first: int = 0,
) -> None:
    """Take the steps, each on the sum of `losses(step)`, and write the averaged weights to `out` now and then.

    `check` says how the averaged weights do; it is asked every few minutes and at the end. `init` is a former `out`
    to go on from, `first` the number of steps that it took.
    """
    if init is not None:
        load_average(module, init)
    others = load_file(init) if init is not None else {}
    optimiser = _optimiser(module, schedule)
    average = Average(module, schedule.averaging)
    recent: dict[str, list[float]] = defaultdict(list)
    start = last_check = time.monotonic()
    module.train()
    for step in range(first, schedule.steps):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate_at(step) * group.get("share", 1.0)
        found = losses(step)
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(found.values())).sum().backward()
        nn.utils.clip_grad_norm_([p for p in module.parameters() if p.requires_grad], 1.0)
        optimiser.step()
        average.update(module, step)
        for name, loss in found.items():
            recent[name].append(loss.item())
        if (step + 1) % LINE_EVERY == 0:
            means = {name: round(sum(values) / len(values), 3) for name, values in recent.items()}
            print(step + 1, f"{(time.monotonic() - start) / (step + 1 - first):.2f} s a step", means, flush=True)
            recent.clear()
        if time.monotonic() - last_check > CHECK_SECONDS or step + 1 == schedule.steps:
            with average.applied(module):
                print("check", check(), flush=True)
            average.save(out, others)
            last_check = time.monotonic()


def _optimiser(module: nn.Module, schedule: Schedule) -> torch.optim.AdamW:
    trained = [p for name, p in module.named_parameters() if p.requires_grad and name not in schedule.slow]
    slow = [p for name, p in module.named_parameters() if p.requires_grad and name in schedule.slow]
    decaying = [p for p in trained if schedule.decay_vectors or p.ndim > 1]
    others = [p for p in trained if not schedule.decay_vectors and p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decaying, "weight_decay": schedule.weight_decay},
        {"params": others, "weight_decay": 0.0},
        {"params": slow, "weight_decay": SLOW_DECAY, "share": 0.5},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=schedule.rate, betas=(0.9, 0.98))
