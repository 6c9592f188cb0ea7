"""Sizes of the network: frozen dataclasses, written to and read from a checkpoint's `config.json`."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from dynrefer.errors import InputError
from dynrefer.model.t5 import T5Config

logger = logging.getLogger(__name__)

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
RETIRED = {"without_article", "qualities"}  # settings of `language` in older checkpoints that nothing reads any more

PRESETS = {file.stem: file for file in sorted(Path(__file__).with_name("presets").glob("*.json"))}
"""The sizes that have a name: what each differs in from the defaults."""

CLASSES = 1000  # of ImageNet, which the small encoder's classifier knows

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Chance = Annotated[float, Field(ge=0, le=1)]
Small = Annotated[float, Field(gt=0, lt=1)]
Word = Annotated[str, Field(min_length=1)]
Calibrated = Literal["classes", "own_classes", "attributes", "tags"]  # own: the default names, likelier by their priors
Calibration = tuple[Annotated[float, Field(gt=0)], float]  # scale and bias: probability = sigmoid(scale * logit + bias)
Part = Literal["encoder", "text_encoder", "align", "resampler", "summary", "tagging", "contrast", "language", "t5"]


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _arguments_of(kind: type) -> AfterValidator:
    """Says that a dictionary holds arguments of a dataclass, each of its kind and within its limits."""

    def check(values: dict[str, Any]) -> dict[str, Any]:
        _adapter(kind).validate_json(json.dumps(values))
        return values

    return AfterValidator(check)


@dataclass(frozen=True)
class TransformerOptions:
    """Arguments of BERT's and of `transformers`' configurations that an encoder may have; None leaves the default."""

    __pydantic_config__ = STRICT
    hidden_size: Count | None = None
    intermediate_size: Count | None = None
    num_hidden_layers: Count | None = None
    num_attention_heads: Count | None = None
    patch_size: Count | None = None
    projection_dim: Count | None = None
    vocab_size: Count | None = None
    max_position_embeddings: Count | None = None
    type_vocab_size: Count | None = None
    hidden_act: Literal["gelu", "quick_gelu", "relu"] | None = None
    layer_norm_eps: Small | None = None
    attention_dropout: Chance | None = None
    qkv_bias: bool | None = None
    bos_token_id: Annotated[int, Field(ge=0)] | None = None
    eos_token_id: Annotated[int, Field(ge=0)] | None = None
    pad_token_id: Annotated[int, Field(ge=0)] | None = None


Options = Annotated[dict[str, Any], _arguments_of(TransformerOptions)]


@dataclass(frozen=True)
class EncoderConfig:
    """Image encoder: a view becomes `global_tokens` tokens, then row-major patch tokens for each side in `grids`."""

    __pydantic_config__ = STRICT
    kind: Literal["efficientnet", "blip2", "clip"] = "efficientnet"  # EfficientNet with projections, or transformers
    name: Word = "tf_efficientnet_lite2"
    width: Count = 256
    grids: Annotated[tuple[Count, ...], Field(min_length=1)] = (7, 14)
    global_tokens: Annotated[int, Field(ge=0, le=64)] = 2
    image_size: Annotated[int, Field(ge=16, le=4096)] = 224
    mean: tuple[float, float, float] = (127.0, 127.0, 127.0)  # of pixels in 0..255
    std: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (
        128.0,
        128.0,
        128.0,
    )
    belief: bool = False  # the classifier's probabilities travel with the tokens, to the decoders
    options: Options = field(default_factory=dict)  # of the vision transformers

    @property
    def belief_tokens(self) -> int:
        """Tokens behind the global ones that hold the classifier's probabilities, filled up with zeros."""
        return -(-CLASSES // self.width) if self.belief else 0


@dataclass(frozen=True)
class TextEncoderConfig:
    """Frozen text encoder: `kind` is "bert" (mean), "clip" (projected end-of-text token) or "clip-pooled" (plain)."""

    __pydantic_config__ = STRICT
    kind: Literal["bert", "clip", "clip-pooled"] = "bert"
    width: Count = 384
    max_length: Count = 64
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class AlignConfig:
    """RoIAlign, deformable alignment and fusion (DynRefer, section 3.2)."""

    __pydantic_config__ = STRICT
    enabled: bool = True  # False leaves the deformable alignment out (paper, Tab. 7)
    output_size: Annotated[int, Field(ge=1, le=256)] = 7
    groups: Count = 4
    roi_aligned: bool = True  # torchvision's half-pixel correction; the released checkpoint was trained without
    norm: bool = True  # layer norm of the region map; a residual connection around the alignment goes with it
    hidden: Count = 512
    activation: Literal["gelu", "relu"] = "gelu"
    geometry: bool = True  # one more token: where the box lies in the photograph, and learned positions


@dataclass(frozen=True)
class ResamplerConfig:
    """Q-Former: learned queries that read the fused tokens."""

    __pydantic_config__ = STRICT
    queries: Count = 32
    width: Count = 256
    layers: Count = 3
    heads: Count = 8
    hidden: Count = 1024
    cross_attention_every: Count = 1
    norm_first: bool = True
    dropout: Chance = 0.15
    eps: Small = 1e-5


@dataclass(frozen=True)
class QueryDecoderConfig:
    """Texts as queries over the region's representation; tagging and contrast own one each."""

    __pydantic_config__ = STRICT
    width: Count = 256
    layers: Count = 2
    heads: Count = 8
    hidden: Count = 1024
    norm_first: bool = True
    dropout: Chance = 0.15
    eps: Small = 1e-5
    text_scale: Annotated[float, Field(gt=0)] = 20.0  # unit-norm embeddings are tiny a dimension; scaled first
    bilinear: bool = True  # add <region summary, text> to the logit; not in the paper, needed at the small size
    shortlist: Annotated[int, Field(ge=0, le=100_000)] = 0  # decode only so many texts, the best by the cheap terms
    normalize_contrast: bool = False  # L2-normalise before the contrast head's last layer, as the paper does


@dataclass(frozen=True)
class Generation:
    """How a caption is searched for. `length_penalty` 0 scores whole sentences, 1 scores by the mean over words."""

    __pydantic_config__ = STRICT
    num_beams: Annotated[int, Field(ge=1, le=64)] = 3
    max_new_tokens: Annotated[int, Field(ge=1, le=1024)] = 24
    length_penalty: Annotated[float, Field(ge=-10, le=10)] = 1.0
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] = 1.1


