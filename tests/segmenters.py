"""Tiny random segmenters as a user has them: folders with a model and its processor, written by transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

SIDE = 64  # pixels that they see of a photograph
LEVELS: dict[str, Any] = {
    "backbone_channel_list": [96, 48, 24, 12],
    "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
    "fpn_hidden_size": 32,
}
DECODER = {"mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
PROMPTS = {"image_size": SIDE, "patch_size": 16, "mask_input_channels": 4}


def save_segmenter(kind: str, folder: Path, seed: int = 0) -> Path:
    """A random EdgeTAM, SAM 2 or SAM of `kind` in a folder of that name."""
    import transformers as hf

    torch.manual_seed(seed)
    processor: Any = hf.Sam2Processor(hf.Sam2ImageProcessor(size={"height": SIDE, "width": SIDE}))
    if kind == "edgetam":
        sizes = {"embed_dim": [12, 24, 48, 96], "depth": [1, 1, 1, 1]}
        features = {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]}
        # Named, for transformers 5.24 misspells the default's architecture and takes another.
        backbone = hf.TimmWrapperConfig(architecture="repvit_m0_9", model_args=features | sizes)
        model: Any = hf.EdgeTamModel(
            hf.EdgeTamConfig(
                vision_config=hf.EdgeTamVisionConfig(backbone_config=backbone, **LEVELS),
                prompt_encoder_config=hf.EdgeTamPromptEncoderConfig(hidden_size=32, **PROMPTS),
                mask_decoder_config=hf.EdgeTamMaskDecoderConfig(hidden_size=32, **DECODER),
            )
        )
    elif kind == "sam2":
        trunk = hf.Sam2HieraDetConfig(
            hidden_size=12,
            image_size=[SIDE, SIDE],
            blocks_per_stage=[1, 1, 1, 1],
            embed_dim_per_stage=[12, 24, 48, 96],
            num_attention_heads_per_stage=[1, 2, 4, 8],
            window_size_per_stage=[4, 4, 4, 4],
            global_attention_blocks=[],
            window_positional_embedding_background_size=[4, 4],
        )
        model = hf.Sam2Model(
            hf.Sam2Config(
                vision_config=hf.Sam2VisionConfig(backbone_config=trunk, **LEVELS),
                prompt_encoder_config=hf.Sam2PromptEncoderConfig(hidden_size=32, **PROMPTS),
                mask_decoder_config=hf.Sam2MaskDecoderConfig(hidden_size=32, **DECODER),
            )
        )
    else:
        trunk = {"hidden_size": 16, "output_channels": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        trunk |= {"image_size": SIDE, "mlp_dim": 16, "window_size": 2, "global_attn_indexes": [0], "num_pos_feats": 8}
        model = hf.SamModel(
            hf.SamConfig(
                vision_config=hf.SamVisionConfig(**trunk),
                prompt_encoder_config=hf.SamPromptEncoderConfig(hidden_size=16, **PROMPTS),
                mask_decoder_config=hf.SamMaskDecoderConfig(hidden_size=16, **DECODER),
            )
        )
        padded = {"height": SIDE, "width": SIDE}
        processor = hf.SamProcessor(hf.SamImageProcessor(size={"longest_edge": SIDE}, pad_size=padded))
    model.save_pretrained(folder / kind)
    processor.save_pretrained(folder / kind)
    return folder / kind
