"""OVAD's attribute labels in words: what to call them, and phrases such as "a woman with long brown hair"."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dynrefer.datasets.words import fix_articles
from recipes.mini.classes import GROUPS, groups_of
from recipes.mini.words import plural

COLOURS = ("black", "blue", "brown", "gray", "green", "orange", "pink", "red", "tan", "purple", "white", "yellow")
NO_ARTICLE = frozenset({"skis", "scissors", "broccoli"})
SPOKEN = {"dining table": "table", "sports ball": "ball"}
_COLOUR_NAMES = {"violet": "purple"}
_HAIR_NAMES = {"tan": "blond", "yellow": "blond", "violet": "purple"}
_MATERIALS = {
    "wood": "wooden",
    "metal": "metal",
    "polymers": "plastic",
    "glass": "glass",
    "leather": "leather",
    "ceramic": "ceramic",
    "asphalt": "concrete",
    "stone": "stone",
}
_PATTERNS = {"dotted": "spotted", "floral": "floral", "plaid": "checkered", "striped": "striped"}
_SELF_EVIDENT_MATERIAL = (
    GROUPS["vehicle"] | GROUPS["electronics"] | {"wine glass", "book", "sports ball", "frisbee", "potted plant"}
)
_OPENED = frozenset(
    {"umbrella", "laptop", "book", "oven", "refrigerator", "microwave", "suitcase", "toilet", "scissors"}
)
_EMPTIED = frozenset({"bench", "chair", "couch", "cup", "bowl", "wine glass", "bottle", "vase", "dining table", "bed"})
_FURRY = frozenset({"cat", "dog", "sheep", "bear", "teddy bear"})
_PIECES = {"pizza": "slice", "cake": "piece", "orange": "slice", "apple": "slice", "banana": "slice"}
_BUNCHES = {"banana": "bunch", "book": "row", "person": "group", "carrot": "bunch", "broccoli": "pile"}
_POSTURES = {"sitting": "sitting", "vertical": "standing", "horizontal": "lying down"}
_STRAIGHT_TAGS = {
    "size": {"big": "large", "small": "small"},
    "state": {"open": "open", "closed": "closed", "wet": "wet", "empty": "empty", "folded": "folded"},
    "cleanliness": {"unclean": "dirty"},
    "face expression": {"happy": "smiling", "sleepy": "sleeping"},
    "texture": {"soft": "furry"},
    "maturity": {"young": "young"},
    "pattern": _PATTERNS,
    "material": _MATERIALS,
    "hair length": {"long": "long hair", "short": "short hair", "bald": "bald"},
    "color quantity": {"multicolored": "colorful"},
}


@dataclass(frozen=True)
class Labels:
    """The labels of one box: `values[k]` (1 has, 0 has not, -1 unknown) belongs to `names[k]` ("color:black/dark")."""

    names: Sequence[str]
    values: Sequence[int]

    def having(self, kind: str, value: int = 1) -> list[str]:
        """First words of the labels of a kind with this value: having("color") -> ["black", "white"]."""
        prefix = kind + ":"
        return [
            name[len(prefix) :].split("/")[0]
            for name, known in zip(self.names, self.values, strict=True)
            if known == value and name.startswith(prefix)
        ]

    def first(self, kind: str) -> str | None:
        """The first label of a kind that the box has."""
        return next(iter(self.having(kind)), None)

    def colours(self) -> list[str]:
        """At most two colours of the object in plain words."""
        return [_COLOUR_NAMES.get(colour, colour) for colour in self.having("color")][:2]


def person_noun(labels: Labels) -> str:
    """ "woman", "boy", ... or "person" where gender is unknown."""
    young = labels.first("maturity") == "young"
    nouns = {"female": ("woman", "girl"), "male": ("man", "boy"), None: ("person", "child")}
    return nouns[labels.first("gender")][young]


def clothes(labels: Labels, rng: random.Random) -> str | None:
    """ "in black and white", "wearing blue striped clothes"; None where colours and pattern are unknown."""
    colours = [_COLOUR_NAMES.get(colour, colour) for colour in labels.having("clothes color")][:2]
    pattern = _PATTERNS.get(labels.first("clothes pattern") or "")
    if not colours:
        return f"wearing {pattern} clothes" if pattern else None
    colour = " and ".join(colours)
    if pattern:
        return f"wearing {colour} {pattern} clothes"
    return rng.choice((f"in {colour}", f"wearing {colour} clothes"))


def hair(labels: Labels) -> str | None:
    """ "with long brown hair"; None where unknown or bald."""
    colour = labels.first("hair color")
    curly = "curly" if labels.first("hair type") == "curly" else None
    parts = [labels.first("hair length"), curly, _HAIR_NAMES.get(colour, colour) if colour else None]
    return None if parts[0] == "bald" or not any(parts) else " ".join(["with", *filter(None, parts), "hair"])


def colour_words(labels: Labels, class_name: str, rng: random.Random) -> list[str]:
    """ "dark brown", "black and white": the colour as said before the noun; empty where unknown."""
    colours = labels.colours()
    many = "multicolored" in labels.having("color quantity") and class_name not in GROUPS["food"]
    if many and (not colours or rng.random() < 0.5):
        return ["colorful"]
    if class_name in colours:
        return []
    if class_name in GROUPS["food"] and len(colours) > 1:
        return []
    tones = [tone for tone in labels.having("tone") if tone in ("dark", "light")]
    if (
        len(colours) == 1
        and len(tones) == 1
        and colours[0] in ("blue", "brown", "gray", "green")
        and rng.random() < 0.3
    ):
        return [tones[0], colours[0]]
    return " and ".join(colours).split()


def material_word(labels: Labels, class_name: str) -> str | None:
    """ "wooden", where a person would say so."""
    material = labels.first("material")
    if material is None or class_name in _SELF_EVIDENT_MATERIAL or class_name in GROUPS["food"] | GROUPS["animal"]:
        return None
    if class_name in ("toilet", "sink") and material == "ceramic":
        return "porcelain"
    return _MATERIALS.get(material)


def attribute_phrases(class_name: str, labels: Labels, rng: random.Random, limit: int = 4) -> list[str]:
    """Up to `limit` different phrases of class and attributes, of at least two words more than the article."""
    make = _person_phrase if class_name == "person" else _object_phrase
    drawn = dict.fromkeys(make(class_name, labels, rng) for _ in range(3 * limit))
    return [phrase for phrase in drawn if phrase][:limit]


def _person_phrase(class_name: str, labels: Labels, rng: random.Random) -> str | None:
    if "group" in labels.having("group"):
        return "a group of people"
    noun = person_noun(labels)
    before = [word for word, known in (("smiling", "happy"),) if known in labels.having("face expression")]
    if labels.first("hair length") == "bald":
        before.append("bald")
    posture = _POSTURES.get(labels.first("position") or "")
    details = [detail for detail in (clothes(labels, rng), hair(labels)) if detail]
    rng.shuffle(details)
    if posture and (not details or rng.random() < 0.4):
        after = [detail.replace("wearing", "in", 1) for detail in details[:1]] + [posture]
    else:
        after = sorted(details[: rng.choice((1, 1, 2))], key=lambda detail: not detail.startswith("with"))
    chosen = [word for word in before if rng.random() < 0.6]
    return fix_articles(" ".join(["a", *chosen, noun, *after])) if chosen or after else None


def _object_phrase(class_name: str, labels: Labels, rng: random.Random) -> str | None:
    before = [word for word, chance in _qualities(class_name, labels) if rng.random() < chance]
    before += [word for word in colour_words(labels, class_name, rng) if word]
    pattern = _PATTERNS.get(labels.first("pattern") or "")
    if pattern and rng.random() < 0.8:
        before.append(pattern)
    material = material_word(labels, class_name)
    if material and rng.random() < 0.6:
        before.append(material)
    noun = SPOKEN.get(class_name, class_name)
    if "group" in labels.having("group") and class_name not in NO_ARTICLE:
        return " ".join(["a", _BUNCHES.get(class_name, "group"), "of", *before, plural(noun)])
    posture = _POSTURES.get(labels.first("position") or "") if class_name in GROUPS["animal"] else None
    after = [posture] if posture and rng.random() < 0.7 else []
    if class_name == "tv" and rng.random() < 0.5:
        after += [f"that is turned {state}" for state in labels.having("state") if state in ("on", "off")][:1]
    if "piece" in labels.having("state") and class_name in _PIECES and not before:
        return f"a {_PIECES[class_name]} of {noun}"
    if not before and not after:
        return None
    return fix_articles(" ".join([*([] if class_name in NO_ARTICLE else ["a"]), *before, noun, *after]))


def _qualities(class_name: str, labels: Labels) -> list[tuple[str, float]]:
    """Words that come before the colour, with how often a person would say them."""
    size, states = labels.first("size"), labels.having("state")
    words = [({"big": "large", "small": "small"}.get(size or "", ""), 0.5)]
    words += [(state, 0.6) for state in states if state in ("open", "closed") and class_name in _OPENED]
    words += [("empty", 0.6) for state in states if state == "empty" and class_name in _EMPTIED]
    words += [("wet", 0.5) for state in states if state == "wet" and class_name in GROUPS["animal"]]
    if "unclean" in labels.having("cleanliness"):
        words.append(("dirty", 0.6))
    if class_name in GROUPS["animal"]:
        words += [("young", 0.9)] if labels.first("maturity") == "young" else []
    if class_name in _FURRY and "soft" in labels.having("texture"):
        words.append(("fluffy", 0.3))
    if class_name == "bed" and "messy" in labels.having("order"):
        words.append(("unmade", 0.6))
    return [(word, chance) for word, chance in words if word]


def attribute_tags(class_name: str, labels: Labels, value: int = 1) -> set[str]:
    """Tags whose labels have this value (1: true of the box, -1: unknown).

    Colours of people are those of their clothes ("red clothes"), never a bare colour.
    """
    tags = {
        words[label]
        for kind, words in _STRAIGHT_TAGS.items()
        for label in labels.having(kind, value)
        if label in words and not (kind == "material" and class_name in GROUPS["food"] | GROUPS["animal"])
    }
    if class_name not in GROUPS["animal"] | _FURRY:
        tags.discard("furry")
    if class_name == "person":
        tags -= {"young", "large", "small", "furry"}
        tags |= {f"{_COLOUR_NAMES.get(c, c)} clothes" for c in labels.having("clothes color", value)}
        if value == 1 and (noun := person_noun(labels)) != "person":
            tags.add(noun)
    else:
        tags |= {_COLOUR_NAMES.get(colour, colour) for colour in labels.having("color", value)}
    if groups_of(class_name)[:1] == ("animal",) or class_name == "person":
        tags |= {_POSTURES[p].removesuffix(" down") for p in labels.having("position", value) if p in _POSTURES}
    return tags


ATTRIBUTE_TAGS = frozenset(
    {word for words in _STRAIGHT_TAGS.values() for word in words.values()}
    | set(COLOURS)
    | {f"{colour} clothes" for colour in COLOURS}
    | {"sitting", "standing", "lying", "man", "woman", "boy", "girl", "child"}
)
_ALTERNATIVES = (
    frozenset(COLOURS),
    frozenset(f"{colour} clothes" for colour in COLOURS),
    frozenset({"sitting", "standing", "lying"}),
    frozenset({"man", "woman", "boy", "girl", "child"}),
    frozenset({"large", "small"}),
    frozenset(_MATERIALS.values()),
)


def unsaid_attributes(said: Iterable[str]) -> set[str]:
    """Attribute tags that may be true though a text does not say so.

    Who says that it is red means that it is not blue: of alternatives of which one is said, the others are not true.
    """
    said = set(said)
    return set(ATTRIBUTE_TAGS).difference(*(group for group in _ALTERNATIVES if group & said))
