"""Boxes and captions of your own, in COCO's format with a `caption` (a text or a list of texts) an annotation.

Either a folder with `train.json`, `val.json` or `test.json` (each optional), or one JSON file; photographs lie beside
the file or in `images/` beside it. In one file, an image's `split` says where it belongs; without it one image in ten
is held out as "val". Conversions of RefCOCOg and VG-COCO in this format are read too.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dynrefer.boxes import xywh_to_xyxy
from dynrefer.data.described import DescribedRegion, Photograph, described_samples
from dynrefer.data.files import find_photograph, photograph_size, read_json
from dynrefer.data.problems import Problems
from dynrefer.data.sample import Sample
from dynrefer.errors import InputError

SPLITS = ("train", "val", "test")
_HELD_OUT = 10


def read(root: Path, problems: Problems) -> Iterator[Sample]:
    """One sample an annotation with a caption or a category. Raises InputError on files of another format."""
    files = _files(root)
    grouped: dict[Photograph, list[DescribedRegion]] = defaultdict(list)
    total = 0
    for file, split in files:
        content = read_json(file, "images", "annotations")
        photographs = _photographs(content["images"], file, split, problems)
        names = {category["id"]: category["name"] for category in content.get("categories", ())}
        total += len(content["images"]) + len(content["annotations"])
        for annotation in content["annotations"]:
            photograph = photographs.get(annotation.get("image_id", ""))
            region = photograph and _region(annotation, photograph.size, names, file, problems)
            if photograph is None:
                problems.skip("annotations of missing photographs", f"annotation {annotation.get('id')} of {file.name}")
            elif region:
                grouped[photograph].append(region)
    problems.check(total)
    return (sample for photograph, regions in grouped.items() for sample in described_samples(photograph, regions))


def _files(root: Path) -> list[tuple[Path, str | None]]:
    if root.is_file():
        return [(root, None)]
    files: list[tuple[Path, str | None]] = [
        (root / f"{split}.json", split) for split in SPLITS if (root / f"{split}.json").exists()
    ]
    if not files:
        raise InputError(f"{root} has no train.json, val.json or test.json: name the JSON file itself, or rename it.")
    return files


def _photographs(
    records: list[dict[str, Any]], file: Path, split: str | None, problems: Problems
) -> dict[int | str, Photograph]:
    photographs: dict[int | str, Photograph] = {}
    for record in records:
        path = find_photograph(file.parent, record["file_name"], (".", "images"))
        size = path and photograph_size(path)
        stated = (record.get("width"), record.get("height"))
        if path is None:
            problems.skip("photographs that are missing", record["file_name"])
        elif not size:
            problems.skip("photographs that cannot be opened", str(path))
        elif None not in stated and stated != size:
            problems.skip("photographs of another size than the annotations say", f"{path} {size} {stated}")
        else:
            image_split = split or record.get("split") or _held_out(record["id"])
            photographs[record["id"]] = Photograph(path, str(record["id"]), size, image_split)
    return photographs


def _held_out(image_id: int | str) -> str:
    return "val" if zlib.crc32(str(image_id).encode()) % _HELD_OUT == 0 else "train"


def _region(
    annotation: Mapping[str, Any],
    size: tuple[int, int],
    names: Mapping[int, str],
    file: Path,
    problems: Problems,
) -> DescribedRegion | None:
    what = f"annotation {annotation.get('id')} of {file.name}"
    box = xywh_to_xyxy(annotation.get("bbox"), size)
    captions = annotation.get("caption") or ()
    captions = (captions,) if isinstance(captions, str) else tuple(captions)
    category = annotation.get("category_id")
    name = None if category is None else names.get(category)
    if box is None:
        problems.skip("boxes without area", what)
    elif category is not None and names and name is None:
        problems.skip("unknown category ids", what)
    elif not captions and name is None:
        problems.skip("annotations with neither caption nor category", what)
    else:
        return DescribedRegion(f"{file.stem}-{annotation['id']}", box, captions, name)
    return None
