"""Looks at regions and whole photographs, cut out and resized on the device that trains.

All photographs lie in one array, uint8 [P, 3, SIDE, SIDE], each in its upper left corner. A resize is two matrices a
view, one an axis, which are those of Pillow's antialiased bicubic filter: what is trained on is what inference sees.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from dynrefer.errors import InputError

SIDE = 448  # of the longest side of a photograph, in pixels
SHARPNESS = -0.5  # of the bicubic kernel, Pillow's


class Photographs:
    """All photographs on a device: `pixels` uint8 [P, 3, SIDE, SIDE], `sizes` int64 [P, 2] (width, height)."""

    def __init__(self, files: Sequence[Path], device: torch.device | str, threads: int = 16) -> None:
        self.pixels = torch.zeros(len(files), 3, SIDE, SIDE, dtype=torch.uint8, device=device)
        sizes = []
        with ThreadPoolExecutor(threads) as pool:
            for place, pixels in enumerate(pool.map(_read, files)):
                height, width = pixels.shape[:2]
                sizes.append((width, height))
                shown = torch.from_numpy(pixels).to(device).permute(2, 0, 1)
                self.pixels[place, :, :height, :width] = shown
        self.sizes = torch.tensor(sizes, device=device)


def _read(file: Path) -> np.ndarray:
    read = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if read is None:
        raise InputError(f"{file} is missing or no photograph: copy the folder again.")
    pixels = cv2.cvtColor(read, cv2.COLOR_BGR2RGB)
    scale = SIDE / max(pixels.shape[:2])
    return pixels if scale >= 1 else cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def resized(photographs: Tensor, boxes: Tensor, canvas: tuple[int, int], shown: Tensor | None = None) -> Tensor:
    """Whole-pixel boxes [N, 4] of photographs uint8 [N, 3, H, W], each resized: float16 [N, 3, height, width].

    Args:
        canvas: height and width of the result.
        shown: int64 [N, 2], the width and height of the canvas that a box fills, from its upper left corner on; the
            rest is 0. None: all of it.
    """
    height, width = canvas
    across, down = (None, None) if shown is None else shown.unbind(1)
    rows = _filter(boxes[:, 1], boxes[:, 3], height, photographs.shape[2], down)
    columns = _filter(boxes[:, 0], boxes[:, 2], width, photographs.shape[3], across)
    by_rows = rows[:, None] @ photographs.to(rows.dtype)
    return (by_rows @ columns.transpose(1, 2)[:, None]).clamp(0, 255)


def _filter(start: Tensor, end: Tensor, count: int, length: int, shown: Tensor | None) -> Tensor:
    """[N, count, length]: what each pixel counts in each of the resized ones; nothing outside start .. end."""
    device = start.device
    start, end = start.float()[:, None, None], end.float()[:, None, None]
    filled = torch.full_like(start, count) if shown is None else shown.float()[:, None, None]
    places = torch.arange(count, device=device).float()[None, :, None]
    scale = (end - start) / filled
    centre = start + (places + 0.5) * scale
    pixels = torch.arange(length, device=device).float()
    off = ((pixels + 0.5 - centre) / scale.clamp(min=1)).abs()
    a = SHARPNESS
    near = ((a + 2) * off - (a + 3)) * off * off + 1
    far = (((off - 5) * off + 8) * off - 4) * a
    weights = torch.where(off < 1, near, torch.where(off < 2, far, 0))
    weights = weights * ((pixels >= start) & (pixels < end) & (places < filled))
    sums = weights.sum(-1, keepdim=True)
    exact = torch.float16 if device.type == "cuda" else torch.float32
    return (weights / torch.where(sums.abs() < 1e-6, 1, sums)).to(exact)


def nested(boxes: Tensor, sizes: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Views of boxes [S, 4] at steps [S, V] in photographs of sizes [S, 2], in whole pixels, as `dynrefer.views` cuts.

    Returns:
        int64 [S, V, 4] where the views lie, and float [S, V, 4] at which shares of a view the region lies inside it.
    """
    whole = torch.cat([torch.zeros_like(sizes), sizes], 1).float()
    views = whole_pixels(boxes[:, None] + (whole - boxes)[:, None] * steps[..., None], sizes[:, None])
    region = whole_pixels(boxes, sizes)[:, None]
    lengths = (views[..., 2:] - views[..., :2]).repeat(1, 1, 2)
    return views, (region - views[..., :2].repeat(1, 1, 2)) / lengths


