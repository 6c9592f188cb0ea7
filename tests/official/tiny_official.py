"""Synthetic files of the paper's model in miniature: the authors' `.pth`, BLIP-2's folder, open_clip's folder."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    T5Config,
)

from dynrefer.model import DynRefer, ModelConfig
from dynrefer.official.convert import convert
from dynrefer.official.names import released_name

FULL = ModelConfig.preset("dynrefer-flant5xl")
WORDS = "the is has a dog cat red big color , |".split()
TOKENS = ["<pad>", "</s>", "<unk>", *WORDS]
START, END = len(TOKENS), len(TOKENS) + 1
TEXT_WIDTH, TEXT_HEADS, TEXT_LAYERS = 16, 2, 2

VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
T5 = FULL.language.options | {
    "vocab_size": len(TOKENS),
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 24,
    "num_heads": 2,
    "num_layers": 2,
    "num_decoder_layers": 2,
}
TEXT = {
    "vocab_size": len(TOKENS) + 2,
    "hidden_size": TEXT_WIDTH,
    "intermediate_size": 4 * TEXT_WIDTH,
    "num_hidden_layers": TEXT_LAYERS,
    "num_attention_heads": TEXT_HEADS,
    "projection_dim": 24,
    "hidden_act": "gelu",
    "bos_token_id": START,
    "eos_token_id": END,
}
CONFIG = replace(
    FULL,
    name="tiny-official",
    encoder=replace(FULL.encoder, width=32, options=VISION),
    text_encoder=replace(FULL.text_encoder, width=24, options=TEXT),
    align=replace(FULL.align, hidden=32),
    resampler=replace(FULL.resampler, queries=4, width=16, layers=3, heads=2, hidden=32),
    decoder=replace(FULL.decoder, width=16, heads=2, hidden=32),
    language=replace(FULL.language, options=T5, generation=FULL.language.generation | {"max_new_tokens": 6}),
)


def synthetic(name: str, shape: tuple[int, ...] | list[int]) -> Tensor:
    """A tensor of the released checkpoint, made from its name as the facts about the checkpoint say."""
    if name == "attr_t":
        return torch.tensor(10.0).log()
    if name == "attr_b":
        return torch.tensor(-10.0)
    noise = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if name.endswith("LayerNorm.weight"):
        return 1 + 0.02 * noise
    return (0.05 if "offset_mask" in name else 0.02) * noise


def released_state() -> dict[str, Tensor]:
    """What the authors' file would hold under "model" at this size."""
    own = DynRefer(CONFIG, backbones=False).state_dict()
    return {released_name(name): synthetic(released_name(name), list(value.shape)) for name, value in own.items()}


def write_base(folder: Path) -> Blip2ForConditionalGeneration:
    """A BLIP-2 folder in shards, as `transformers` writes it; its numbers survive bfloat16."""
    torch.manual_seed(1)
    vision = Blip2VisionConfig(**VISION, initializer_range=0.2)
    qformer = Blip2QFormerConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, encoder_hidden_size=32
    )
    config = Blip2Config(vision_config=vision, qformer_config=qformer, text_config=T5Config(**T5), num_query_tokens=4)
    model = Blip2ForConditionalGeneration(config).eval().to(torch.bfloat16).float()
    head = torch.randn(len(TOKENS), 16).to(torch.bfloat16).float()
    model.language_model.lm_head.weight = torch.nn.Parameter(head)  # FLAN-T5's is not tied to its word embedding
    model.config.tie_word_embeddings = model.language_model.config.tie_word_embeddings = False
    model.save_pretrained(folder, max_shard_size="60KB")
    words().save(str(folder / "tokenizer.json"))
    return model


def write_text_tower(folder: Path) -> dict[str, Tensor]:
    """An open_clip folder: text tower, part of an image tower, tokenizer. Returns the tensors."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(2)

    def noise(*shape: int) -> Tensor:
        return (0.3 * torch.randn(shape, generator=generator)).half().float()

    w = TEXT_WIDTH
    tensors = {
        "logit_scale": torch.ones(()),
        "visual.trunk.cls_token": noise(1, 1, 8),
        "text.token_embedding.weight": noise(len(TOKENS) + 2, w),
        "text.positional_embedding": noise(77, w),
        "text.ln_final.weight": 1 + noise(w),
        "text.ln_final.bias": noise(w),
        "text.text_projection": noise(w, 24),
    }
    for layer in range(TEXT_LAYERS):
        shapes = {
            "attn.in_proj_weight": (3 * w, w),
            "attn.in_proj_bias": (3 * w,),
            "attn.out_proj.weight": (w, w),
            "attn.out_proj.bias": (w,),
            "ln_1.weight": (w,),
            "ln_1.bias": (w,),
            "ln_2.weight": (w,),
            "ln_2.bias": (w,),
            "mlp.c_fc.weight": (4 * w, w),
            "mlp.c_fc.bias": (4 * w,),
            "mlp.c_proj.weight": (w, 4 * w),
            "mlp.c_proj.bias": (w,),
        }
        tensors |= {f"text.transformer.resblocks.{layer}.{name}": noise(*shape) for name, shape in shapes.items()}
    tensors = {name: value.half().float() for name, value in tensors.items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    text_tokens().save(str(folder / "tokenizer.json"))
    return tensors


def words() -> Tokenizer:
    """A tokenizer of whole words; pad, end and unknown are 0, 1, 2, as T5 has them."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(TOKENS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return tokenizer


def text_tokens() -> Tokenizer:
    """The same words between CLIP's start and end tokens."""
    ids = {word: i for i, word in enumerate([*TOKENS, "<|startoftext|>", "<|endoftext|>"])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>", special_tokens=[("<|startoftext|>", START), ("<|endoftext|>", END)]
    )
    tokenizer.enable_padding(length=77)
    return tokenizer


def convert_tiny(sources: Path, out: Path, released: Path | None = None, base: Path | None = None) -> Path:
    """Convert a folder of sources, or other files in their place."""
    return convert(
        released or sources / "released.pth",
        out,
        base=base or sources / "base",
        text_encoder=sources / "text",
        tags=sources / "tags.txt",
        config=CONFIG,
    )