@dataclass(frozen=True)
class LanguageConfig:
    """T5 that writes the caption; `styles` and `sentence_slot` are for the small model, which starts from scratch.

    `predicted_controls` is how many predicted words (the surest name and tags) the caption is told; `generation` are
    arguments of `Generation`;
    `options` are arguments of `T5Config`.
    """

    __pydantic_config__ = STRICT
    styles: tuple[Word, ...] = ("region", "scene", "class")
    sentence_slot: bool = True
    max_control_tokens: Count = 48
    predicted_controls: Annotated[int, Field(ge=0, le=10_000)] = 0
    generation: Annotated[dict[str, Any], _arguments_of(Generation)] = field(default_factory=dict)
    subject_threshold: Chance = 1.0  # from this probability on, the best class name is told and has to be said
    copy_controls: bool = False  # a gate makes control words likelier where the caption needs one
    end_controls: bool = False  # close the controls with T5's end token, as the released checkpoint was trained
    options: Annotated[dict[str, Any], _arguments_of(T5Config)] = field(default_factory=dict)


@dataclass(frozen=True)
class PointingConfig:
    """The pointing head: channels of its levels of strides 8, 16 and 32, and blocks of each before its answers.

    It looks at a photograph once for every number of `longest`, the pixels of the longer side; every second time at its
    mirror image. `refiner` is the width of the second stage, which chooses among a press's candidates; 0 for none.
    """

    __pydantic_config__ = STRICT
    widths: tuple[Count, Count, Count] = (64, 128, 128)
    blocks: Annotated[int, Field(ge=0, le=64)] = 2
    longest: Annotated[tuple[Annotated[int, Field(ge=32, le=4096)], ...], Field(min_length=1, max_length=8)] = (384,)
    refiner: Annotated[int, Field(ge=0, le=4096)] = 0


