"""Finding the photograph that a file means: by its path, name, stem or number."""

from __future__ import annotations

import logging
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from PIL import Image

from dynrefer.errors import InputError, shown
from dynrefer.files.decoding import FORMATS, ORIENTATION
from dynrefer.files.text import is_file

PHOTO_ENDINGS = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .tif .tiff .bmp .dib .ppm .pgm .pbm .pnm .avif .heic .heif".split()
)
EXACT, ANY_CASE, ANY_ENDING, BY_ID = range(4)

logger = logging.getLogger(__name__)
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class PhotoHeader:
    """A photograph's name, sizes (width, height) and EXIF orientation, read without decoding it."""

    name: str
    stored_size: tuple[int, int]
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright photograph."""
        return self.stored_size[::-1] if self.orientation >= 5 else self.stored_size

    @classmethod
    def read(cls, path: Path) -> PhotoHeader:
        """Read a file's header. Raises InputError, naming the file, where it is no photograph."""
        if not is_file(path):
            raise absent(path)
        try:
            with Image.open(path, formats=FORMATS) as image:
                turn = image.getexif().get(ORIENTATION, 1)
                turn = turn if turn in range(1, 9) else 1
                is_upright = image.format == "TIFF" and turn >= 5  # of TIFFs alone Pillow tells the size upright
                return cls(path.name, image.size[::-1] if is_upright else image.size, turn)
        except Exception as error:  # a broken header can raise almost anything inside a decoder
            if isinstance(error, OSError) and error.strerror:
                raise InputError(f"{shown(path.name)} cannot be read ({error.strerror})") from error
            why = "is empty (0 bytes)" if _is_empty(path) else "is not a photograph that can be opened"
            raise InputError(f"{shown(path.name)} {why}") from error


class PhotoFinder:
    """The photographs of a folder, at any depth, by what files of boxes and annotations call them."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def find(self, name: object) -> Path:
        """The photograph called `name`: a path of any system, a web address, a file name or stem, or a number.

        Folders, letter case, the way accents are stored, the image's ending and the zeros before a number may differ;
        the file whose path agrees with the name in most parts from its end is meant.
        Raises InputError where there is none, or where several agree equally well.
        """
        found = [self._best(parts) for parts in readings(name)]
        answers = [path for path in found if isinstance(path, Path)]
        if answers:
            return answers[0]
        raise next((error for error in found if isinstance(error, InputError)), _missing(name, self.root))

    def find_all(self, names: Iterable[Name]) -> dict[Name, Path | InputError]:
        """`find` of every name, or its error; two photographs' names never share one file: the better match has it."""
        found: dict[Name, Path | InputError] = {}
        claims: dict[Path, list[Name]] = defaultdict(list)
        for name in names:
            try:
                found[name] = path = self.find(name)
                claims[path].append(name)
            except InputError as error:
                found[name] = error
        for path, rivals in claims.items():
            if len(rivals) > 1:
                kept = {*best_names(rivals, path), *(name for name in rivals if self._is_path(name, path))}
                found |= {name: _missing(name, self.root) for name in rivals if name not in kept}
        return found

    def identity(self, path: Path) -> str:
        """What a photograph is known by in predictions and exports: its path relative to the folder, with slashes."""
        relative = path.relative_to(self.root) if path.is_relative_to(self.root) else path
        return unicodedata.normalize("NFC", relative.as_posix())

    def _is_path(self, name: object, path: Path) -> bool:
        """Whether a name is the photograph's very path in the folder."""
        return any(self.root.joinpath(*parts) == path for parts in readings(name))

    def _best(self, parts: tuple[str, ...]) -> Path | InputError | None:
        direct = self.root.joinpath(*parts)
        if is_file(direct):
            return direct
        for level in (EXACT, ANY_CASE, ANY_ENDING, BY_ID):
            key = _key(parts[-1], level)
            near = self._index.get((level, key), []) if key else []
            found = self._nearest(parts, near) if near else None
            if found is not None:
                return found
        return None

    def _nearest(self, parts: tuple[str, ...], near: Sequence[Path]) -> Path | InputError | None:
        tails = {path: _tail(parts, self._parts(path)) for path in near}
        longest = max(tails.values())
        best = [path for path in near if tails[path] == longest]
        if longest == 1 and len(parts) > 1:  # only the file's name agrees: not where another folder is named
            best = [] if self._is_elsewhere(parts) else [path for path in best if path.parent == self.root]
        if len(best) > 1:
            places = " and ".join(shown(self.identity(path)) for path in best[:2])
            return InputError(f'"{shown("/".join(parts))}" may be {places}: name the folder too, or the whole name')
        return best[0] if best else None

    def _is_elsewhere(self, parts: tuple[str, ...]) -> bool:
        """Whether the name leads to a file beside or above the folder: then it is that one which is meant."""
        return any(is_file(above.joinpath(*parts)) for above in self.root.absolute().parents)

    def _parts(self, path: Path) -> tuple[str, ...]:
        return (*self._root_parts, *path.relative_to(self.root).parts)

    @cached_property
    def _root_parts(self) -> tuple[str, ...]:
        return self.root.absolute().parts[1:]

    @cached_property
    def _index(self) -> dict[tuple[int, str], list[Path]]:
        index: dict[tuple[int, str], list[Path]] = defaultdict(list)
        for path in photographs_in(self.root):
            for level in (EXACT, ANY_CASE, ANY_ENDING, BY_ID):
                if key := _key(path.name, level):
                    index[level, key].append(path)
        return index


