"""Visual Genome's region descriptions, versions 1.0 and 1.2, and its part with COCO photographs (VG-COCO).

A folder holds `region_descriptions.json`, `image_data.json`, `densecap_splits.json` (image ids by split, of the dense
captioning benchmark; `vgcoco_splits.json` goes before it for VG-COCO) and `VG_100K/`, `VG_100K_2/` or `images/`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dynrefer.boxes import xywh_to_xyxy
from dynrefer.data.described import DescribedRegion, Photograph, described_samples
from dynrefer.data.files import read_json
from dynrefer.data.problems import Problems
from dynrefer.data.sample import Sample
from dynrefer.errors import InputError

FOLDERS = ("VG_100K", "VG_100K_2", "images")


def read(root: Path, problems: Problems) -> Iterator[Sample]:
    """One sample a described region. Raises InputError where files are missing or of another format."""
    return _read(root, problems, coco_only=False)


def read_vg_coco(root: Path, problems: Problems) -> Iterator[Sample]:
    """The same for photographs that COCO has too."""
    return _read(root, problems, coco_only=True)


def _read(root: Path, problems: Problems, coco_only: bool) -> Iterator[Sample]:
    records = {_id(record, "image_id"): record for record in _read_list(root / "image_data.json")}
    splits = _splits(root, coco_only)
    pairs: list[tuple[Photograph, list[DescribedRegion]]] = []
    total = 0
    for entry in _read_list(root / "region_descriptions.json"):
        image_id = _id(entry, "image_id")
        record = records.get(image_id)
        if record is None:
            problems.skip("descriptions of unknown photographs", f"image {image_id}")
        elif image_id in splits and (record.get("coco_id") is not None or not coco_only):
            photograph = _photograph(root, record, image_id, splits[image_id])
            total += len(entry["regions"]) + 1
            if photograph is None:
                problems.skip("photographs that are missing", f"{image_id}.jpg")
            else:
                pairs.append((photograph, _regions(entry["regions"], photograph.size, problems)))
    problems.check(total)
    return (sample for photograph, regions in pairs for sample in described_samples(photograph, regions))


def _read_list(file: Path) -> list[dict[str, Any]]:
    content = read_json(file)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise InputError(f"{file} is not a list of records: take Visual Genome's own file.")
    return content


def _id(record: Mapping[str, Any], name: str) -> int:
    """An id that version 1.2 calls `name` and version 1.0 just "id"."""
    found = record.get(name, record.get("id"))
    if found is None:
        raise InputError(f"a record of Visual Genome has neither '{name}' nor 'id': take its own files.")
    return int(found)


def _splits(root: Path, coco_only: bool) -> dict[int, str]:
    names = ["vgcoco_splits.json"] if coco_only and (root / "vgcoco_splits.json").exists() else []
    content = read_json(root / [*names, "densecap_splits.json"][0], "train")
    return {int(image_id): split for split, ids in content.items() for image_id in ids}


def _photograph(root: Path, record: Mapping[str, Any], image_id: int, split: str) -> Photograph | None:
    for folder in FOLDERS:
        path = root / folder / f"{image_id}.jpg"
        if path.exists():
            return Photograph(path, str(image_id), (int(record["width"]), int(record["height"])), split)
    return None


def _regions(records: list[dict[str, Any]], image_size: tuple[int, int], problems: Problems) -> list[DescribedRegion]:
    regions = []
    for record in records:
        region_id = _id(record, "region_id")
        box = xywh_to_xyxy([record[key] for key in ("x", "y", "width", "height")], image_size)
        phrase = record["phrase"].strip()
        if box is None:
            problems.skip("boxes without area", f"region {region_id}")
        elif not phrase:
            problems.skip("empty descriptions", f"region {region_id}")
        else:
            regions.append(DescribedRegion(f"vg-{region_id}", box, (phrase,)))
    return regions
