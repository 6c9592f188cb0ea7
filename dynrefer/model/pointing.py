"""The pointing head: at every place of a photograph the box around it, how good that box is, whether it is a thing.

A small anchor-free detector (FCOS, Tian et al., ICCV 2019) without classes, on three maps of the frozen encoder.
N photographs, H and W their sides on the canvas in pixels, P places of all levels together, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynrefer.model.config import PointingConfig

STRIDES = (8, 16, 32)
KERNELS = (3, 5, 5)
START = 2.0  # sides of a box before training, in strides
RAREST = -2.0  # logit of a thing before training
LARGEST = 5.0  # of the logarithm of a side in strides
EVIDENCE = 23  # numbers that speak for a candidate, see `dynrefer.candidates`
FURTHEST, DROPOUT = 0.5, 0.1  # of a corrected side, as a share of the box's; while the second stage learns


class Places(NamedTuple):
    """What the head says of every place, fine levels first, row by row."""

    boxes: Tensor
    """float [N, P, 4]: x1, y1, x2, y2 in pixels of the canvas, not clipped."""
    quality: Tensor
    """Logits [N, P] of the overlap (IoU) that the box has with the thing around the place."""
    things: Tensor
    """Logits [N, P] of there being a thing of the level's size around the place."""

    @property
    def scores(self) -> Tensor:
        """[N, P] in 0..1: the probability of a thing times the quality of its box."""
        return self.things.float().sigmoid() * self.quality.float().sigmoid()

    def mirrored(self, canvas: Sequence[int]) -> Places:
        """What was said of mirror images, in the places and pixels of the photographs themselves."""
        (height, width), start, order = canvas, 0, []
        for stride in STRIDES:
            rows, columns = height // stride, width // stride
            order.append(torch.arange(start, start + rows * columns).view(rows, columns).flip(1).flatten())
            start += rows * columns
        x1, y1, x2, y2 = self.boxes[:, torch.cat(order)].unbind(-1)
        boxes = torch.stack([width - x2, y1, width - x1, y2], -1)
        return Places(boxes, self.quality[:, torch.cat(order)], self.things[:, torch.cat(order)])


