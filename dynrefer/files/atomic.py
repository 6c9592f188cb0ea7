"""Files and folders that are written whole or not at all, whatever ends the program and whenever; and by one alone."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dynrefer.errors import InputError, shown
from dynrefer.files.text import utf8

if TYPE_CHECKING:
    from filelock import AcquireReturnProxy

LONGEST_NAME = 220  # bytes; most systems allow 255 together with what is put round it
STALE_SECONDS = 24 * 3600  # a temporary file of that age belongs to a program that was killed
FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


@contextmanager
def written_whole(path: str | Path, folder: bool = False) -> Iterator[Path]:
    """A temporary file (or an empty folder) beside `path` to write into; it takes its place once it is safely on disk.

    When anything fails, what was there before stays and the temporary one is removed. A program that is killed leaves
    the old or the new one: a folder is replaced by two renames, and `restored` undoes one without the other.

    Args:
        path: need not exist; its parent folders are made.
        folder: write a folder, replacing a whole former one.

    Raises:
        InputError: one sentence when it cannot be written, for example because the disk is full.
    """
    path = Path(path)
    temporary = _aside(path, f"new-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        restored(path)
        _remove_stale(path)
        if folder:
            temporary.mkdir()
        yield temporary
        for written in [*temporary.rglob("*"), temporary] if folder else [temporary]:
            _sync(written)
        if folder:
            _replace_folder(temporary, path)
        else:
            temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise InputError(_sentence(path, error)) from error
    finally:
        _remove(temporary)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, UTF-8 where it is text, as `written_whole` does. Raises InputError where it cannot be written."""
    with written_whole(path) as temporary:
        temporary.write_bytes(utf8(content) if isinstance(content, str) else content)


def restored(path: Path) -> Path:
    """The path itself, after bringing back its folder where a program was killed while it was being replaced."""
    former = _former(path)
    if former.is_dir() and not path.exists():
        with contextlib.suppress(OSError):  # another program was faster
            former.rename(path)
    return path


def _replace_folder(temporary: Path, path: Path) -> None:
    former = _former(path)
    if not path.exists():
        temporary.rename(path)
        return
    _remove(former)
    path.rename(former)
    try:
        temporary.rename(path)
    except BaseException:
        former.rename(path)
        raise
    _remove(former)


def _former(path: Path) -> Path:
    """Where a folder waits while its successor takes its place."""
    return _aside(path, "old")


def _aside(path: Path, ending: str) -> Path:
    """A hidden name beside `path`, no longer than systems allow however long its own is."""
    name = path.name
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return path.parent / f".{name}.{ending}"


def _remove_stale(path: Path) -> None:
    """Remove what killed programs left beside `path`."""
    if path.exists():
        _remove(_former(path))
    for temporary in path.parent.glob(glob.escape(_aside(path, "new-").name) + "*"):
        with contextlib.suppress(OSError):
            if time.time() - temporary.stat().st_mtime > STALE_SECONDS:
                _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _sync(path: Path) -> None:
    """Wait until the disk has it; folders cannot be waited for on every system."""
    try:
        number = os.open(path, os.O_RDONLY if os.name == "posix" or path.is_dir() else os.O_RDWR)
    except OSError:
        if path.is_dir():
            return
        raise
    try:
        os.fsync(number)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(number)


def claim(folder: Path) -> Path:
    """The folder, made where it is missing, and seen to be writable before any work is done for it.

    Raises InputError where it is not.
    """
    draft = _aside(folder / "draft", f"new-{secrets.token_hex(4)}")
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft.write_text(" ", encoding="utf-8")
        draft.unlink()
    except OSError as error:
        _remove(draft)  # a full disk holds the name of a file, if not its content
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise unwritable(folder, error) from error
    return folder


def lock(file: Path, busy: str) -> AcquireReturnProxy:
    """Hold `file`, made with its folder where it is missing, against all other programs until the block ends.

    Raises InputError: `busy` where another program holds it; or it cannot be written.
    """
    from filelock import FileLock, Timeout  # here, since it brings asyncio along

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(file).acquire(timeout=0)
    except Timeout as error:
        raise InputError(busy) from error
    except OSError as error:
        why = error.strerror or error
        raise InputError(f"{shown(file.parent, 200)} cannot be written to ({why}); choose another folder") from error


def unwritable(path: Path, error: OSError) -> InputError:
    """What to say of a run's folder, or of a file in it, that cannot be written."""
    kind = "folder" if path.is_dir() or not path.suffix else "file"
    return InputError(
        f"The {kind} {path} cannot be written ({error.strerror}): make room there or choose another --out."
    )


def _sentence(path: Path, error: OSError) -> str:
    if error.errno in FULL:
        return f"The disk is full: {path} could not be written and nothing was changed; free some space."
    return f"{path} could not be written ({error.strerror or error}); nothing was changed."
