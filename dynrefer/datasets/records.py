"""The records of annotation files: the photographs they name, boxes fitted to them, and what cannot be used."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynrefer.boxes import Box, clip, in_pixels, reach_out
from dynrefer.datasets.sample import RegionText, Sample
from dynrefer.errors import InputError, LeftOut, reason
from dynrefer.files.coco import id_key, listed
from dynrefer.files.photo_files import PhotoFinder, PhotoHeader
from dynrefer.files.text import read_json
from dynrefer.formats.box_files import fit_boxes

MAX_BAD_SHARE = 0.01
_EXAMPLES = 5
OTHER_SIZES = "photographs turned or of another size than the file says"


def too_many(bad: int, total: int) -> bool:
    """Whether so many bad ones of `total` are too many: more than 1 % of them, and more than one."""
    return bad > max(1, MAX_BAD_SHARE * total)


def check_readable(away: Mapping[Any, str], total: int, what: str = "photographs", none: bool = False) -> None:
    """Raises InputError where too many of `total` photographs are `away`, or `none` is left; it names the first."""
    if none or too_many(len(away), total) or len(away) == total > 0:
        path, why = next(iter(away.items()))
        raise InputError(
            f"{len(away)} of {total} {what} cannot be read, more than 1 %; the first is {path} ({why.rstrip('.')}). "
            "Put them right, and the same command goes on."
        )


@dataclass
class Problems:
    """Records of one data set that were left out, or `noted` as mended, by kind, with the first few of each named."""

    left_out: list[LeftOut] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, kind: str, annotation: str = "", photograph: str = "", why: str = "") -> None:
        """Counts a record that is left out, see `LeftOut`; `kind` is the reason where `why` does not say more."""
        self.left_out.append(LeftOut(photograph, annotation, why or kind))
        self.counts[kind] += 1
        self._name(kind, annotation, photograph, why)

    def note(self, kind: str, annotation: str = "", photograph: str = "", why: str = "") -> None:
        """Counts a record that could be mended, and is used."""
        self.noted[kind] += 1
        self._name(kind, annotation, photograph, why)

    def check(self, total: int) -> None:
        """Raises InputError when more than 1 % of `total` records (and more than one) were left out."""
        bad = self.counts.total()
        if too_many(bad, total):
            worst = [
                f"{kind} ({count}, for example {self.examples[kind][0]})" for kind, count in self.counts.most_common()
            ]
            others = f" and {len(worst) - _EXAMPLES} more" if len(worst) > _EXAMPLES else ""
            told = "; ".join(worst[:_EXAMPLES]) + others
            raise InputError(
                f"{bad} of {total} records cannot be used, more than 1 %: {told}. Mend the files and try again."
            )

    def lines(self) -> list[str]:
        """The summary: a line for every reason, those left out first."""
        return [
            f"{what} {count}: {reason}; for example {'; '.join(self.examples[reason])}"
            for what, counts in (("left out", self.counts), ("mended", self.noted))
            for reason, count in counts.most_common()
        ]

    def _name(self, kind: str, annotation: str, photograph: str, why: str) -> None:
        named = self.examples.setdefault(kind, [])
        if len(named) < _EXAMPLES:
            named.append(str(LeftOut(photograph, annotation, why)).removesuffix(": "))


def records(content: Any, file: Path, name: str = "") -> list[Any]:
    """A list of a JSON file, of `content` itself or its entry `name`, see `listed`.

    Raises InputError where it is something else.
    """
    found = content if not name else content.get(name)
    if name and isinstance(found, Mapping):
        found = listed(found, name)
    if not isinstance(found, list):
        raise InputError(
            f"{file} holds no list{f' {name!r}' if name else ''}: it is not in the format that was expected."
        )
    return found


def read_splits(file: Path) -> dict[str, str]:
    """The split of every image id, as text, from {"train": [ids], "val": [ids], ...}."""
    content = read_json(file)
    if not isinstance(content, dict) or not all(isinstance(ids, list) for ids in content.values()):
        raise InputError(f"{file} does not list image ids by split, such as 'train' and 'val'.")
    return {id_key(image_id): str(split) for split, ids in content.items() for image_id in ids}


@dataclass(frozen=True)
class Photograph:
    """A photograph of a data set: its file, id there, (width, height) upright, and split.

    `name` is its path relative to the data set; `stated` the size that the data set says, `header` the file's own.
    `shares` where boxes are shares of it, from 0 to 1, and not pixels.
    """

    path: Path
    name: str
    image_id: str
    header: PhotoHeader
    split: str = "train"
    stated: tuple[Any, Any] | None = None
    shares: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright photograph in pixels."""
        return self.header.size

    def sample(self, sample_id: str, box: Box, texts: Iterable[RegionText], **more: Any) -> Sample:
        """The sample of a region of it; `more` sets further fields."""
        return Sample(
            image=self.path,
            image_id=self.image_id,
            image_size=self.size,
            box=box,
            texts=tuple(texts),
            sample_id=sample_id,
            split=self.split,
            photo=self.name,
            **more,
        )

    def placed(self, box: Box) -> Box:
        """A box of the size that the data set states, turned or scaled to the file. Raises InputError without area."""
        if self.shares:
            x1, y1, x2, y2 = in_pixels(box, self.size)
        else:
            x1, y1, x2, y2 = fit_boxes([box], self.stated, self.header, say=lambda _: None)[0]  # opening it has said it
        if not (x1 < x2 and y1 < y2):
            raise InputError("boxes without area")
        return x1, y1, x2, y2

    def fit(self, box: Box) -> Box:
        """`placed`, and clipped to the photograph. Raises InputError with the reason where nothing of it is left."""
        inside = clip(self.placed(box), self.size)
        if inside is None:
            raise InputError("boxes outside their photograph")
        return inside


