"""Tags: which words are true of a region, which may be, and which words make the vocabulary."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from dynrefer.datasets.sample import RegionText, Sample
from recipes.mini.attributes import ATTRIBUTE_TAGS, COLOURS, Labels, attribute_tags, unsaid_attributes
from recipes.mini.classes import CLASS_NAMES, CLASS_NOUNS, GROUPS, groups_of
from recipes.mini.words import content_words

_GENDERED = (frozenset({"man", "boy"}), frozenset({"woman", "girl"}))


def region_tags(
    class_name: str,
    texts: Sequence[RegionText],
    labels: Labels | None,
    image_words: Iterable[str],
    overlapping: Iterable[str],
) -> tuple[set[str], set[str]]:
    """(positive, ignored) tags of a boxed region.

    Positive: class, its groups, attributes it has and the words of its texts. Ignored, since nobody said whether they
    hold: other words of the image's captions, classes that share the box, unlabelled attributes, kinds of the class.
    """
    said = {
        word for text in texts if text.source in ("grounded", "described", "human") for word in content_words(text.text)
    }
    positive = {class_name, *groups_of(class_name), *said}
    ignored = {*image_words, *CLASS_NOUNS.get(class_name, ())}
    if labels is None:
        ignored |= unsaid_attributes(said)
    else:
        positive |= attribute_tags(class_name, labels)
        ignored |= attribute_tags(class_name, labels, value=-1)
        ignored |= set(COLOURS) if class_name == "person" else set()
    ignored -= {name for name in CLASS_NAMES if name not in set(overlapping)}
    for group in _GENDERED:
        if positive & group:
            ignored -= (_GENDERED[0] | _GENDERED[1]) - group
    ignored |= {*overlapping, *(group for name in overlapping for group in groups_of(name))}
    return positive, ignored - positive


def image_tags(captions: Iterable[str], class_names: Iterable[str], complete: bool) -> tuple[set[str], set[str]]:
    """(positive, ignored) tags of a whole image, from its captions and the classes boxed in it."""
    words = {word for caption in captions for word in content_words(caption)}
    boxed = set(class_names)
    positive = words | boxed | {group for name in boxed for group in groups_of(name)}
    ignored = set(ATTRIBUTE_TAGS)  # a photograph holds things of many colours
    if not complete:
        ignored |= set(CLASS_NAMES) | set(GROUPS)
    return positive, ignored - positive


def build_tag_vocabulary(counts: Mapping[str, int], min_count: int = 8) -> list[str]:
    """The tags that at least `min_count` training samples have, most frequent first.

    `counts` says how many have each. Class names, groups and attribute words that occur are always in.
    """
    always = {*CLASS_NAMES, *GROUPS, *(word for word in ATTRIBUTE_TAGS if word in counts)}
    chosen = always | {tag for tag, count in counts.items() if count >= min_count}
    return sorted(chosen, key=lambda tag: (-counts.get(tag, 0), tag))


def restrict_tags(sample: Sample, vocabulary: frozenset[str]) -> Sample:
    """The sample with only those tags and ignored tags that are in the vocabulary, sorted."""
    return replace(
        sample,
        tags=tuple(sorted(vocabulary & set(sample.tags))),
        ignored_tags=tuple(sorted(vocabulary & set(sample.ignored_tags))),
    )
