"""What the OpenAPI document says about POST /v1/regions beyond what its function does."""

from typing import Any

from dynrefer.pointing import options_schema
from dynrefer.proposals import PROPOSE_SCHEMA
from dynrefer.server.fetching import MAX_FILE_MEGABYTES
from dynrefer.server.intake import FORM, JSON

SCORE = {"type": "number", "minimum": 0, "maximum": 1}
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


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    """A JSON schema of an object; all of its properties are there unless `required` says otherwise."""
    return {"type": "object", "properties": properties, "required": list(properties) if required is None else required}


MASK = {"type": ["object", "null"], "description": "COCO's run-length encoding, where one was given or a segmenter is"}
NAMED = {"type": "array", "items": _object({"name": {"type": "string"}, "score": SCORE})}
REGION = _object(
    {
        "box": BOX,
        "prompt": {"type": ["object", "null"], "description": "what it was pointed at with; null for a box"},
        "mask": MASK,
        "caption": {"anyOf": [_object({"text": {"type": "string"}, "score": SCORE}), {"type": "null"}]},
        "classes": NAMED,
        "none_of_these": {"type": ["number", "null"], "description": "probability that no class of the list fits"},
        "sure": {"type": "boolean", "description": "whether class or caption is certain enough to rely on"},
        "tags": NAMED,
        "attributes": {
            "type": "array",
            "items": _object({"name": {"type": "string"}, "type": {"type": "string"}, "score": SCORE}),
        },
        "views": {
            "type": "array",
            "items": _object(
                {
                    "t": SCORE,
                    "box": BOX,
                    "gain": {"type": ["number", "null"]},
                    "rank": {"type": ["integer", "null"]},
                }
            ),
        },
        "notes": {"type": "array", "items": {"type": "string"}},
        "timing_ms": {"type": "object", "additionalProperties": {"type": "number"}},
        "model": {"type": "string"},
    }
)
ERROR = _object({"error": {"type": "string", "description": "one sentence that says what to do"}})

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
IMAGE = {
    "type": "string",
    "description": f"the photograph's file in base64, at most {MAX_FILE_MEGABYTES} MB before",
}
URL = {"type": "string", "format": "uri", "pattern": "^https://", "description": "or its address"}


def _body(fields: dict[str, Any], form: dict[str, Any], json: dict[str, Any]) -> dict[str, Any]:
    """A body with `fields` beside the photograph: a form with its file, or JSON with its base64 or its URL.

    `form` and `json` are what is said of the two beside their schemas.
    """
    encoding = {name: {"contentType": JSON} for name in ("boxes", "options") if name in fields}
    content = {
        FORM: {"schema": _object({"file": FILE, **fields}, ["file"]), "encoding": encoding, **form},
        JSON: {"schema": _object({"image": IMAGE, "url": URL, **fields}, []), **json},
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


def _answered(description: str, kind: str, items: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """An answer with a list of `items` under the name `kind`."""
    schema = _object({kind: {"type": "array", "items": items}, "model": {"type": "string"}})
    example = {kind: [example], "model": "dynrefer-mini"}
    return {"description": description, "content": {JSON: {"schema": schema, "example": example}}}


def _refused(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": ERROR, "example": {"error": example}}}}


RESPONSES: dict[int | str, dict[str, Any]] = {
    200: _answered(
        "One object a box, in the order of the boxes; with `stream` server-sent events.",
        "regions",
        REGION,
        EXAMPLE_REGION,
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
PROPOSAL = _object(
    {
        "box": BOX,
        "score": SCORE,
        "words": {"type": "object", "additionalProperties": SCORE},
        "mask": MASK,
    }
)
PROPOSED = RESPONSES | {
    200: _answered(
        "Things on the photograph, best first.",
        "proposals",
        PROPOSAL,
        {"box": [258, 148, 594, 658], "score": 0.8, "words": {"dog": 0.8}, "mask": None},
    )
}
