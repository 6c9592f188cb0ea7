"""Photographs of one named thing each: `annotations.json`, a list of file_name, name, and where known box, description.

Names, boxes (x, y, width, height) and descriptions are an AI model's, so the texts are "described" and not "human".
There are no splits: everything is for training. A thing without a box is the whole photograph.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dynrefer.boxes import whole
from dynrefer.datasets.annotated import AnnotatedImage, AnnotatedRegion, described_samples
from dynrefer.datasets.records import (
    Photograph,
    Photographs,
    Problems,
    fitted,
    records,
)
from dynrefer.datasets.sample import Sample
from dynrefer.datasets.words import one_line
from dynrefer.files.coco import entry, sized_box, stated_size
from dynrefer.files.text import read_json


def read(root: Path, problems: Problems) -> Iterator[Sample]:
    """One sample a photograph. Raises InputError where files are missing or of another format."""
    file = root / "annotations.json"
    listed = records(read_json(file), file)
    photographs = Photographs(root, problems)
    photographs.expect(record.get("file_name") for record in listed if isinstance(record, Mapping))
    found: list[AnnotatedImage] = []
    for place, record in enumerate(listed, start=1):
        if not isinstance(record, Mapping) or not isinstance(record.get("name"), str) or not record["name"].strip():
            problems.skip("things without a name", f"number {place} of {file.name}")
            continue
        name = entry(record, "file_name")
        photograph = photographs.open(name, Path(str(name)).stem, "train", stated_size(record))
        region = photograph and _region(record, photograph, problems)
        if photograph and region:
            found.append(AnnotatedImage(photograph, [region]))
    problems.check(len(listed))
    return (sample for image in found for sample in described_samples(image))


def _region(record: Mapping[str, Any], photograph: Photograph, problems: Problems) -> AnnotatedRegion | None:
    name, description = one_line(record["name"]), record.get("description")
    texts = (description,) if isinstance(description, str) else ()
    given = record.get("box")
    box = fitted(lambda: sized_box(given), photograph, problems, photograph.name) if given else whole(photograph.size)
    if box is None:
        return None
    return AnnotatedRegion(f"named-{photograph.image_id}", box, texts, name, name=name, source="described")