def absent(path: Path) -> InputError:
    """What to say of a path at which there is no file that could be a photograph."""
    name = shown(path.name) or "the path given"  # never the folder: on a server it is nobody's business
    if path == Path():
        return InputError("there is no image; choose a photograph first")
    try:
        if path.is_symlink():
            return InputError(f"{name} is a link that leads to no file; mend it, or put the photograph in its place")
        if path.exists():
            found = f'"{name}" is a folder' if path.is_dir() else f"{name} is no ordinary file"
            return InputError(f"{found}, not an image file")
    except OSError as error:  # a folder above it is locked
        return InputError(f"{name} cannot be read ({error.strerror})")
    if path.parts[:1] in (("http:",), ("https:",)):
        return InputError(f"{name} is at a web address, from which nothing is fetched; save the photograph here first")
    return InputError(f"there is no photograph {name}")


def _say_closed(folder: Path, why: str) -> None:
    logger.warning("The folder %s %s.", folder, why)


def photographs_in(
    root: Path, endings: frozenset[str] = PHOTO_ENDINGS, on_closed: Callable[[Path, str], None] = _say_closed
) -> Iterator[Path]:
    """The image files of a folder and all its folders, in order; links to folders are followed, but not in circles.

    `on_closed` is told of a folder below that cannot be looked into, and why. Raises InputError for `root` itself.
    """

    def closed(error: OSError) -> None:
        why = f"cannot be looked into ({error.strerror})"
        if Path(error.filename) == root:
            raise InputError(f"the folder {shown(root.name)} {why}") from error
        on_closed(Path(error.filename), why)

    seen: set[str] = set()
    for folder, folders, files in os.walk(root, onerror=closed, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            yield from (
                Path(folder, name)
                for name in sorted(files)
                if Path(name.strip()).suffix.lower() in endings and not name.startswith(".")
            )
        seen.add(real)


def best_names(names: Iterable[Name], path: str | Path) -> list[Name]:
    """Those of a file's `names` that mean the photograph at `path`; several only where they are spellings of one name.

    A name that leads elsewhere, or agrees less with the path than another one, is not among them.
    """
    whole = Path(path).absolute().parts[1:]
    agreed: dict[Name, tuple[int, int, tuple[str, ...]]] = {}
    for name in names:
        for parts in readings(name):
            level = next((lvl for lvl in range(4) if _key(parts[-1], lvl) and _same(parts[-1], whole[-1], lvl)), None)
            if level is not None and not _leads_elsewhere(parts, Path(path)):
                agreed[name] = (
                    _tail(parts, whole),
                    -max(level, ANY_CASE),
                    tuple(_key(part, ANY_CASE) for part in parts[:-1]),
                )
                break
    if not agreed:
        return []
    longest = max(tail for tail, _, _ in agreed.values())
    best = {name: rank for name, rank in agreed.items() if rank[0] == longest}
    level = max(rank[1] for rank in best.values())
    best = {name: rank for name, rank in best.items() if rank[1] == level}
    folders = max((rank[2] for rank in best.values()), key=len)
    one = all(not rank[2] or folders[-len(rank[2]) :] == rank[2] for rank in best.values())
    return list(best) if one else []


def _leads_elsewhere(parts: tuple[str, ...], path: Path) -> bool:
    """Whether a name leads to another file than the photograph, from its folder or the nearest one above."""
    if not is_file(path):
        return False
    meant = next((file for above in path.absolute().parents if is_file(file := above.joinpath(*parts))), path)
    return not meant.samefile(path)


def readings(name: object) -> list[tuple[str, ...]]:
    """The parts of a name's path, as it stands and as a web address; none where it is no name."""
    if isinstance(name, bool) or not isinstance(name, str | int | float):
        return []
    whole = str(int(name)) if isinstance(name, float) and name.is_integer() else str(name)
    text = whole.strip().strip("\"'")
    readings = list(dict.fromkeys((whole, text)))
    if re.match(r"[A-Za-z][\w+.-]+://", text):
        readings.append(unquote(re.split(r"[?#]", text)[0].partition("://")[2]))
    elif "%" in text:
        readings.append(unquote(text))
    parts = [tuple(p for p in re.split(r"[/\\]+", reading) if p not in ("", ".", "..")) for reading in readings]
    return [reading for reading in parts if reading]


def _key(name: str, level: int) -> str:
    """What two names of one file share at a level; empty where the level says nothing about the name."""
    name = unicodedata.normalize("NFC", name)
    if level == EXACT:
        return name
    name = unicodedata.normalize("NFC", name.casefold().strip())
    if level == ANY_CASE:
        return name
    stem, dot, ending = name.rpartition(".")
    stem = stem if dot + ending in PHOTO_ENDINGS and stem else name
    if level == ANY_ENDING:
        return stem
    number = re.fullmatch(r"(?:coco_\w+_(?=\d{12}$))?(\d+)(?:\.0+)?", stem)
    return str(int(number[1])) if number else ""


def _same(first: str, second: str, level: int) -> bool:
    return _key(first, level) == _key(second, level)


def _tail(name: Sequence[str], path: Sequence[str]) -> int:
    """How many parts agree, from the end; the file names, which were compared before, count as one."""
    count = 1
    for mine, other in zip(name[-2::-1], path[-2::-1], strict=False):
        if not _same(mine, other, ANY_CASE):
            break
        count += 1
    return count


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


def _missing(name: object, root: Path) -> InputError:
    folder = shown(root.absolute().name)
    if isinstance(name, int | float) and not isinstance(name, bool):
        return InputError(f"its file gives no file_name, and no photograph in the folder {folder} is called {name}")
    return InputError(f'the photograph "{shown(name)}" is not in the folder {folder}')
