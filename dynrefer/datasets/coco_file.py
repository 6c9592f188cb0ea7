"""Files in COCO's format as real tools write them: what is missing is filled in where it can be, the rest is named.

Filled in: ids by order, file names by id, sizes from the photograph, boxes from the segmentation. Ids may be numbers or
texts. A box is fitted to the photograph where its file states another size.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dynrefer.boxes import Box, are_shares
from dynrefer.datasets.annotated import AnnotatedImage, AnnotatedRegion
from dynrefer.datasets.records import Photograph, Photographs, Problems, fitted, records
from dynrefer.errors import InputError, reason, shown
from dynrefer.files.coco import (
    CocoImages,
    annotation_box,
    category_names,
    class_of,
    entry,
    id_key,
    stated_size,
    texts_of,
)
from dynrefer.files.text import read_json

SplitOf = Callable[[Mapping[str, Any], str], str]


@dataclass
class CocoFile:
    """Photographs by the id that annotations use, as text. `total` counts the records of the file."""

    images: dict[str, AnnotatedImage]
    total: int


def read_coco_file(
    file: Path, photographs: Photographs, split_of: SplitOf, only: Collection[str] | None = None
) -> CocoFile:
    """Read a file; `split_of` tells the split of an image's record and id, `only` the ids that are wanted (all).

    What cannot be used is counted in `photographs.problems`. Raises InputError where the file has another format.
    """
    problems = photographs.problems
    content = read_json(file, "images", "annotations")
    images, annotations = records(content, file, "images"), records(content, file, "annotations")
    if only is not None:
        images = [record for record in images if isinstance(record, Mapping) and id_key(record.get("id")) in only]
        annotations = [r for r in annotations if isinstance(r, Mapping) and id_key(r.get("image_id")) in only]
    images_of = CocoImages(images, annotations)
    found = _opened(images_of, file, photographs, split_of)
    if are_shares(_boxes(annotations)):
        problems.note("boxes from 0 to 1, read as shares of their photograph", f"all of {file.name}")
        found = {key: replace(image, photograph=replace(image.photograph, shares=True)) for key, image in found.items()}
    names = category_names(records(content, file, "categories") if content.get("categories") else [])
    seen: set[str] = set()
    for place, record in enumerate(annotations, start=1):
        if not isinstance(record, Mapping):
            problems.skip("annotations that are no records", f"number {place} of {file.name}")
            continue
        known = record.get("id")
        what = f"annotation {f'number {place}' if known is None else shown(known)} of {file.name}"
        try:
            meant = images_of.of(record)
        except InputError as error:
            named = f"image {shown(record.get('image_id'))}"
            problems.skip("annotations of photographs that cannot be used", what, named, reason(error))
            continue
        image = found.get(meant.key)
        if image is None:
            problems.skip("annotations of photographs that cannot be used", what, str(meant.name))
            continue
        region = _region(record, image.photograph, names, _unique_id(record, place, seen), problems, what)
        if region:
            image.regions.append(region)
    return CocoFile(found, len(images) + len(annotations))


def _boxes(annotations: Iterable[Any]) -> Iterator[Box]:
    """Those of the boxes that can be read."""
    for record in annotations:
        if isinstance(record, Mapping):
            with suppress(InputError):
                yield annotation_box(record)


def _opened(images: CocoImages, file: Path, photographs: Photographs, split_of: SplitOf) -> dict[str, AnnotatedImage]:
    """The photographs that can be used, by their ids."""
    for place in images.odd:
        photographs.problems.skip("images that are no records", f"number {place} of {file.name}")
    for key, both in images.doubles.items():
        photographs.problems.skip("ids of two photographs", f"image {key} of {file.name} is {both}")
    photographs.expect(image.name for image in images.known.values())
    found: dict[str, AnnotatedImage] = {}
    for key, image in images.known.items():
        size = stated_size(image.record)
        photograph = photographs.open(image.name, key, split_of(image.record, key), size)
        if photograph is not None:
            found[key] = AnnotatedImage(photograph, record=image.record)
    return found


def _region(
    record: Mapping[str, Any],
    photograph: Photograph,
    names: Mapping[str, str],
    name: str,
    problems: Problems,
    what: str,
) -> AnnotatedRegion | None:
    box = fitted(lambda: annotation_box(record), photograph, problems, what)
    if box is None:
        return None
    captions = texts_of(entry(record, "caption", "captions"))
    if captions is None:
        problems.note("captions that are no text, and not used", what, photograph.name)
    class_name = class_of(record, names)
    if not captions and class_name is None:
        problems.skip("annotations with neither a caption nor a category that has a name", what, photograph.name)
        return None
    if class_name is None and entry(record, "category_id", "category", "category_name") is not None:
        problems.note("categories without a name, so that only the caption is used", what, photograph.name)
    crowd = str(record.get("iscrowd")).lower() in ("1", "1.0", "true")
    return AnnotatedRegion(name, box, captions or (), class_name or "", crowd=crowd)


def _unique_id(record: Mapping[str, Any], place: int, seen: set[str]) -> str:
    """The annotation's id, or its place where it has none; a second one of the same id gets its place too."""
    own = record.get("id")
    name = str(place if own is None else own)
    name = f"{name}-{place}" if name in seen else name
    seen.add(name)
    return name
