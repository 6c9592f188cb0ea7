"""Visual Genome's region descriptions, versions 1.0 and 1.2, and its part with COCO photographs (VG-COCO).

A folder holds `region_descriptions.json`, `image_data.json`, `densecap_splits.json` (image ids by split, of the dense
captioning benchmark; `vgcoco_splits.json` goes before it for VG-COCO) and `VG_100K/`, `VG_100K_2/` or `images/`.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dynrefer.datasets.annotated import AnnotatedImage, AnnotatedRegion, described_samples
from dynrefer.datasets.records import Photograph, Photographs, Problems, fitted, read_splits, records
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError
from dynrefer.files.coco import entry, id_key, sized_box, stated_size
from dynrefer.files.text import read_json


def read(root: Path, problems: Problems, coco_only: bool = False) -> Iterator[Sample]:
    """One sample a described region, where `coco_only` of the photographs that COCO has too.

    Raises InputError where files are missing or of another format.
    """
    images = {_id(record, "image_id"): record for record in _read_list(root / "image_data.json", problems)}
    splits = _splits(root, coco_only)
    photographs = Photographs(root, problems)
    found: list[AnnotatedImage] = []
    total = len(images)
    for listed in _read_list(root / "region_descriptions.json", problems):
        total += 1
        image_id = _id(listed, "image_id")
        record = images.get(image_id)
        if record is None:
            problems.skip("descriptions of unknown photographs", f"image {image_id}")
        elif image_id in splits and (record.get("coco_id") is not None or not coco_only):
            regions = [region for region in listed.get("regions") or () if isinstance(region, Mapping)]
            photograph = photographs.open(f"{image_id}.jpg", image_id, splits[image_id], stated_size(record))
            total += len(regions)
            if photograph is not None:
                found.append(AnnotatedImage(photograph, _regions(regions, photograph, problems)))
    problems.check(total)
    return (sample for image in found for sample in described_samples(image))


def _read_list(file: Path, problems: Problems) -> list[Mapping[str, Any]]:
    content = records(read_json(file), file)
    found = [record for record in content if isinstance(record, Mapping) and _id(record, "image_id")]
    if content and not found:
        raise InputError(f"{file} is not a list of records with an 'image_id' or 'id': take Visual Genome's own file.")
    for _ in range(len(content) - len(found)):
        problems.skip("records without an id", file.name)
    return found


def _id(record: Mapping[str, Any], name: str) -> str:
    """An id that version 1.2 calls `name` and version 1.0 just "id", as text; empty where there is none."""
    found = entry(record, name, "id")
    return id_key(found)


def _splits(root: Path, coco_only: bool) -> dict[str, str]:
    of_coco, file = root / "vgcoco_splits.json", root / "densecap_splits.json"
    if coco_only and of_coco.exists():
        return read_splits(of_coco)
    if not file.exists():
        raise InputError(
            f"{file} is missing: it tells which photographs are for 'train', 'val' and 'test'; it is no part of Visual "
            "Genome, take it from the folder info of DenseCap (github.com/jcjohnson/densecap)."
        )
    return read_splits(file)


def _regions(listed: list[Mapping[str, Any]], photograph: Photograph, problems: Problems) -> list[AnnotatedRegion]:
    regions: list[AnnotatedRegion] = []
    for record in listed:
        region_id, phrase = _id(record, "region_id"), record.get("phrase")
        what = f"region {region_id} of image {photograph.image_id}"
        box = fitted(partial(sized_box, record), photograph, problems, what)
        if box is None:
            continue
        if not isinstance(phrase, str) or not phrase.strip():
            problems.skip("empty descriptions", what, photograph.name)
        else:
            name = region_id or f"{photograph.image_id}-{len(regions)}"
            regions.append(AnnotatedRegion(f"vg-{name}", box, (phrase,)))
    return regions
