"""What the OpenAPI document says about POST /v1/regions and /v1/propose beyond what their functions do."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from dynrefer.boxes import Box
from dynrefer.pointing import options_schema
from dynrefer.proposals import PROPOSE_SCHEMA
from dynrefer.results import RegionResult
from dynrefer.server.fetching import MAX_FILE_MEGABYTES
from dynrefer.server.intake import FORM, JSON

BOX = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
BOXES = {
    "type": "array",
    "items": BOX,
    "minItems": 1,
    "maxItems": 256,
    "description": "boxes [x1, y1, x2, y2] in pixels of the upright photograph",
}
NULL = {"type": "null"}
OPTIONS = {"anyOf": [options_schema(), NULL], "description": "null leaves all to the model"}
PROPOSING = {"anyOf": [PROPOSE_SCHEMA, NULL], "description": "null finds everything"}
STREAM = {"type": "boolean", "default": False, "description": "answer region by region, as server-sent events"}


class Regions(BaseModel):
    """An answer of POST /v1/regions: one object a box, in the order of the boxes."""

    regions: list[RegionResult]
    model: str


class Proposed(BaseModel):
    """A thing on the photograph, see `Proposal.to_dict`."""

    box: Box
    score: Annotated[float, Field(ge=0, le=1)]
    words: dict[str, float] = Field(description="the score of each word that was asked for")
    mask: dict[str, Any] | None = Field(description="COCO's run-length encoding, where a segmenter is")


class Proposals(BaseModel):
    """An answer of POST /v1/propose: things on the photograph, best first."""

    proposals: list[Proposed]
    model: str


class Refusal(BaseModel):
    """An answer other than 200."""

    error: str = Field(description="one sentence that says what to do")


EXAMPLE_BOXES = [[258, 148, 594, 658]]
EXAMPLE_OPTIONS = {"classes": ["dog", "cat", "bench"], "num_views": 3}
EXAMPLE_REGION = {
    "box": [258.0, 148.0, 594.0, 658.0],
    "prompt": None,
    "mask": None,
    "caption": {"text": "a brown puppy sitting on grass", "score": 0.41},
    "classes": [{"name": "dog", "score": 0.98}, {"name": "cat", "score": 0.01}, {"name": "bench", "score": 0.001}],
    "none_of_these": 0.02,
    "sure": True,
    "tags": [{"name": "puppy", "score": 0.91}],
    "attributes": [{"name": "brown", "type": "color", "score": 0.87}],
    "views": [{"t": 0.0, "box": [258.0, 148.0, 594.0, 658.0], "gain": None, "rank": 0}],
    "notes": [],
    "timing_ms": {"views": 1.2, "encode": 30.5, "caption": 61.0, "total": 92.7},
    "model": "dynrefer-mini",
}
EXAMPLE_STREAM = (
    'event: region\ndata: {"index": 0, "region": {"box": [258.0, 148.0, 594.0, 658.0], "...": "..."}}\n\n'
    'event: done\ndata: {"regions": 1, "model": "dynrefer-mini"}\n\n'
)

FILE = {"type": "string", "format": "binary", "description": f"the photograph, at most {MAX_FILE_MEGABYTES} MB"}
IMAGE = {"type": "string", "description": f"the photograph's file in base64, at most {MAX_FILE_MEGABYTES} MB before"}
URL = {"type": "string", "format": "uri", "pattern": "^https://", "description": "or its address"}


def _body(fields: dict[str, Any], form: dict[str, Any], json: dict[str, Any]) -> dict[str, Any]:
    """A body with `fields` beside the photograph: a form with its file, or JSON with its base64 or its URL.

    `form` and `json` are what is said of the two beside their schemas.
    """
    encoding = {name: {"contentType": JSON} for name in ("boxes", "options") if name in fields}
    content = {
        FORM: {
            "schema": {"type": "object", "properties": {"file": FILE, **fields}, "required": ["file"]},
            "encoding": encoding,
            **form,
        },
        JSON: {"schema": {"type": "object", "properties": {"image": IMAGE, "url": URL, **fields}}, **json},
    }
    return {"required": True, "content": content}


BODY = _body(
    {"boxes": BOXES, "options": OPTIONS, "stream": STREAM},
    {"example": {"file": "puppy.jpg", "boxes": EXAMPLE_BOXES, "options": EXAMPLE_OPTIONS}},
    {
        "examples": {
            "image": {"value": {"image": "/9j/4AAQSkZJRg...", "boxes": EXAMPLE_BOXES, "options": EXAMPLE_OPTIONS}},
            "url": {"value": {"url": "https://example.org/puppy.jpg", "boxes": EXAMPLE_BOXES}},
        }
    },
)
PROPOSE_BODY = _body(
    {"options": PROPOSING},
    {},
    {"example": {"url": "https://example.org/puppy.jpg", "options": {"words": ["dog", "ball"]}}},
)


def _answered(description: str, model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "model": model, "content": {JSON: {"example": example}}}


def _refused(description: str, example: str) -> dict[str, Any]:
    return _answered(description, Refusal, {"error": example})


RESPONSES: dict[int | str, dict[str, Any]] = {
    200: _answered(
        "One object a box, in the order of the boxes; with `stream` server-sent events.",
        Regions,
        {"regions": [EXAMPLE_REGION], "model": "dynrefer-mini"},
    ),
    400: _refused("The body was cut off.", "The body was cut off."),
    401: _refused("DYNREFER_TOKEN is set, and the request names another token or none.", "The token is missing."),
    408: _refused("The body took too long.", "The body did not arrive within 60 seconds."),
    413: _refused("Body or photograph are too large.", "The body is too long; a photograph may have 20 MB."),
    415: _refused("The body is neither of the two.", f"The body must be {FORM} or {JSON}."),
    422: _refused("Photograph, boxes or options cannot be used.", "The tag threshold must be a number from 0 to 1."),
    429: _refused("Too much waits; `Retry-After` says for how many seconds.", "Too many questions are waiting."),
    503: _refused("The model cannot answer at the moment.", "The memory of this machine does not hold the model."),
}

RESPONSES[200]["content"]["text/event-stream"] = {"schema": {"type": "string"}, "example": EXAMPLE_STREAM}
EXAMPLE_PROPOSAL = {"box": [258, 148, 594, 658], "score": 0.8, "words": {"dog": 0.8}, "mask": None}
PROPOSED = RESPONSES | {
    200: _answered(
        "Things on the photograph, best first.", Proposals, {"proposals": [EXAMPLE_PROPOSAL], "model": "dynrefer-mini"}
    )
}
