"""Derived region texts: grounded captions enriched with attribute labels, attribute phrases, class phrases."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from dynrefer.datasets.sample import RegionText
from dynrefer.datasets.words import fix_articles
from recipes.mini.attributes import (
    COLOURS,
    NO_ARTICLE,
    Labels,
    attribute_phrases,
    clothes,
    colour_words,
    hair,
    material_word,
    person_noun,
)
from recipes.mini.grounding import Phrase, ground_caption, sole_boxes
from recipes.mini.words import misspelled

MIN_WORDS, MAX_WORDS = 3, 20
_MALE = frozenset("man boy guy male gentleman groom cowboy policeman fireman".split())
_FEMALE = frozenset("woman girl lady female bride".split())
_YOUNG = frozenset("boy girl child kid toddler baby".split())
_MATERIAL_WORDS = frozenset(
    "wooden wood metal metallic plastic glass leather ceramic stone concrete brick porcelain".split()
)
_COLOUR_WORDS = {*COLOURS, "colorful", "colored", "multicolored", "silver", "gold", "beige", "maroon"}
_DRESSED = frozenset(
    "wearing dressed shirt dress jacket coat suit hat shorts pants uniform clothes outfit wetsuit gear bathrobe "
    "bikini costume shirtless sweater jersey".split()
)


@dataclass(frozen=True)
class Known:
    """What derivation knows of one box: its class, its share of the image's area (0 to 1) and its labels."""

    class_name: str
    area: float
    labels: Labels | None = None


def region_texts(
    captions: Sequence[str], boxes: Sequence[Known], rng: random.Random, common: frozenset[str] = frozenset()
) -> list[list[RegionText]]:
    """For every box of one image its derived texts, best first; the last one is always the class.

    `common` are words that are spelled right though no dictionary has them.
    """
    grounded = _grounded(captions, boxes, rng, common)
    texts = []
    for k, box in enumerate(boxes):
        phrases = attribute_phrases(box.class_name, box.labels, rng) if box.labels else []
        texts.append(
            [RegionText(text, "grounded") for text in grounded[k]]
            + [RegionText(text, "attributes") for text in phrases if text not in grounded[k]]
            + [RegionText(class_phrase(box.class_name), "class")]
        )
    return texts


def class_phrase(class_name: str) -> str:
    """ "a dog", "an umbrella", "skis"."""
    return class_name if class_name in NO_ARTICLE else fix_articles(f"a {class_name}")


def _grounded(
    captions: Sequence[str], boxes: Sequence[Known], rng: random.Random, common: frozenset[str]
) -> list[list[str]]:
    sole = sole_boxes([box.class_name for box in boxes], [box.area for box in boxes])
    found: list[dict[str, None]] = [{} for _ in boxes]
    for caption in captions:
        for class_name, phrase in ground_caption(caption, set(sole)):
            k = sole[class_name]
            labels = boxes[k].labels
            if labels is not None and contradicts(phrase, class_name, labels):
                continue
            text = render(phrase if labels is None else enrich(phrase, class_name, labels, rng))
            if MIN_WORDS <= len(text.split()) <= MAX_WORDS and not misspelled(text, common):
                found[k][text] = None
    return [list(texts) for texts in found]


def render(phrase: Phrase) -> str:
    """The phrase as text with its article."""
    article = [] if phrase.noun in NO_ARTICLE or phrase.noun == "luggage" else ["a"]
    return fix_articles(
        " ".join([*article, *phrase.qualities, *phrase.modifiers, phrase.noun, *phrase.tail]).replace("_", " ")
    )


def contradicts(phrase: Phrase, class_name: str, labels: Labels) -> bool:
    """Whether the labels deny what the phrase says, so that the caption means another object."""
    if class_name == "person":
        gender, young = labels.first("gender"), labels.first("maturity")
        wrong_gender = (gender == "male" and phrase.noun in _FEMALE) or (gender == "female" and phrase.noun in _MALE)
        return wrong_gender or (young == "adult" and phrase.noun in _YOUNG - {"girl", "boy"})
    said = [word for word in phrase.qualities if word in COLOURS]
    denied = labels.having("color", 0)
    return bool(said) and all(colour in denied for colour in said)


def enrich(phrase: Phrase, class_name: str, labels: Labels, rng: random.Random) -> Phrase:
    """The phrase with attribute words it lacks: "a dog on a couch" -> "a brown and white dog on a couch"."""
    return (
        _enrich_person(phrase, labels, rng)
        if class_name == "person"
        else _enrich_object(phrase, class_name, labels, rng)
    )


def _enrich_person(phrase: Phrase, labels: Labels, rng: random.Random) -> Phrase:
    noun = person_noun(labels) if phrase.noun in ("person", "male", "female", "guy", "lady") else phrase.noun
    qualities = phrase.qualities
    spoken = {*qualities, *phrase.modifiers, *phrase.tail}
    if "happy" in labels.having("face expression") and "smiling" not in spoken and rng.random() < 0.5:
        qualities = ("smiling", *qualities)
    details = []
    if phrase.tail[:1] != ("that",):
        details = [detail for detail in (_outfit(phrase, labels, rng), _hair(phrase, labels)) if detail]
    added = rng.choice(details).split() if details else ()
    return replace(phrase, qualities=qualities, noun=noun, tail=(*added, *phrase.tail))


def _outfit(phrase: Phrase, labels: Labels, rng: random.Random) -> str | None:
    """Clothes that the phrase does not mention; "wearing" them where it goes on with another "in"."""
    coloured = any(first == "in" and second in COLOURS for first, second in pairwise(phrase.tail))
    worn = clothes(labels, rng)
    if worn is None or coloured or _DRESSED & {*phrase.qualities, *phrase.tail}:
        return None
    if phrase.tail[:1] == ("in",) and worn.startswith("in "):
        return f"wearing {worn.removeprefix('in ')} clothes"
    return worn


def _hair(phrase: Phrase, labels: Labels) -> str | None:
    return None if "hair" in phrase.tail or phrase.tail[:1] == ("with",) else hair(labels)


def _enrich_object(phrase: Phrase, class_name: str, labels: Labels, rng: random.Random) -> Phrase:
    qualities = list(phrase.qualities)
    spoken = {*qualities, *phrase.modifiers}
    if not spoken & _COLOUR_WORDS:
        at = len(qualities)
        while at and (qualities[at - 1] in _MATERIAL_WORDS or qualities[at - 1] == "and"):
            at -= 1
        qualities[at:at] = colour_words(labels, class_name, rng)
    material = material_word(labels, class_name)
    if material and not spoken & _MATERIAL_WORDS and rng.random() < 0.5:
        qualities.append(material)
    return replace(phrase, qualities=tuple(qualities))
