"""How a question is to be answered: every value that a client may send is checked here before it is used."""

import math
import numbers
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from dynrefer.errors import InputError, shown
from dynrefer.question import MAX_CLASSES, MODES, Question
from dynrefer.views import validate_coefficients

MAX_BEAMS = 10
MAX_NEW_TOKENS = 60
USUAL_BEAMS = 3
USUAL_LENGTH = 24


@dataclass(frozen=True)
class Settings:
    """What a question asks beside photograph and boxes; None leaves the choice to the predictor."""

    mode: str | None = None
    num_views: int | None = None
    coefficients: tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None
    controls: tuple[str, ...] | None = None
    tag_threshold: float | None = None
    top_classes: int | None = None
    num_beams: int | None = None
    max_new_tokens: int | None = None

    @classmethod
    def parse(cls, options: object, max_views: int) -> "Settings":
        """Check `options`: None, or a mapping with any of the fields above; `max_views` is the model's limit.

        Lists of words may also be text, parted by commas, semicolons or lines. Raises InputError on anything else.
        """
        options = {} if options is None else options
        if not isinstance(options, Mapping):
            raise InputError(f'the options must be an object of names and values, not "{shown(options)}"')
        known = [entry.name for entry in fields(cls)]
        for name in options:
            if name not in known:
                raise InputError(f'there is no option "{shown(name)}"; the options are {", ".join(known)}')
        get = options.get
        return cls(
            mode=_mode(get("mode")),
            num_views=_whole(get("num_views"), "the number of views", 1, max_views),
            coefficients=_coefficients(get("coefficients"), max_views),
            classes=Question.checked(classes=get("classes") or None).classes,
            controls=Question.checked(controls=get("controls") or ()).controls or None,
            tag_threshold=_number(get("tag_threshold"), "the tag threshold", 0, 1),
            top_classes=_whole(get("top_classes"), "the number of classes shown", 1, MAX_CLASSES),
            num_beams=_whole(get("num_beams"), "the number of beams", 1, MAX_BEAMS),
            max_new_tokens=_whole(get("max_new_tokens"), "the caption's length", 1, MAX_NEW_TOKENS),
        )

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of `Predictor.refer` that were chosen; coefficients count in manual mode only."""
        chosen = {name: value for name, value in asdict(self).items() if value is not None}
        if self.mode not in (None, "manual"):
            chosen.pop("coefficients", None)
        return chosen


def _mode(value: Any) -> str | None:
    if value is None or value in MODES:
        return value
    raise InputError(f'there is no selection mode "{shown(value)}"; choose one of {", ".join(MODES)}')


def _number(value: Any, name: str, low: float, high: float) -> float | None:
    if value is None:
        return None
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or not low <= value <= high:
        raise InputError(f'{name} must be a number from {low} to {high}, not "{shown(value)}"')
    return float(value)


def _whole(value: object, name: str, low: int, high: int) -> int | None:
    number = _number(value, name, low, high)
    if number is not None and not number.is_integer():
        raise InputError(f"{name} must be a whole number from {low} to {high}, not {number}")
    return None if number is None else int(number)


def _coefficients(value: Any, max_views: int) -> tuple[float, ...] | None:
    if value is None:
        return None
    coefficients = validate_coefficients(value)
    if not 1 <= len(coefficients) <= max_views:
        raise InputError(f"there are {len(coefficients)} coefficients; this model takes 1 to {max_views}, one a view")
    return tuple(coefficients)
