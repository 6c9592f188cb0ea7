"""The named endpoints for scripts: the same questions as on the page, answered with the JSON of `RegionResult`."""

from typing import Any

import gradio as gr

from dynrefer.errors import InputError

from .asker import Asker
from .compute import in_words
from .photo import Photo, open_photo

MAX_IMAGES = 16
MODEL_LINE: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}


def add_endpoints(asker: Asker) -> None:
    """Add `/refer` and `/refer_many` to the page being built; where the page serves MCP they are tools as well."""

    @in_words
    def refer(
        image: gr.FileData, boxes: list[list[float]], options: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Describe regions of a photograph: caption, classes, tags and attributes of each box, and the views looked at.

        Options may hold any of: mode ("dynamic", "prior:caption", "prior:attributes", "manual" or "random"), num_views,
        coefficients (0 to 1, one a view), classes and controls (lists of words), tag_threshold (0 to 1), top_classes,
        num_beams and max_new_tokens.

        Args:
            image: The photograph (JPEG, PNG, WebP, GIF, TIFF or BMP), as a file or a URL.
            boxes: One box or more, each [x1, y1, x2, y2] in pixels of the upright photograph; at most 256.
            options: An object of options as said above; null leaves all to the model.

        Returns:
            One object a box: box, caption, classes, tags, attributes, views, timing_ms and model.
        """
        return _answers(asker, _uploaded(image), boxes, options)

    @in_words
    def refer_many(
        images: list[gr.FileData], boxes: list[list[list[float]]], options: dict[str, Any] | None = None
    ) -> list[list[dict[str, Any]]]:
        """Describe regions of several photographs in one request, with the same options for all.

        Args:
            images: The photographs, at most 16, as files or URLs.
            boxes: For every photograph its list of boxes, each [x1, y1, x2, y2] in pixels of the upright photograph.
            options: An object of options as for refer.

        Returns:
            For every photograph what refer returns, in the same order.
        """
        if not isinstance(images, list) or not 1 <= len(images) <= MAX_IMAGES:
            raise InputError(f"images must be a list of 1 to {MAX_IMAGES} photographs")
        if not isinstance(boxes, list) or len(boxes) != len(images):
            raise InputError(f"boxes must hold one list of boxes a photograph, so {len(images)} lists")
        photos = [_uploaded(image) for image in images]
        return [_answers(asker, photo, own, options) for photo, own in zip(photos, boxes, strict=True)]

    gr.api(refer, api_name="refer", **MODEL_LINE)
    gr.api(refer_many, api_name="refer_many", **MODEL_LINE)


def _uploaded(image: Any) -> Photo:
    """The photograph that a client uploaded; Gradio has checked that its path lies in the upload folder."""
    path = image.get("path") if isinstance(image, dict) else None
    if not isinstance(path, str) or image.get("meta") != {"_type": "gradio.FileData"}:
        raise InputError("an image must be a file that was uploaded, or a URL, as gradio_client's handle_file gives it")
    return open_photo(path)


def _answers(asker: Asker, photo: Photo, boxes: Any, options: Any) -> list[dict[str, Any]]:
    return [result.to_dict() for result in asker.regions(photo, boxes, asker.settings(options))]
