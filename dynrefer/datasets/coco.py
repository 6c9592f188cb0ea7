"""COCO instances and captions with OVAD's attributes: the official downloads, or the same formats in one folder.

Layouts read: `annotations/instances.json`, `captions.json`, `ovad.json`, `splits.json` and `images/`; or the official
`annotations/instances_train2017.json`, `captions_train2017.json`, `train2017/`, the same of `val2017`, `ovad2000.json`.
The official photographs may also lie in `images/train2017/`, or all in `images/`; one part's alone are enough.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from dynrefer.boxes import Box, share_inside
from dynrefer.datasets.annotated import AnnotatedImage, AnnotatedRegion, whole_image
from dynrefer.datasets.coco_file import read_coco_file
from dynrefer.datasets.records import Photographs, Problems, read_splits, records
from dynrefer.datasets.sample import RegionText, Sample
from dynrefer.datasets.words import class_text, said_tags
from dynrefer.errors import InputError, reason
from dynrefer.files.coco import annotation_box, category_names, id_key
from dynrefer.files.text import read_json

CLASS_NAMES: tuple[str, ...] = tuple(
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,"
    "snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,"
    "fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush".split(",")
)
EVERYDAY_NAMES = {"dining table": "table", "sports ball": "ball", "potted plant": "plant", "hair drier": "hair dryer"}
OFFICIAL = {"train2017": "train", "val2017": "val"}  # parts and their splits
_OVERLAP = 0.3
_NEAR = 2.0  # pixels by which OVAD's corners may differ from COCO's


class _Part(NamedTuple):
    instances: Path
    captions: Path
    folder: Path
    split: str | None  # None where splits.json tells


@dataclass
class CocoData:
    """Photographs by their ids as text, and the names of the attributes where there are any."""

    images: dict[str, AnnotatedImage]
    attribute_names: tuple[str, ...] = ()


def read(root: Path, problems: Problems) -> Iterator[Sample]:
    """One sample a box and one a whole image with captions, in the order of the files.

    Raises InputError where files are missing or not COCO's.
    """
    images = read_images(root, problems).images.values()
    return (sample for image in images for sample in (*_region_samples(image), *whole_sample(image)))


def read_images(root: Path, problems: Problems) -> CocoData:
    """Everything that the files tell of each photograph. Raises InputError as `read` does."""
    images: dict[str, AnnotatedImage] = {}
    total = 0
    for part in _parts(root, problems):
        splits = read_splits(_split_file(root)) if part.split is None else {}
        photographs = Photographs(root, problems, part.folder)
        found = read_coco_file(part.instances, photographs, partial(_split, split=part.split, splits=splits))
        total += found.total
        for image in found.images.values():
            image.regions = [region for region in image.regions if region.class_name]
        images |= found.images
        if part.captions.exists():
            total += _add_captions(images, part.captions, problems)
    names: tuple[str, ...] = ()
    for file in sorted((root / "annotations").glob("ovad*.json")):
        names, count = _add_attributes(images, file, problems)
        total += count
    problems.check(total)
    return CocoData(images, names)


def sample_of(image: AnnotatedImage, region: AnnotatedRegion, texts: Sequence[RegionText], **more: Any) -> Sample:
    """The sample of a region with these texts; `more` sets further fields."""
    return image.photograph.sample(
        f"coco-{region.id}",
        region.box,
        texts,
        attributes=region.attributes,
        class_name=region.class_name,
        complete=image.complete,
        name=EVERYDAY_NAMES.get(region.class_name, region.class_name),
        **more,
    )


def whole_sample(image: AnnotatedImage) -> list[Sample]:
    """The sample of the whole photograph, where it has captions."""
    return whole_image(image, f"coco-image-{image.photograph.image_id}")


def overlapping(region: AnnotatedRegion, others: Sequence[AnnotatedRegion]) -> set[str]:
    """Classes of other boxes with a good part of theirs inside this one: they may be called part of the region."""
    inside = {other.class_name for other in others if share_inside(other.box, region.box) >= _OVERLAP}
    return inside - {region.class_name}


def _region_samples(image: AnnotatedImage) -> Iterator[Sample]:
    words: set[str] = set().union(*(said_tags(caption) for caption in image.captions)) - set(CLASS_NAMES)
    for region in image.regions:
        if region.crowd or not region.is_large:
            continue
        texts = [RegionText(class_text(region.class_name), "class")]
        tags = said_tags(region.class_name) | {region.class_name}
        ignored = (words | overlapping(region, image.regions)) - tags
        yield sample_of(image, region, texts, tags=tuple(sorted(tags)), ignored_tags=tuple(sorted(ignored)))


def _parts(root: Path, problems: Problems) -> list[_Part]:
    annotations = root / "annotations"
    if (annotations / "instances.json").exists():
        return [_Part(annotations / "instances.json", annotations / "captions.json", root / "images", None)]
    parts = [
        _Part(file, annotations / f"captions_{name}.json", _official_folder(root, name), split)
        for name, split in OFFICIAL.items()
        if (file := annotations / f"instances_{name}.json").exists()
    ]
    if not parts:
        raise InputError(f"{annotations} has no instances.json or instances_train2017.json: is {root} a COCO folder?")
    there = [part for part in parts if part.folder.is_dir()]
    for part in parts:
        if there and part not in there:
            problems.note("annotations of photographs that were not downloaded, passed over", part.instances.name)
    return there or parts


def _official_folder(root: Path, name: str) -> Path:
    """Where the photographs of a part lie: beside the annotations, in `images`, or there with those of all parts."""
    images = root / "images"
    if not (root / name).is_dir() and images.is_dir():
        return images / name if any((images / part).is_dir() for part in OFFICIAL) else images
    return root / name


def _split(_record: Mapping[str, Any], key: str, split: str | None, splits: Mapping[str, str]) -> str:
    return split or splits.get(key, "none")


def _split_file(root: Path) -> Path:
    file = root / "annotations" / "splits.json"
    if not file.exists():
        raise InputError(f"{file} is missing: it tells which image ids are for 'train' and which for 'val'.")
    return file


def _add_captions(images: Mapping[str, AnnotatedImage], file: Path, problems: Problems) -> int:
    """Gives the photographs their captions; how many records the file has."""
    listed = records(read_json(file, "annotations"), file, "annotations")
    for place, record in enumerate(listed, start=1):
        caption = record.get("caption") if isinstance(record, Mapping) else None
        if not isinstance(caption, str):
            problems.skip("captions that are no text", f"number {place} of {file.name}")
        elif (image := images.get(id_key(record.get("image_id")))) is not None:
            image.captions.append(caption)
    return len(listed)


def _add_attributes(
    images: Mapping[str, AnnotatedImage], file: Path, problems: Problems
) -> tuple[tuple[str, ...], int]:
    """Attaches OVAD's vectors to the boxes they belong to, by instance id or else by place.

    Returns the attributes' names, and how many vectors the file has.
    """
    ovad = read_json(file, "attributes", "annotations", "categories")
    try:
        listed = sorted(records(ovad, file, "attributes"), key=lambda attribute: attribute["id"])
        names = tuple(str(attribute["name"]) for attribute in listed)
    except (KeyError, TypeError) as error:
        raise InputError(f"{file} does not list its attributes with id and name: take OVAD's own file.") from error
    classes = category_names(ovad["categories"])
    vectors = records(ovad, file, "annotations")
    for place, record in enumerate(vectors, start=1):
        image = images.get(id_key(record.get("image_id"))) if isinstance(record, Mapping) else None
        if image is None:
            continue  # OVAD has more photographs than the folder may have
        try:
            values = tuple(int(value) for value in record["att_vec"])
            if len(values) != len(names):
                raise InputError("attribute vectors of another length")
            class_name, box = classes[id_key(record["category_id"])], image.photograph.fit(annotation_box(record))
        except (KeyError, TypeError, ValueError) as error:
            kind = reason(error) if isinstance(error, InputError) else "attribute vectors that cannot be read"
            problems.skip(kind, f"number {place} of {file.name}", image.photograph.name)
        else:
            _region_for(image, record, class_name, box).attributes = values
    return names, len(vectors)


def _region_for(image: AnnotatedImage, record: Mapping[str, Any], class_name: str, box: Box) -> AnnotatedRegion:
    """The box that an attribute vector is about, made where COCO has none."""
    same = [region for region in image.regions if region.class_name == class_name]
    by_id = [region for region in same if region.id == str(record.get("instance_id"))]
    near = [r for r in same if max(abs(a - b) for a, b in zip(r.box, box, strict=True)) < _NEAR]
    region = next(iter(by_id or near), None)
    if region is None:
        region = AnnotatedRegion(f"ovad-{record.get('id', len(image.regions))}", box, class_name=class_name)
        image.regions.append(region)
    return region
