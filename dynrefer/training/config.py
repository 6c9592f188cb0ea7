"""Everything that decides how a run turns out: frozen dataclasses <-> `configs/*.json`, the paper's by default."""

from __future__ import annotations

import dataclasses
import json
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dynrefer.data.sample import SOURCES
from dynrefer.errors import InputError
from dynrefer.training.losses import LossWeights
from dynrefer.training.sampling import SamplingConfig

T = TypeVar("T")


@dataclass(frozen=True)
class ViewsConfig:
    """Which views a region is shown in (paper, section 3.1, and its ablations in Tab. 5-8).

    Attributes:
        stochastic: draw the coefficients anew for every sample; False takes `fixed`.
        keep_region: the first view is always t = 0; False draws it like the others.
        nested: views lie between region and image; False puts each, in its size, at a random place around the region.
        repeat: share of the samples whose last views are replaced by the first, so that fewer views work as well.
        on_device: keep all photographs on the training device and cut there; for a GPU and some thousand photographs.
    """

    stochastic: bool = True
    fixed: tuple[float, ...] = (0.5, 1.0)
    keep_region: bool = True
    nested: bool = True
    repeat: float = 0.0
    on_device: bool = False


@dataclass(frozen=True)
class TextConfig:
    """Which texts a region is described by, and the control words of its caption.

    Attributes:
        sources: chance of each source among those that a sample has.
        max_tokens: a caption's length with its end token.
        no_controls, drop_control: chance to drop all control words, else each of them (paper, section 3.4).
        max_controls: words that may remain.
        extra: sentences without a photograph a step; `extra_sources`: chance of each kind in the corpus.
        extra_noise: standard deviation added to such a sentence's embedding, which stands in for a region's.
    """

    sources: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SOURCES, 1.0))
    max_tokens: int = 32
    no_controls: float = 0.5
    drop_control: float = 0.5
    max_controls: int = 8
    extra: int = 0
    extra_sources: dict[str, float] = field(default_factory=lambda: {"caption": 1.0, "referring": 1.0})
    extra_noise: float = 0.03


@dataclass(frozen=True)
class AugmentConfig:
    """Changes of the photograph: chance to mirror, share of the box's size by which edges move, colour range.

    `erase` is the chance of each view that a rectangle of it is blanked (random erasing, Zhong et al., AAAI 2020).

    A cache holds one such variant of every sample, which is used half of the time.
    """

    mirror: float = 0.0
    jitter: float = 0.0
    colour: float = 0.0
    erase: float = 0.0


@dataclass(frozen=True)
class CacheConfig:
    """Frozen features on disk instead of photographs; see `CacheSettings`."""

    enabled: bool = False
    drawn: int = 2
    variants: int = 2


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW with a linear warm-up and a cosine to 0.

    Attributes:
        rates: factors on the learning rate by the beginning of a parameter's name ("encoder", "encoder.backbone", ...),
            of which the longest counts; 0 freezes.
        ema: decay of the averaged weights that are validated and saved; None saves the weights themselves.
    """

    learning_rate: float = 1e-4
    warmup_steps: int = 5000
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0
    rates: dict[str, float] = field(default_factory=dict)
    ema: float | None = None


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        init: checkpoint folder to start from; `--init` overrides it.
        model: changes to its configuration, for example {"num_views": 2, "align": {"enabled": false}}. Parts whose
            size changes start from random weights.
        batch_size: regions a step, over all processes and accumulated parts.
        accumulate: parts that a step is computed in.
        epochs: passes over the samples, when `steps` is None.
        max_tags: tags scored a step: those of the batch, filled up by chance; None scores all.
        teacher_classes: ImageNet classes a step in the distillation, the batch's likeliest and 40 by chance.
        precision: "bf16" or "fp32".
        save_every, validate_every, log_every: in steps.
    """

    init: str | None = None
    model: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 512
    accumulate: int = 1
    epochs: float = 5.0
    steps: int | None = None
    max_tags: int | None = None
    teacher_classes: int = 140
    precision: str = "bf16"
    seed: int = 0
    save_every: int = 500
    validate_every: int = 500
    log_every: int = 20
    weights: LossWeights = field(default_factory=LossWeights)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    texts: TextConfig = field(default_factory=TextConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary, as JSON holds it."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, path: str | Path) -> TrainConfig:
        """Read `configs/*.json`; what it leaves out keeps the default.

        Raises InputError that names an unknown setting or a value of the wrong kind.
        """
        path = Path(path)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"The configuration {path} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise InputError(f"The configuration {path.name} is not JSON ({error}).") from error
        config = _build(cls, values, path.name)
        _check(config, path.name)
        return config

    def steps_for(self, samples: int) -> int:
        """Number of optimiser steps for so many samples."""
        return self.steps if self.steps is not None else max(1, round(self.epochs * samples / self.batch_size))


def _build(cls: type[T], values: Any, where: str) -> T:
    """A dataclass from JSON, with every name and kind of value checked."""
    if not isinstance(values, dict):
        raise InputError(f"{where} must be a JSON object, not {values!r}.")
    hints = typing.get_type_hints(cls)
    built = {}
    for name, value in values.items():
        if name not in hints:
            raise InputError(f"{where} has no setting {name!r}; it knows {', '.join(hints)}.")
        built[name] = _value(hints[name], value, f"{name!r} in {where}")
    return cls(**built)


def _value(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, where)
    kinds = typing.get_args(hint) if typing.get_origin(hint) not in (dict, tuple) else (hint,)
    for kind in kinds or (hint,):
        plain = typing.get_origin(kind) or kind
        if plain is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if plain is tuple and isinstance(value, list):
            return tuple(value)
        if isinstance(value, plain) and not (plain is int and isinstance(value, bool)):
            return value
    raise InputError(f"{where} cannot be {value!r}.")


def _check(config: TrainConfig, where: str) -> None:
    for name in ("batch_size", "accumulate", "save_every", "validate_every", "log_every"):
        if getattr(config, name) < 1:
            raise InputError(f"{name!r} in {where} must be at least 1.")
    if config.batch_size % config.accumulate:
        raise InputError(f"'batch_size' in {where} must be a multiple of 'accumulate'.")
    if config.precision not in ("bf16", "fp32"):
        raise InputError(f"'precision' in {where} is bf16 or fp32, not {config.precision!r}.")
    if config.cache.enabled and not (config.views.stochastic and config.views.nested):
        raise InputError(f"Fixed or random views in {where} are cut from photographs: set 'cache' to {{}}.")
