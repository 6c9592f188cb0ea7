"""Samples to and from JSON lines."""

import json
from collections.abc import Iterable
from pathlib import Path

from dynrefer.data.sample import Sample
from dynrefer.errors import InputError


def write_samples(samples: Iterable[Sample], file: Path) -> None:
    """Writes one sample a line."""
    with file.open("w", encoding="utf-8") as stream:
        for sample in samples:
            stream.write(json.dumps(sample.to_dict(), separators=(",", ":")) + "\n")


def read_samples(file: Path, split: str | None = None) -> list[Sample]:
    """The samples of a file, or those of one split.

    Raises InputError, naming the line, where the file is missing or a line is not a sample.
    """
    samples = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: build it with 'python -m dynrefer data build'.") from error
    for number, line in enumerate(lines, start=1):
        try:
            sample = Sample.from_dict(json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"line {number} of {file} is not a sample ({error}): build the file again.") from error
        if split in (None, sample.split):
            samples.append(sample)
    return samples
