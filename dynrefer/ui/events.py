"""What an event of the page says to its handler, and what is said on the page where the handler fails."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import gradio as gr

from dynrefer.errors import InputError
from dynrefer.server.programs import sentence

Function = TypeVar("Function", bound=Callable[..., Any])


def in_words(handler: Function) -> Function:
    """Let an event's `handler` tell its user what went wrong: InputError as it reads, all else in one kind sentence."""

    @functools.wraps(handler)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with _told_in_words(handler.__name__):
            return handler(*args, **kwargs)

    @functools.wraps(handler)
    def wrapped_generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
        with _told_in_words(handler.__name__):
            yield from handler(*args, **kwargs)

    return wrapped_generator if inspect.isgeneratorfunction(handler) else wrapped  # type: ignore[return-value]


@contextmanager
def _told_in_words(name: str) -> Iterator[None]:
    try:
        yield
    except gr.Error:
        raise
    except Exception as error:
        title = "Please check" if isinstance(error, InputError) else "Error"
        raise gr.Error(sentence(error, name), title=title, print_exception=False) from None


def told(event: gr.EventData, name: str) -> Any:
    """What a component's event says under `name`, None where it says nothing."""
    try:
        return getattr(event, name, None)
    except TypeError:  # it says nothing at all
        return None
