"""What there is to describe: a folder, a list, a box file, Parquet, WebDataset tars -> shards in a fixed order."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from dynrefer.bulk.parquet import Columns, doubled, parquet
from dynrefer.bulk.shards import FileShard, ParquetShard, Shard, TarShard
from dynrefer.bulk.storage import files_below, in_words, is_folder, is_remote, joined, opened, size_of
from dynrefer.errors import InputError, LeftOut, counted, shown
from dynrefer.files.photo_files import PHOTO_ENDINGS, PhotoFinder
from dynrefer.files.text import decode_text
from dynrefer.formats.box_files import BoxFile

PARQUET, TAR, LISTS = frozenset({".parquet"}), frozenset({".tar"}), frozenset({".txt", ".lst", ".list"})
NOTHING = "there is nothing to describe in {}: no photograph, no .parquet and no .tar"


@dataclass(frozen=True)
class Plan:
    """An input's shards in order, and the digest of what it listed."""

    shards: list[Shard]
    digest: str
    photographs: int
    """0 where that is not known before the shards are read."""
    remarks: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    """Folders that cannot be looked into."""

    def without(self, photographs: Collection[str], parts: Collection[str]) -> Plan:
        """What of it is not among the described `photographs`, nor among the described `parts` of tars and Parquet."""
        shards: list[Shard] = []
        for shard in self.shards:
            if isinstance(shard, FileShard):
                shards += shard.without(photographs)
            elif shard.part not in parts:
                _check_unchanged(shard, parts)
                shards.append(shard)
        return replace(self, shards=shards, photographs=sum(map(len, shards)))


def _check_unchanged(shard: TarShard | ParquetShard, parts: Collection[str]) -> None:
    if isinstance(shard, ParquetShard):
        former = [part for part in parts if part.startswith(f"{shard.file}:")]
        if any(not part.endswith(f"/{shard.total}") for part in former):
            raise InputError(f"{shard.file} has changed since it was described; put the new rows into another file")


def read_input(path: str, shard_size: int, boxes: BoxFile | None, needs_boxes: bool) -> Plan:
    """The shards of an input, of about `shard_size` photographs where it does not say by itself what belongs together.

    Args:
        path: a folder (at any depth), a photograph, a text file with a path a line, a file of boxes, `.parquet` or
            `.tar` files or a folder of them, all here or behind s3://, gs://, hf:// ...; `*` stands for any letters.
        boxes: a file of boxes for photographs in a folder or a list.
        needs_boxes: whether the input has to say where to look.

    Raises InputError: nothing there, nothing to describe, no access, a name that is there twice, no column for it.
    """
    closed: list[LeftOut] = []
    return replace(_planned(path, shard_size, boxes, needs_boxes, closed), left_out=closed)


def _planned(path: str, shard_size: int, boxes: BoxFile | None, needs_boxes: bool, closed: list[LeftOut]) -> Plan:
    root, names = _listed(path, closed)
    if not names:
        raise InputError(NOTHING.format(shown(path, 200)) + (f"; {closed[0]}" if closed else ""))
    ending = posixpath.splitext(names[0])[1].lower()
    if ending in LISTS and len(names) == 1:
        return _of_list(root, names[0], shard_size, boxes, needs_boxes)
    if ending in PHOTO_ENDINGS:
        return _of_files(root, names, shard_size, boxes, needs_boxes)
    if boxes is not None and ending in PARQUET | TAR:
        raise InputError("--boxes is for photographs in a folder or a list; Parquet and tars have their own boxes")
    if ending in PARQUET:
        return _of_parquet(root, names, shard_size, needs_boxes)
    if ending in TAR:
        sizes = {name: size_of(joined(root, name)) for name in names}
        return Plan([TarShard(root, name) for name in names], _digest(sizes.items()), 0)
    if boxes is not None or len(names) > 1 or not needs_boxes:
        raise InputError(NOTHING.format(shown(path, 200)))
    photographs = files_below(root or ".", PHOTO_ENDINGS, closed)
    return _of_files(root, photographs, shard_size, read_boxes(joined(root, names[0])), needs_boxes)


def read_boxes(path: str) -> BoxFile:
    """A file of boxes in any format; a folder or archive of such files only on this machine."""
    if not is_remote(path):
        return BoxFile.read(path)
    with opened(path) as file:
        name = shown(posixpath.basename(path))
        return BoxFile.parse(decode_text(file.read(), name), name)


def _listed(path: str, closed: list[LeftOut]) -> tuple[str, list[str]]:
    """The folder of an input and the names of its files that are of one kind; folders in it that are `closed`."""
    if "*" in path:
        return _matching(path)
    if is_folder(path):
        for kind in (PHOTO_ENDINGS, PARQUET, TAR):
            closed.clear()
            if names := files_below(path, kind, closed):
                return path.rstrip("/"), names
        return path, []
    if not is_remote(path) and not Path(path).exists():
        raise InputError(f"there is nothing at {shown(path, 200)}")
    folder, _, name = path.rpartition("/")
    return folder, [name]


