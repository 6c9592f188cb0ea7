"""The sizes that have a name: where training of the embedded model starts, and the paper's two."""

from __future__ import annotations

from dataclasses import replace

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
    "vocab_size": 5000,
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

_CLIP_MEAN = (0.48145466 * 255, 0.4578275 * 255, 0.40821073 * 255)
_CLIP_STD = (0.26862954 * 255, 0.26130258 * 255, 0.27577711 * 255)
_CLIP_TEXT = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
_CLIP_END = {"bos_token_id": 49406, "eos_token_id": 49407}
_FLAN_T5_XL = {
    "vocab_size": 32128,
    "d_model": 2048,
    "d_kv": 64,
    "d_ff": 5120,
    "num_layers": 24,
    "num_decoder_layers": 24,
    "num_heads": 32,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
    "dropout_rate": 0.1,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}

FLAN_T5_XL = ModelConfig(
    name="dynrefer-flant5xl",
    encoder=EncoderConfig(
        kind="blip2",
        name="eva_clip_g",
        width=1408,
        grids=(16,),
        global_tokens=1,
        mean=_CLIP_MEAN,
        std=_CLIP_STD,
        options={"hidden_size": 1408, "intermediate_size": 6144, "num_hidden_layers": 39, "num_attention_heads": 16},
    ),
    text_encoder=TextEncoderConfig(
        kind="clip",
        width=1024,
        max_length=77,
        options=_CLIP_TEXT | _CLIP_END | {"projection_dim": 1024, "hidden_act": "gelu"},
    ),
    align=AlignConfig(
        output_size=16,
        roi_aligned=False,
        norm=False,
        hidden=1408,
        activation="relu",
        geometry=False,
    ),
    resampler=ResamplerConfig(
        width=768,
        layers=12,
        heads=12,
        hidden=3072,
        cross_attention_every=2,
        norm_first=False,
        dropout=0.1,
        eps=1e-12,
    ),
    decoder=QueryDecoderConfig(
        heads=4,
        norm_first=False,
        dropout=0.1,
        eps=1e-12,
        text_scale=1.0,
        bilinear=False,
        normalize_contrast=True,
    ),
    language=LanguageConfig(
        styles=(),
        sentence_slot=False,
        max_control_tokens=32,
        predicted_controls=32,
        end_controls=True,
        generation={"num_beams": 5, "max_new_tokens": 30, "length_penalty": 0.0, "repetition_penalty": 1.5},
        options=_FLAN_T5_XL,
    ),
    trainable=("align", "resampler", "tagging", "contrast", "language"),
)

FLAN_T5_XL_VIT_L = replace(
    FLAN_T5_XL,
    name="dynrefer-flant5xl-vitl",
    encoder=replace(
        FLAN_T5_XL.encoder,
        kind="clip",
        name="clip_L",
        width=1024,
        options={
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 23,
            "num_attention_heads": 16,
            "patch_size": 14,
            "hidden_act": "quick_gelu",
        },
    ),
    text_encoder=replace(
        FLAN_T5_XL.text_encoder,
        kind="clip-pooled",
        width=768,
        options=_CLIP_TEXT | _CLIP_END | {"hidden_act": "quick_gelu"},
    ),
    align=replace(FLAN_T5_XL.align, hidden=1024),
)

PRESETS = {preset.name: preset for preset in (MINI, FLAN_T5_XL, FLAN_T5_XL_VIT_L)}
