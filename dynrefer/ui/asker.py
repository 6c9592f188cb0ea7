"""The one way from the page and the API to the model."""

from collections.abc import Mapping, Sequence
from typing import Any

from dynrefer.boxes import check_box, check_boxes
from dynrefer.predictor import Predictor
from dynrefer.results import RegionResult

from .compute import on_gpu
from .photo import Photo
from .settings import Settings


class Asker:
    """Asks a predictor on behalf of clients, none of whose values is trusted."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self._refer = on_gpu(predictor.refer)

    def settings(self, options: Mapping[str, Any] | object) -> Settings:
        """Options as a client sent them, checked."""
        return Settings.parse(options, self.predictor.num_views)

    def threshold(self, value: object) -> float:
        """A tag threshold as a client sent it, checked; the model's own where there is none."""
        chosen = self.settings({"tag_threshold": value}).tag_threshold
        return self.predictor.tag_threshold if chosen is None else chosen

    def region(self, photo: Photo, box: object, settings: Settings, **more: Any) -> RegionResult:
        """Describe the region `box` of the photograph."""
        valid = check_box(box, photo.size)
        result: RegionResult = self._refer(photo.pixels, box=valid, **settings.arguments(), **more)
        return result

    def regions(self, photo: Photo, boxes: Sequence[object], settings: Settings, **more: Any) -> list[RegionResult]:
        """Describe several regions of the photograph in one go."""
        valid = check_boxes(boxes, photo.size)
        results: list[RegionResult] = self._refer(photo.pixels, boxes=valid, **settings.arguments(), **more)
        return results
