"""What a run writes: a finished file a shard, which is the checkpoint, and a manifest of what it was asked.

A folder belongs to one run: files that are there under a part's name are finished, everything else is not its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from dynrefer.bulk.parquet import pyarrow
from dynrefer.bulk.storage import OutputFolder
from dynrefer.errors import InputError, shown
from dynrefer.files.atomic import lock
from dynrefer.files.text import utf8

Format = Literal["jsonl", "parquet"]
MANIFEST, LOCK = "manifest.json", ".describe.lock"
ROWS_TOGETHER = 256
PART = re.compile(r"part-(\d{5,})\.(?:jsonl|parquet)")
UNFINISHED = re.compile(r"\.part-\d{5,}\.(?:jsonl|parquet)\.new-\w+")  # as `written_whole` calls it
CALLED = {
    "model": "--model",
    "question": "the options",
    "what": "what to describe",
    "boxes": "the file of boxes",
    "format": "--format",
    "shard_size": "--shard-size",
}
ROW: dict[str, Any] = dict.fromkeys(
    [
        *("photo", "digest", "region", "id", "box", "prompt", "caption", "classes", "none_of_these", "sure", "tags"),
        *("attributes", "views", "notes", "timing_ms", "model", "fingerprint", "error"),
    ]
)
"""Every row's columns, empty."""
STAGES = ("views", "encode", "fuse", "tags", "classes and attributes", "caption", "total")


@dataclass
class Manifest:
    """What a run was asked, and its plans: the first, then one for each time that photographs were added."""

    asked: dict[str, Any]
    """Options that have to stay the same, JSON values by name."""
    plans: list[dict[str, Any]] = field(default_factory=list)
    """Each the `first` part's number, the `digest` of the input's listing, and for each of its `parts` what of a tar or
    Parquet file it holds, None for photographs that are files."""

    @property
    def next_part(self) -> int:
        """The number after all that are planned."""
        return max((plan["first"] + len(plan["parts"]) for plan in self.plans), default=0)

    def described(self, finished: Collection[int]) -> set[str]:
        """What of tars and Parquet files the finished parts hold."""
        planned = ((plan["first"] + n, part) for plan in self.plans for n, part in enumerate(plan["parts"]))
        return {part for number, part in planned if part is not None and number in finished}

    def check(self, asked: Mapping[str, Any], folder: str) -> None:
        """Raise InputError, naming the difference, where a run in `folder` was asked something else."""
        for name, value in asked.items():
            if self.asked.get(name) != value:
                was, now = (shown(text, 100) for text in _difference(self.asked.get(name), value))
                raise InputError(
                    f"{shown(folder, 200)} holds a run with another value for {CALLED.get(name, name)} "
                    f"({was}, now {now}); choose another --out, or ask the same"
                )


def _difference(was: object, now: object) -> tuple[str, str]:
    """Two JSON values as a person reads them, of objects what differs."""
    if not isinstance(was, dict) or not isinstance(now, dict):
        return json.dumps(was, ensure_ascii=False), json.dumps(now, ensure_ascii=False)
    keys = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    told = (", ".join(f"{key} {json.dumps(one.get(key), ensure_ascii=False)}" for key in keys) for one in (was, now))
    return next(told), next(told)


