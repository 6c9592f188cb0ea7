"""Views cut on the training device, from photographs that are kept there: a GPU does not wait for the CPU to cut them.

N views, s their side, P photographs, H and W the sides of the largest photograph.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dynrefer.boxes import check_box
from dynrefer.data.problems import Problems
from dynrefer.data.sample import Sample
from dynrefer.errors import InputError
from dynrefer.photo import Photo
from dynrefer.training.augmentation import BLANK, Box
from dynrefer.training.views import Plan, Planner, Rng
from dynrefer.views import pixel_boxes

GREY = (0.299, 0.587, 0.114)  # luma of red, green, blue (ITU-R BT.601), as Pillow's
CUBIC = -0.5  # Pillow's bicubic


class Photographs:
    """P photographs on a device: `pixels` uint8 [P, 3, H, W], zero beyond their sizes; `levels` [P], their mean grey.

    Args:
        problems: where photographs that cannot be read are counted; more than 1 % end the run.
    """

    WORKERS = 16

    def __init__(self, paths: Sequence[Path], device: torch.device, problems: Problems) -> None:
        with ThreadPoolExecutor(self.WORKERS) as pool:
            images = list(pool.map(_read, paths))
        for path, image in zip(paths, images, strict=True):
            if isinstance(image, InputError):
                problems.skip("unreadable photographs or boxes", f"{path}: {image}")
        problems.check(len(paths))
        read = {path: image for path, image in zip(paths, images, strict=True) if isinstance(image, np.ndarray)}
        if not read:
            raise InputError("None of the photographs can be read.")
        self.number = {path: k for k, path in enumerate(read)}
        self.sizes = [(image.shape[1], image.shape[0]) for image in read.values()]
        height, width = max(h for _, h in self.sizes), max(w for w, _ in self.sizes)
        self.pixels = torch.zeros(len(read), 3, height, width, dtype=torch.uint8, device=device)
        levels = [float(image.reshape(-1, 3).mean(0) @ np.array(GREY)) for image in read.values()]
        self.levels = torch.tensor(levels, device=device)
        for row, image in zip(self.pixels, read.values(), strict=True):
            row[:, : image.shape[0], : image.shape[1]] = torch.from_numpy(image).to(device).permute(2, 0, 1)


class DeviceViews:
    """What `PixelViews` gives, cut and changed on the device, with the same chance for the same generators."""

    def __init__(self, samples: Sequence[Sample], planner: Planner, photographs: Photographs) -> None:
        self.planner, self.photographs = planner, photographs
        self.regions = [_region(sample, photographs) for sample in samples]
        self.usable = [k for k, region in enumerate(self.regions) if region is not None]
        if not self.usable:
            raise InputError("None of the boxes lies in its photograph.")

    def draw(self, samples: Sequence[int], sided: Sequence[bool], rngs: Sequence[Rng]) -> dict[str, Tensor]:
        """pixels uint8 [S * V, s, s, 3] on the device, boxes [S * V, 4] and geometry [S, 6]."""
        rows = [self._region(sample) for sample in samples]
        plans = [
            self.planner.draw(box, size, side, rng) for (_, box, size), side, rng in zip(rows, sided, rngs, strict=True)
        ]
        return self._cut([row[0] for row in rows], plans)

    def plain(self, samples: Sequence[int]) -> dict[str, Tensor]:
        """t = 0 and evenly spread candidates."""
        rows = [self._region(sample) for sample in samples]
        return self._cut([row[0] for row in rows], [self.planner.plain(box, size) for _, box, size in rows])

    def _region(self, sample: int) -> tuple[int, Box, tuple[int, int]]:
        """Photograph, box and size of the sample, or those of another one where it cannot be used."""
        region = self.regions[sample] or self.regions[self.usable[sample % len(self.usable)]]
        assert region is not None
        return region

    @torch.no_grad()
    def _cut(self, numbers: Sequence[int], plans: Sequence[Plan]) -> dict[str, Tensor]:
        device, side = self.photographs.pixels.device, self.planner.view_size
        places = [plan.places(side) for plan in plans]
        index = torch.tensor(numbers, device=device)
        images = self.photographs.pixels[index]
        boxes = torch.from_numpy(np.concatenate([_unmirrored(plan) for plan in plans])).to(device)
        views = len(boxes) // len(plans)
        crops = resize_crops(images.repeat_interleave(views, 0), boxes, side)
        flip = torch.tensor([plan.mirror for plan in plans], device=device).repeat_interleave(views)
        crops = torch.where(flip[:, None, None, None], crops.flip(3), crops)
        if plans[0].colours is not None:
            factors = torch.tensor([plan.colours for plan in plans], device=device).repeat_interleave(views, 0)
            level = self.photographs.levels[index].repeat_interleave(views)
            crops = scale_colours(crops, factors, level)
        erased = torch.from_numpy(np.concatenate([plan.erased for plan in plans])).to(device)
        crops = crops.masked_fill(_inside(erased, side)[:, None], BLANK)
        return {
            "pixels": crops.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1),
            "boxes": torch.from_numpy(np.concatenate([inside for inside, _ in places])),
            "geometry": torch.from_numpy(np.stack([geometry for _, geometry in places])),
        }


def resize_crops(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Cut pixel boxes [N, 4] out of images uint8 [N, 3, H, W] and resize each to [N, 3, size, size] (0..255).

    Bicubic with antialiasing as `crop_views` does it, within 2 grey levels, by two matrix products for all at once.
    """
    dtype = torch.float16 if images.is_cuda else torch.float32
    columns = _resampling(boxes[:, 0], boxes[:, 2], images.shape[3], size).to(dtype)
    rows = _resampling(boxes[:, 1], boxes[:, 3], images.shape[2], size).to(dtype)
    narrow = (images.to(dtype) @ columns[:, None].transpose(2, 3)).round().clamp(0, 255)  # [N, 3, H, size]
    return (rows[:, None] @ narrow).float().clamp(0, 255)


