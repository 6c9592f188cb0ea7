"""What may be asked of a region: every option with its limit, one JSON schema, and one sentence for each mistake.

Used by Python, the command line, the page, the HTTP API, MCP and evaluation; nobody else checks an option.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo

from dynrefer.boxes import finite_number
from dynrefer.errors import InputError, shown
from dynrefer.files.tables import read_words, split_words
from dynrefer.views import CANDIDATES, validate_coefficients

Mode = Literal["dynamic", "prior:caption", "prior:attributes", "manual", "random"]
HashMethod = Literal["dct_mean", "imagehash"]
MODES: tuple[str, ...] = get_args(Mode)
HASH_METHODS: tuple[str, ...] = get_args(HashMethod)

MAX_VIEWS = 1 + len(CANDIDATES)
MAX_CLASSES, MAX_CLASS_LENGTH = 20_000, 200
MOST_NAMES = 1000  # class names that a stranger may give, over HTTP or on the page
MAX_CONTROLS, MAX_CONTROL_LENGTH = 20, 200
MAX_TAGS = 20_000
MAX_BEAMS, MAX_NEW_TOKENS = 10, 64
DEFAULT_TOP_CLASSES = 5

# How an error calls each option, and what it says beside the limits.
_CALLED = {
    "classes": "the class list",
    "controls": "the control words",
    "num_views": "the number of views",
    "mode": "selection mode",
    "hash_method": "hash method",
    "tag_threshold": "the tag threshold",
    "top_classes": "the number of classes shown",
    "top_tags": "the number of tags shown",
    "captions": "captions",
    "num_beams": "the number of beams",
    "max_new_tokens": "the caption's length in word pieces",
}


def _number(value: object) -> float | None:
    """A real number of any library as a plain one; anything else, text and booleans included, is refused."""
    if value is None:
        return None
    try:
        number = finite_number(value, "it")
    except InputError as error:
        raise ValueError from error  # whose sentence names the option and its limits
    return int(number) if number.is_integer() else number


def _truth(value: object) -> object:
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def _steps(value: object) -> tuple[float, ...] | None:
    if value is None:
        return None
    steps = tuple(validate_coefficients(value))
    if not steps:
        raise InputError("manual views need at least one coefficient from 0 to 1")
    return steps


def _words(value: object, info: ValidationInfo) -> tuple[str, ...] | None:
    return words_of(value, _CALLED[str(info.field_name)], *_WORD_LIMITS[str(info.field_name)])


def words_of(value: object, called: str, most: int, longest: int) -> tuple[str, ...] | None:
    """Words of a list or text, None where there is none: trimmed, no empty ones, no doubles, in order.

    Raises InputError, in which they are `called` so, where they are no words, more than `most`, or one of them has
    more than `longest` characters.
    """
    if isinstance(value, str):
        value = split_words(value)
    elif hasattr(value, "tolist"):
        value = value.tolist()
    if value is None:
        return None
    if not isinstance(value, (list, tuple)):
        raise InputError(f'{called} must be a list of words, or words separated by commas, not "{shown(value)}"')
    for word in value:
        if not isinstance(word, str) or any("\ud800" <= letter <= "\udfff" for letter in word):  # halves of letters
            raise InputError(f'{called} must be a list of texts, and "{shown(word)}" is none')
    words = tuple(dict.fromkeys(trimmed for word in value if (trimmed := " ".join(word.split()))))
    _check_count(called, len(words), most)
    for word in words:
        if len(word) > longest:
            raise InputError(f'"{shown(word)}" has {len(word)} characters; the limit is {longest}')
    return words


def _classes(value: object, info: ValidationInfo) -> tuple[str, ...] | None:
    if isinstance(value, str) and not value.strip():
        return None  # a field where nothing was typed
    words = _words(value, info)
    if words == ():
        raise InputError("the class list is empty; name at least one class, or leave it out for the default list")
    return words


def _controls(value: object, info: ValidationInfo) -> tuple[str, ...]:
    return _words(value, info) or ()


_WORD_LIMITS = {"classes": (MAX_CLASSES, MAX_CLASS_LENGTH), "controls": (MAX_CONTROLS, MAX_CONTROL_LENGTH)}
_Number = BeforeValidator(_number)


class Question(BaseModel):
    """What is asked of every region; None leaves the choice to the model.

    Make one with `Question.checked`, whose errors are sentences for people.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        title="Options",
        json_schema_extra={"description": "What is asked of every region; null leaves the choice to the model."},
    )

    classes: Annotated[tuple[str, ...] | None, BeforeValidator(_classes)] = Field(
        None,
        description=f"names to choose the class from, at most {MAX_CLASSES} "
        f"({MOST_NAMES} over HTTP and MCP); the model's own list when null",
    )
    controls: Annotated[tuple[str, ...], BeforeValidator(_controls)] = Field(
        (), description=f"words that the caption should mention, at most {MAX_CONTROLS}"
    )
    coefficients: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...] | None, BeforeValidator(_steps)] = Field(
        None, description="views by hand: 0 is the region, 1 the whole photograph; the first is taken as 0"
    )
    num_views: Annotated[int | None, _Number] = Field(None, ge=1, le=MAX_VIEWS, description="how many views to take")
    mode: Mode | None = Field(None, description="how views are chosen; manual where coefficients are given")
    hash_method: HashMethod = Field("dct_mean", description="perceptual hash of the mode dynamic")
    tag_threshold: Annotated[float | None, _Number] = Field(
        None, ge=0, le=1, description="score from which a tag is returned; 0 returns all"
    )
    top_classes: Annotated[int | None, _Number] = Field(
        DEFAULT_TOP_CLASSES, ge=1, le=MAX_CLASSES, description="how many classes to return, best first; null for all"
    )
    top_tags: Annotated[int | None, _Number] = Field(
        None, ge=1, le=MAX_TAGS, description="how many tags to return at most, best first; null for all"
    )
    captions: Annotated[bool, BeforeValidator(_truth)] = Field(
        True, strict=True, description="false leaves the caption out, which is faster"
    )
    num_beams: Annotated[int | None, _Number] = Field(
        None, ge=1, le=MAX_BEAMS, description="sentences that the caption's search follows at a time"
    )
    max_new_tokens: Annotated[int | None, _Number] = Field(
        None, ge=1, le=MAX_NEW_TOKENS, description="longest caption, in word pieces"
    )

    @classmethod
    def checked(
        cls, options: object = None, /, *, max_views: int = MAX_VIEWS, max_classes: int = MAX_CLASSES, **more: Any
    ) -> Self:
        """A question from a mapping of options (or a Question) and keyword arguments, which win.

        Args:
            options: None, a mapping with any of the fields, or a Question.
            max_views: the model's limit. max_classes: a limit below the library's, for strangers on a page.

        Raises InputError: one sentence about the first value that cannot be used.
        """
        question = (
            cls._validated(_given(options) | more, max_views) if more or not isinstance(options, cls) else options
        )
        if question.num_views is not None and question.num_views > max_views:
            raise InputError(_limits("num_views", question.num_views, 1, max_views))
        steps = question.coefficients or ()
        if len(steps) > min(max_views, question.num_views or max_views):
            most = min(max_views, question.num_views or max_views)
            raise InputError(f"there are {len(steps)} coefficients, one a view; the limit is {most}")
        if question.classes is not None:
            _check_count(_CALLED["classes"], len(question.classes), max_classes)
        return question

    @classmethod
    def typed(
        cls, classes: str | None = None, controls: str | None = None, coefficients: str | None = None, **options: Any
    ) -> Self:
        """A question of options as a command line has them, None for those that were not given.

        Args:
            classes: names between commas, or a file of them. controls, coefficients: between commas.
            options: the other fields.

        Raises InputError where one cannot be used.
        """
        options |= {
            "classes": None if classes is None else read_words(classes),
            "controls": split_words(controls or ""),
            "coefficients": None if coefficients is None else _typed_numbers(coefficients),
        }
        return cls.checked({name: value for name, value in options.items() if value is not None})

    @classmethod
    def _validated(cls, given: dict[Any, Any], max_views: int) -> Self:
        try:
            question = cls.model_validate(given)
        except ValidationError as error:
            raise InputError(_sentence(error, max_views)) from error
        if question.coefficients is not None and question.mode not in (None, "manual"):
            raise InputError(
                f'coefficients are for the mode manual, not for "{question.mode}"; leave them out or change the mode'
            )
        if question.mode == "manual" and question.coefficients is None:
            raise InputError('the mode "manual" needs coefficients, numbers from 0 to 1, one a view')
        return question

    def mode_else(self, default: str) -> str:
        """How views are chosen; by `default` where the question leaves that to the model."""
        return self.mode or ("manual" if self.coefficients else default)

    def options(self) -> dict[str, Any]:
        """The options that differ from the defaults, as `Predictor.refer` takes them; ready for JSON."""
        return self.model_dump(exclude_defaults=True)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What the asker should know though nothing is wrong: one sentence each."""
        notes = []
        if self.coefficients and self.coefficients[0]:
            first = f"{self.coefficients[0]:g}"
            notes.append(f"The first view is always the region itself, 0, so {first} was not looked at; begin with 0.")
        foreign = [word for word in (*(self.classes or ()), *self.controls) if not _is_latin(word)]
        if foreign:
            others = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
            notes.append(f'"{shown(foreign[0])}"{others} may mean little to this model, which reads English.')
        return tuple(notes)


def _typed_numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in re.split(r"[\s,;]+", text.strip(" ,;"))]
    except ValueError as error:
        raise InputError("Coefficients are numbers from 0 to 1, separated by commas.") from error


def _given(options: object) -> dict[Any, Any]:
    if options is None:
        return {}
    if isinstance(options, Question):
        return options.options()
    if not isinstance(options, Mapping):
        raise InputError(f'the options must be an object of names and values, not "{shown(options)}"')
    return dict(options)


def _sentence(error: ValidationError, max_views: int) -> str:
    """The first of pydantic's errors in one sentence; `max_views` are the most views of the model that is asked."""
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return str(cause)
    name, value = str(first["loc"][0]) if first["loc"] else "", first["input"]
    if first["type"] == "extra_forbidden":
        return f'there is no option "{shown(name)}"; the options are {", ".join(Question.model_fields)}'
    if name in ("mode", "hash_method"):
        known = MODES if name == "mode" else HASH_METHODS
        return f'there is no {_CALLED[name]} "{shown(value)}"; choose one of {", ".join(known)}'
    if name == "captions":
        return f'captions must be true or false, not "{shown(value)}"'
    if bounds := _bounds(name):
        return _limits(name, value, bounds[0], max_views if name == "num_views" else bounds[1])
    return f'the options must have names that are text, and "{shown(name)}" is none'


def _bounds(name: str) -> list[float]:
    """The least and the largest value of a field, where it has them."""
    rules = Question.model_fields[name].metadata if name in Question.model_fields else []
    return [getattr(rule, word) for word in ("ge", "le") for rule in rules if hasattr(rule, word)]


def _limits(name: str, value: object, low: float, high: float) -> str:
    kind = "a number" if name == "tag_threshold" else "a whole number"
    return f'{_CALLED[name]} must be {kind} from {low} to {high}, not "{shown(value)}"'


def _check_count(called: str, count: int, most: int) -> None:
    if count > most:
        raise InputError(f"{called} may hold at most {most} words; {count} were given")


def _is_latin(word: str) -> bool:
    return word.isascii() or all(
        unicodedata.name(letter, "").startswith("LATIN") for letter in word if letter.isalpha()
    )
