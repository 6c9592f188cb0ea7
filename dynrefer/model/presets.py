"""The sizes that have a name: the embedded model, the paper's two, and a tiny random one for tests."""

from __future__ import annotations

from dynrefer.model.config import (
    AlignConfig,
    EncoderConfig,
    LanguageConfig,
    ModelConfig,
    QueryDecoderConfig,
    ResamplerConfig,
    TextEncoderConfig,
)

_MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
_SMALL_T5 = {
    "vocab_size": 5002,
    "d_model": 256,
    "d_kv": 32,
    "d_ff": 1024,
    "num_layers": 3,
    "num_decoder_layers": 3,
    "num_heads": 8,
    "dropout_rate": 0.1,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}

MINI = ModelConfig(
    text_encoder=TextEncoderConfig(options=_MINILM),
    language=LanguageConfig(options=_SMALL_T5),
)

TINY = ModelConfig(
    name="tiny",
    encoder=EncoderConfig(kind="efficientnet", name="tf_efficientnet_lite0", width=16),
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
        options=_SMALL_T5
        | {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_heads": 2, "num_layers": 2}
        | {"num_decoder_layers": 2},
    ),
)

PRESETS = {preset.name: preset for preset in (MINI, TINY)}
