"""Samples of regions that people described, which Visual Genome, RefCOCOg and users' own files share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dynrefer.boxes import Box, share_inside
from dynrefer.data.attributes import unsaid_attributes
from dynrefer.data.classes import CLASS_NOUNS, groups_of
from dynrefer.data.derive import class_phrase
from dynrefer.data.sample import RegionText, Sample
from dynrefer.data.words import content_words, normalise

_OVERLAP = 0.3


@dataclass(frozen=True)
class DescribedRegion:
    """A box with what people wrote about it, and its class where the data set has classes."""

    region_id: str
    box: Box
    descriptions: tuple[str, ...]
    class_name: str | None = None


@dataclass(frozen=True)
class Photograph:
    """A photograph's file, its id in the data set, (width, height) in pixels and split."""

    path: Path
    image_id: str
    size: tuple[int, int]
    split: str


def described_samples(photograph: Photograph, regions: Sequence[DescribedRegion]) -> Iterator[Sample]:
    """One sample a region.

    Tags are the words of its descriptions and its class. What descriptions of overlapping regions say, and attributes
    that nobody mentioned, may be true of it as well and are ignored.
    """
    words = [{word for text in region.descriptions for word in content_words(text)} for region in regions]
    for region, said in zip(regions, words, strict=True):
        around = (
            near
            for other, near in zip(regions, words, strict=True)
            if other is not region and share_inside(other.box, region.box) >= _OVERLAP
        )
        tags, ignored = set(said), unsaid_attributes(said).union(*around)
        texts = [RegionText(normalise(text), "human") for text in region.descriptions]
        if region.class_name:
            tags |= {region.class_name, *groups_of(region.class_name)}
            ignored |= set(CLASS_NOUNS.get(region.class_name, ()))
            texts.append(RegionText(class_phrase(region.class_name), "class"))
        yield Sample(
            image=photograph.path,
            image_id=photograph.image_id,
            image_size=photograph.size,
            box=region.box,
            texts=tuple(texts),
            sample_id=region.region_id,
            split=photograph.split,
            tags=tuple(sorted(tags)),
            ignored_tags=tuple(sorted(ignored - tags)),
            class_name=region.class_name,
        )
