"""Region descriptions out of whole-image captions that mention exactly one boxed object.

"A man sits on a bench while a dog runs" with one bench and one large man gives "a man sitting on a bench" for the man
and "a bench with a man sitting on it" for the bench; what is said about other things is cut.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from recipes.mini.mentions import Mention, before_noun, find_mentions
from recipes.mini.tails import SCENE_NOUNS, object_tails, subject_tail
from recipes.mini.words import Word, normalise, tag_words

MIN_AREA = 0.01
MIN_LEAD = 3.0
_UNFIT = frozenset("erotic erotically sexy naked nude topless breasts panties".split())


@dataclass(frozen=True)
class Phrase:
    """A noun phrase in parts: adjectives, nouns before the noun ("kitchen"), the noun ("sink") and what follows."""

    qualities: tuple[str, ...]
    modifiers: tuple[str, ...]
    noun: str
    tail: tuple[str, ...]


def sole_boxes(classes: Sequence[str], areas: Sequence[float]) -> dict[str, int]:
    """For every class the index of the box that a singular noun must mean.

    `areas` are fractions of the image. A box qualifies with at least 1 % of the image and three times the next largest
    of its class.
    """
    sole = {}
    for name in set(classes):
        ranked = sorted((k for k, other in enumerate(classes) if other == name), key=lambda k: -areas[k])
        if areas[ranked[0]] >= MIN_AREA and (len(ranked) == 1 or areas[ranked[0]] >= MIN_LEAD * areas[ranked[1]]):
            sole[name] = ranked[0]
    return sole


def ground_caption(caption: str, classes: set[str]) -> list[tuple[str, Phrase]]:
    """(class, phrase) for everything the caption says of a class of `classes` named once, in the singular."""
    words = tag_words(normalise(caption))
    doubled = any(first.tag == second.tag == "DT" for first, second in pairwise(words))
    if doubled or any(word.text in _UNFIT for word in words):
        return []
    mentions = find_mentions(words)
    counts = Counter(mention.class_name for mention in mentions)
    found = []
    for mention in mentions:
        if mention.class_name not in classes or counts[mention.class_name] > 1 or mention.plural:
            continue
        before = before_noun(words, mention)
        if before is None:
            continue
        tails = [subject_tail(words, mention)] if _is_subject(words, mention) else object_tails(words, mention)
        found += [
            (mention.class_name, Phrase(*before, words[mention.head].text, tuple(tail)))
            for tail in tails
            if tail or any(before)
        ]
    return found


def _is_subject(words: Sequence[Word], mention: Mention) -> bool:
    return not any(
        word.tag == "VBG" or (word.tag.startswith("NN") and word.text not in SCENE_NOUNS)
        for word in words[: mention.start]
    )
