"""Where a question meets the model: the GPU lease of a Space, and errors told in words."""

import functools
import importlib
import importlib.util
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import gradio as gr

from dynrefer.errors import InputError

# Has to be imported before CUDA is first used; only ZeroGPU Spaces have it.
spaces = importlib.import_module("spaces") if importlib.util.find_spec("spaces") else None

logger = logging.getLogger(__name__)
Function = TypeVar("Function", bound=Callable[..., Any])

UNEXPECTED = "Something went wrong here, which is not your fault. Please try again, or with another photograph."


def on_gpu(function: Function) -> Function:
    """Let `function` run where ZeroGPU lends a GPU; elsewhere it stays as it is.

    On ZeroGPU it runs in a forked process: arguments and results are pickled, and what it caches is lost.
    """
    return spaces.GPU(function) if spaces else function


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


def sentence(error: Exception, name: str) -> str:
    """What a user is told about an error in the handler `name`; one that is no InputError is logged."""
    if isinstance(error, InputError):
        return str(error)
    logger.error("unexpected error in %s", name, exc_info=error)
    return UNEXPECTED
