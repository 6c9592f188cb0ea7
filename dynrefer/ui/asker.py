"""The one way from the page and the API to the model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dynrefer.predictor import Predictor, SoFar
from dynrefer.regions import validate_box, validate_boxes
from dynrefer.results import RegionResult

from .compute import on_gpu
from .photo import Photo
from .settings import Settings


class Asker:
    """Asks a predictor on behalf of clients, none of whose values is trusted."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self._refer = on_gpu(predictor.refer)
        self._refer_stream = on_gpu(predictor.refer_stream)

    def settings(self, options: Mapping[str, Any] | object) -> Settings:
        """Options as a client sent them, checked."""
        return Settings.parse(options, self.predictor.num_views)

    def threshold(self, value: object) -> float:
        """A tag threshold as a client sent it, checked; the model's own where there is none."""
        chosen = self.settings({"tag_threshold": value}).tag_threshold
        return self.predictor.tag_threshold if chosen is None else chosen

    def region(self, photo: Photo, box: object, settings: Settings, **more: Any) -> RegionResult:
        """Describe the region `box` of the photograph."""
        valid = validate_box(box, photo.size)
        result: RegionResult = self._refer(photo.pixels, box=valid, **settings.arguments(), **more)
        return result

    def stream(self, photo: Photo, box: object, settings: Settings) -> Iterator[SoFar]:
        """The same while its caption is written: the result so far and the caption's words so far."""
        valid = validate_box(box, photo.size)
        yield from self._refer_stream(photo.pixels, box=valid, **settings.arguments())

    def regions(self, photo: Photo, boxes: Sequence[object], settings: Settings, **more: Any) -> list[RegionResult]:
        """Describe several regions of the photograph in one go."""
        valid = validate_boxes(boxes, photo.size)
        results: list[RegionResult] = self._refer(photo.pixels, boxes=valid, **settings.arguments(), **more)
        return results