@dataclass(frozen=True)
class ModelConfig:
    """The whole network. `trainable` names the parts that training changes ("t5" is apart from "language").

    Raises InputError where widths are not multiples of what divides them.
    """

    __pydantic_config__ = STRICT
    name: Word = "dynrefer-mini"
    num_views: Annotated[int, Field(ge=1, le=16)] = 3
    encoder: EncoderConfig = EncoderConfig()
    text_encoder: TextEncoderConfig = TextEncoderConfig()
    align: AlignConfig = AlignConfig()
    resampler: ResamplerConfig = ResamplerConfig()
    decoder: QueryDecoderConfig = QueryDecoderConfig()
    language: LanguageConfig = LanguageConfig()
    pointing: PointingConfig | None = None  # of the head in pointing.safetensors, where the checkpoint has one
    trainable: tuple[Part, ...] = ("align", "resampler", "summary", "tagging", "contrast", "language", "t5")
    default_mode: Literal["dynamic", "prior:caption", "prior:attributes", "random"] = "dynamic"
    tag_threshold: Chance = 0.7
    calibration: dict[Calibrated, Calibration] = field(default_factory=dict)
    class_tag_weight: Annotated[float, Field(ge=0, le=10)] = 0.0  # of the tag decoder's word on a class name
    relative_classes: Chance = 0.0  # of the log-sum-exp over the checkpoint's own classes, that class logits count from
    sure_threshold: Chance = 0.0  # an answer is sure where the best of the checkpoint's own names is so probable
    class_template: Annotated[str, Field(pattern=r"^[^{}]*\{\}[^{}]*$")] = "the {}"

    def __post_init__(self) -> None:
        """Widths are split evenly, only transformers have options, only the small encoder has maps to point on."""
        small = self.encoder.kind == "efficientnet"
        if small and self.encoder.options:
            raise InputError("encoder.options are for the kinds blip2 and clip; efficientnet has none.")
        if self.pointing is not None and not small:
            raise InputError("config.json asks for a pointing head, which needs an encoder of the kind efficientnet.")
        for what, width, among, parts in (
            ("encoder.width", self.encoder.width, "align.groups", self.align.groups),
            ("resampler.width", self.resampler.width, "resampler.heads", self.resampler.heads),
            ("decoder.width", self.decoder.width, "decoder.heads", self.decoder.heads),
        ):
            if width % parts:
                raise InputError(f"{what} {width} cannot be divided evenly among {among} {parts}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for `config.json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Inverse of `to_dict`. Raises InputError that names a setting which is unknown, of another kind or too big."""
        try:
            return _adapter(ModelConfig).validate_json(json.dumps(_current(values)))
        except TypeError as error:
            raise InputError(f"config.json is not a DynRefer configuration: {error}.") from error
        except ValidationError as error:
            raise InputError(_sentence(error)) from error

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Read `config.json`'s text. Raises InputError where it is not JSON, and as `from_dict` does."""
        try:
            return cls.from_dict(json.loads(text))
        except json.JSONDecodeError as error:
            raise InputError(f"config.json is not valid JSON ({error}); download the checkpoint again.") from error

    def changed(self, changes: Mapping[str, Any]) -> ModelConfig:
        """A copy with other settings, for example {"align": {"enabled": False}}. Raises InputError as `from_dict`."""
        return self.from_dict(_merged(self.to_dict(), changes))

    @classmethod
    def preset(cls, name: str) -> ModelConfig:
        """A size of PRESETS. Raises InputError that lists the names."""
        if name not in PRESETS:
            raise InputError(f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
        return cls().changed(json.loads(PRESETS[name].read_text(encoding="utf-8")))


def check_changes(changes: dict[str, Any]) -> dict[str, Any]:
    """The changes, if each could be made to some configuration; whether they fit the others only that one can tell.

    Raises InputError that names a setting which is unknown, of another kind or out of range.
    """
    try:
        _adapter(ModelConfig).validate_json(json.dumps(_merged(ModelConfig().to_dict(), changes)))
    except ValidationError as error:
        if any(found["loc"] for found in error.errors()):
            raise InputError(_sentence(error, "it")) from error
    return changes


def _merged(values: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    kept = values if isinstance(values, dict) else {}
    nested = {name: _merged(kept.get(name), new) for name, new in changes.items() if isinstance(new, Mapping)}
    return kept | dict(changes) | nested


def _current(values: Any) -> Any:
    """The settings as they are now, without those that older checkpoints have and nothing reads."""
    if not isinstance(values, dict):
        return values
    if isinstance(whole := values.get("relative_classes"), bool):
        values = values | {"relative_classes": float(whole)}
    language = values.get("language")
    if not isinstance(language, dict) or not RETIRED & language.keys():
        return values
    logger.debug("config.json: %s of language are no longer used", ", ".join(sorted(RETIRED & language.keys())))
    return values | {"language": {name: value for name, value in language.items() if name not in RETIRED}}


def _sentence(error: ValidationError, file: str = "config.json") -> str:
    """What is wrong first, in one sentence."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "unexpected_keyword_argument":
        return f"{file} has a setting {place} that this version does not know."
    reason = str(first.get("ctx", {}).get("error", first["msg"])).replace("Input should", "it should", 1)
    if not place:
        return f"{file} is not a DynRefer configuration: {reason.rstrip('.')}."
    return f"{file} says {place} {json.dumps(first['input'])[:60]}: {reason[0].lower()}{reason[1:]}."
