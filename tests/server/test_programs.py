"""The GPU lease of a Space, and errors told in words."""

import importlib
import inspect
import logging
import multiprocessing
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pytest

from dynrefer.errors import InputError
from dynrefer.server import programs
from dynrefer.ui.events import in_words


def forking(function: Callable[..., Any]) -> Callable[..., Any]:
    """What the decorator of `spaces` does: every call runs in a forked process, results come back pickled."""

    def lease(work: Callable[[Callable[[Any], None]], None]) -> Iterator[Any]:
        context = multiprocessing.get_context("fork")
        results = context.SimpleQueue()

        def run() -> None:
            work(lambda result: results.put((result,)))
            results.put(None)

        worker = context.Process(target=run)
        worker.start()
        while answer := results.get():
            yield answer[0]
        worker.join()

    def call(*args: Any, **kwargs: Any) -> Any:
        (answer,) = lease(lambda give: give(function(*args, **kwargs)))
        return answer

    def call_generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
        yield from lease(lambda give: [give(result) for result in function(*args, **kwargs)])  # type: ignore[arg-type]

    return call_generator if inspect.isgeneratorfunction(function) else call


@pytest.fixture
def zero_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine on which the package `spaces` is installed."""
    module = types.ModuleType("spaces")
    module.GPU = forking  # type: ignore[attr-defined]
    module.__spec__ = importlib.machinery.ModuleSpec("spaces", None)
    monkeypatch.setitem(sys.modules, "spaces", module)
    importlib.reload(programs)
    yield
    monkeypatch.undo()
    importlib.reload(programs)


@pytest.mark.usefixtures("zero_gpu")
def test_on_zero_gpu_the_computing_function_runs_in_the_leased_process() -> None:
    seen: list[int] = []

    def count(number: int) -> int:
        seen.append(number)
        return number + 1

    assert programs.on_gpu(count)(41) == 42
    assert seen == []


def test_elsewhere_a_function_stays_as_it_is() -> None:
    assert programs.on_gpu(len) is len


def test_an_input_error_is_told_in_its_own_words() -> None:
    @in_words
    def fail() -> None:
        raise InputError("the box lies outside")

    with pytest.raises(gr.Error, match="box lies outside"):
        fail()


def test_an_unexpected_error_is_logged_and_told_without_details(caplog: pytest.LogCaptureFixture) -> None:
    @in_words
    def fail() -> Iterator[int]:
        yield 1
        raise RuntimeError("/secret/path")

    answers = fail()
    assert next(answers) == 1
    with caplog.at_level(logging.ERROR), pytest.raises(gr.Error) as told:
        next(answers)
    assert "/secret/path" not in str(told.value)
    assert "/secret/path" in caplog.text
