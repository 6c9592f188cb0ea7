"""COCO with region texts derived from captions and attributes, and with descriptions of a file of their own."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dynrefer.boxes import area, share_inside
from dynrefer.datasets.annotated import AnnotatedImage
from dynrefer.datasets.coco import CocoData, overlapping, read_images, sample_of, whole_sample
from dynrefer.datasets.records import Problems
from dynrefer.datasets.sample import RegionText, Sample
from recipes.mini.attributes import Labels, unsaid_attributes
from recipes.mini.classes import groups_of
from recipes.mini.derive import Known, region_texts
from recipes.mini.descriptions import Description, match, read_descriptions
from recipes.mini.tags import image_tags, region_tags
from recipes.mini.words import content_words, head_noun, normalise, tidy_caption

COMMON = 4  # a word in so many captions is no misspelling
_OVERLAP = 0.3


def read(root: Path, problems: Problems, descriptions: Path | None = None) -> Iterator[Sample]:
    """One sample a box, one a described part and one a whole image, in the order of the files.

    Raises InputError where files are missing or not COCO's.
    """
    data = read_images(root, problems)
    told = read_descriptions(descriptions, problems) if descriptions is not None else {}
    captions = (text for image in data.images.values() for text in image.captions)
    counts = Counter(word for text in captions for word in normalise(text).split())
    common = frozenset(word for word, count in counts.items() if count >= COMMON)
    return (s for key, image in data.images.items() for s in _image_samples(data, image, told.get(key, []), common))


def _image_samples(
    data: CocoData, image: AnnotatedImage, descriptions: list[Description], common: frozenset[str]
) -> Iterator[Sample]:
    photograph = image.photograph
    words = {word for caption in image.captions for word in content_words(caption)}
    labels = [Labels(data.attribute_names, r.attributes) if r.attributes else None for r in image.regions]
    share = photograph.size[0] * photograph.size[1]
    boxes = [Known(r.class_name, area(r.box) / share, known) for r, known in zip(image.regions, labels, strict=True)]
    texts = region_texts(image.captions, boxes, random.Random(photograph.image_id), common)
    described, others = _match(image, descriptions)
    for number, region in enumerate(image.regions):
        if region.crowd or not region.is_large:
            continue
        found = [RegionText(text, "described") for text in described[number]] + texts[number]
        near = overlapping(region, image.regions)
        tags, ignored = region_tags(region.class_name, found, labels[number], words, near)
        yield sample_of(image, region, found, tags=tuple(tags), ignored_tags=tuple(ignored))
    for number, description in enumerate(others):
        yield _described_part(image, description, number, words)
    for sample in whole_sample(image):
        kept = [text for caption in image.captions if (text := tidy_caption(caption))]
        tags, ignored = image_tags(image.captions, [region.class_name for region in image.regions], image.complete)
        if kept:
            yield replace(
                sample,
                texts=tuple(RegionText(text, "whole") for text in dict.fromkeys(kept)),
                tags=tuple(tags),
                ignored_tags=tuple(ignored),
                complete=image.complete,
            )


def _match(image: AnnotatedImage, descriptions: list[Description]) -> tuple[list[list[str]], list[Description]]:
    """Descriptions of each box, and those that are of no box."""
    boxes = [region.box for region in image.regions]
    described: list[list[str]] = [[] for _ in boxes]
    others = []
    for description in descriptions:
        number = match(description.pixels(image.photograph.size), boxes)
        if number is None:
            others.append(description)
        else:
            described[number].append(description.text)
    return described, others


def _described_part(image: AnnotatedImage, description: Description, number: int, words: set[str]) -> Sample:
    """What was described but is no box of COCO's: other words of the image's captions may be true of it as well."""
    photograph = image.photograph
    box = description.pixels(photograph.size)
    tags = set(content_words(description.text))
    near = {region.class_name for region in image.regions if share_inside(region.box, box) >= _OVERLAP}
    near |= {region.class_name for region in image.regions if share_inside(box, region.box) >= _OVERLAP}
    ignored = {*words, *unsaid_attributes(tags), *near, *(group for name in near for group in groups_of(name))}
    return photograph.sample(
        f"coco-{photograph.image_id}-described-{number}",
        box,
        [RegionText(description.text, "described")],
        tags=tuple(tags),
        ignored_tags=tuple(ignored - tags),
        name=head_noun(description.text),
    )
