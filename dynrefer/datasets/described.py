"""Samples of regions that people described: what most of the data sets come to."""

from collections.abc import Iterable, Iterator, Sequence

from dynrefer.boxes import share_inside, whole
from dynrefer.datasets.records import AnnotatedRegion, Photograph
from dynrefer.datasets.sample import RegionText, Sample, Source
from dynrefer.datasets.words import class_text, clean_caption, has_letters, said_tags

_OVERLAP = 0.3


def described_samples(photograph: Photograph, regions: Sequence[AnnotatedRegion]) -> Iterator[Sample]:
    """One sample a region that has a text or a class.

    Tags are the words of its texts and its class. What the texts of overlapping regions say may be true of it as well
    and is ignored.
    """
    texts = [_texts(region) for region in regions]
    words = [set().union(*(said_tags(text.text) for text in found)) for found in texts]
    for region, found, said in zip(regions, texts, words, strict=True):
        if not found:
            continue
        around = (
            near
            for other, near in zip(regions, words, strict=True)
            if other is not region and share_inside(other.box, region.box) >= _OVERLAP
        )
        ignored: set[str] = set().union(*around) - said
        yield photograph.sample(
            region.id,
            region.box,
            found,
            tags=tuple(sorted(said)),
            ignored_tags=tuple(sorted(ignored)),
            class_name=region.class_name or None,
            name=region.name or region.class_name or None,
        )


def whole_image(photograph: Photograph, captions: Iterable[str], sample_id: str) -> list[Sample]:
    """A sample of the whole photograph with its captions, or nothing where there are none."""
    texts = dict.fromkeys(clean_caption(caption) for caption in captions)
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
