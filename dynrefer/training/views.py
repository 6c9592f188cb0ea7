"""The views of a batch's regions, from cached features or from photographs.

Both take the first view from t = 0 and the others by chance, and leave it to a generator a sample, so that a batch does
not depend on how it is split over processes. S samples, V views.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dynrefer.boxes import check_box
from dynrefer.data.problems import Problems
from dynrefer.data.sample import Sample
from dynrefer.errors import InputError
from dynrefer.photo import Photo
from dynrefer.training.augmentation import (
    BLANK,
    Box,
    draw_coefficients,
    draw_colours,
    draw_erasures,
    jitter_box,
    mirror_box,
    mirror_image,
    vary_colours,
)
from dynrefer.training.cache_files import DONE, FeatureCache
from dynrefer.training.config import AugmentConfig, ViewsConfig
from dynrefer.training.feature_cache import region_geometry
from dynrefer.views import CANDIDATES, boxes_in_views, crop_views, view_boxes

Rng = np.random.Generator


class ViewSource(Protocol):
    """Samples -> the fields of a `Batch` that come from the photograph."""

    def draw(self, samples: Sequence[int], sided: Sequence[bool], rngs: Sequence[Rng]) -> dict[str, Tensor]:
        """Views for training; a sample whose text is `sided` (says left or right) is not mirrored."""
        ...

    def plain(self, samples: Sequence[int]) -> dict[str, Tensor]:
        """The same views of a sample every time, unchanged, for validation."""
        ...


class CachedViews:
    """Cuts from a feature cache: `rows` [S] says where each sample lies in it."""

    def __init__(self, cache: FeatureCache, rows: np.ndarray, num_views: int, config: ViewsConfig) -> None:
        self.cache, self.rows, self.num_views, self.config = cache, rows, num_views, config
        available = cache.coefficients.shape[2]
        if available < num_views + int(not config.keep_region):
            raise InputError(
                f"The cache holds {available} views of a region, the model takes {num_views}: set 'drawn'."
            )
        state = np.asarray(cache.state)[rows]
        self.variants = 1 + (np.minimum.accumulate(state == DONE, axis=1)[:, 1:]).sum(1)  # those ready so far

    def draw(self, samples: Sequence[int], sided: Sequence[bool], rngs: Sequence[Rng]) -> dict[str, Tensor]:
        """cuts [S * V, T, C] and geometry [S, 6]."""
        places = []
        for sample, side, rng in zip(samples, sided, rngs, strict=True):
            variant = int(rng.integers(self.variants[sample]))
            places.append((int(self.rows[sample]), 0 if side and variant % 2 else variant, self._slots(rng)))
        return self._read(places)

    def plain(self, samples: Sequence[int]) -> dict[str, Tensor]:
        """t = 0 and the first cached coefficients."""
        return self._read([(int(self.rows[sample]), 0, list(range(self.num_views))) for sample in samples])

    def _slots(self, rng: Rng) -> list[int]:
        """Which cached views are taken: every candidate is as likely as t = 1, which lies in the last slot."""
        others = list(range(1, self.cache.coefficients.shape[2] - 1))
        last = len(others) + 1
        wanted = self.num_views - int(self.config.keep_region)
        whole = len(others) < wanted or rng.random() < wanted / len(CANDIDATES)
        taken = [others[k] for k in rng.permutation(len(others))[: wanted - int(whole)]] + [last] * int(whole)
        taken = [taken[k] for k in rng.permutation(len(taken))]
        return repeat_first([0, *taken] if self.config.keep_region else taken, self.config.repeat, rng)

    def _read(self, places: list[tuple[int, int, list[int]]]) -> dict[str, Tensor]:
        cuts = np.stack([self.cache.features[row, variant][slots] for row, variant, slots in places])
        geometry = np.stack([self.cache.geometry[row, variant] for row, variant, _ in places])
        return {"cuts": torch.from_numpy(cuts).flatten(0, 1).float(), "geometry": torch.from_numpy(geometry)}


@dataclass(frozen=True)
class Plan:
    """How one sample's views are cut: decided on the CPU, done by whoever holds the photographs.

    Attributes:
        box: jittered, in pixels of the photograph after it was mirrored, as are `views` [V, 4].
        colours: factors of brightness, contrast and saturation.
        erased: rectangles [V, 4] in pixels of the resized views that are blanked, of no area where nothing is.
    """

    box: Box
    views: np.ndarray
    size: tuple[int, int]
    erased: np.ndarray
    mirror: bool = False
    colours: tuple[float, ...] | None = None

    def places(self, view_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the region lies in its views [V, 4] and in the photograph [6], both float32."""
        return boxes_in_views(self.box, self.views, self.size, view_size), region_geometry(self.box, self.size)


