"""What programs ask, over /v1, Gradio's endpoints or MCP: values of strangers checked, answered as JSON."""

import importlib
import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dynrefer.errors import InputError
from dynrefer.files.decoding import megapixels
from dynrefer.photo import ImageSource, Photo
from dynrefer.pointing import take_prompt
from dynrefer.predictor import Predictor
from dynrefer.proposals import PROPOSE_SCHEMA
from dynrefer.question import MOST_NAMES, Question

# Has to be imported before CUDA is first used; only ZeroGPU Spaces have it.
spaces = importlib.import_module("spaces") if importlib.util.find_spec("spaces") else None

MAX_IMAGES = 16
MAX_REQUEST_MEGAPIXELS = 128
UNEXPECTED = "Something went wrong here, which is not your fault. Please try again, or with another photograph."

logger = logging.getLogger(__name__)
Function = TypeVar("Function", bound=Callable[..., Any])
Answers = list[dict[str, Any]]


def on_gpu(function: Function) -> Function:
    """Let `function` run where ZeroGPU lends a GPU; elsewhere it stays as it is.

    On ZeroGPU it runs in a forked process: arguments and results are pickled, and what it caches is lost.
    """
    return spaces.GPU(function) if spaces else function


def sentence(error: Exception, name: str) -> str:
    """What a user is told about an error in the handler `name`; one that is no InputError is logged."""
    if isinstance(error, InputError):
        return str(error)
    logger.error("unexpected error in %s", name, exc_info=error)
    return UNEXPECTED


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
