"""The parts of an input, and what each holds: photographs as files, rows of Parquet, or samples of WebDataset tars.

A shard is described as a whole, by one process, into one output file. It names what it holds and reads it only there.
"""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Self

from dynrefer.bulk.parquet import Columns, parquet
from dynrefer.bulk.storage import in_words, is_remote, joined, opened
from dynrefer.errors import InputError, LeftOut
from dynrefer.files.decoding import MAX_FILE_MEGABYTES
from dynrefer.files.photo_files import PHOTO_ENDINGS, absent
from dynrefer.formats.box_files import BoxFile, PhotoBoxes

READERS = 8  # files that are read at a time, since one far away takes long to begin
MOST_BYTES = MAX_FILE_MEGABYTES * 2**20

Boxes = Callable[[], BoxFile]


@dataclass(frozen=True)
class Entry:
    """One photograph of a shard: what it is called, its file's bytes or why there are none, and its boxes if any.

    `first` is the number of its first region, for a table with a row a box.
    """

    photo: str
    content: bytes | InputError
    boxes: Boxes | None = None
    first: int = 0


@dataclass(frozen=True)
class FileShard:
    """Photographs that are files: their names, relative to `root`, and boxes from a file of them."""

    root: str
    names: tuple[str, ...]
    boxes: Mapping[str, list[PhotoBoxes]] | None = None
    left_out: tuple[LeftOut, ...] = ()
    """Records of the box file without a photograph."""

    def __len__(self) -> int:
        return len(self.names)

    def without(self, photographs: Collection[str]) -> list[FileShard]:
        """The same without these; nothing where nothing is left."""
        names = tuple(name for name in self.names if name not in photographs)
        left_out = tuple(left for left in self.left_out if left.photograph not in photographs)
        return [replace(self, names=names, left_out=left_out)] if names or left_out else []

    def entries(self) -> Iterator[Entry]:
        """The photographs in order, read a few ahead."""
        with ThreadPoolExecutor(READERS, "read") as pool:
            waiting = deque(pool.submit(_content, joined(self.root, name)) for name in self.names[: 2 * READERS])
            for place, name in enumerate(self.names):
                content = waiting.popleft().result()
                if place + 2 * READERS < len(self.names):
                    waiting.append(pool.submit(_content, joined(self.root, self.names[place + 2 * READERS])))
                yield Entry(name, content, self._boxes_of(name))
        for left in self.left_out:
            yield Entry(
                left.photograph, InputError(f"{left.annotation}: {left.reason}" if left.annotation else left.reason)
            )

    def _boxes_of(self, name: str) -> Boxes | None:
        if self.boxes is None:
            return None
        return partial(BoxFile, "the file of boxes", self.boxes[name])


def _content(path: str) -> bytes | InputError:
    try:
        with in_words(path):
            if not is_remote(path) and not Path(path).is_file():  # a pipe would be waited for
                raise absent(Path(path))
        with opened(path) as file:
            return file.read(MOST_BYTES + 1)  # longer than what is taken, it is refused as too large
    except InputError as error:
        return error


@dataclass(frozen=True)
class ParquetShard:
    """Rows of a Parquet file, from `start` up to `stop`, with the photographs inside or named relative to `root`."""

    root: str
    file: str
    start: int
    stop: int
    total: int
    columns: Columns

    @property
    def part(self) -> str:
        """Names its content."""
        return f"{self.file}:{self.start}-{self.stop}/{self.total}"

    def __len__(self) -> int:
        return self.stop - self.start

    def entries(self) -> Iterator[Entry]:
        """A photograph a row; rows with a box each that follow one another on one photograph are one."""
        for _, group in groupby(self._rows(), lambda row: self._name(*row) if self.columns.row_is_box else row[0]):
            numbers, rows = zip(*group, strict=True)
            yield self._entry(numbers[0], rows)

    def _rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        with opened(joined(self.root, self.file)) as file:
            table, first = parquet(file, self.file), 0
            if table.metadata.num_rows != self.total:
                raise InputError(f"{self.file} has changed since this run began")
            for group in range(table.num_row_groups):
                count = table.metadata.row_group(group).num_rows
                if first >= self.stop or first + count <= self.start:
                    first += count
                    continue
                for batch in table.iter_batches(64, [group], self.columns.read):
                    if first < self.stop and first + len(batch) > self.start:
                        numbered = enumerate(batch.to_pylist(), start=first)
                        yield from ((number, row) for number, row in numbered if self.start <= number < self.stop)
                    first += len(batch)

    def _name(self, number: int, row: Mapping[str, Any]) -> str:
        return self.columns.name(row) or f"{self.file}#{number}"

    def _entry(self, number: int, rows: Sequence[Mapping[str, Any]]) -> Entry:
        name = self._name(number, rows[0])
        boxes = [box for row in rows for box in self.columns.boxes(row)]
        given = (
            partial(BoxFile.parse, json.dumps(boxes, default=_plain), f"row {number} of {self.file}") if boxes else None
        )
        content = self.columns.content(rows[0])
        if content is None:
            content = _content(joined(self.root, name))
        return Entry(name, content, given, number if self.columns.row_is_box else 0)