class Output:
    """The folder of one run."""

    def __init__(self, path: str, form: Format) -> None:
        self.folder, self.form = OutputFolder(path), form
        if form == "parquet":
            pyarrow()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from running in the folder. Raises InputError where somebody does, or it cannot be written."""
        if self.folder.is_remote:  # where nothing can be locked, part files still come whole or not at all
            yield
            return
        path = self.folder.path
        busy = f"another run is writing to {shown(path, 200)}; wait for it or choose another --out"
        with lock(Path(path) / LOCK, busy):
            self._clear()
            yield

    def _clear(self) -> None:
        """Remove what a run that was killed here had begun to write."""
        for name in self.folder.names():
            if UNFINISHED.fullmatch(name):
                with suppress(OSError):
                    (Path(self.folder.path) / name).unlink()

    def part(self, number: int) -> str:
        """A part's file name."""
        return f"part-{number:05d}.{self.form}"

    def finished(self) -> set[int]:
        """Numbers of the parts that are there."""
        return {int(found[1]) for name in self.folder.names() if (found := PART.fullmatch(name))}

    def manifest(self) -> Manifest | None:
        """Of the run that the folder holds. Raises InputError where it is damaged, or parts are there without one."""
        names, called = self.folder.names(), shown(self.folder.path, 200)
        if MANIFEST not in names:
            if any(PART.fullmatch(name) for name in names):
                raise InputError(f"{called} has parts of a run but no {MANIFEST}; choose another --out")
            return None
        with self.folder.read(MANIFEST) as file:
            try:
                return Manifest(**json.load(file))
            except (ValueError, TypeError) as error:
                raise InputError(f"{MANIFEST} in {called} is damaged; choose another --out") from error

    def save(self, manifest: Manifest) -> None:
        """Write the manifest."""
        with self.folder.write(MANIFEST) as path:
            path.write_text(
                json.dumps(vars(manifest), indent=2, ensure_ascii=False) + "\n",
                encoding="utf-8",
                errors="backslashreplace",
            )

    def photographs(self) -> set[str]:
        """Names of all photographs in finished parts."""
        return {row["photo"] for row in self._rows("photo")}

    def failed(self) -> list[tuple[str, str]]:
        """Photograph and sentence of every row with an error in finished parts."""
        return [(row["photo"], row["error"]) for row in self._rows("photo", "error") if row["error"] is not None]

    def _rows(self, *columns: str) -> Iterator[dict[str, Any]]:
        """The rows of finished parts, with these columns at least."""
        for number in sorted(self.finished()):
            with self.folder.read(self.part(number)) as file:
                if self.form == "parquet":
                    yield from pyarrow().read_table(file, columns=list(columns)).to_pylist()
                else:
                    yield from map(json.loads, file)

    def write(self, number: int, rows: Iterator[Mapping[str, Any]]) -> None:
        """A part of rows with the columns of ROW, which is there once it is whole. Raises InputError on a full disk."""
        with self.folder.write(self.part(number)) as path:
            if self.form == "parquet":
                _write_table(path, rows)
            else:
                with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
                    stream.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def _write_table(path: Path, rows: Iterator[Mapping[str, Any]]) -> None:
    schema = arrow_schema()
    with pyarrow().ParquetWriter(path, schema, compression="zstd") as table:
        while part := [_as_text(row) for row in islice(rows, ROWS_TOGETHER)]:
            table.write_table(pyarrow("pyarrow").Table.from_pylist(part, schema))


def _as_text(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose names of files are text, also where those of another system are none."""
    return {**row, **{key: utf8(row[key]).decode() for key in ("photo", "error") if row.get(key)}}


def arrow_schema() -> Any:
    """The columns of ROW with their types, as Parquet has them."""
    pa = pyarrow("pyarrow")
    text, number, score = pa.string(), pa.float64(), pa.float32()
    named = pa.list_(pa.struct([("name", text), ("score", score)]))
    attributes = pa.list_(pa.struct([("name", text), ("type", text), ("score", score)]))
    views = pa.list_(pa.struct([("t", score), ("box", pa.list_(number)), ("gain", score), ("rank", pa.int32())]))
    types = {
        **dict.fromkeys(ROW, text),
        "region": pa.int64(),
        "box": pa.list_(number),
        "prompt": pa.struct([("kind", text), ("words", text), ("score", score)]),
        "caption": pa.struct([("text", text), ("score", score)]),
        "classes": named,
        "none_of_these": score,
        "sure": pa.bool_(),
        "tags": named,
        "attributes": attributes,
        "views": views,
        "notes": pa.list_(text),
        "timing_ms": pa.struct([(stage, score) for stage in STAGES]),
    }
    return pa.schema(list(types.items()))
