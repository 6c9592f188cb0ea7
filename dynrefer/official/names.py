"""The tensors of the released checkpoint, of BLIP-2 and of the EVA-CLIP text tower under this project's names."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Protocol, TypeVar

from torch import Tensor

from dynrefer.errors import InputError
from dynrefer.model.config import ModelConfig
from dynrefer.model.dynrefer import DynRefer
from dynrefer.weights import parameters_on_meta

PRESET = "dynrefer-flant5xl"
IGNORED = frozenset({"Qformer.bert.embeddings.position_ids"})

_WHOLE = {
    "resampler.queries": "query_tokens",
    "language.memory": "cem_memory",
    "log_temperature": "attr_t",
    "contrast_bias": "attr_b",
}
_PREFIXES = {
    "align.deform.": "cvem_align.",
    "align.fuse.": "cvem_mlp.",
    "resampler.input_norm.": "Qformer.bert.embeddings.LayerNorm.",
    "resampler.layers.": "Qformer.bert.encoder.layer.",
    "tagging.layers.": "tag_head.encoder.layer.",
    "tagging.score.": "tag_fc.",
    "tagging.": "tag_",
    "contrast.layers.": "attr_head.encoder.layer.",
    "contrast.score.": "attr_fc.",
    "contrast.": "attr_",
    "language.project.": "t5_proj.",
}
_LAYER = {
    "self_attention.output.": "attention.output.dense.",
    "self_attention.": "attention.self.",
    "self_norm.": "attention.output.LayerNorm.",
    "cross_attention.output.": "crossattention.output.dense.",
    "cross_attention.": "crossattention.self.",
    "cross_norm.": "crossattention.output.LayerNorm.",
    "feed_forward.0.": "intermediate{suffix}.dense.",
    "feed_forward.2.": "output{suffix}.dense.",
    "feed_forward_norm.": "output{suffix}.LayerNorm.",
}


class Shaped(Protocol):
    """A tensor, or a promise of one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""


T = TypeVar("T", bound=Shaped)


def convert_state_dict(released: Mapping[str, Tensor], config: ModelConfig | None = None) -> dict[str, Tensor]:
    """The authors' trained tensors as the state of `DynRefer(config, backbones=False)`.

    Args:
        released: what the released file holds under "model".
        config: the size to fit, by default the preset "dynrefer-flant5xl".

    Raises InputError: names a missing, unexpected or mis-shaped tensor, or says that the file holds LoRA weights.
    """
    if any("lora_" in name for name in released):
        raise InputError(
            "This checkpoint holds LoRA adapters of the language model, which cannot be converted; "
            "take one that was trained with finetune_llm: False."
        )
    with parameters_on_meta():
        expected = DynRefer(config or ModelConfig.preset(PRESET), backbones=False).state_dict()
    return pick(released, expected, released_name, "The released checkpoint", ignored=IGNORED)


def released_name(name: str) -> str:
    """What the released checkpoint calls the trained tensor `name`."""
    if name in _WHOLE:
        return _WHOLE[name]
    ours, theirs = next((o, t) for o, t in _PREFIXES.items() if name.startswith(o))
    rest = name.removeprefix(ours)
    if not ours.endswith("layers."):
        return theirs + rest
    number, part = rest.split(".", 1)
    ours, released = next((o, t) for o, t in _LAYER.items() if part.startswith(o))
    suffix = "_query" if name.startswith("resampler.") else ""  # the Q-Former's other feed-forward was for text
    return f"{theirs}{number}.{released.format(suffix=suffix)}{part.removeprefix(ours)}"


def base_name(name: str) -> str:
    """What BLIP-2's checkpoint calls the tensor `name` of the image encoder or of the language model."""
    return name.replace("encoder.vision.", "vision_model.", 1).replace("language.t5.", "language_model.", 1)


def convert_text_tower(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A CLIP text tower under the names of `CLIPTextModelWithProjection`; others' tensors keep their names.

    open_clip holds queries, keys and values in one matrix, the projection transposed, and puts "text." in front where
    the image tower is a network apart.
    """
    prefix = "text." if "text.ln_final.weight" in tensors else ""
    converted: dict[str, Tensor] = {}
    for name, value in tensors.items():
        converted |= dict(_from_open_clip(name.removeprefix(prefix), value)) or {name: value}
    return converted


def _from_open_clip(name: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    if name in _OPEN_CLIP:
        yield _OPEN_CLIP[name], value
    elif name == "text_projection":
        yield "text_projection.weight", value.T
    elif match := re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)[._](weight|bias)", name):
        number, part, kind = match.groups()
        layer = f"text_model.encoder.layers.{number}"
        if part == "attn.in_proj":
            for letter, third in zip("qkv", value.chunk(3), strict=True):
                yield f"{layer}.self_attn.{letter}_proj.{kind}", third
        else:
            yield f"{layer}.{_OPEN_CLIP_LAYER[part]}.{kind}", value


_OPEN_CLIP = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
}
_OPEN_CLIP_LAYER = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def pick(
    tensors: Mapping[str, T],
    expected: Mapping[str, Tensor],
    rename: Callable[[str], str],
    what: str,
    *,
    ignored: Collection[str] | None = None,
) -> dict[str, T]:
    """Take what is expected out of a checkpoint.

    Args:
        tensors: by their own names.
        expected: by our names; only the shapes count.
        rename: our name -> theirs.
        what: how errors call the checkpoint.
        ignored: their names that may be there without being used; None allows any.

    Raises InputError: names a missing, unexpected or mis-shaped tensor.
    """
    sources = {name: rename(name) for name in expected}
    for name, source in sources.items():
        if source not in tensors:
            raise InputError(f"{what} lacks the tensor {source}; it is another file, or not complete.")
        shape, asked = list(tensors[source].shape), list(expected[name].shape)
        if shape != asked:
            raise InputError(f"{what} has the tensor {source} in shape {shape} where {asked} is asked for.")
    unexpected = sorted(set(tensors) - set(sources.values()) - set(ignored or tensors))
    if unexpected:
        raise InputError(f"{what} has the tensor {unexpected[0]}, which has no place in this model.")
    return {name: tensors[source] for name, source in sources.items()}