class Planner:
    """Draws how views are cut: boxes, mirror, colours and erasure by chance, or the same every time."""

    def __init__(self, num_views: int, view_size: int, views: ViewsConfig, augment: AugmentConfig) -> None:
        self.num_views, self.view_size, self.views, self.augment = num_views, view_size, views, augment

    def draw(self, box: Box, size: tuple[int, int], sided: bool, rng: Rng) -> Plan:
        """For training, from the generator alone."""
        wanted = self.num_views - int(self.views.keep_region)
        drawn = draw_coefficients(wanted, rng) if self.views.stochastic else list(self.views.fixed[:wanted])
        steps = repeat_first([0.0, *drawn] if self.views.keep_region else drawn, self.views.repeat, rng)
        mirror = not sided and bool(rng.random() < self.augment.mirror)
        box = jitter_box(box, size, self.augment.jitter, rng)
        colours = draw_colours(self.augment.colour, rng) if self.augment.colour else None
        box = mirror_box(box, size) if mirror else box
        views = view_boxes(box, size, steps)
        if not self.views.nested:
            views = move_views(views, box, size, rng)
        erased = draw_erasures(self.num_views, self.view_size, self.augment.erase, rng)
        return Plan(box, views, size, erased, mirror, colours)

    def plain(self, box: Box, size: tuple[int, int]) -> Plan:
        """For validation: t = 0 and evenly spread candidates, nothing changed."""
        steps = np.arange(self.num_views) * (0.9 / self.num_views)
        return Plan(box, view_boxes(box, size, steps), size, np.zeros((self.num_views, 4), int))


class PixelViews:
    """Views cut out of the photographs; one that cannot be read is named, counted, and replaced by another sample's.

    Args:
        problems: where bad photographs are counted; more than 1 % of the samples end the run.
    """

    WORKERS = 8

    def __init__(self, samples: Sequence[Sample], planner: Planner, problems: Problems) -> None:
        self.samples, self.planner, self.problems = samples, planner, problems
        self.pool = ThreadPoolExecutor(self.WORKERS)
        self.bad: set[Path] = set()

    def draw(self, samples: Sequence[int], sided: Sequence[bool], rngs: Sequence[Rng]) -> dict[str, Tensor]:
        """pixels uint8 [S * V, s, s, 3], boxes [S * V, 4] and geometry [S, 6]."""
        return _stacked(list(self.pool.map(self._drawn, samples, sided, rngs)))

    def plain(self, samples: Sequence[int]) -> dict[str, Tensor]:
        """t = 0 and evenly spread candidates."""
        return _stacked(list(self.pool.map(self._plain, samples)))

    def _drawn(self, sample: int, sided: bool, rng: Rng) -> tuple[np.ndarray, ...]:
        image, box = self._open(sample)
        return self._cut(image, self.planner.draw(box, (image.shape[1], image.shape[0]), sided, rng))

    def _plain(self, sample: int) -> tuple[np.ndarray, ...]:
        image, box = self._open(sample)
        return self._cut(image, self.planner.plain(box, (image.shape[1], image.shape[0])))

    def _cut(self, image: np.ndarray, plan: Plan) -> tuple[np.ndarray, ...]:
        image = vary_colours(image, plan.colours) if plan.colours else image
        image = mirror_image(image) if plan.mirror else image
        crops = crop_views(image, plan.views, self.planner.view_size)
        for crop, (x1, y1, x2, y2) in zip(crops, plan.erased, strict=True):
            crop[y1:y2, x1:x2] = BLANK
        return crops, *plan.places(self.planner.view_size)

    def _open(self, sample: int) -> tuple[np.ndarray, Box]:
        """The sample's photograph and box, or those of the next sample that can be read."""
        for number in range(sample, sample + len(self.samples)):
            entry = self.samples[number % len(self.samples)]
            try:
                image = Photo.read(entry.image).pixels
                return image, check_box(entry.box, (image.shape[1], image.shape[0]))
            except InputError as error:
                if entry.image not in self.bad:
                    self.bad.add(entry.image)
                    self.problems.skip("unreadable photographs or boxes", f"{entry.image}: {error}")
                    self.problems.check(len({s.image for s in self.samples}))
        raise InputError("None of the photographs can be read.")


def repeat_first(views: list, share: float, rng: Rng) -> list:
    """With chance `share`, all views from a random place on become the first, as where fewer are asked for."""
    if len(views) < 2 or rng.random() >= share:
        return views
    kept = int(rng.integers(1, len(views)))
    return views[:kept] + views[:1] * (len(views) - kept)


def move_views(views: np.ndarray, box: Box, image_size: tuple[int, int], rng: Rng) -> np.ndarray:
    """Views [V, 4] of the same sizes at random places that still hold the region (the paper's "random" crops)."""
    size = views[:, 2:] - views[:, :2]
    low = np.maximum(np.asarray(box[2:]) - size, 0)
    high = np.maximum(np.minimum(np.asarray(box[:2]), np.asarray(image_size) - size), low)
    starts = rng.uniform(low, high)
    return np.concatenate([starts, starts + size], 1).astype(np.float32)


def _stacked(rows: list[tuple[np.ndarray, ...]]) -> dict[str, Tensor]:
    crops, boxes, geometry = (np.stack(parts) for parts in zip(*rows, strict=True))
    return {
        "pixels": torch.from_numpy(crops).flatten(0, 1),
        "boxes": torch.from_numpy(boxes).flatten(0, 1),
        "geometry": torch.from_numpy(geometry),
    }
