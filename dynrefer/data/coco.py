"""COCO instances and captions with OVAD's attributes: the official downloads, or the same formats in one folder.

Layouts read: `annotations/instances.json`, `captions.json`, `ovad.json`, `splits.json` and `images/`; or the official
`annotations/instances_train2017.json`, `captions_train2017.json`, `train2017/`, the same of `val2017`, `ovad2000.json`.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dynrefer.boxes import Box, area, share_inside, xywh_to_xyxy
from dynrefer.data.attributes import Labels, unsaid_attributes
from dynrefer.data.classes import groups_of
from dynrefer.data.derive import Known, region_texts
from dynrefer.data.descriptions import Description, match, read_descriptions
from dynrefer.data.files import read_json
from dynrefer.data.problems import Problems
from dynrefer.data.sample import RegionText, Sample
from dynrefer.data.tags import image_tags, region_tags
from dynrefer.data.words import content_words, normalise, tidy_caption
from dynrefer.errors import InputError

MIN_SIDE = 4.0
COMMON = 4  # a word in so many captions is no misspelling
_OVERLAP = 0.3


class _Part(NamedTuple):
    instances: Path
    captions: Path
    folder: Path
    split: str | None  # None where splits.json tells


@dataclass
class _Region:
    annotation_id: int
    class_name: str
    box: Box
    crowd: bool = False
    labels: Labels | None = None
    described: list[str] = field(default_factory=list)


@dataclass
class _Image:
    record: Mapping[str, Any]
    path: Path
    split: str
    regions: list[_Region] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    others: list[Description] = field(default_factory=list)  # of boxes that COCO does not have

    @property
    def size(self) -> tuple[int, int]:
        return int(self.record["width"]), int(self.record["height"])


def read(root: Path, problems: Problems, descriptions: Path | None = None) -> Iterator[Sample]:
    """One sample a box and one a whole image, in the order of the files; see `read_descriptions` for `descriptions`.

    Raises InputError where files are missing or not COCO's.
    """
    images = _read_images(root, problems)
    if descriptions is not None:
        _add_descriptions(images, read_descriptions(descriptions, problems))
    counts = Counter(word for image in images.values() for text in image.captions for word in normalise(text).split())
    common = frozenset(word for word, count in counts.items() if count >= COMMON)
    return (sample for image in images.values() for sample in _image_samples(image, common))


def _parts(root: Path) -> list[_Part]:
    annotations = root / "annotations"
    if (annotations / "instances.json").exists():
        return [_Part(annotations / "instances.json", annotations / "captions.json", root / "images", None)]
    found = [
        _Part(annotations / f"instances_{name}.json", annotations / f"captions_{name}.json", root / name, split)
        for split, name in (("train", "train2017"), ("val", "val2017"))
        if (annotations / f"instances_{name}.json").exists()
    ]
    if not found:
        raise InputError(f"{annotations} has no instances.json or instances_train2017.json: is {root} a COCO folder?")
    return found


def _read_images(root: Path, problems: Problems) -> dict[int, _Image]:
    images: dict[int, _Image] = {}
    total = 0
    for part in _parts(root):
        instances = read_json(part.instances, "images", "annotations", "categories")
        splits = _splits(root) if part.split is None else {}
        for record in instances["images"]:
            path = part.folder / record["file_name"]
            if path.exists():
                images[record["id"]] = _Image(record, path, part.split or splits.get(record["id"], "none"))
            else:
                problems.skip("photographs that are missing", str(path))
        names = {category["id"]: category["name"] for category in instances["categories"]}
        _add_regions(images, instances["annotations"], names, problems, part.instances)
        total += len(instances["images"]) + len(instances["annotations"])
        for caption in read_json(part.captions, "annotations")["annotations"] if part.captions.exists() else ():
            if caption["image_id"] in images:
                images[caption["image_id"]].captions.append(caption["caption"])
    for file in sorted((root / "annotations").glob("ovad*.json")):
        _add_labels(images, file)
    problems.check(total)
    return images


def _splits(root: Path) -> dict[int, str]:
    file = root / "annotations" / "splits.json"
    if not file.exists():
        raise InputError(f"{file} is missing: it tells which image ids are for 'train' and which for 'val'.")
    return {image_id: split for split, ids in read_json(file).items() for image_id in ids}


def _add_regions(
    images: Mapping[int, _Image],
    annotations: Iterable[Mapping[str, Any]],
    names: Mapping[int, str],
    problems: Problems,
    file: Path,
) -> None:
    for annotation in annotations:
        what = f"annotation {annotation.get('id')} of {file.name}"
        image = images.get(annotation["image_id"])
        if image is None:
            problems.skip("boxes of unknown photographs", what)
        elif annotation["category_id"] not in names:
            problems.skip("unknown category ids", what)
        elif (box := xywh_to_xyxy(annotation["bbox"], image.size)) is None:
            problems.skip("boxes without area", what)
        else:
            crowd = bool(annotation.get("iscrowd"))
            image.regions.append(_Region(annotation["id"], names[annotation["category_id"]], box, crowd))


def _add_labels(images: Mapping[int, _Image], file: Path) -> None:
    """Attaches OVAD's vectors to the boxes they belong to, by instance id or else by place."""
    ovad = read_json(file, "attributes", "annotations", "categories")
    names = [attribute["name"] for attribute in sorted(ovad["attributes"], key=lambda attribute: attribute["id"])]
    classes = {category["id"]: category["name"] for category in ovad["categories"]}
    for annotation in ovad["annotations"]:
        image = images.get(annotation["image_id"])
        box = xywh_to_xyxy(annotation["bbox"], image.size) if image else None
        if image is None or box is None:
            continue
        class_name = classes[annotation["category_id"]]
        same = [region for region in image.regions if region.class_name == class_name]
        by_id = [region for region in same if region.annotation_id == annotation.get("instance_id")]
        near = [region for region in same if max(abs(a - b) for a, b in zip(region.box, box, strict=True)) < 2]
        region = next(iter(by_id or near), None)
        if region is None:
            region = _Region(-annotation["id"], class_name, box)
            image.regions.append(region)
        region.labels = Labels(names, annotation["att_vec"])


