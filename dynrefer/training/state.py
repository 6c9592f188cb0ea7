"""What a run changes from step to step: optimiser, averaged weights and progress.

The state is in one file that is whole at any moment: a run that was killed goes on from it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dynrefer.errors import InputError
from dynrefer.files.atomic import written_whole
from dynrefer.model import DynRefer
from dynrefer.training.config import LossWeights, OptimiserConfig

FILE = "state.safetensors"


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


@dataclass(frozen=True)
class Progress:
    """Finished steps and the best validation so far. `identity` says what the run is made of."""

    step: int = 0
    best_score: float | None = None
    best_step: int | None = None
    identity: str = ""


def save_state(
    folder: Path, model: DynRefer, optimiser: torch.optim.Optimizer, average: AveragedWeights | None, progress: Progress
) -> None:
    """Write the state whole or not at all. Raises InputError when the disk is full; the former state stays."""
    tensors = _tensors(model, optimiser, average)
    try:
        with written_whole(folder / FILE) as temporary:
            save_file(tensors, temporary, metadata={"progress": json.dumps(vars(progress))})
    except (InputError, SafetensorError) as error:
        raise InputError(
            f"The run's state could not be written to {folder} ({str(error).rstrip('.')}). Free some disk and start "
            "the same command again: it goes on from the last state that was saved."
        ) from error


def load_state(
    folder: Path, model: DynRefer, optimiser: torch.optim.Optimizer, average: AveragedWeights | None, identity: str
) -> Progress:
    """Continue from the folder's state, or from the beginning where there is none.

    Raises InputError when the state is damaged or belongs to another configuration, data set or start.
    """
    path = folder / FILE
    if not path.exists():
        return Progress(identity=identity)
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads(file.metadata()["progress"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); delete it to start the run from the beginning.") from error
    if progress.identity != identity:
        raise InputError(f"{folder} holds a run with another configuration, data set or start: choose another --out.")
    _restore(tensors, model, optimiser, average)
    return progress


def _tensors(model: DynRefer, optimiser: torch.optim.Optimizer, average: AveragedWeights | None) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.trainable_parameters():
        tensors[f"model/{name}"] = parameter.detach()
        tensors |= {f"optimiser/{name}/{key}": value for key, value in optimiser.state[parameter].items()}
        if average is not None:
            tensors[f"average/{name}"] = average.values[name]
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


@torch.no_grad()
def _restore(
    tensors: dict[str, Tensor], model: DynRefer, optimiser: torch.optim.Optimizer, average: AveragedWeights | None
) -> None:
    """Weights, moments and averages; the optimiser itself puts its moments where its kernels want them."""
    moments: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser/"):
            _, parameter_name, key = name.split("/")
            moments.setdefault(parameter_name, {})[key] = value
    name_of = {id(parameter): name for name, parameter in model.trainable_parameters()}
    held = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    numbered = {number: moments[name] for number, p in enumerate(held) if (name := name_of[id(p)]) in moments}
    optimiser.load_state_dict(optimiser.state_dict() | {"state": numbered})
    for name, parameter in model.trainable_parameters():
        parameter.copy_(tensors[f"model/{name}"])
        if average is not None:
            average.values[name].copy_(tensors[f"average/{name}"])
