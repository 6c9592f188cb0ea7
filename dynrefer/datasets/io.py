"""Samples to and from JSON lines; records that cannot be used are skipped, a few of them named, and many stop."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynrefer.atomic import written_whole
from dynrefer.coco_files import id_key
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError, LeftOut
from dynrefer.tables import json_text, read_json

MAX_BAD_SHARE = 0.01
_EXAMPLES = 5


def too_many(bad: int, total: int) -> bool:
    """Whether so many bad ones of `total` are too many: more than 1 % of them, and more than one."""
    return bad > max(1, MAX_BAD_SHARE * total)


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
            worst, count = self.counts.most_common(1)[0]
            raise InputError(
                f"{bad} of {total} records cannot be used, more than 1 %: mostly {worst} ({count}, "
                f"for example {'; '.join(self.examples[worst])}). Mend the files and try again."
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
    """A list of a JSON file, of `content` itself or its entry `name`. Raises InputError where it is something else."""
    found = content if not name else content.get(name)
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


def texts_of(value: Any) -> tuple[str, ...] | None:
    """The texts of an entry that may be one text, a list of texts or missing; None where it is anything else."""
    if value is None or value == "":
        return ()
    found: Sequence[Any] = (value,) if isinstance(value, str) else value if isinstance(value, list) else (None,)
    return tuple(found) if all(isinstance(text, str) for text in found) else None


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


def entry(record: Mapping[str, Any], *names: str) -> Any:
    """The first of these entries that a record has and that is not null."""
    return next((record[name] for name in names if record.get(name) is not None), None)
