"""One photograph with boxes, made ready for the network: checked, its views chosen, its places computed."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dynrefer.options import Options
from dynrefer.regions import Box, ImageSource, open_image, validate_boxes
from dynrefer.selection import ViewChoice, select_views
from dynrefer.views import boxes_in_views


@dataclass(frozen=True)
class Region:
    """One box of one photograph; `digest` names the photograph's content."""

    image: np.ndarray
    digest: bytes
    box: Box
    views: tuple[ViewChoice, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the photograph."""
        return self.image.shape[1], self.image.shape[0]

    @property
    def geometry(self) -> np.ndarray:
        """x1, y1, x2, y2, width, height of the box as shares of the photograph: float32 [6]."""
        (x1, y1, x2, y2), (w, h) = self.box, self.size
        return np.array([x1 / w, y1 / h, x2 / w, y2 / h, (x2 - x1) / w, (y2 - y1) / h], dtype=np.float32)

    def chosen(self, num_views: int) -> np.ndarray:
        """Boxes [num_views, 4] in rank order; where fewer were chosen the region's own view fills up.

        The view at t = 1 is the image to the last pixel, so that all regions share it: interpolated in float32 it may
        end a rounding below the edge.
        """
        taken = sorted((view for view in self.views if view.rank is not None), key=lambda view: view.rank or 0)
        boxes = [(0.0, 0.0, *self.size) if view.t == 1 else view.box for view in taken]
        return np.array(boxes + boxes[:1] * (num_views - len(boxes)), dtype=np.float32)

    def inside(self, num_views: int, view_size: int) -> np.ndarray:
        """Where the region lies in each of the chosen views: float32 [num_views, 4] in pixels of the resized view."""
        return boxes_in_views(self.box, self.chosen(num_views), self.size, view_size)


def look_at(source: ImageSource, boxes: Any, options: Options, num_views: int, mode: str) -> list[Region]:
    """Open a photograph, check its boxes and choose the views of each; `num_views` and `mode` where none is asked for.

    Raises InputError in one sentence for whatever cannot be used.
    """
    image = open_image(source)
    digest = hashlib.blake2b(image.data, digest_size=16, key=str(image.shape).encode()).digest()
    mode = options.mode or ("manual" if options.coefficients is not None else mode)
    regions = []
    for box in validate_boxes(boxes, (image.shape[1], image.shape[0])):
        views = select_views(
            image,
            box,
            options.num_views or num_views,
            mode,
            coefficients=options.coefficients,
            hash_method=options.hash_method,
            generator=options.generator,
        )
        regions.append(Region(image, digest, box, tuple(views)))
    return regions


class Clock:
    """Milliseconds a stage took; a GPU's own clock is read at the end, so that no stage waits for the one before."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: list[tuple[str, Any]] = [("", self._now())]

    def lap(self, stage: str) -> None:
        """End a stage; stages of the same name add up."""
        self._marks.append((stage, self._now()))

    def times(self, regions: int) -> dict[str, float]:
        """Milliseconds a region of a batch of `regions`; waits for the device."""
        marks = [mark for _, mark in self._marks]
        laps: dict[str, float] = {}
        for (stage, end), start in zip(self._marks[1:], marks[:-1], strict=True):
            laps[stage] = laps.get(stage, 0.0) + self._between(start, end)
        return {stage: ms / regions for stage, ms in (laps | {"total": sum(laps.values())}).items()}

    def _now(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        mark = torch.cuda.Event(enable_timing=True)
        mark.record(torch.cuda.current_stream(self._device))
        return mark

    def _between(self, start: Any, end: Any) -> float:
        if self._device.type != "cuda":
            return 1000 * (end - start)
        end.synchronize()
        return start.elapsed_time(end)
