"""EfficientNet-Lite (Tan and Le, ICML 2019; the variant without squeeze-and-excitation) under timm's names.

Own code because timm takes a second to import, for one of its thousand networks. N views, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

SCALES = {  # factors on channels and on blocks a stage
    "tf_efficientnet_lite0": (1.0, 1.0),
    "tf_efficientnet_lite1": (1.0, 1.1),
    "tf_efficientnet_lite2": (1.1, 1.2),
    "tf_efficientnet_lite3": (1.2, 1.4),
    "tf_efficientnet_lite4": (1.4, 1.8),
}
STEM, FEATURES, CLASSES = 32, 1280, 1000


class Stage(NamedTuple):
    """Blocks of one width at factor 1."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow does: where the padding is odd, the last row and column get more."""

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] -> [N, C', ceil(H / stride), ceil(W / stride)]."""
        missing = self.missing((x.shape[3], x.shape[2]))
        return super().forward(F.pad(x, [side for m in missing for side in (m // 2, m - m // 2)]))

    def missing(self, sides: Sequence[int]) -> list[int]:
        """How many rows or columns a map's sides lack in all."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        return [max((math.ceil(n / stride) - 1) * stride + kernel - n, 0) for n in sides]


class BatchNormAct(nn.BatchNorm2d):
    """Batch norm and the activation behind it."""

    def __init__(self, channels: int, act: bool = True) -> None:
        super().__init__(channels, eps=1e-3)
        self.act = nn.ReLU6(inplace=True) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W]."""
        return self.act(super().forward(x))


class Block(nn.Module):
    """Expansion (where there is one), depthwise convolution, projection, and a residual where the shape stays."""

    def __init__(self, before: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inner = _divisible(before * stage.expansion)
        self.expands = stage.expansion > 1
        self.residual = stride == 1 and before == stage.channels
        depthwise = _conv(inner, inner, stage.kernel, stride, groups=inner)
        if self.expands:
            self.conv_pw, self.bn1 = _conv(before, inner), BatchNormAct(inner)
            self.conv_dw, self.bn2 = depthwise, BatchNormAct(inner)
            self.conv_pwl, self.bn3 = _conv(inner, stage.channels), BatchNormAct(stage.channels, act=False)
        else:
            self.conv_dw, self.bn1 = depthwise, BatchNormAct(inner)
            self.conv_pw, self.bn2 = _conv(inner, stage.channels), BatchNormAct(stage.channels, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W]."""
        if self.expands:
            y = self.bn2(self.conv_dw(self.bn1(self.conv_pw(x))))
            y = self.bn3(self.conv_pwl(y))
        else:
            y = self.bn2(self.conv_pw(self.bn1(self.conv_dw(x))))
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """The whole classifier; `dynrefer.model.encoder` takes its maps.

    Args:
        name: a key of SCALES.

    Attributes:
        num_features: channels of the last map.
        stage_channels: channels behind each stage of `blocks`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        wider, deeper = SCALES[name]
        self.num_features = FEATURES
        self.stage_channels = [_divisible(stage.channels * wider) for stage in STAGES]
        self.conv_stem, self.bn1 = _conv(3, STEM, 3, stride=2), BatchNormAct(STEM)
        stages, before = [], STEM
        for k, (plain, channels) in enumerate(zip(STAGES, self.stage_channels, strict=True)):
            stage = plain._replace(channels=channels)
            count = stage.blocks if k in (0, len(STAGES) - 1) else math.ceil(stage.blocks * deeper)
            widths = [before] + [channels] * (count - 1)
            stages.append(nn.Sequential(*(Block(w, stage, 1 if i else stage.stride) for i, w in enumerate(widths))))
            before = channels
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = _conv(before, FEATURES), BatchNormAct(FEATURES)
        self.classifier = nn.Linear(FEATURES, CLASSES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised photographs [N, 3, H, W] -> logits of ImageNet's classes [N, 1000]."""
        x = self.blocks(self.bn1(self.conv_stem(pixels)))
        return self.classifier(self.bn2(self.conv_head(x)).mean((2, 3)))


def _conv(before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    if stride > 1:
        return SameConv2d(before, after, kernel, stride, groups=groups, bias=False)
    return nn.Conv2d(before, after, kernel, padding=kernel // 2, groups=groups, bias=False)


def _divisible(channels: float) -> int:
    """The nearest multiple of 8 that is not more than a tenth below."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