def _matching(pattern: str) -> tuple[str, list[str]]:
    from fsspec.core import url_to_fs

    root = pattern[: pattern.index("*")].rpartition("/")[0]
    with in_words(pattern):
        system, inside = url_to_fs(pattern)
        base = url_to_fs(root or ".")[1].rstrip("/")
        found = sorted(str(path)[len(base) :].lstrip("/") for path in system.glob(inside))
    first = posixpath.splitext(found[0])[1].lower() if found else ""
    kind = next((kind for kind in (PHOTO_ENDINGS, PARQUET, TAR) if first in kind), frozenset({first}))
    if not found:
        raise InputError(f"no file matches {shown(pattern, 200)}")
    return root, [name for name in found if posixpath.splitext(name)[1].lower() in kind]


def _of_list(root: str, file: str, shard_size: int, boxes: BoxFile | None, needs_boxes: bool) -> Plan:
    with opened(joined(root, file)) as stream:
        lines = [line.strip() for line in decode_text(stream.read(), file).splitlines()]
    places: dict[str, int] = {}
    for number, name in enumerate(lines, start=1):
        if name and places.setdefault(name, number) != number:
            raise InputError(f'{file} names "{shown(name)}" twice, in lines {places[name]} and {number}')
    return _of_files(root, list(places), shard_size, boxes, needs_boxes, is_folder=False)


def _of_files(
    root: str, names: Sequence[str], shard_size: int, boxes: BoxFile | None, needs_boxes: bool, is_folder: bool = True
) -> Plan:
    if boxes is None:
        if needs_boxes:
            raise InputError("say where to look: --boxes FILE, --everything, --find WORDS or --whole")
        shards: list[Shard] = [FileShard(root, tuple(part)) for part in _parts(names, shard_size)]
        return Plan(shards, _digest((name, 0) for name in names), len(names))
    is_here = is_folder and not is_remote(root)
    found, left_out = boxes.by_photograph(
        partial(_in_folder, root, names) if is_here else partial(_by_their_ends, names)
    )
    kept = [name for name in names if name in found]
    if not kept:
        why = f": {left_out[0]}" if left_out else ""
        raise InputError(f"{boxes.name} has no box for a photograph in {shown(root, 200)}{why}")
    shards = [FileShard(root, tuple(part), {name: found[name] for name in part}) for part in _parts(kept, shard_size)]
    shards[-1] = FileShard(root, shards[-1].names, shards[-1].boxes, tuple(left_out))  # type: ignore[union-attr]
    without = len(names) - len(kept)
    remarks = [f"Without a box in {boxes.name}, and left alone: {counted(without, 'photograph')}."] if without else []
    listing = ((name, repr([record.box for group in found[name] for record in group.boxes])) for name in kept)
    return Plan(shards, _digest(listing), len(kept), remarks)


Meant = dict[str | int, str | InputError]
"""Which photograph a name means, or why none."""


def _in_folder(root: str, names: Sequence[str], asked: Iterable[str | int]) -> Meant:
    """Photographs of a folder, by names as files of boxes write them, see `PhotoFinder`."""
    finder = PhotoFinder(root or ".")
    known = {finder.identity(Path(joined(root, name))): name for name in names}
    return {
        name: path if isinstance(path, InputError) else known.get(finder.identity(path), _absent(name))
        for name, path in finder.find_all(asked).items()
    }


def _by_their_ends(names: Sequence[str], asked: Iterable[str | int]) -> Meant:
    """Photographs of a list, by their paths or the ends of these."""
    by_end: dict[str, list[str]] = {}
    for name in names:
        parts = name.split("/")
        for start in range(len(parts)):
            by_end.setdefault("/".join(parts[start:]), []).append(name)
    matches = {name: by_end.get(str(name).replace("\\", "/").removeprefix("./"), []) for name in asked}
    return {name: found[0] if len(found) == 1 else _absent(name) for name, found in matches.items()}


def _absent(name: object) -> InputError:
    return InputError(f'the photograph "{shown(name)}" is not in the input, or more than one is called so')


def _of_parquet(root: str, files: Sequence[str], shard_size: int, needs_boxes: bool) -> Plan:
    shards: list[Shard] = []
    listing: list[tuple[str, int]] = []
    rows = 0
    for name in files:
        with opened(joined(root, name)) as file, in_words(name):
            table = parquet(file, name)
            count = table.metadata.num_rows
            columns = Columns.of(table.schema_arrow, name, needs_boxes)
            listing.append((name, count))
            if columns.label is not None and not columns.row_is_box:
                labels = [str(value) for value in table.read([columns.label])[0].to_pylist() if value is not None]
                if twice := doubled(labels):
                    raise InputError(
                        f'{name} has the photograph "{shown(twice)}" in more than one row; one row a photograph is '
                        'needed, with all of its boxes in "boxes"'
                    )
        rows += count
        for start in range(0, count, shard_size):
            stop = min(start + shard_size, count)
            shards.append(ParquetShard(root, name, start, stop, count, columns))
    return Plan(shards, _digest(listing), rows)


def _parts(names: Sequence[str], size: int) -> list[Sequence[str]]:
    return [names[start : start + size] for start in range(0, len(names), size)]


def _digest(listing: Iterable[tuple[str, object]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for entry in listing:
        digest.update(json.dumps(entry).encode() + b"\n")
    return digest.hexdigest()
