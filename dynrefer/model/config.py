"""Sizes of the network: frozen dataclasses, written to and read from a checkpoint's `config.json`."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from dynrefer.errors import InputError


@dataclass(frozen=True)
class EncoderConfig:
    """Image encoder: a view becomes `global_tokens` tokens, then row-major patch tokens for each side in `grids`."""

    kind: str = "efficientnet"  # "efficientnet" (timm, with projections), "blip2" or "clip" (transformers)
    name: str = "tf_efficientnet_lite2"
    width: int = 256
    grids: tuple[int, ...] = (7, 14)
    global_tokens: int = 2
    image_size: int = 224
    mean: tuple[float, float, float] = (127.0, 127.0, 127.0)  # of pixels in 0..255
    std: tuple[float, float, float] = (128.0, 128.0, 128.0)
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TextEncoderConfig:
    """Frozen text encoder: `kind` is "bert" (mean), "clip" (projected end-of-text token) or "clip-pooled" (plain)."""

    kind: str = "bert"
    width: int = 384
    max_length: int = 64
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AlignConfig:
    """RoIAlign, deformable alignment and fusion (DynRefer, section 3.2)."""

    enabled: bool = True  # False leaves the deformable alignment out (paper, Tab. 7)
    output_size: int = 7
    groups: int = 4
    roi_aligned: bool = True  # torchvision's half-pixel correction; the released checkpoint was trained without
    norm: bool = True  # layer norm of the region map; a residual connection around the alignment goes with it
    hidden: int = 512
    activation: str = "gelu"
    geometry: bool = True  # one more token: where the box lies in the photograph, and learned positions


@dataclass(frozen=True)
class ResamplerConfig:
    """Q-Former: learned queries that read the fused tokens."""

    queries: int = 32
    width: int = 256
    layers: int = 3
    heads: int = 8
    hidden: int = 1024
    cross_attention_every: int = 1
    norm_first: bool = True
    dropout: float = 0.15
    eps: float = 1e-5


@dataclass(frozen=True)
class QueryDecoderConfig:
    """Texts as queries over the region's representation; tagging and contrast own one each."""

    width: int = 256
    layers: int = 2
    heads: int = 8
    hidden: int = 1024
    norm_first: bool = True
    dropout: float = 0.15
    eps: float = 1e-5
    text_scale: float = 20.0  # unit-norm embeddings are tiny a dimension; scaled before their projection
    bilinear: bool = True  # add <region summary, text> to the logit; not in the paper, needed at the small size
    normalize_contrast: bool = False  # L2-normalise before the contrast head's last layer, as the paper does


@dataclass(frozen=True)
class LanguageConfig:
    """T5 that writes the caption; `styles` and `sentence_slot` are for the small model, which starts from scratch.

    `predicted_controls` is how many predicted tags the caption is told; `generation` are arguments of
    `dynrefer.model.beam_search.Generation`; `options` are arguments of `transformers.T5Config`.
    """

    styles: tuple[str, ...] = ("region", "scene", "class")
    sentence_slot: bool = True
    max_control_tokens: int = 48
    predicted_controls: int = 0
    generation: dict[str, Any] = field(default_factory=dict)
    without_article: tuple[str, ...] = ()  # words that never follow "a", for `dynrefer.model.agreement`
    qualities: tuple[str, ...] = ()  # words that may stand between "a" and its noun
    end_controls: bool = False  # close the controls with T5's end token, as the released checkpoint was trained
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelConfig:
    """The whole network. `trainable` names the parts that training changes ("t5" is apart from "language")."""

    name: str = "dynrefer-mini"
    num_views: int = 3
    encoder: EncoderConfig = EncoderConfig()
    text_encoder: TextEncoderConfig = TextEncoderConfig()
    align: AlignConfig = AlignConfig()
    resampler: ResamplerConfig = ResamplerConfig()
    decoder: QueryDecoderConfig = QueryDecoderConfig()
    language: LanguageConfig = LanguageConfig()
    trainable: tuple[str, ...] = ("align", "resampler", "summary", "tagging", "contrast", "language", "t5")
    default_mode: str = "dynamic"
    tag_threshold: float = 0.7
    class_template: str = "the {}"

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for `config.json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Inverse of `to_dict`. Raises InputError that names an unknown or missing setting."""
        parts: dict[str, type] = {
            "encoder": EncoderConfig,
            "text_encoder": TextEncoderConfig,
            "align": AlignConfig,
            "resampler": ResamplerConfig,
            "decoder": QueryDecoderConfig,
            "language": LanguageConfig,
        }
        try:
            built = {k: parts[k](**_tuples(v)) if k in parts else v for k, v in values.items()}
            return cls(**_tuples(built))
        except (TypeError, AttributeError) as error:
            raise InputError(f"config.json is not a DynRefer configuration: {error}.") from error

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Read `config.json`'s text. Raises InputError when it is not JSON."""
        try:
            return cls.from_dict(json.loads(text))
        except json.JSONDecodeError as error:
            raise InputError(f"config.json is not valid JSON ({error}); download the checkpoint again.") from error

    @classmethod
    def preset(cls, name: str) -> ModelConfig:
        """A named size, see `dynrefer.model.presets`. Raises InputError that lists the names."""
        from dynrefer.model.presets import PRESETS

        if name not in PRESETS:
            raise InputError(f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
        return PRESETS[name]


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where the dataclasses hold tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