class Photographs:
    """Finds the photographs of a data set and reads their headers; what is missing or does not fit is counted."""

    def __init__(self, root: Path, problems: Problems, folder: Path | None = None) -> None:
        self.root, self.problems, self.finder = root, problems, PhotoFinder(folder or root)
        self._found: dict[object, Path | InputError] = {}

    def expect(self, names: Iterable[object]) -> None:
        """Find all the photographs of a file at once, so that no two of its names, however alike, share one of them."""
        self._found |= self.finder.find_all(name for name in names if isinstance(name, str | int))

    def open(self, name: object, image_id: object, split: str, stated: tuple[Any, Any] | None) -> Photograph | None:
        """The photograph that a record calls `name`, or None, with the reason counted."""
        try:
            path = self._find(name)
        except InputError as error:
            self.problems.skip("photographs that are missing", "", str(name), reason(error))
            return None
        where = path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()
        try:
            header = PhotoHeader.read(path)
            fit_boxes([], stated, header, say=lambda why: self.problems.note(OTHER_SIZES, "", where, why))
        except InputError as error:
            self.problems.skip("photographs that cannot be used", "", where, reason(error))
            return None
        return Photograph(path, where, str(image_id), header, split, stated)

    def _find(self, name: object) -> Path:
        found = self._found.get(name) if isinstance(name, str | int) else None
        if isinstance(found, InputError):
            raise found
        return found or self.finder.find(name)


def fitted(read: Callable[[], Box], photograph: Photograph, problems: Problems, what: str) -> Box | None:
    """The box that `read` gives, fitted to the photograph, or None, with the reason counted for `what`."""
    try:
        box = read()
    except InputError as error:
        problems.skip("boxes that cannot be read", what, photograph.name, reason(error))
        return None
    try:
        inside = photograph.fit(box)
    except InputError as error:
        problems.skip(reason(error), what, photograph.name)
        return None
    if out := reach_out(photograph.placed(box), photograph.size):
        problems.note("boxes that reach out of their photograph, cut to it", what, photograph.name, f"{out:.0f} pixels")
    return inside
