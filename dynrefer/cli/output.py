"""What the command line writes: any letter on any screen, and JSON that is whole or not there."""

from __future__ import annotations

import codecs
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from dynrefer.errors import InputError, shown
from dynrefer.files.atomic import FULL, written_whole
from dynrefer.files.text import parse_jsonl

if TYPE_CHECKING:  # torch comes with it, and `--help` needs none
    from dynrefer.results import RegionResult


def prepare_streams() -> None:
    """Let a screen that lacks a letter show its code, instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def ended_politely() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does, so that what was done is kept, and stdout be closed by its reader.

    What still waits for stdout is written before the end, where a reader that has gone is no error.
    """
    is_main = threading.current_thread() is threading.main_thread()
    former = signal.signal(signal.SIGTERM, signal.default_int_handler) if is_main else None
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        close_stdout()
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, former)


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


Add = Callable[[Mapping[str, Any]], None]
"""Writes one more record of a list."""


@contextmanager
def json_list(target: str | None) -> Iterator[Add | None]:
    """A list of records in JSON, written one by one: to a file, to stdout ("-") or nowhere (None: nothing to add to).

    The file is opened first, written aside, and takes its place when the block ends well; else it stays as it was.
    Raises InputError where it cannot be written, before the block or for a full disk at its end.
    """
    if target is None:
        yield None
    elif target == "-":
        yield from _listed(partial(show, end=""), not _holds_all_letters(sys.stdout))
    else:
        yield from _json_file(Path(target))


def _listed(write: Callable[[str], object], ascii_only: bool = False, begun: bool = False) -> Iterator[Add]:
    """A list that is written by `write`; its beginning with the first record, unless that was `begun` before."""
    before = "" if begun else "["

    def add(record: Mapping[str, Any]) -> None:
        nonlocal before
        write(f"{before}\n{json.dumps(record, indent=2, ensure_ascii=ascii_only, allow_nan=False)}")
        before = ","

    yield add
    write("\n]\n" if before == "," else f"{before}]\n")


def check_apart(targets: Iterable[str | Path | None], *sources: Path | None) -> None:
    """Raise InputError where writing to `targets` would destroy a photograph, or one of the `sources`, which are read.

    Targets may be "-" or missing, see `json_list` and `journal`.
    """
    from dynrefer.files.photo_files import PHOTO_ENDINGS

    for path in (Path(target) for target in targets if target is not None):
        if not path.is_file():
            continue
        is_read = any(source is not None and source.exists() and path.samefile(source) for source in sources)
        if is_read or path.suffix.lower() in PHOTO_ENDINGS:
            what = "is read, and would be lost" if is_read else "is a photograph, which would be lost"
            raise InputError(f"{shown(path.name)} {what}; name another file to write to")


@dataclass
class Journal:
    """Records by what was asked, those of a former run that did not end among them."""

    name: str
    known: dict[str, RegionResult]
    stream: TextIO
    is_done: bool = True
    """Whether nobody will want to go on from it."""

    def note(self, record: Mapping[str, Any], asked: str) -> None:
        """Note a record down, safe from the end of the program; where `asked` is "", nobody can find it again."""
        line = json.dumps({**record, "asked": asked}, ensure_ascii=False, allow_nan=False)
        print(line, file=self.stream, flush=True)


@contextmanager
def journal(target: Path | None) -> Iterator[Journal | None]:
    """The journal of the answers for `target`, one a line in `TARGET.unfinished.jsonl`; None where there is no target.

    It is there until the block ends well: a program that is killed, or cannot write `target`, leaves it, and the next
    one goes on from it. Raises InputError where it cannot be written.
    """
    if target is None:
        yield None
        return
    path = target.with_name(f"{target.name}.unfinished.jsonl")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        former = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        stream = path.open("a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
    kept = Journal(path.name, _known(former), stream)
    try:
        with stream:
            if former and not former.endswith("\n"):
                print(file=stream)  # the program was killed while it wrote a line
            try:
                yield kept
            except BaseException:
                if not path.stat().st_size:
                    path.unlink()
                raise
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        raise InputError(f"the disk is full: {path} could not be written; free some space") from error
    if kept.is_done:
        path.unlink()


def _known(lines: str) -> dict[str, RegionResult]:
    """The answers of a journal; lines that were cut off are passed over."""
    from dynrefer.results import RegionResult

    found: dict[str, RegionResult] = {}
    for _, line in parse_jsonl(lines, "", on_bad=lambda _: None):
        if line.get("asked"):
            with suppress(InputError):
                found[str(line["asked"])] = RegionResult.from_dict(line)
    return found


def _json_file(path: Path) -> Iterator[Add]:
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


def _written_to(path: Path) -> Iterator[Add]:
    """A list in a file, which has each record as soon as it is added; a full disk is found before there is any."""
    with path.open("w", encoding="utf-8", errors="backslashreplace") as stream:

        def write(text: str) -> None:
            stream.write(text)
            stream.flush()

        write("[")
        yield from _listed(write, begun=True)


def _holds_all_letters(stream: TextIO) -> bool:
    try:
        return codecs.lookup(stream.encoding or "").name.startswith("utf-")
    except (LookupError, AttributeError):  # AttributeError: there is no stream
        return False
