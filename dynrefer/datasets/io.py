"""Samples to and from JSON lines."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError


def write_samples(samples: Iterable[Sample], file: Path) -> None:
    """Writes one sample a line, under another name until all are written."""
    draft = file.with_name(f".{file.name}.draft")
    with draft.open("w", encoding="utf-8") as stream:
        for sample in samples:
            stream.write(json.dumps(sample.to_dict(), separators=(",", ":")) + "\n")
    draft.replace(file)


def iter_samples(file: Path) -> Iterator[Sample]:
    """The samples of a file, one after the other.

    Raises InputError, naming the line, where the file is missing or a line is not a sample.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    yield Sample.from_dict(json.loads(line))
                except (ValueError, TypeError, KeyError) as error:
                    message = f"line {number} of {file} is not a sample ({error}): build the file again."
                    raise InputError(message) from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: build it with 'python -m dynrefer data build'.") from error


def read_samples(file: Path, split: str | None = None) -> list[Sample]:
    """The samples of a file, or those of one split. Raises InputError as `iter_samples` does."""
    return [sample for sample in iter_samples(file) if split in (None, sample.split)]
