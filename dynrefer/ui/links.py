"""A question as a link, and what the visitor's browser keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from dynrefer.boxes import MAX_BOXES, parse_box
from dynrefer.errors import InputError, shown
from dynrefer.examples import Example, find_example
from dynrefer.project import PhotoRecord
from dynrefer.question import MOST_NAMES, Question

from .session import Session

MOST_KEY = 100  # characters of the name by which a browser keeps a photograph: a project's, and the photograph's place
LONGEST_QUERY = 2000  # characters that every browser, proxy and mail program leaves whole
LONGEST = 1_000_000
# The link's names for the fields of a question; coefficients stand for mode and number of views as well.
FIELDS = {
    "t": "coefficients",
    "mode": "mode",
    "views": "num_views",
    "classes": "classes",
    "controls": "controls",
    "tags": "tag_threshold",
    "beams": "num_beams",
    "length": "max_new_tokens",
}
NUMBERS = ("views", "tags", "beams", "length")


@dataclass(frozen=True)
class Link:
    """What a link asks of which example."""

    example: Example
    box: list[float] | None
    question: Question


@dataclass(frozen=True)
class Kept:
    """What a browser kept: the photograph's regions, the choices, and the place of the region that was shown."""

    key: str
    photo: PhotoRecord
    example: Example | None
    choices: Question
    selected: int | None


def write_link(example: str, box: Sequence[float], question: Question) -> str:
    """The link to `box` on an example, as it follows the page's address: after "?", or after "#" where it is long.

    What stands behind "#" stays in the browser, so that a list of a thousand class names still arrives.
    """
    values = {"example": example, "box": ",".join(_short(round(corner, 1)) for corner in box)}
    asked = question.options()
    for name, field in FIELDS.items():
        if field not in asked or (question.coefficients and name in ("mode", "views")):
            continue
        value = asked[field]
        values[name] = ",".join(_short(item) for item in value) if isinstance(value, (tuple, list)) else _short(value)
    query = urlencode(values, safe=",")
    return ("?" if len(query) <= LONGEST_QUERY else "#") + query


def read_link(query: object, max_views: int) -> Link:
    """Check the query of a link; names that mean nothing here are passed over.

    Raises InputError on a value that cannot be used.
    """
    if not isinstance(query, str) or len(query) > LONGEST:
        raise InputError("this link cannot be read")
    given = dict(parse_qsl(query))
    options: dict[str, Any] = {field: given[name] for name, field in FIELDS.items() if name in given}
    for name in given.keys() & set(NUMBERS):
        options[FIELDS[name]] = _number(given[name], name)
    if "t" in given:
        options["coefficients"] = [_number(word, "t") for word in given["t"].split(",")]
        options["mode"] = options["num_views"] = None
    box = parse_box(given["box"]) if "box" in given else None
    question = Question.checked(options, max_views=max_views, max_classes=MOST_NAMES)
    return Link(find_example(given.get("example")), box, question)


def record_of(session: Session) -> dict[str, Any] | None:
    """What the browser keeps of the page, or None where nothing was asked yet: a project's record, and what is shown.

    What the server keeps of a folder is not for the browser.
    """
    if (session.choices is None and not session.album.entries) or session.kept_here:
        return None
    return {
        **PhotoRecord(session.name, session.size, session.album.entries).to_dict(),
        "key": session.key,
        "example": session.example,
        "source": session.source,
        "choices": (session.choices or Question.checked({})).options(),
        "selected": session.album.selected,
    }


def folder_of(session: Session) -> dict[str, Any] | None:
    """Where in the folder the page is, why nothing is shown there, how much was reviewed; None without a folder."""
    if session.project is None:
        return None
    names, (reviewed, regions) = session.project.names, session.project.progress()
    known = {"reviewed": reviewed, "regions": regions, "new": len(session.project.new)}
    return {
        "place": session.place,
        "count": len(names),
        "name": names[session.place],
        "trouble": session.trouble,
        **known,
    }


def read_record(record: object, max_views: int) -> Kept:
    """Check what a browser kept, which anybody may have written. Raises InputError where it cannot be used."""
    try:
        if not isinstance(record, Mapping):
            raise TypeError
        limits = {"max_views": max_views, "max_classes": MOST_NAMES}
        photo = PhotoRecord.from_dict({**record, "regions": record["regions"][:MAX_BOXES]}, **limits)
        example, selected = record.get("example"), record.get("selected")
        return Kept(
            str(record["key"])[:MOST_KEY],
            replace(photo, image=photo.image[:255]),
            None if example is None else find_example(example),
            Question.checked(record.get("choices"), **limits),
            selected if isinstance(selected, int) and 0 <= selected < len(photo.regions) else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("what this browser kept is damaged; please choose the photograph again") from error


def file_url(path: str) -> str:
    """Where the browser finds an uploaded file again, relative to the page."""
    return "gradio_api/file=" + quote(path)


def _short(value: object) -> str:
    return str(value).removesuffix(".0")


def _number(word: str, name: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise InputError(f'in the link, {name} must be made of numbers, and "{shown(word)}" is none') from error
