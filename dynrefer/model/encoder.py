"""Image encoders behind one interface: pixels [N, 3, 224, 224] -> tokens [N, T, C].

N views, G global tokens, T = G + B + sum of side * side over the encoder's grids (B tokens of belief), C channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from dynrefer.model.config import CLASSES, EncoderConfig
from dynrefer.model.efficientnet import SCALES, EfficientNetLite


class EfficientNetEncoder(nn.Module):
    """EfficientNet: stride-32 and stride-16 maps, projected to one width, and two global tokens.

    Global token 0 is the pooled feature; token 1 is what the ImageNet classifier believes, as the mean text embedding
    of its class names (`class_embeddings` [1000, text width]), so the names' meaning reaches the resampler.
    """

    STRIDE_16_STAGE = 4
    LEVEL_STAGES = (2, 4, 6)  # the last ones of strides 8, 16 and 32
    class_embeddings: Tensor

    def __init__(self, config: EncoderConfig, text_width: int) -> None:
        super().__init__()
        self.backbone, fine = _backbone(config.name)
        coarse = self.backbone.num_features
        self.project_coarse = nn.Linear(coarse, config.width)
        self.project_fine = nn.Linear(fine, config.width)
        self.project_pooled = nn.Linear(coarse, config.width)
        self.project_semantic = nn.Linear(text_width, config.width)
        self.belief_tokens = config.belief_tokens
        self.pooled_norm = nn.LayerNorm(config.width)
        self.semantic_norm = nn.LayerNorm(config.width)
        self.register_buffer("class_embeddings", torch.zeros(CLASSES, text_width))

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels [N, 3, 224, 224], normalised -> tokens [N, 2 + 7 * 7 + 14 * 14, C]."""
        coarse, fine = self.maps(pixels)
        pooled = coarse.mean((2, 3))  # [N, 1280]
        probabilities = self.class_probabilities(pooled).to(pooled.dtype)
        semantic = self.project_semantic(20 * probabilities @ self.class_embeddings)
        tokens = [
            self.pooled_norm(self.project_pooled(pooled))[:, None],
            self.semantic_norm(semantic)[:, None],
            *self._belief(probabilities),
            self.project_coarse(coarse.flatten(2).transpose(1, 2)),  # [N, 49, C]
            self.project_fine(fine.flatten(2).transpose(1, 2)),  # [N, 196, C]
        ]
        return torch.cat(tokens, 1)

    def _belief(self, probabilities: Tensor) -> list[Tensor]:
        """The classifier's probabilities [N, K] as tokens [N, B, C], where they are wanted."""
        if not self.belief_tokens:
            return []
        missing = self.belief_tokens * self.project_pooled.out_features - CLASSES
        return [F.pad(probabilities, (0, missing)).unflatten(1, (self.belief_tokens, -1))]

    def maps(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The backbone's maps: stride 32 [N, 1280, 7, 7] and stride 16 [N, 120, 14, 14]."""
        fine = coarse = pixels
        for stage, coarse in enumerate(self._stages(pixels)):
            if stage == self.STRIDE_16_STAGE:
                fine = coarse
        return self.backbone.bn2(self.backbone.conv_head(coarse)).to(pixels.dtype), fine.to(pixels.dtype)

    def levels(self, pixels: Tensor) -> list[Tensor]:
        """Photographs [N, 3, H, W], normalised, sides multiples of 32 -> maps [N, C, H / s, W / s], s = 8, 16, 32."""
        stages = enumerate(self._stages(pixels))
        return [level.to(pixels.dtype) for stage, level in stages if stage in self.LEVEL_STAGES]

    def _stages(self, pixels: Tensor) -> Iterator[Tensor]:
        """The maps behind each of the backbone's stages, one after the other."""
        x = self.backbone.bn1(self.backbone.conv_stem(pixels.contiguous(memory_format=torch.channels_last)))
        for block in self.backbone.blocks:
            x = block(x)
            yield x

    @property
    def level_channels(self) -> list[int]:
        """Channels of the maps of `levels`."""
        return [self.backbone.blocks[stage][-1].conv_pwl.out_channels for stage in self.LEVEL_STAGES]

    def class_probabilities(self, pooled: Tensor) -> Tensor:
        """Pooled features [N, 1280] -> probabilities of ImageNet's classes [N, 1000], float32."""
        return self.backbone.classifier(pooled).float().softmax(-1)

    def fold_batch_norm(self) -> None:
        """Fold every batch norm into the convolution before it, in place: a quarter faster, for inference only."""
        for module in list(self.backbone.modules()):
            children = list(module.named_children())
            for (_, conv), (norm_name, norm) in itertools.pairwise(children):
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    assert norm.running_mean is not None and norm.running_var is not None
                    known = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
                    conv.weight, conv.bias = fuse_conv_bn_weights(conv.weight, conv.bias, *known)
                    setattr(module, norm_name, norm.act)

    def train(self, mode: bool = True) -> EfficientNetEncoder:
        """Batch norm keeps its running statistics: batches of nested views are far from independent."""
        return super().train(False)


class ViTEncoder(nn.Module):
    """A vision transformer of `transformers`: BLIP-2's EVA-CLIP ViT-g/14, or CLIP ViT-L/14 without its last layer.

    The final layer norm applies to every token, as BLIP-2 trained it for both.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.kind = config.kind
        from transformers import Blip2VisionConfig, Blip2VisionModel, CLIPVisionConfig, CLIPVisionModel

        size: dict[str, Any] = {"image_size": config.image_size, **config.options}
        if config.kind == "blip2":
            self.vision: Any = Blip2VisionModel(Blip2VisionConfig(**size))
        else:
            self.vision = CLIPVisionModel(CLIPVisionConfig(**size))

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels [N, 3, 224, 224], normalised -> tokens [N, 1 + 16 * 16, C], class token first."""
        tokens = self.vision(pixels).last_hidden_state
        return self.vision.post_layernorm(tokens) if self.kind == "clip" else tokens


def _backbone(name: str) -> tuple[Any, int]:
    """An EfficientNet, the Lite ones without timm, and the channels of its stride-16 map."""
    if name in SCALES:
        network = EfficientNetLite(name)
        return network, network.stage_channels[EfficientNetEncoder.STRIDE_16_STAGE]
    import timm

    other = cast(Any, timm.create_model(name, pretrained=False))
    return other, other.feature_info[3]["num_chs"]


def build_encoder(config: EncoderConfig, text_width: int) -> nn.Module:
    """The encoder that `config.kind` names, with random weights."""
    return EfficientNetEncoder(config, text_width) if config.kind == "efficientnet" else ViTEncoder(config)
