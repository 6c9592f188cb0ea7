"""What a text is about, as names: "yellow lunch container with broccoli" -> "container".

Rules over the words of the first noun phrase. A name of several words is taken where it is a known one (`compounds`).
"""

import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache

from lemminflect import getLemma
from textblob.en import lexicon

from recipes.mini.words import normalise

LONGEST = 3  # words of a name
DETERMINERS = frozenset(
    "a an the this that these those his her its their one another some two three four five six seven eight nine ten "
    "several many few both each every other no any own more most all".split()
)
_ENDS = frozenset(  # what a noun phrase ends before
    "of on in with at by near inside into from over under behind beside across around along against through between "
    "among above below onto toward towards outside upon off is are was were be being been has have had and or but "
    "while as that which who whose where when to for up down out it them him he she they this using about after before "
    "during without within next like than then so very not also both wearing holding standing sitting lying laying "
    "riding playing walking running jumping looking eating carrying hanging leaning resting flying swimming wears "
    "holds stands sits rides plays walks runs jumps looks eats carries hangs leans rests flies swims attached covered "
    "parked filled made surrounded dressed seen lined topped stacked placed mounted painted set cut tied wrapped "
    "folded held worn left right beneath underneath atop amid past beyond alongside".split()
)
_NOUNS_IN_ING = frozenset(
    "building ceiling painting railing clothing awning wing ring king string swing earring icing frosting topping "
    "pudding dumpling dressing lettering writing siding molding stuffing filling wedding evening morning spring thing "
    "drawing carving viking herring sling duckling seedling gosling sibling bedding flooring paving crossing landing "
    "lighting wiring netting fencing".split()
)
_NOUNS_IN_ED = frozenset("seed weed reed sled shed bed".split())
_PARTS = frozenset(  # "edge of a disc" is about the disc
    "edge end top bottom side front back part piece pair group bunch row stack pile set half corner section view rear "
    "lot lots couple middle center tip base inside outside bit number kind type collection variety line cluster array "
    "assortment patch portion remains close-up closeup lower upper shape body pieces parts rows bunches stacks "
    "piles".split()
)
_HOLDERS = frozenset(  # "a bowl of soup" is about the bowl and about the soup
    "slice bowl plate cup glass bottle basket box bag herd flock crowd loaf bouquet jar can mug sheet field body patch "
    "pile tray pot pan".split()
)
_AS_THEY_ARE = frozenset(
    "glasses sunglasses jeans pants shorts trousers scissors clothes goggles binoculars tights leggings pajamas bus "
    "grass glass dress bass moss cross canvas octopus cactus walrus species series headphones skis pliers tweezers "
    "overalls stairs fries noodles spaghetti hair christmas swiss compass mattress hippopotamus platypus asparagus "
    "hummus citrus lens iris chess tennis news gas".split()
)
_JOINED_BY_AND = frozenset(  # "a black and white dog" goes on behind "and"
    "black white red blue green yellow orange brown gray grey pink purple tan gold silver beige dark light blond "
    "blonde old young small large wet dry clear plain striped wooden metal".split()
)


@lru_cache(maxsize=65536)
def lemma(noun: str) -> str:
    """A noun in the singular; what has none stays."""
    if noun in _AS_THEY_ARE:
        return noun
    return (getLemma(noun, "NOUN") or (noun,))[0]


def as_name(text: str) -> str:
    """A given name as the vocabulary holds it: normalised, its last word in the singular."""
    *first, last = normalise(text).split() or [""]
    return " ".join([*first, lemma(last)]).strip()


def head_nouns(text: str, compounds: AbstractSet[str] = frozenset()) -> list[str]:
    """Names of what the text is about, most specific first; none where it has no noun phrase."""
    phrase, rest = _first_phrase(normalise(text).split(), compounds)
    if not phrase:
        return []
    last = lemma(phrase[-1])
    of_what = " ".join(rest[1:]) if rest[:1] == ["of"] else None
    if phrase[-1] in _PARTS or last in _PARTS:
        if of_what is not None:
            return head_nouns(of_what, compounds)
        if last in ("lower", "upper"):
            return []
    names = [" ".join([*phrase[-k:-1], last]) for k in range(min(LONGEST, len(phrase)), 0, -1)]
    found = [name for name in names if " " not in name or name in compounds]
    if of_what is not None and last in _HOLDERS:
        held = head_nouns(of_what, compounds)[-1:]
        found += [name for name in (f"{last} of {noun}" for noun in held) if name in compounds]
        found += held if last != "field" else []
    return list(dict.fromkeys(found))


def all_heads(texts: Iterable[str], compounds: AbstractSet[str]) -> list[str]:
    """The names of several texts, each once, in order."""
    return list(dict.fromkeys(name for text in texts for name in head_nouns(text, compounds)))


def _first_phrase(words: Sequence[str], compounds: AbstractSet[str]) -> tuple[list[str], list[str]]:
    """The words of the first noun phrase, without articles and owners, and the rest of the text."""
    start = 0
    while start < len(words) and (words[start] in DETERMINERS or words[start].isdigit()):
        start += 1
    end = start
    while end < len(words):
        word = words[end]
        if word == "and" and end > start and words[end - 1] in _JOINED_BY_AND:
            end += 1
            continue
        if end > start and _ends_before(words, end, compounds):
            break
        if word.endswith("'s") or word in _ENDS:
            start = end + 1
        end += 1
    return list(words[start:end]), list(words[end:])


def _ends_before(words: Sequence[str], at: int, compounds: AbstractSet[str]) -> bool:
    """Whether the word belongs to what is said of the noun: a preposition, a verb, a participle."""
    word = words[at]
    if word in _ENDS:
        return True
    if word.endswith("ed") and len(word) > 4 and word not in compounds and word not in _NOUNS_IN_ED:
        following = words[at + 1 : at + 2]
        return not following or following[0] in _ENDS or following[0] in DETERMINERS
    if word.endswith("ing") and len(word) > 5 and word not in _NOUNS_IN_ING:
        return not any(_compound_at(words, at, count) in compounds for count in (2, 3))
    return lexicon.get(word) in ("VBD", "VBN") and not re.search("ed$", word) and word not in compounds


def _compound_at(words: Sequence[str], at: int, count: int) -> str:
    part = words[at : at + count]
    return " ".join([*part[:-1], lemma(part[-1])]) if len(part) == count else ""