def whole_pixels(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Boxes [.., 4] cut to photographs of sizes [.., 2] and truncated to whole pixels (int64), of at least one."""
    sizes = sizes.expand(*boxes.shape[:-1], 2)
    low = torch.minimum(boxes[..., :2].clamp(min=0), sizes - 1).long()
    high = torch.minimum(boxes[..., 2:].clamp(min=0), sizes).long()
    return torch.cat([low, torch.maximum(high, low + 1)], -1)


def jittered(boxes: Tensor, sizes: Tensor, most: float) -> Tensor:
    """Boxes [S, 4] with each side moved by at most a share of the box, inside the photographs; at least 2 pixels."""
    lengths = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    moved = boxes + (torch.rand_like(boxes) * 2 - 1) * most * lengths
    moved = torch.minimum(moved.clamp(min=0), sizes.repeat(1, 2).float())
    kept = (moved[:, 2:] - moved[:, :2]).amin(1, keepdim=True) >= 2
    return torch.where(kept, moved, boxes)


def recoloured(pixels: Tensor, groups: int, strength: float) -> Tensor:
    """Pixels [N, 3, H, W] of 0..255, N / groups looks together made brighter or darker, duller and less colourful."""
    count = len(pixels) // groups

    def factors() -> Tensor:
        drawn = 1 + (torch.rand(count, 1, 1, 1, device=pixels.device) * 2 - 1) * strength
        return drawn.repeat_interleave(groups, 0).to(pixels.dtype)

    pixels = pixels * factors()
    grey = pixels.mean(1, keepdim=True)
    pixels = grey + (pixels - grey) * factors()
    middle = grey.mean((2, 3), keepdim=True, dtype=torch.float32).to(pixels.dtype)
    return (middle + (pixels - middle) * factors()).clamp(0, 255)


def erased(pixels: Tensor, chance: float) -> Tensor:
    """Pixels [N, 3, H, W] with a grey rectangle of .05 to .4 of the sides on some (Zhong et al., AAAI 2020)."""
    count, _, height, width = pixels.shape
    size = torch.rand(count, 2, 1, device=pixels.device) * 0.35 + 0.05
    corner = torch.rand(count, 2, 1, device=pixels.device) * (1 - size)
    down, across = (torch.linspace(0, 1, side, device=pixels.device) for side in (height, width))
    rows = (down > corner[:, 0]) & (down < corner[:, 0] + size[:, 0])
    columns = (across > corner[:, 1]) & (across < corner[:, 1] + size[:, 1])
    hidden = (rows[:, :, None] & columns[:, None]) & (torch.rand(count, 1, 1, device=pixels.device) < chance)
    return pixels.masked_fill(hidden[:, None], 127)


def mirrored_boxes(boxes: Tensor, widths: Tensor | float) -> Tensor:
    """Boxes [S, 4] on mirror images of photographs of these widths [S], or of one width."""
    return torch.stack([widths - boxes[:, 2], boxes[:, 1], widths - boxes[:, 0], boxes[:, 3]], 1)


def normalised(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Pixels [N, 3, H, W] of 0..255 as the encoder takes them, channels last."""
    shift = torch.tensor(mean, device=pixels.device, dtype=pixels.dtype)[:, None, None]
    scale = torch.tensor(std, device=pixels.device, dtype=pixels.dtype)[:, None, None]
    return ((pixels - shift) / scale).float().contiguous(memory_format=torch.channels_last)
