"""What may be asked of a region, and within which limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from dynrefer.errors import InputError
from dynrefer.views import validate_coefficients

MAX_CLASSES, MAX_CLASS_LENGTH = 1000, 100
MAX_CONTROLS, MAX_CONTROL_LENGTH = 20, 60
MAX_BEAMS, MAX_NEW_TOKENS = 10, 64


@dataclass(frozen=True)
class Options:
    """What is asked of every region; see `Predictor.refer`."""

    classes: tuple[str, ...] | None = None
    controls: tuple[str, ...] = ()
    coefficients: tuple[float, ...] | None = None
    num_views: int | None = None
    mode: str | None = None
    hash_method: str = "dct_mean"
    tag_threshold: float | None = None
    top_classes: int | None = 5
    captions: bool = True
    num_beams: int | None = None
    max_new_tokens: int | None = None
    generator: torch.Generator | None = None

    @classmethod
    def checked(cls, given: dict[str, Any], max_views: int) -> Options:
        """Options as asked, for a model of at most `max_views` views; InputError names the limit that is not kept."""
        try:
            options = cls(**given)
        except TypeError as error:
            raise InputError(f"This option does not exist: {str(error).split('argument ')[-1]}.") from error
        limits = (
            ("num_views", 1, max_views, "This model looks through 1 to {} views"),
            ("tag_threshold", 0, 1, "The tag threshold lies from 0 to {}"),
            ("top_classes", 1, MAX_CLASSES, "Between 1 and {} classes can be shown"),
            ("num_beams", 1, MAX_BEAMS, "A caption is searched for with 1 to {} beams"),
            ("max_new_tokens", 1, MAX_NEW_TOKENS, "A caption may have 1 to {} word pieces, say fewer words"),
        )
        for name, low, high, sentence in limits:
            _check_number(getattr(options, name), low, high, sentence)
        if options.coefficients is not None:
            steps = tuple(validate_coefficients(options.coefficients))
            if len(steps) > max_views:
                raise InputError(f"This model looks through at most {max_views} views; {len(steps)} were given.")
            options = replace(options, coefficients=steps)
        classes = check_words(options.classes, "class list", MAX_CLASSES, MAX_CLASS_LENGTH)
        if classes is not None and not classes:
            raise InputError("The class list is empty; name at least one class, or leave it out for the default list.")
        controls = check_words(options.controls, "control words", MAX_CONTROLS, MAX_CONTROL_LENGTH)
        return replace(options, classes=classes, controls=controls or ())


def check_words(words: Sequence[str] | None, what: str, most: int, longest: int) -> tuple[str, ...] | None:
    """Trimmed words without empty ones and repeats. Raises InputError when they are too many, too long or not text."""
    if words is None:
        return None
    if isinstance(words, str) or not all(isinstance(word, str) for word in words):
        raise InputError(f"The {what} must be a list of texts.")
    if len(words) > most:
        raise InputError(f"The {what} may hold at most {most} entries; {len(words)} were given.")
    kept = tuple(dict.fromkeys(" ".join(word.split()) for word in words if word.strip()))
    if any(len(word) > longest for word in kept):
        raise InputError(f"An entry of the {what} may have at most {longest} characters.")
    return kept


def _check_number(value: Any, low: float, high: float, sentence: str) -> None:
    if value is None:
        return
    whole = isinstance(low, int) and high > 1
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not low <= value <= high:
        raise InputError(
            f"{sentence.format(high)}; {'a whole number' if whole else 'a number'} is needed, not {value!r}."
        )
