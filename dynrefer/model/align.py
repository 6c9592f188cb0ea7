"""RoIAlign, deformable alignment and fusion: the region's maps in V views become one sequence.

S regions, V views, G global tokens, B tokens of belief (of which only `belief` makes use), g side of the region map,
C channels; all views of region 0 come first.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynrefer.model.config import CLASSES, AlignConfig, EncoderConfig

KERNEL_POINTS = 9
CLOSEST = 2  # views whose belief counts
SAMPLES = 2  # points a cell and axis of RoIAlign
PADDED_TO = 8  # the released checkpoint pads the offset layer's outputs to a multiple of 8


def roi_align(maps: Tensor, boxes: Tensor, size: int, scale: float, aligned: bool) -> Tensor:
    """RoIAlign (He et al., ICCV 2017) of one box a map, as torchvision's with 2 x 2 samples a cell.

    Bilinear samples on a regular grid are separable: each axis is a matrix from the map's cells to the region's.

    Args:
        maps: [N, H, W, C], float32.
        boxes: [N, 4] in units of which `scale` make a cell of the map.
        size: cells a side of the result.
        aligned: cells have their values at their centres, half a cell from the corner.

    Returns:
        [N, size, size, C].
    """
    boxes = boxes.float() * scale - (0.5 if aligned else 0.0)
    lengths = boxes[:, 2:] - boxes[:, :2]
    if not aligned:
        lengths = lengths.clamp(min=1)
    steps = (torch.arange(size * SAMPLES, device=boxes.device) + 0.5) / (size * SAMPLES)

    def axis(which: int, cells: int) -> Tensor:
        """[N, size, cells]: what each cell of the map counts in each cell of the region."""
        places = (boxes[:, which, None] + lengths[:, which, None] * steps)[..., None]  # [N, size * SAMPLES, 1]
        near = 1 - (places.clamp(0, cells - 1) - torch.arange(cells, device=boxes.device)).abs()
        outside = (places < -1) | (places > cells)
        return near.clamp(min=0).masked_fill(outside, 0).unflatten(1, (size, SAMPLES)).mean(2)

    rows = torch.einsum("nyh,nhwc->nywc", axis(1, maps.shape[1]), maps)
    return torch.einsum("nxw,nywc->nyxc", axis(0, maps.shape[2]), rows)


def deformable_sample(value: Tensor, offsets_and_mask: Tensor, groups: int) -> Tensor:
    """Deformable 3 x 3 sampling with un-normalised modulation (DCNv4), stride 1, zeros outside, without compiled code.

    Args:
        value: [N, H, W, C], C divisible by `groups`.
        offsets_and_mask: [N, H, W, >= 27 * groups]. For every group 9 offset pairs (x, y) in pixels, then 9 weights;
            the kernel's points run x-major (point k lies at dx = k // 3 - 1, dy = k % 3 - 1).
        groups: channel groups that share one set of offsets.

    Returns:
        [N, H, W, C]: the sum over the points of weight * bilinear sample.
    """
    n, height, width, channels = value.shape
    sets = offsets_and_mask[..., : groups * 3 * KERNEL_POINTS].float().unflatten(-1, (groups, 3 * KERNEL_POINTS))
    offsets, weights = sets.split([2 * KERNEL_POINTS, KERNEL_POINTS], -1)
    offsets = offsets.unflatten(-1, (KERNEL_POINTS, 2))  # [N, H, W, groups, 9, 2]

    grid_y, grid_x = torch.meshgrid(_arange(height, value), _arange(width, value), indexing="ij")
    points = torch.arange(KERNEL_POINTS, device=value.device)
    kernel = torch.stack([points // 3 - 1, points % 3 - 1], -1)  # [9, 2] as (x, y)
    place = torch.stack([grid_x, grid_y], -1)[None, :, :, None, None] + kernel + offsets
    x, y = place.unbind(-1)
    place = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)  # grid_sample's units

    maps = value.float().unflatten(-1, (groups, -1)).permute(0, 3, 4, 1, 2).flatten(0, 1)  # [N*groups, C/groups, H, W]
    place = place.permute(0, 3, 1, 2, 4, 5).reshape(n * groups, height, width * KERNEL_POINTS, 2)
    sampled = F.grid_sample(maps, place, mode="bilinear", padding_mode="zeros", align_corners=False)
    sampled = sampled.unflatten(-1, (width, KERNEL_POINTS))  # [N*groups, C/groups, H, W, 9]
    weights = weights.permute(0, 3, 1, 2, 4).flatten(0, 1)[:, None]
    mixed = (sampled * weights).sum(-1).unflatten(0, (n, groups))  # [N, groups, C/groups, H, W]
    return mixed.permute(0, 3, 4, 1, 2).reshape(n, height, width, channels).to(value.dtype)


class DeformableAlign(nn.Module):
    """Re-samples a view's region map towards the reference map of view 0 (paper, section 3.2)."""

    def __init__(self, width: int, config: AlignConfig) -> None:
        super().__init__()
        self.groups = config.groups
        self.residual = config.norm
        numbers = config.groups * 3 * KERNEL_POINTS
        padded = -(-numbers // PADDED_TO) * PADDED_TO
        self.offset_mask_dw = nn.Conv2d(2 * width, width, 3, padding=1, groups=width)
        self.offset_mask = nn.Linear(width, padded)
        self.value_proj = nn.Linear(width, width)
        self.output_proj = nn.Linear(width, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as a plain look at the centre: no offset, modulation 1 at the kernel's centre and 0 elsewhere."""
        nn.init.zeros_(self.offset_mask.weight)
        nn.init.zeros_(self.offset_mask.bias)
        with torch.no_grad():
            sets = self.offset_mask.bias[: self.groups * 3 * KERNEL_POINTS].unflatten(0, (self.groups, -1))
            sets[:, 2 * KERNEL_POINTS + KERNEL_POINTS // 2] = 1.0

    def forward(self, target: Tensor, reference: Tensor) -> Tensor:
        """target, reference [N, g, g, C] -> the target's map as seen from the reference [N, g, g, C]."""
        both = torch.cat([target, reference], -1).permute(0, 3, 1, 2)
        steer = self.offset_mask(self.offset_mask_dw(both).permute(0, 2, 3, 1))
        aligned = self.output_proj(deformable_sample(self.value_proj(target), steer, self.groups))
        return target + aligned if self.residual else aligned


class RegionAlign(nn.Module):
    """Views' tokens and in-view boxes -> the fused sequence of each region."""

    def __init__(self, config: AlignConfig, encoder: EncoderConfig, num_views: int) -> None:
        super().__init__()
        self.config, self.encoder, self.num_views = config, encoder, num_views
        width = encoder.width
        self.norm = nn.LayerNorm(width) if config.norm else nn.Identity()
        self.deform = DeformableAlign(width, config) if config.enabled and num_views > 1 else None
        activation = nn.GELU() if config.activation == "gelu" else nn.ReLU()
        self.fuse = nn.Sequential(
            nn.Linear(num_views * width, config.hidden), activation, nn.Linear(config.hidden, width)
        )
        if config.geometry:
            self.geometry = nn.Linear(6, width)
            self.positions = nn.Parameter(torch.randn(self.num_tokens, width) * 0.02)
            self.fused_norm = nn.LayerNorm(width)

    @property
    def num_tokens(self) -> int:
        """T', the length of the fused sequence."""
        return self.encoder.global_tokens + self.config.output_size**2 + int(self.config.geometry)

    @property
    def cut_tokens(self) -> int:
        """G + B + g * g, the length of what `cut` gives for a view."""
        return self.encoder.global_tokens + self.encoder.belief_tokens + self.config.output_size**2

    def cut(self, tokens: Tensor, boxes: Tensor) -> Tensor:
        """RoIAlign on every grid, summed: tokens [N, T, C], boxes [N, 4] in view pixels -> [N, G + B + g * g, C]."""
        start = self.encoder.global_tokens + self.encoder.belief_tokens
        whole = tokens[:, :start]
        size, image, aligned = self.config.output_size, self.encoder.image_size, self.config.roi_aligned
        regions = []
        for side in self.encoder.grids:
            grid = tokens[:, start : start + side * side].unflatten(1, (side, side)).float()
            regions.append(roi_align(grid, boxes, size, side / image, aligned))
            start += side * side
        patches = torch.stack(regions).sum(0).flatten(1, 2).to(tokens.dtype)
        return torch.cat([whole, patches], 1)

    def belief(self, cuts: Tensor) -> Tensor | None:
        """What the encoder's classifier believes of the first two looks [S, K], out of cuts [S * V, ..]; else None."""
        first, count = self.encoder.global_tokens, self.encoder.belief_tokens
        if not count:
            return None
        views = cuts[:, first : first + count].flatten(1)[:, :CLASSES].unflatten(0, (-1, self.num_views))
        return views[:, :CLOSEST].mean(1)

    def forward(self, cuts: Tensor, geometry: Tensor | None = None) -> Tensor:
        """cuts [S * V, G + B + g * g, C] from `cut`, geometry [S, 6] -> fused [S, T', C].

        geometry: x1, y1, x2, y2, width, height of the box, each as a share of the photograph's size.
        """
        size, first = self.config.output_size, self.encoder.global_tokens
        maps = self.norm(cuts[:, first + self.encoder.belief_tokens :])
        views = maps.unflatten(0, (-1, self.num_views)).unflatten(2, (size, size))  # [S, V, g, g, C]
        if self.deform is not None:
            target = views[:, 1:]
            reference = views[:, :1].expand_as(target)
            aligned = self.deform(target.flatten(0, 1), reference.flatten(0, 1)).unflatten(0, target.shape[:2])
            views = torch.cat([views[:, :1], aligned.to(views.dtype)], 1)
        sequence = torch.cat([cuts[:, :first].unflatten(0, (-1, self.num_views)), views.flatten(2, 3)], 2)
        fused = self.fuse(sequence.transpose(1, 2).flatten(2))  # [S, G + g * g, V * C] -> [S, G + g * g, C]
        if not self.config.geometry:
            return fused
        assert geometry is not None
        place = self.geometry(geometry.to(fused.dtype))[:, None]
        return self.fused_norm(torch.cat([fused, place], 1) + self.positions)


def _arange(length: int, like: Tensor) -> Tensor:
    return torch.arange(length, device=like.device, dtype=torch.float32)
