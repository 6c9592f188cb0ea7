"""Boxes and phrases of Flickr30k Entities on Flickr8k's photographs, packed into two JSON files.

`annotations/regions.json` (`images`; `regions` with `bbox`, `phrases`, `sentences`; `captions`),
`annotations/splits.json` and `images/`. A thing with several boxes is a group there and is not read.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dynrefer.coco_files import annotation_box, id_key
from dynrefer.datasets.described import DescribedRegion, described_samples, whole_image
from dynrefer.datasets.io import Problems, read_splits, records, texts_of
from dynrefer.datasets.photographs import Photograph, Photographs, fitted, stated_size
from dynrefer.datasets.sample import Sample
from dynrefer.tables import read_json


def read(root: Path, problems: Problems) -> Iterator[Sample]:
    """One sample a region ("phrase" and "human" texts) and one a photograph with captions.

    Raises InputError where files are missing or of another format.
    """
    file = root / "annotations" / "regions.json"
    content = read_json(file, "images", "regions")
    splits = read_splits(root / "annotations" / "splits.json")
    photographs = Photographs(root, problems)
    opened: dict[str, Photograph] = {}
    images, listed = records(content, file, "images"), records(content, file, "regions")
    photographs.expect(record.get("file_name") for record in images)
    for record in images:
        key = id_key(record.get("id"))
        photograph = photographs.open(record.get("file_name"), key, splits.get(key, "none"), stated_size(record))
        if photograph is not None:
            opened[key] = photograph
    regions: dict[str, list[DescribedRegion]] = defaultdict(list)
    for place, record in enumerate(listed, start=1):
        region = _region(record, opened, f"region {record.get('id', f'number {place}')} of {file.name}", problems)
        if region is not None:
            regions[id_key(record.get("image_id"))].append(region)
    problems.check(len(images) + len(listed))
    captions: dict[str, list[str]] = defaultdict(list)
    for record in content.get("captions", ()):
        captions[id_key(record.get("image_id"))] += texts_of(record.get("caption")) or ()
    return (s for key, found in opened.items() for s in _samples(found, regions[key], captions[key]))


def _region(
    record: Mapping[str, Any], opened: Mapping[str, Photograph], what: str, problems: Problems
) -> DescribedRegion | None:
    photograph = opened.get(id_key(record.get("image_id")))
    phrases, sentences = texts_of(record.get("phrases")), texts_of(record.get("sentences"))
    if photograph is None:
        problems.skip("regions of photographs that cannot be used", what)
    elif not phrases and not sentences:
        problems.skip("regions without words", what, photograph.name)
    else:
        box = fitted(lambda: annotation_box(record), photograph, problems, what)
        if box is not None:
            return DescribedRegion(f"flickr-{record.get('id', what)}", box, sentences or (), phrases=phrases or ())
    return None


def _samples(photograph: Photograph, regions: list[DescribedRegion], captions: list[str]) -> Iterator[Sample]:
    yield from described_samples(photograph, regions)
    yield from whole_image(photograph, captions, f"flickr-image-{photograph.image_id}")
