"""Boxes and captions of your own, in COCO's format with a `caption` (a text or a list of texts) an annotation.

Either a folder with `train.json`, `val.json` or `test.json` (each optional), or one JSON file; photographs lie in any
folder beside the file. In one file, an image's `split` says where it belongs; without it one image in ten is held out
as "val". Conversions of RefCOCOg and VG-COCO in this format are read too.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dynrefer.datasets.annotated import AnnotatedImage, described_samples
from dynrefer.datasets.coco_file import read_coco_file
from dynrefer.datasets.records import Photographs, Problems
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError

SPLITS = ("train", "val", "test")
_HELD_OUT = 10


def read(root: Path, problems: Problems) -> Iterator[Sample]:
    """One sample an annotation with a caption or a category. Raises InputError on files of another format."""
    photographs = Photographs(root.parent if root.is_file() else root, problems)
    found: list[AnnotatedImage] = []
    total = 0
    for file, split in _files(root):
        content = read_coco_file(file, photographs, partial(_split, split=split))
        total += content.total
        for image in content.images.values():
            image.regions = [replace(region, id=f"{file.stem}-{region.id}") for region in image.regions]
        found += content.images.values()
    problems.check(total)
    return (sample for image in found for sample in described_samples(image))


def _split(record: Mapping[str, Any], key: str, split: str | None) -> str:
    return split or str(record.get("split") or held_out(key))


def held_out(image_id: str) -> str:
    """ "val" for one image in ten, always the same, else "train"."""
    return "val" if zlib.crc32(image_id.encode()) % _HELD_OUT == 0 else "train"


def _files(root: Path) -> list[tuple[Path, str | None]]:
    if root.is_file():
        return [(root, None)]
    files: list[tuple[Path, str | None]] = [
        (root / f"{split}.json", split) for split in SPLITS if (root / f"{split}.json").exists()
    ]
    if not files:
        if not root.exists():
            raise InputError(f"there is no file or folder {root}")
        raise InputError(f"{root} has no train.json, val.json or test.json: name the JSON file itself, or rename it.")
    return files
