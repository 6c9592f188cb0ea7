"""What the command line writes: any letter on any screen, and JSON that is whole or not there."""

from __future__ import annotations

import codecs
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from dynrefer.errors import InputError
from dynrefer.files.atomic import written_whole


def prepare_streams() -> None:
    """Let the screen write a letter that it does not have as its code, instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def ended_politely() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does, so that what was done is kept, and stdout be closed by its reader.

    What still waits for stdout is written before the end, where a reader that has gone is no error.
    """
    is_main = threading.current_thread() is threading.main_thread()
    former = signal.signal(signal.SIGTERM, _interrupt) if is_main else None
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        close_stdout()
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, former)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def show(text: str, needed: bool = True, end: str = "\n") -> None:
    """Write a text and `end` to stdout, at once.

    Where nobody reads stdout any more, that is a BrokenPipeError if the text is `needed`, else nothing.
    Raises InputError where it cannot be written for another reason, for example to a full disk.
    """
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        close_stdout()
        if needed:
            raise
    except OSError as error:
        close_stdout()
        raise InputError(f"the answers cannot be written to the output ({error.strerror or error})") from error


def close_stdout() -> None:
    """Send all further output nowhere, so that the end of the program does not fail on it."""
    if sys.stdout is not None:  # it is where the program was started without one
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class JsonList:
    """A list of records in JSON, written one by one."""

    def __init__(self, write: Callable[[str], object], ascii_only: bool = False) -> None:
        self._write = write
        self._ascii_only = ascii_only
        self._before = "["

    def begin(self) -> None:
        """Write the beginning before there is a record, so that a full disk is found before any work."""
        self._write(self._before)
        self._before = ""

    def add(self, record: Mapping[str, Any]) -> None:
        """Write one record."""
        text = json.dumps(record, indent=2, ensure_ascii=self._ascii_only, allow_nan=False)
        self._write(f"{self._before}\n{text}")
        self._before = ","

    def end(self) -> None:
        """Write the end of the list."""
        self._write("\n]\n" if self._before == "," else f"{self._before}]\n")


@contextmanager
def json_list(target: str | None) -> Iterator[JsonList | None]:
    """A list for a file, for stdout ("-") or for nowhere (None: no list).

    The file is opened first, written aside, and takes its place when the block ends well; else it stays as it was.
    Raises InputError where it cannot be written, before the block or for a full disk at its end.
    """
    if target is None:
        yield None
    elif target == "-":
        written = JsonList(partial(show, end=""), not _holds_all_letters(sys.stdout))
        yield written
        written.end()
    else:
        yield from _json_file(Path(target))


@contextmanager
def journal(target: Path | None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """What notes records down as they come, one a line in `TARGET.unfinished.jsonl`, until the block ends well.

    A program that is killed, or cannot write `target`, leaves that file. Raises InputError where it cannot be written.
    """
    if target is None:
        yield lambda _: None
        return
    path = target.with_name(f"{target.name}.unfinished.jsonl")
    try:
        stream = path.open("w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error

    def note(record: Mapping[str, Any]) -> None:
        print(json.dumps(record, ensure_ascii=False, allow_nan=False), file=stream, flush=True)

    with stream:
        try:
            yield note
        except BaseException:
            if not path.stat().st_size:
                path.unlink()
            raise
    path.unlink()


def _json_file(path: Path) -> Iterator[JsonList]:
    if path.is_dir():
        raise InputError(f"the JSON cannot be written to {path}: it is a folder")
    if path.exists() and not os.access(path, os.W_OK):
        raise InputError(f"the JSON cannot be written to {path}: it is protected")
    if path.exists() and not path.is_file():  # a device or a pipe: nothing can take its place
        try:
            yield from _written_to(path)
        except OSError as error:
            raise InputError(f"the JSON cannot be written to {path}: {error.strerror or error}") from error
        return
    with written_whole(path.resolve()) as aside:
        yield from _written_to(aside)


def _written_to(path: Path) -> Iterator[JsonList]:
    """A list in a file, in which each record is as soon as it is added."""
    with path.open("w", encoding="utf-8", errors="backslashreplace") as stream:

        def write(text: str) -> None:
            stream.write(text)
            stream.flush()

        written = JsonList(write)
        written.begin()
        yield written
        written.end()


def _holds_all_letters(stream: TextIO) -> bool:
    try:
        return codecs.lookup(stream.encoding or "").name.startswith("utf-")
    except (LookupError, AttributeError):  # AttributeError: there is no stream
        return False