def _add_descriptions(images: Mapping[int, _Image], descriptions: Mapping[str, Sequence[Description]]) -> None:
    """Attaches descriptions to the boxes they are about; others become regions of their own."""
    for image_id, image in images.items():
        boxes = [region.box for region in image.regions]
        for description in descriptions.get(str(image_id), ()):
            number = match(description.pixels(image.size), boxes)
            if number is None:
                image.others.append(description)
            else:
                image.regions[number].described.append(description.text)


def _image_samples(image: _Image, common: frozenset[str]) -> list[Sample]:
    width, height = image.size
    complete = bool(image.record.get("boxes_complete_80", True))
    image_id = str(image.record["id"])
    words = {word for caption in image.captions for word in content_words(caption)}
    boxes = [Known(region.class_name, area(region.box) / (width * height), region.labels) for region in image.regions]
    texts = region_texts(image.captions, boxes, random.Random(image_id), common)
    samples = []
    for region, derivable in zip(image.regions, texts, strict=True):
        derived = [RegionText(text, "described") for text in region.described] + derivable
        if region.crowd or min(region.box[2] - region.box[0], region.box[3] - region.box[1]) < MIN_SIDE:
            continue
        tags, ignored = region_tags(
            region.class_name, derived, region.labels, words, _overlapping(region, image.regions)
        )
        samples.append(
            Sample(
                image=image.path,
                image_id=image_id,
                image_size=image.size,
                box=region.box,
                texts=tuple(derived),
                sample_id=f"coco-{region.annotation_id}",
                split=image.split,
                tags=tuple(tags),
                ignored_tags=tuple(ignored),
                attributes=tuple(region.labels.values) if region.labels else None,
                class_name=region.class_name,
                complete=complete,
            )
        )
    return [*samples, *_other_regions(image, words), *_whole_image(image, complete)]


def _other_regions(image: _Image, words: set[str]) -> list[Sample]:
    """What was described but is no box of COCO's: other words of the image's captions may be true of it as well."""
    samples = []
    for number, description in enumerate(image.others):
        box = description.pixels(image.size)
        tags = set(content_words(description.text))
        near = {region.class_name for region in image.regions if share_inside(region.box, box) >= _OVERLAP}
        near |= {region.class_name for region in image.regions if share_inside(box, region.box) >= _OVERLAP}
        ignored = {*words, *unsaid_attributes(tags), *near, *(group for name in near for group in groups_of(name))}
        samples.append(
            Sample(
                image=image.path,
                image_id=str(image.record["id"]),
                image_size=image.size,
                box=box,
                texts=(RegionText(description.text, "described"),),
                sample_id=f"coco-{image.record['id']}-described-{number}",
                split=image.split,
                tags=tuple(tags),
                ignored_tags=tuple(ignored - tags),
            )
        )
    return samples


def _whole_image(image: _Image, complete: bool) -> list[Sample]:
    texts = dict.fromkeys(tidy_caption(caption) for caption in image.captions)
    kept = tuple(RegionText(text, "whole") for text in texts if text)
    if not kept:
        return []
    tags, ignored = image_tags(image.captions, [region.class_name for region in image.regions], complete)
    image_id = str(image.record["id"])
    return [
        Sample(
            image=image.path,
            image_id=image_id,
            image_size=image.size,
            box=(0.0, 0.0, float(image.size[0]), float(image.size[1])),
            texts=kept,
            sample_id=f"coco-image-{image_id}",
            split=image.split,
            tags=tuple(tags),
            ignored_tags=tuple(ignored),
            complete=complete,
        )
    ]


def _overlapping(region: _Region, others: Iterable[_Region]) -> set[str]:
    """Classes of other boxes with a good part of theirs inside this one: they may be called part of the region."""
    inside = {other.class_name for other in others if share_inside(other.box, region.box) >= _OVERLAP}
    return inside - {region.class_name}
