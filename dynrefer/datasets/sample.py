"""What every data set is turned into: one region of one photograph with all that is known of it, a JSON line each."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from dynrefer.boxes import area
from dynrefer.datasets.words import one_line
from dynrefer.errors import InputError
from dynrefer.files.atomic import written_whole
from dynrefer.files.text import json_text

Source = Literal["human", "phrase", "described", "grounded", "attributes", "class", "whole"]
SOURCES: tuple[Source, ...] = get_args(Source)
UNKNOWN = -1  # whether a region has an attribute (1) or not (0)
DESCRIBED = frozenset({"human", "phrase", "described", "grounded"})  # texts that say more of a region than a label


@dataclass(frozen=True)
class RegionText:
    """A description of a region and where it comes from.

    `source` is "human" (a person described this region), "phrase" (what a person called it within a longer sentence),
    "described" (an AI model that looked at it did), "grounded" (derived from a caption of the whole image that mentions
    exactly one such object), "attributes" (derived from attribute labels and the class), "class" (the class name) or
    "whole" (a person's caption of the whole image, on a box that is the whole image).
    """

    text: str
    source: Source


@dataclass(frozen=True)
class Sample:
    """A region of a photograph.

    `photo` is the photograph's path relative to its data set, with forward slashes: two photographs of one file name
    stay apart by it. `box` is x1, y1, x2, y2 in pixels of the upright image, `image_size` its (width, height).
    `tags` are true of the region; `ignored_tags` may or may not be, so they are neither positive nor negative; every
    other tag is false. `attributes` has one value an attribute: 1 has, 0 has not, -1 unknown. `complete` says that all
    classes of the data set were boxed in this image, so that a class without a box is absent. `class_name` is the data
    set's class, `name` the everyday noun of the thing ("table" for the class "dining table"), where they are known.
    """

    image: Path
    image_id: str
    image_size: tuple[int, int] | None
    box: tuple[float, float, float, float]
    texts: tuple[RegionText, ...]
    sample_id: str
    split: str
    tags: tuple[str, ...] = ()
    ignored_tags: tuple[str, ...] = ()
    attributes: tuple[int, ...] | None = None
    class_name: str | None = None
    complete: bool = False
    name: str | None = None
    photo: str = ""

    @property
    def photo_id(self) -> str:
        """What the photograph is known by: its path relative to the data set, or its whole path."""
        return self.photo or self.image.as_posix()

    @property
    def key(self) -> str:
        """The photograph within its data set and the box to a hundredth of a pixel: the same on every machine."""
        return f"{self.photo_id} {' '.join(f'{value:.2f}' for value in self.box)}"

    @property
    def covered(self) -> float | None:
        """The share of the photograph that the box covers, None where the photograph's size is not known."""
        if self.image_size is None:
            return None
        return area(self.box) / (self.image_size[0] * self.image_size[1])

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; `from_dict` reads it back."""
        return asdict(self) | {"image": str(self.image)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote.

        Raises KeyError or TypeError where fields are missing, ValueError where they do not make sense.
        """
        fields = dict(record)
        x1, y1, x2, y2 = (float(value) for value in fields["box"])
        if not (x1 < x2 and y1 < y2):
            raise ValueError(f"the box {fields['box']} has no area")
        size, attributes = fields.get("image_size"), fields.get("attributes")
        fields |= {k: one_line(name) for k in ("class_name", "name") if isinstance(name := fields.get(k), str)}
        return cls(
            **fields
            | {
                "image": Path(fields["image"]),
                "image_size": None if size is None else (int(size[0]), int(size[1])),
                "box": (x1, y1, x2, y2),
                "texts": tuple(RegionText(**text) for text in fields["texts"]),
                "tags": tuple(fields.get("tags", ())),
                "ignored_tags": tuple(fields.get("ignored_tags", ())),
                "attributes": None if attributes is None else tuple(attributes),
            }
        )


def write_samples(samples: Iterable[Sample], file: Path) -> None:
    """Writes one sample a line; the file is whole or as it was before. Raises InputError where it cannot be written."""
    with written_whole(file) as draft, draft.open("w", encoding="utf-8") as stream:
        for sample in samples:
            stream.write(json_text(sample.to_dict(), separators=(",", ":")) + "\n")


def iter_samples(file: Path) -> Iterator[Sample]:
    """The samples of a file, one after the other.

    Raises InputError, naming the line, where the file is missing or a line is not a sample.
    """
    try:
        with file.open(encoding="utf-8-sig") as stream:  # an editor may have set a mark
            for number, line in enumerate(stream, start=1):
                try:
                    yield Sample.from_dict(json.loads(line))
                except (ValueError, TypeError, KeyError) as error:
                    message = f"line {number} of {file} is not a sample ({error}): build the file again."
                    raise InputError(message) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8: build the file again.") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: build it with 'python -m dynrefer data build'.") from error


def read_samples(file: Path, split: str | None = None) -> list[Sample]:
    """The samples of a file, or those of one split. Raises InputError as `iter_samples` does."""
    return [sample for sample in iter_samples(file) if split in (None, sample.split)]
