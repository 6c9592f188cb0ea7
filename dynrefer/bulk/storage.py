"""Files wherever fsspec reaches: on this machine, or behind s3://, gs://, hf:// and the like."""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fsspec.core import url_to_fs

from dynrefer.errors import InputError, LeftOut, shown
from dynrefer.files.atomic import written_whole
from dynrefer.files.photo_files import photographs_in

CREDENTIALS = ("credential", "unauthorized", "forbidden", "access denied", "accessdenied", "401", "403")


def is_remote(path: str) -> bool:
    """Whether a path names a file system by its scheme."""
    return "://" in path


def joined(root: str, name: str) -> str:
    """The path of a file below `root`; a name that is absolute or an address stands for itself."""
    return name if is_remote(name) or not root else posixpath.join(root, name)


@contextmanager
def in_words(path: str) -> Iterator[None]:
    """Let whatever a file system raises about `path` reach the user as one sentence."""
    scheme = path.partition("://")[0]
    try:
        yield
    except InputError:
        raise
    except ImportError as error:
        raise InputError(f"{scheme}:// needs a package that is not installed here ({shown(error, 100)})") from error
    except FileNotFoundError as error:
        raise InputError(f"there is nothing at {shown(path, 200)}") from error
    except Exception as error:  # every file system has its own
        words = f"{type(error).__name__} {error}"
        if not is_remote(path):
            words = getattr(error, "strerror", None) or str(error) or words
        if is_remote(path) and (isinstance(error, PermissionError) or any(w in words.lower() for w in CREDENTIALS)):
            raise InputError(
                f"{shown(path, 200)} cannot be read without credentials, or not with those that are set "
                f"({shown(words, 100)}); see docs/scale.md for where {scheme}:// looks for them"
            ) from error
        raise InputError(f"{shown(path, 200)} cannot be read ({shown(words, 100)})") from error


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """A file, to be read. Raises InputError where it cannot be, inside the block as well."""
    with in_words(path):
        if not is_remote(path):
            with Path(path).open("rb") as file:
                yield file
            return
        system, inside = url_to_fs(path)
        with system.open(inside, "rb") as file:
            yield file


def size_of(path: str) -> int:
    """Bytes of a file."""
    with in_words(path):
        system, inside = url_to_fs(path)
        return int(system.size(inside) or 0)


def is_folder(path: str) -> bool:
    """Whether files may lie below this path."""
    if not is_remote(path):
        return Path(path).is_dir()
    with in_words(path):
        system, inside = url_to_fs(path)
        return bool(system.isdir(inside))


def files_below(root: str, endings: frozenset[str], left_out: list[LeftOut]) -> list[str]:
    """Names of the files with one of these endings at any depth of a folder, relative to it, in order.

    Folders that cannot be looked into are `left_out`.
    """
    if not is_remote(root):
        folder, closed = Path(root), dict[Path, str]()
        found = sorted(p.relative_to(folder).as_posix() for p in photographs_in(folder, endings, closed.__setitem__))
        left_out += [
            LeftOut(path.relative_to(folder).as_posix(), "", f"the folder {why}") for path, why in closed.items()
        ]
        return found
    with in_words(root):
        system, inside = url_to_fs(root)
        inside = inside.rstrip("/")
        names = (str(path)[len(inside) :].lstrip("/") for path in system.find(inside))
        meant = (name for name in names if posixpath.splitext(name)[1].lower() in endings)
        return sorted(name for name in meant if not any(part.startswith(".") for part in name.split("/")))


class OutputFolder:
    """A folder whose files are written whole or not at all; behind an address, where it is reached by fsspec."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.is_remote = is_remote(path)
        self._system: Any = None
        self._inside = path
        if self.is_remote:
            with in_words(path):
                self._system, self._inside = url_to_fs(path.rstrip("/"))
        elif Path(path).exists() and not Path(path).is_dir():
            raise InputError(f"the output must be a folder, and {shown(path, 200)} is a file")

    def names(self) -> list[str]:
        """Of the files that lie in it; none where it does not exist yet."""
        if not self.is_remote:
            folder = Path(self.path)
            return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        with in_words(self.path):
            self._system.invalidate_cache()
            try:
                found = self._system.find(self._inside, maxdepth=1)
            except FileNotFoundError:
                return []
            return sorted(posixpath.basename(path) for path in found)

    @contextmanager
    def read(self, name: str) -> Iterator[IO[bytes]]:
        """One of its files."""
        with opened(joined(self.path, name)) as file:
            yield file

    @contextmanager
    def write(self, name: str) -> Iterator[Path]:
        """A path on this machine to write to; the file is there under its name once the block ended well.

        Raises InputError, for example because the disk is full.
        """
        if not self.is_remote:
            with written_whole(Path(self.path) / name) as aside:
                yield aside
            return
        with tempfile.TemporaryDirectory(prefix="dynrefer-") as folder:
            aside = Path(folder) / name
            try:
                yield aside
            except OSError as error:
                raise InputError(f"{name} could not be written on this machine ({error.strerror or error})") from error
            with in_words(self.path):
                self._system.put_file(str(aside), f"{self._inside}/{name}")
