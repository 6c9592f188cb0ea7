"""Everything that decides how a run turns out: frozen dataclasses <-> `configs/*.json`, the paper's by default."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from dynrefer.datasets.sample import SOURCES, Source
from dynrefer.errors import InputError
from dynrefer.files.text import read_text
from dynrefer.model.config import check_changes

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
Chance = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=STRICT)
class LossWeights:
    """Weights of the sum. The first three are the paper's; the others teach the small model and are 0 in its recipe.

    Attributes:
        attribute: binary cross-entropy on known attribute labels, through the contrast head.
        category: cross-entropy over the class list, through the contrast head.
        sentence: 1 - cosine of the predicted and the true sentence embedding.
        class_caption: factor on the caption loss of texts that only name the class.
    """

    caption: Weight = 1.0
    tag: Weight = 0.01
    contrast: Weight = 0.5
    attribute: Weight = 0.0
    category: Weight = 0.0
    sentence: Weight = 0.0
    class_caption: Weight = 1.0
    label_smoothing: Chance = 0.0


@dataclass(frozen=True, config=STRICT)
class ViewsConfig:
    """Which views a region is shown in (paper, section 3.1, and its ablations in Tab. 5-8).

    Attributes:
        stochastic: draw the coefficients anew for every sample; False takes `fixed`.
        keep_region: the first view is always t = 0; False draws it like the others.
        nested: views lie between region and image; False puts each, in its size, at a random place around the region.
        repeat: share of the samples whose last views are replaced by the first, so that fewer views work as well.
    """

    stochastic: bool = True
    fixed: Annotated[tuple[Chance, ...], Field(min_length=1)] = (0.5, 1.0)
    keep_region: bool = True
    nested: bool = True
    repeat: Chance = 0.0


@dataclass(frozen=True, config=STRICT)
class TextConfig:
    """Which texts a region is described by, and the control words of its caption.

    Attributes:
        sources: chance of each source among those that a sample has.
        max_tokens: a caption's length with its end token.
        no_controls, drop_control: chance to drop all control words, else each of them (paper, section 3.4).
        max_controls: words that may remain.
    """

    sources: dict[Source, Weight] = field(default_factory=lambda: dict.fromkeys(SOURCES, 1.0))
    max_tokens: Annotated[int, Field(ge=2)] = 32
    no_controls: Chance = 0.5
    drop_control: Chance = 0.5
    max_controls: Count = 8


@dataclass(frozen=True, config=STRICT)
class AugmentConfig:
    """Changes of the photograph: chance to mirror, share of the box's size by which edges move, colour range.

    A cache holds one such variant of every sample, which is used half of the time.
    """

    mirror: Chance = 0.0
    jitter: Chance = 0.0
    colour: Chance = 0.0


@dataclass(frozen=True, config=STRICT)
class CacheConfig:
    """Frozen features on disk instead of photographs.

    Attributes:
        drawn: cached views besides t = 0 and t = 1; drawn anew for every sample and variant that trains.
        variants: of every sample that trains: the first plain, the others changed as `AugmentConfig` says, and every
            second one mirrored.
    """

    enabled: bool = False
    drawn: Annotated[int, Field(ge=1, le=9)] = 2
    variants: Positive = 2


@dataclass(frozen=True, config=STRICT)
class OptimiserConfig:
    """AdamW with a linear warm-up and a cosine to 0.

    Attributes:
        rates: factors on the learning rate by the beginning of a parameter's name ("encoder", "encoder.backbone", ...),
            of which the longest counts; 0 freezes.
        ema: decay of the averaged weights that are validated and saved; None saves the weights themselves.
    """

    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    warmup_steps: Count = 5000
    weight_decay: Weight = 0.05
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.98)
    clip: Annotated[float, Field(gt=0)] = 1.0
    rates: dict[str, Weight] = field(default_factory=dict)
    ema: Annotated[float, Field(ge=0, lt=1)] | None = None


@dataclass(frozen=True, config=STRICT)
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
        workers: processes that prepare batches; None takes what fits the machine, 0 prepares them in the run itself.
        save_every, validate_every, log_every: in steps.
        patience: validations without a better score after which the run ends; None goes through all steps.
    """

    init: str | None = None
    model: Annotated[dict[str, Any], AfterValidator(check_changes)] = field(default_factory=dict)
    batch_size: Positive = 512
    accumulate: Positive = 1
    epochs: Annotated[float, Field(gt=0)] = 5.0
    steps: Positive | None = None
    max_tags: Positive | None = None
    precision: Literal["bf16", "fp32"] = "bf16"
    workers: Count | None = None
    seed: Count = 0
    save_every: Positive = 500
    validate_every: Positive = 500
    patience: Positive | None = None
    log_every: Positive = 20
    weights: LossWeights = field(default_factory=LossWeights)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    texts: TextConfig = field(default_factory=TextConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainConfig":
        if self.batch_size % self.accumulate:
            raise ValueError("'batch_size' must be a multiple of 'accumulate'")
        if self.cache.enabled and not (self.views.stochastic and self.views.nested):
            raise ValueError("fixed or random views are cut from photographs: set 'cache' to {}")
        if not any(self.texts.sources.values()):
            raise ValueError("'texts.sources' must give a chance above 0 to at least one source")
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary, as JSON holds it."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, path: str | Path) -> "TrainConfig":
        """Read `configs/*.json`; what it leaves out keeps the default.

        Raises InputError that names the unknown setting, or the value that is of the wrong kind or out of range.
        """
        path = Path(path)
        try:
            return TypeAdapter(cls).validate_json(read_text(path), strict=True)
        except ValidationError as error:
            raise InputError(_sentence(error, path.name)) from error

    def steps_for(self, samples: int) -> int:
        """Number of optimiser steps for so many samples."""
        return self.steps if self.steps is not None else max(1, round(self.epochs * samples / self.batch_size))


def _sentence(error: ValidationError, file: str) -> str:
    """The first of the errors in the user's words."""
    first = error.errors(include_url=False)[0]
    place, kind, given = first["loc"], first["type"], first["input"]
    setting = ".".join(str(part) for part in place if part != "[key]")
    if kind == "json_invalid":
        return f"The configuration {file} is not JSON ({first['ctx']['error']})."
    if kind == "value_error":
        reason = first["ctx"]["error"].args[0].rstrip(".")
        return f"In {file}, {f'{setting!r} cannot be used: ' if place else ''}{reason}."
    if not place:
        return f"{file} must be a JSON object, not {str(given)[:40]!r}."
    if kind == "unexpected_keyword_argument":
        return f"{file} has no setting {setting!r}; it knows {', '.join(_known(place[:-1]))}."
    return f"{setting!r} in {file} cannot be {given!r}: {_wanted(first.get('ctx', {}), first['msg'])}."


def _wanted(limits: Mapping[str, Any], message: str) -> str:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    found = [f"it must be {words[name]} {value:g}" for name, value in limits.items() if name in words]
    return found[0] if found else message[:1].lower() + message[1:]


def _known(place: Sequence[Any]) -> list[str]:
    """The settings that there are at a place of the configuration."""
    node: Any = TrainConfig()
    for part in place:
        node = getattr(node, str(part), node)
    return [entry.name for entry in dataclasses.fields(node)]
