"""What a person does with answers: accept, reject, correct, and take it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gradio as gr

from dynrefer.errors import InputError, shown
from dynrefer.results import Words, clean_words
from dynrefer.vocabulary import Vocabulary

from .album import Session


def act(session: Session, event: gr.EventData, vocabulary: Vocabulary) -> None:
    """Do what a pressed button of table or answer says, see their templates. Raises InputError.

    `data-select` and `data-remove` name a region of the table, `data-review` the status that the one shown gets, and
    `data-say` what a person says of it: caption or name as `data-value` (empty: the model's again), or tag or attribute
    that is so (`data-so` true), is not (false), or is left to the model again (empty).
    """
    removed, selected = told(event, "remove"), told(event, "select")
    status, what = told(event, "review"), told(event, "say")
    if told(event, "undo") is not None:
        session.undo()
    elif told(event, "sort") is not None:
        session.least_sure_first = not session.least_sure_first
    elif status in ("accepted", "rejected"):
        session.edit(lambda album: album.review(status, session.least_sure_first))
    elif what is not None:
        value, so = told(event, "value"), told(event, "so")
        session.edit(lambda album: album.say(lambda words: corrected(words, what, value, so, vocabulary)))
    elif removed is not None:
        session.edit(lambda album: album.remove(removed))
    else:
        session.edit(lambda album: album.select(selected))


def corrected(words: Words, what: object, value: object, so: object, vocabulary: Vocabulary) -> Words:
    """`words` with one more thing said, see `act`. Raises InputError where it cannot be."""
    if what in ("caption", "name"):
        text = clean_words(value, str(what)) if value else None
        return replace(words, caption=text) if what == "caption" else replace(words, name=text)
    if what == "tag":
        return replace(words, tags=_say(words.tags, clean_words(value, "tag").lower(), so))
    if what == "attribute":
        return replace(words, attributes=_say(words.attributes, find_attribute(value, vocabulary), so))
    raise InputError("a person can correct caption, name, tag and attribute of a region")


def find_attribute(text: object, vocabulary: Vocabulary) -> str:
    """ "color:red" for "color: red" or "red"; of an attribute that the model does not know, with its type.

    Raises InputError where no type can be told.
    """
    kind, colon, name = clean_words(text, "attribute").partition(":")
    if colon and kind.strip() and name.strip():
        return f"{kind.strip()}:{name.strip()}"
    known = next((word for word in vocabulary.attributes if word.name == kind.lower()), None)
    if known is None:
        raise InputError(f'"{shown(text)}" is no attribute of the list; write it with its type, as in "color: teal"')
    return f"{known.type}:{known.name}"


def told(event: gr.EventData, name: str) -> Any:
    """What a component's event says under `name`, None where it says nothing."""
    try:
        return getattr(event, name, None)
    except TypeError:  # it says nothing at all
        return None


def _say(said: Mapping[str, bool], key: str, so: object) -> dict[str, bool]:
    rest = {name: is_so for name, is_so in said.items() if name != key}
    return {**rest, key: so == "true"} if so else rest
