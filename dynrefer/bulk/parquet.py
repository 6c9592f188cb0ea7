"""Parquet as input: which columns hold photographs, their names and their boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import ModuleType
from typing import IO, Any

from dynrefer.errors import InputError, shown
from dynrefer.files.photo_files import PHOTO_ENDINGS
from dynrefer.files.tables import ALIASES, column_key
from dynrefer.formats.own import SHAPES, named

BOX_LISTS = ("boxes", "box", "bbox")  # in a cell: a list of boxes, or one


def pyarrow(module: str = "pyarrow.parquet") -> ModuleType:
    """Apache Arrow, which is not among what the page needs. Raises InputError where it is not installed."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError("Parquet needs pyarrow: pip install -r requirements-scale.txt") from error


def parquet(file: IO[bytes], name: str) -> Any:
    """An open `pyarrow.parquet.ParquetFile`. Raises InputError where the file is none."""
    try:
        return pyarrow().ParquetFile(file)
    except (OSError, ValueError) as error:  # Arrow's own errors are both
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} is not a Parquet file, or not a whole one ({shown(error, 100)})") from error


@dataclass(frozen=True)
class Columns:
    """What a table's columns mean."""

    photo: str | None
    """The photograph's bytes, or a struct with `bytes` and `path` as Hugging Face's data sets have it."""
    label: str | None
    """Its name or path."""
    box_columns: tuple[str, ...]
    row_is_box: bool
    """Whether a row has one box, and a photograph as many rows."""

    @classmethod
    def of(cls, schema: Any, file: str, needs_boxes: bool) -> Columns:
        """Of an Arrow schema. Raises InputError, naming what is there, where a needed column is not."""
        types = pyarrow("pyarrow.types")
        columns = named({name: name for name in schema.names})
        known = [columns[key] for key in map(column_key, ALIASES["image"]) if key in columns]
        photo = next((name for name in known if _holds_bytes(types, schema.field(name).type)), None)
        label = next((name for name in known if name != photo and not _is_nested(types, schema, name)), None)
        listed = shown(", ".join(schema.names), 200)
        if photo is None and label is None:
            raise InputError(
                f'{file} has no column of photographs: call it "image" (bytes) or "path"; its columns are {listed}'
            )
        listed_in = next((columns[name] for name in BOX_LISTS if name in columns), None)
        if listed_in is not None:
            kind = schema.field(listed_in).type
            is_list = types.is_nested(kind) and not types.is_struct(kind)
            return cls(photo, label, (listed_in,), not (is_list and types.is_nested(kind.value_type)))
        shape = next((shape for shape in SHAPES if columns.keys() >= set(shape)), None)
        if shape is not None:
            asked = (*shape, "image_width", "image_height", "id")
            return cls(photo, label, tuple(columns[name] for name in asked if name in columns), True)
        if needs_boxes:
            raise InputError(
                f'{file} has no column of boxes: call it "boxes" (lists of x1, y1, x2, y2) or have x1, y1, x2, y2; its '
                f"columns are {listed}; --everything, --find or --whole need none"
            )
        return cls(photo, label, (), False)

    @property
    def read(self) -> list[str]:
        """The columns that are needed of the file."""
        return [*dict.fromkeys(name for name in (self.photo, self.label, *self.box_columns) if name is not None)]

    def name(self, row: Mapping[str, Any]) -> str:
        """What a row's photograph is called; empty where the row does not say."""
        if self.label is not None:
            return "" if row[self.label] is None else str(row[self.label])
        cell = row[self.photo or ""]
        return str(cell.get("path") or "") if isinstance(cell, Mapping) else ""

    def content(self, row: Mapping[str, Any]) -> bytes | InputError | None:
        """The photograph's bytes, None where its name says where they are, or why there are none."""
        cell = row[self.photo] if self.photo is not None else None
        data = cell.get("bytes") if isinstance(cell, Mapping) else cell
        if data is not None:
            return bytes(data)
        name = self.name(row)
        if self.photo is None or PurePosixPath(name).suffix.lower() in PHOTO_ENDINGS:
            return None if name else InputError("the row names no photograph")
        return InputError("the row has no photograph")

    def boxes(self, row: Mapping[str, Any]) -> list[Any]:
        """The row's boxes as `dynrefer.formats` reads them."""
        if not self.box_columns or row[self.box_columns[0]] is None:
            return []
        if len(self.box_columns) > 1:
            return [{name: row[name] for name in self.box_columns if row[name] is not None}]
        cell = row[self.box_columns[0]]
        form = "bbox" if column_key(self.box_columns[0]) == "bbox" else "box"  # x, y, width, height, as COCO has it
        return [box if isinstance(box, Mapping) else {form: box} for box in ([cell] if self.row_is_box else cell)]


def doubled(names: Sequence[str]) -> str | None:
    """A name that is there more than once."""
    return next((name for name, count in Counter(names).items() if count > 1 and name), None)


def _holds_bytes(types: ModuleType, kind: Any) -> bool:
    if types.is_struct(kind):
        return any(kind.field(number).name == "bytes" for number in range(kind.num_fields))
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _is_nested(types: ModuleType, schema: Any, name: str) -> bool:
    return bool(types.is_nested(schema.field(name).type)) or _holds_bytes(types, schema.field(name).type)