def _resampling(starts: Tensor, ends: Tensor, length: int, size: int) -> Tensor:
    """Weights [N, size, length] of an axis' pixels in each resized pixel, none outside starts <= pixel < ends."""
    pixels = torch.arange(length, device=starts.device)
    scale = ((ends - starts) / size)[:, None, None]
    centres = (torch.arange(size, device=starts.device)[None, :, None] + 0.5) * scale
    distance = (pixels - starts[:, None, None] + 0.5 - centres).abs() / scale.clamp(min=1)
    inside = (pixels >= starts[:, None]) & (pixels < ends[:, None])  # [N, length]
    weights = _cubic(distance) * inside[:, None]
    return weights / weights.sum(2, keepdim=True)


def _cubic(distance: Tensor) -> Tensor:
    """Keys' cubic convolution kernel (1981) at distances >= 0."""
    x, a = distance, CUBIC
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, far) * (x < 2)


def scale_colours(crops: Tensor, factors: Tensor, level: Tensor) -> Tensor:
    """crops [N, 3, s, s] (0..255) with brightness, contrast and saturation scaled by factors [N, 3].

    Contrast is changed around `level` [N], the mean grey of the crop's photograph.
    """
    grey = torch.tensor(GREY, device=crops.device)[None, :, None, None]
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)
    crops = (crops * brightness).clamp(0, 255)
    mean = level[:, None, None, None] * brightness
    crops = (mean + (crops - mean) * contrast).clamp(0, 255)
    plain = (crops * grey).sum(1, keepdim=True)
    return (plain + (crops - plain) * saturation).clamp(0, 255)


def _inside(boxes: Tensor, size: int) -> Tensor:
    """Which pixels [N, size, size] lie in boxes [N, 4]."""
    place = torch.arange(size, device=boxes.device)
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)
    across, down = (place >= x1) & (place < x2), (place >= y1) & (place < y2)
    return down[:, :, None] & across[:, None]


def _unmirrored(plan: Plan) -> np.ndarray:
    """Whole-pixel boxes [V, 4] of the views in the photograph as it is stored."""
    boxes = pixel_boxes(plan.views, plan.size)
    if not plan.mirror:
        return boxes
    return np.stack([plan.size[0] - boxes[:, 2], boxes[:, 1], plan.size[0] - boxes[:, 0], boxes[:, 3]], 1)


def _read(path: Path) -> np.ndarray | InputError:
    try:
        return Photo.read(path).pixels
    except InputError as error:
        return error


def _region(sample: Sample, photographs: Photographs) -> tuple[int, Box, tuple[int, int]] | None:
    number = photographs.number.get(sample.image)
    if number is None:
        return None
    size = photographs.sizes[number]
    try:
        return number, check_box(sample.box, size), size
    except InputError:
        return None