@dataclass(frozen=True)
class TarShard:
    """A WebDataset tar: samples of files with one stem, of which one is the photograph and `.json` has the boxes."""

    root: str
    file: str

    @property
    def part(self) -> str:
        """Names its content."""
        return self.file

    def __len__(self) -> int:
        return 0  # not known before it is read

    def entries(self) -> Iterator[Entry]:
        """A photograph a sample. Raises InputError where the tar cannot be read to its end."""
        seen: set[str] = set()
        with (
            opened(joined(self.root, self.file)) as file,
            tarfile.open(fileobj=file, mode="r|*", tarinfo=_Member) as tar,
        ):
            sample = _Sample("")
            for member in tar:
                if not member.isfile() or posixpath.basename(member.name).startswith("."):
                    continue
                stem, ending = _stem_and_ending(member.name)
                if stem != sample.stem:
                    yield from sample.entries(self.file, seen)
                    sample = _Sample(stem)
                if ending in PHOTO_ENDINGS or ending == ".json":
                    content = tar.extractfile(member)
                    assert content is not None
                    sample.files.append((ending, content.read(MOST_BYTES + 1)))
            yield from sample.entries(self.file, seen)


def _plain(value: object) -> float | str:
    """A cell of a kind that JSON does not have: decimal numbers as such, days and all else as text."""
    return float(value) if isinstance(value, Decimal) else str(value)


class _Member(tarfile.TarInfo):
    """A file of a tar that has to end with its end mark: without it the tar was cut off."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        if len(buf) != tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it ends in the middle")
        return super().frombuf(buf, encoding, errors)


@dataclass
class _Sample:
    stem: str
    files: list[tuple[str, bytes]] = field(default_factory=list)
    """Endings and contents."""

    def entries(self, tar: str, seen: set[str]) -> Iterator[Entry]:
        """The sample's photograph; `seen` are the stems before."""
        if not self.stem:
            return
        photographs = [file for file in self.files if file[0] != ".json"]
        name = f"{tar}/{self.stem}"
        if self.stem in seen:
            yield Entry(name, InputError("another sample of this tar has the same name, and was described before"))
            return
        seen.add(self.stem)
        if len(photographs) != 1:
            count = len(photographs)
            yield Entry(name, InputError(f"the sample has {count or 'no'} photograph{'s'[: count != 1]}, not one"))
            return
        ending, content = photographs[0]
        described = next((content for ending, content in self.files if ending == ".json"), None)
        yield Entry(name + ending, content, None if described is None else partial(_described, described, name))


def _described(data: bytes, name: str) -> BoxFile:
    try:
        return BoxFile.parse(data.decode(), f"{name}.json")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}.json is not a text in UTF-8") from error


def _stem_and_ending(name: str) -> tuple[str, str]:
    """As WebDataset has it: the stem goes up to the first dot of the file's name."""
    folder, _, base = name.removeprefix("./").rpartition("/")
    stem, dot, ending = base.partition(".")
    return posixpath.join(folder, stem), (dot + ending).lower()


Shard = FileShard | ParquetShard | TarShard
