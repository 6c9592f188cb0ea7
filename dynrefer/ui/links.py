"""A question as the query of a link: which example photograph, which box, and how it is looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from dynrefer.boxes import parse_box
from dynrefer.errors import InputError, shown

from .files import Example, read_examples
from .settings import Settings

LONGEST = 20_000
# The link's names for the fields of `Settings`; coefficients stand for mode and number of views as well.
FIELDS = {
    "t": "coefficients",
    "mode": "mode",
    "views": "num_views",
    "classes": "classes",
    "controls": "controls",
    "beams": "num_beams",
    "length": "max_new_tokens",
}


@dataclass(frozen=True)
class Link:
    """What a link asks; `example` is None where it means a photograph that the visitor's browser kept."""

    example: Example | None
    box: list[float] | None
    settings: Settings


def name_of(example: Example) -> str:
    """What an example is called in a link."""
    return example["title"].lower().replace(" ", "-")


def write_link(example: str | None, box: Sequence[float], settings: Settings, usual: Settings) -> str:
    """The query of a link to `box` on an example, or on a photograph that the browser keeps; `usual` is left out."""
    values = {"example": example} if example else {}
    values["box"] = ",".join(_short(round(corner, 1)) for corner in box)
    implied = ("mode", "views") if settings.coefficients else ()
    for name, field in FIELDS.items():
        value = getattr(settings, field)
        if name not in implied and value is not None and value != getattr(usual, field):
            values[name] = ",".join(_short(item) for item in (value if isinstance(value, tuple) else [value]))
    return urlencode(values, safe=",")


def read_link(query: object, max_views: int) -> Link:
    """Check the query of a link, or of what a browser kept; names that mean nothing here are passed over.

    Raises InputError on a value that cannot be used.
    """
    if not isinstance(query, str) or len(query) > LONGEST:
        raise InputError("this link cannot be read")
    given = dict(parse_qsl(query))
    options: dict[str, Any] = {field: given[name] for name, field in FIELDS.items() if name in given}
    for name in {"views", "beams", "length"} & given.keys():
        options[FIELDS[name]] = _number(given[name], name)
    if "t" in given:
        steps = [_number(word, "t") for word in given["t"].split(",")]
        options |= {"coefficients": steps, "mode": "manual", "num_views": len(steps)}
    box = parse_box(given["box"]) if "box" in given else None
    return Link(_example(given), box, Settings.parse(options, max_views))


def _example(given: Mapping[str, str]) -> Example | None:
    if "example" not in given:
        return None
    named = {name_of(example): example for example in read_examples()}
    if given["example"] not in named:
        raise InputError(f'there is no example "{shown(given["example"])}"; they are {", ".join(named)}')
    return named[given["example"]]


def _short(value: object) -> str:
    return str(value).removesuffix(".0")


def _number(word: str, name: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise InputError(f'in the link, {name} must be made of numbers, and "{shown(word)}" is none') from error
