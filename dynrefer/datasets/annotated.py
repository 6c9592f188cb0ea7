"""Photographs with annotated regions, of whatever data set, and the samples that most of them become."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dynrefer.boxes import Box, share_inside, whole
from dynrefer.datasets.records import Photograph
from dynrefer.datasets.sample import RegionText, Sample, Source
from dynrefer.datasets.words import class_text, clean_caption, has_letters, said_tags

MIN_SIDE = 4.0  # pixels
_OVERLAP = 0.3


@dataclass
class AnnotatedRegion:
    """A box with what people wrote about it, and its class and everyday name; "" where the data set tells none.

    `captions` are of this region alone, by `source`; `phrases` what it is called within longer sentences. `attributes`
    are OVAD's values, 1 has, 0 has not, -1 unknown.
    """

    id: str
    box: Box
    captions: tuple[str, ...] = ()
    class_name: str = ""
    phrases: tuple[str, ...] = ()
    name: str = ""
    source: Source = "human"
    crowd: bool = False
    attributes: tuple[int, ...] | None = None

    @property
    def is_large(self) -> bool:
        """Whether each side is long enough to see anything."""
        return min(self.box[2] - self.box[0], self.box[3] - self.box[1]) >= MIN_SIDE


@dataclass
class AnnotatedImage:
    """A photograph with its boxes, captions of the whole of it, and its record where it is of COCO's files."""

    photograph: Photograph
    regions: list[AnnotatedRegion] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether all classes of the data set were boxed in it."""
        return bool(self.record.get("boxes_complete_80", True))


def described_samples(image: AnnotatedImage) -> Iterator[Sample]:
    """One sample a region that has a text or a class.

    Tags are the words of its texts and its class. What the texts of overlapping regions say may be true of it as well
    and is ignored.
    """
    texts = [_texts(region) for region in image.regions]
    words = [set().union(*(said_tags(text.text) for text in found)) for found in texts]
    for region, found, said in zip(image.regions, texts, words, strict=True):
        if not found:
            continue
        around = (
            near
            for other, near in zip(image.regions, words, strict=True)
            if other is not region and share_inside(other.box, region.box) >= _OVERLAP
        )
        ignored: set[str] = set().union(*around) - said
        yield image.photograph.sample(
            region.id,
            region.box,
            found,
            tags=tuple(sorted(said)),
            ignored_tags=tuple(sorted(ignored)),
            class_name=region.class_name or None,
            name=region.name or region.class_name or None,
        )


def whole_image(image: AnnotatedImage, sample_id: str) -> list[Sample]:
    """A sample of the whole photograph with its captions, or nothing where there are none."""
    photograph, texts = image.photograph, dict.fromkeys(clean_caption(caption) for caption in image.captions)
    kept = [RegionText(text, "whole") for text in texts if has_letters(text)]
    tags = set().union(*(said_tags(text.text) for text in kept))
    return [photograph.sample(sample_id, whole(photograph.size), kept, tags=tuple(sorted(tags)))] if kept else []


def _texts(region: AnnotatedRegion) -> list[RegionText]:
    named = class_text(region.class_name) if region.class_name else ""
    found: dict[str, Source] = {}
    for text, source in (
        *((clean_caption(text), region.source) for text in region.captions),
        *((clean_caption(text), "phrase") for text in region.phrases),
        (named, "class"),
    ):
        if has_letters(text):
            found.setdefault(text, source)
    return [RegionText(text, source) for text, source in found.items()]
