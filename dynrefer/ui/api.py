"""The named endpoints for programs: the same questions as on the page, answered with the JSON of `RegionResult`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import processing_utils

from dynrefer.errors import InputError
from dynrefer.files.decoding import megapixels
from dynrefer.photo import ImageSource, Photo
from dynrefer.pointing import take_prompt
from dynrefer.predictor import Predictor
from dynrefer.proposals import PROPOSE_SCHEMA
from dynrefer.question import Question
from dynrefer.server.fetching import download, within_limit

from .compute import in_words, on_gpu
from .links import MOST_NAMES

MAX_IMAGES = 16
MAX_REQUEST_MEGAPIXELS = 128
ENDPOINT: dict[str, Any] = {"concurrency_id": "endpoint", "concurrency_limit": 8}
MANY: dict[str, Any] = {"concurrency_id": "many", "concurrency_limit": 4}

Answers = list[dict[str, Any]]


class Programs:
    """Answers what programs ask, none of whose values is trusted."""

    def __init__(self, predictor: Predictor) -> None:
        self._refer, self._propose = on_gpu(predictor.refer), on_gpu(predictor.propose)
        self._max_views = predictor.num_views

    def answer(self, photo: ImageSource, boxes: Any, options: Any) -> Answers:
        """One object a box, or one for what the options point at. Raises InputError in one sentence."""
        prompt, question = self.asked(boxes, options)
        if not prompt:
            return self._answer(photo, boxes, question)
        return [self._refer(photo, question=question, **prompt).to_dict()]

    def asked(self, boxes: Any, options: Any) -> tuple[dict[str, Any], Question]:
        """What the options point with instead of boxes, if anything, and the question. Raises InputError."""
        prompt, others = take_prompt(options)
        question = self._question(others)
        if prompt and boxes:
            raise InputError(f"give either boxes or {next(iter(prompt))}, not both")
        return prompt, question

    def propose(self, photo: ImageSource, options: Any) -> Answers:
        """One object a thing, best first. Raises InputError in one sentence."""
        given = {} if options is None else options
        if not isinstance(given, Mapping) or not set(given) <= set(PROPOSE_SCHEMA["properties"]):
            raise InputError(f"the options of propose are {', '.join(PROPOSE_SCHEMA['properties'])}")
        return [proposal.to_dict() for proposal in self._propose(photo, **given)]

    def answer_many(
        self, images: Any, boxes: Any, options: Any, file_of: Callable[[Any], Path | bytes]
    ) -> list[Answers | dict[str, str]]:
        """What `answer` gives for every photograph, one after another; where one fails, {"error": its sentence}.

        `file_of` finds the file that an image of the request means, or raises InputError.

        Raises InputError where the request as a whole makes no sense.
        """
        if not isinstance(images, Sequence) or isinstance(images, str) or not 1 <= len(images) <= MAX_IMAGES:
            raise InputError(f"images must be a list of 1 to {MAX_IMAGES} photographs")
        if not isinstance(boxes, Sequence) or isinstance(boxes, str) or len(boxes) != len(images):
            raise InputError(f"boxes must hold one list of boxes a photograph, so {len(images)} lists")
        question = self._question(options)
        answers: list[Answers | dict[str, str]] = []
        size = 0.0
        for image, own in zip(images, boxes, strict=True):
            try:
                file = file_of(image)
                size += megapixels(file)  # known before anything is decoded
                if size > MAX_REQUEST_MEGAPIXELS:
                    raise InputError(
                        f"the photographs of one request may have {MAX_REQUEST_MEGAPIXELS} megapixels together; "
                        "ask about this one in a request of its own"
                    )
                answers.append(self._answer(Photo.open(file), own, question))
            except InputError as error:
                answers.append({"error": str(error)})
        return answers

    def _question(self, options: Any) -> Question:
        return Question.checked(options, max_views=self._max_views, max_classes=MOST_NAMES)

    def _answer(self, photo: ImageSource, boxes: Any, question: Question) -> Answers:
        if boxes is None:
            raise InputError("there is no box; give at least one as [x1, y1, x2, y2]")
        return [result.to_dict() for result in self._refer(photo, boxes=boxes, question=question)]


def add_endpoints(programs: Programs) -> None:
    """Add `/refer`, `/refer_many` and `/propose` to the page being built."""

    @in_words
    def refer(
        image: gr.FileData, boxes: list[list[float]] | None = None, options: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Describe regions of a photograph: caption, classes, tags and attributes of each box, and the views looked at.

        Options may hold any of: mode ("dynamic", "prior:caption", "prior:attributes", "manual" or "random"), num_views,
        coefficients (0 to 1, one a view), classes and controls (lists of words), tag_threshold (0 to 1), top_classes,
        captions (false leaves them out), num_beams and max_new_tokens. Instead of boxes they may point at one thing:
        point [x, y], points [[x, y, inside], ...], scribble [[x, y], ...] or mask (polygon or COCO's run lengths).

        Args:
            image: The photograph (JPEG, PNG, WebP, GIF, TIFF or BMP) of at most 20 MB, as a file or an https URL.
            boxes: One box or more, each [x1, y1, x2, y2] in pixels of the upright photograph; at most 256; null where
                the options point.
            options: An object of options as said above; null leaves all to the model.

        Returns:
            One object a box: box, caption, classes, tags, attributes, views, timing_ms, model and more.
        """
        return programs.answer(_uploaded(image), boxes, options)

    @in_words
    def refer_many(
        images: list[gr.FileData], boxes: list[list[list[float]]], options: dict[str, Any] | None = None
    ) -> list[Any]:
        """Describe regions of several photographs in one request, with the same options for all.

        Args:
            images: The photographs, at most 16, as files or https URLs.
            boxes: For every photograph its list of boxes, each [x1, y1, x2, y2] in pixels of the upright photograph.
            options: An object of options as for refer.

        Returns:
            For every photograph what refer returns, in the same order; {"error": sentence} where it cannot be answered.
        """
        return programs.answer_many(images, boxes, options, _uploaded)

    @in_words
    def propose(image: gr.FileData, options: dict[str, Any] | None = None) -> list[dict[str, Any]]:
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
        return programs.propose(_uploaded(image), options)

    gr.api(refer, api_name="refer", **ENDPOINT)
    gr.api(propose, api_name="propose", **ENDPOINT)
    gr.api(refer_many, api_name="refer_many", **MANY)
    # Gradio fetches URLs before any function of ours is called, and reads them whatever their length.
    processing_utils.async_ssrf_protected_download = _download


async def _download(url: str, cache_dir: str) -> str:
    try:
        return await download(url, cache_dir)
    except InputError as error:
        raise gr.Error(str(error), title="Please check", print_exception=False) from None


def _uploaded(image: Any) -> Path:
    """The file that a client uploaded; Gradio has checked that its path lies in the upload folder."""
    path = image.get("path") if isinstance(image, dict) else None
    if not isinstance(path, str) or image.get("meta") != {"_type": "gradio.FileData"}:
        raise InputError("an image must be a file that was uploaded, or a URL, as gradio_client's handle_file gives it")
    return within_limit(Path(path))
