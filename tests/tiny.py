"""A tiny random model: its size, its network with tokenizers, its words."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from dynrefer.model import DynRefer, ModelConfig
from dynrefer.model.config import (
    AlignConfig,
    EncoderConfig,
    LanguageConfig,
    PointingConfig,
    QueryDecoderConfig,
    ResamplerConfig,
    TextEncoderConfig,
)
from dynrefer.vocabulary import AttributeWord, Vocabulary

TINY = ModelConfig(
    name="tiny",
    encoder=EncoderConfig(kind="efficientnet", name="tf_efficientnet_lite0", width=16, grids=(2, 4), image_size=64),
    text_encoder=TextEncoderConfig(
        width=16,
        options={
            "vocab_size": 64,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
    ),
    align=AlignConfig(hidden=24),
    resampler=ResamplerConfig(queries=4, width=16, layers=2, heads=2, hidden=32),
    decoder=QueryDecoderConfig(width=16, layers=1, heads=2, hidden=32),
    language=LanguageConfig(
        generation={"max_new_tokens": 8},  # a random model would write on to the last
        options=ModelConfig.preset("dynrefer-mini").language.options
        | {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_heads": 2, "num_layers": 2}
        | {"num_decoder_layers": 2},
    ),
    pointing=PointingConfig(widths=(8, 8, 8), blocks=1, longest=(64, 96)),
)

WORDS = "a the and on in with dog cat car cup red blue big small man woman holding sitting , |".split()


def word_tokenizer() -> Tokenizer:
    """Words to ids; pad, end and unknown are 0, 1, 2."""
    words = ["<pad>", "</s>", "<unk>", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return tokenizer


def tiny_model(seed: int = 0) -> DynRefer:
    """A random network of the size `TINY` with its tokenizers, in evaluation mode."""
    torch.manual_seed(seed)
    model = DynRefer(TINY)
    assert model.text_encoder is not None
    model.language.tokenizer = model.text_encoder.tokenizer = word_tokenizer()
    return model.eval()


def tiny_vocabulary() -> Vocabulary:
    """Four tags, three attributes, four classes."""
    attributes = (
        AttributeWord("red", "color", ("the red color", "the the red")),
        AttributeWord("blue", "color", ("the blue color",)),
        AttributeWord("big", "size", ("the big", "the big size")),
    )
    return Vocabulary(("dog", "cat", "red", "car"), attributes, ("dog", "cat", "car", "cup"))
