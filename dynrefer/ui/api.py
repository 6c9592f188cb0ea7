"""The named endpoints for programs: the same questions as on the page, answered with the JSON of `RegionResult`."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio import processing_utils

from dynrefer.errors import InputError
from dynrefer.server.fetching import download, within_limit
from dynrefer.server.programs import Programs

from .components import sent_file
from .events import in_words

ENDPOINT: dict[str, Any] = {"concurrency_id": "endpoint", "concurrency_limit": 8}
NO_FILE = "an image must be a file that was uploaded, or a URL, as gradio_client's handle_file gives it"
MANY: dict[str, Any] = {"concurrency_id": "many", "concurrency_limit": 4}


class Endpoints:
    """What programs may call; clients read these signatures and docstrings."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs

    @in_words
    def refer(
        self, image: gr.FileData, boxes: list[list[float]] | None = None, options: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Describe regions of a photograph: caption, classes, tags and attributes of each box, and the views looked at.

        Options may hold any of: mode ("dynamic", "prior:caption", "prior:attributes", "manual" or "random"), num_views,
        hash_method ("dct_mean" or "imagehash"), coefficients (0 to 1, one a view), classes and controls (lists of
        words), tag_threshold (0 to 1), top_classes, top_tags, captions (false leaves them out), num_beams and
        max_new_tokens. Instead of boxes they may point at one thing:
        point [x, y], points [[x, y, inside], ...], scribble [[x, y], ...] or mask (polygon or COCO's run lengths).

        Args:
            image: The photograph (JPEG, PNG, WebP, HEIC, AVIF, GIF, TIFF or BMP) of at most 20 MB, as a file or
                an https URL.
            boxes: One box or more, each [x1, y1, x2, y2] in pixels of the upright photograph; at most 256; null where
                the options point.
            options: An object of options as said above; null leaves all to the model.

        Returns:
            One object a box: box, caption, classes, tags, attributes, views, timing_ms, model and more.
        """
        return self._programs.answer(_uploaded(image), boxes, options)

    @in_words
    def refer_many(
        self, images: list[gr.FileData], boxes: list[list[list[float]]], options: dict[str, Any] | None = None
    ) -> list[Any]:
        """Describe regions of several photographs in one request, with the same options for all.

        Args:
            images: The photographs, at most 16, as files or https URLs.
            boxes: For every photograph its list of boxes, each [x1, y1, x2, y2] in pixels of the upright photograph.
            options: An object of options as for refer.

        Returns:
            For every photograph what refer returns, in the same order; {"error": sentence} where it cannot be answered.
        """
        return self._programs.answer_many(images, boxes, options, _uploaded)

    @in_words
    def propose(self, image: gr.FileData, options: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Find things on a photograph: all of it, those at a place or in a box, or those that words name, best first.

        Options may hold any of: point [x, y] or points [[x, y, inside], ...] or box [x1, y1, x2, y2], words (a list)
        and limit (1 to 100).

        Args:
            image: The photograph, as for refer.
            options: An object of options as said above; null finds everything.

        Returns:
            One object a thing: box, score (0 to 1), words (the score of each word asked for) and mask (COCO's run
            lengths, of what is pointed at, where the server has a segmenter; else null).
        """
        return self._programs.propose(_uploaded(image), options)


def add_endpoints(programs: Programs) -> None:
    """Add `/refer`, `/refer_many` and `/propose` to the page being built."""
    endpoints = Endpoints(programs)
    gr.api(endpoints.refer, api_name="refer", **ENDPOINT)
    gr.api(endpoints.propose, api_name="propose", **ENDPOINT)
    gr.api(endpoints.refer_many, api_name="refer_many", **MANY)
    # Gradio fetches URLs before any function of ours is called, and reads them whatever their length.
    processing_utils.async_ssrf_protected_download = _download


async def _download(url: str, cache_dir: str) -> str:
    try:
        return await download(url, cache_dir)
    except InputError as error:
        raise gr.Error(str(error), title="Please check", print_exception=False) from None


def _uploaded(image: Any) -> Path:
    """The file that a client uploaded. Raises InputError where there is none, or it is too large."""
    return within_limit(sent_file(image, NO_FILE))