def centres(canvas: tuple[int, int], device: torch.device | str = "cpu") -> Tensor:
    """x, y and stride of every place of a canvas (height, width), in the order of `Places`: float [P, 3]."""
    found = []
    for stride in STRIDES:
        y, x = torch.meshgrid(*(torch.arange(side // stride, device=device) for side in canvas), indexing="ij")
        centre = (torch.stack([x.flatten(), y.flatten()], 1) + 0.5) * stride
        found.append(torch.cat([centre, torch.full_like(centre[:, :1], stride)], 1))
    return torch.cat(found)


class Block(nn.Module):
    """A neighbourhood of `kernel` x `kernel` places, then each by itself, added to what was there; [N, h, w, C]."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[N, h, w, C] -> [N, h, w, C]."""
        with torch.autocast(x.device.type, enabled=False):  # on a CPU its gradient is twice as fast in float32
            seen = self.around(x.to(self.around.weight.dtype).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + self.second(F.relu(self.first(self.norm(seen))))


class Tower(nn.Module):
    """The answers of one level: [N, h, w, C] -> four sides in pixels, and logits of quality and thing."""

    def __init__(self, width: int, kernel: int, stride: int, blocks: int) -> None:
        super().__init__()
        self.stride = stride
        self.trunk = nn.Sequential(*(Block(width, kernel) for _ in range(blocks)))
        self.box_block, self.thing_block = Block(width, kernel), Block(width, kernel)
        self.box = nn.Linear(width, 5)
        self.thing = nn.Linear(width, 1)
        if self.box.weight.is_meta:
            return  # weights follow; filling those without memory would import torch's compiler, in seconds
        with torch.no_grad():
            self.box.weight.mul_(0.1)
            self.box.bias[:4] = torch.tensor(START).log()
            self.thing.bias.fill_(RAREST)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sides [N, h * w, 4] (left, top, right, bottom of the place), quality and thing [N, h * w]."""
        x = self.trunk(x)
        box = self.box(self.box_block(x)).float().flatten(1, 2)
        thing = self.thing(self.thing_block(x)).float().flatten(1, 3)
        return box[..., :4].clamp(max=LARGEST).exp() * self.stride, box[..., 4], thing


class Refiner(nn.Module):
    """The second stage: which candidate of a press means the thing, and where its sides are.

    It predicts a box's overlap with the thing (as IoU-Net does, Jiang et al., ECCV 2018) and corrects its sides (as
    Cascade R-CNN does, Cai and Vasconcelos, CVPR 2018), but from what the levels say of each other alone.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk = nn.ModuleList((nn.Linear(EVIDENCE, width), nn.Linear(width, width)))
        self.quality, self.sides = nn.Linear(width, 1), nn.Linear(width, 4)

    def forward(self, evidence: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Evidence [.., EVIDENCE] and boxes [.., 4] of candidates -> logits of their overlap [..], corrected boxes."""
        x = evidence
        for layer in self.trunk:
            x = F.dropout(F.relu(layer(x)), DROPOUT, self.training)
        size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1)
        return self.quality(x)[..., 0], boxes + FURTHEST * self.sides(x).tanh() * torch.cat([size, size], -1)


class PointingHead(nn.Module):
    """Levels exchange what they see, coarse to fine and back, and each answers for things of its size.

    Args:
        channels: of the encoder's maps of strides 8, 16 and 32.
    """

    def __init__(self, config: PointingConfig, channels: Sequence[int]) -> None:
        super().__init__()
        fine_first = list(pairwise(config.widths))
        self.enter = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(depth), nn.Linear(depth, width))
            for depth, width in zip(channels, config.widths, strict=True)
        )
        self.whole = nn.Linear(config.widths[-1], config.widths[-1])
        self.down = nn.ModuleList(nn.Linear(coarse, fine) for fine, coarse in fine_first)
        self.down_block = nn.ModuleList(map(Block, config.widths[:-1], KERNELS[:-1]))
        self.up = nn.ModuleList(nn.Linear(fine, coarse) for fine, coarse in fine_first)
        self.up_block = nn.ModuleList(map(Block, config.widths[1:], KERNELS[1:]))
        self.towers = nn.ModuleList(
            Tower(*level, config.blocks) for level in zip(config.widths, KERNELS, STRIDES, strict=True)
        )
        self.refiner = Refiner(config.refiner) if config.refiner else None

    def forward(self, levels: Sequence[Tensor]) -> Places:
        """Maps [N, H / s, W / s, C] of strides s = 8, 16, 32 -> what is at their places."""
        x = [enter(level) for enter, level in zip(self.enter, levels, strict=True)]
        x[-1] = x[-1] + self.whole(F.relu(x[-1].mean((1, 2), keepdim=True)))
        for k in reversed(range(len(self.down))):
            coarse = self.down[k](x[k + 1]).repeat_interleave(2, 1).repeat_interleave(2, 2)
            x[k] = self.down_block[k](x[k] + coarse)
        for k, (up, block) in enumerate(zip(self.up, self.up_block, strict=True)):
            fine = F.avg_pool2d(x[k].permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
            x[k + 1] = block(x[k + 1] + up(fine))
        sides, quality, things = zip(*(tower(level) for tower, level in zip(self.towers, x, strict=True)), strict=True)
        height, width = (side * STRIDES[0] for side in levels[0].shape[1:3])
        centre = centres((height, width), x[0].device)[:, :2]
        side = torch.cat(sides, 1)
        boxes = torch.cat([centre - side[..., :2], centre + side[..., 2:]], -1)
        return Places(boxes, torch.cat(quality, 1), torch.cat(things, 1))
