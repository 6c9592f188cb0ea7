"""What a caption says after a noun, as far as it is about that noun alone."""

from collections.abc import Sequence

from recipes.mini.classes import GROUPS, NOUN_CLASS
from recipes.mini.mentions import Mention, phrase_start
from recipes.mini.words import Word, gerund

MAX_WORDS = 14
SCENE_NOUNS = frozenset("photo picture image view shot scene close-up closeup foreground background".split())
_COPULAS = frozenset("is are was were being".split())
_CLAUSE_STARTS = frozenset("while as when because before after where so but there if then whose who this these".split())
_NOT_PLACE = ("VBG", "VBZ", "WDT", "CC", "PRP", "PRP$", "TO", "EX", "VBD")
_FOREIGN_FIRST = ("CC", "DT", "CD", "PRP", "NN", "NNS", "VBD", "TO")
_NEVER_LAST = ("IN", "DT", "CC", "PRP$", "TO", "WDT", "VBZ", "CD", "RBR")
_OWNED = frozenset(
    "shirt dress jacket coat suit hat shorts pants jeans uniform skirt clothes clothing outfit underwear pajamas "
    "sweater helmet glasses sunglasses vest costume hoodie tie bikini wetsuit t-shirt cap boots shoes bathing_suit "
    "swimsuit gear wet_suit blouse scarf black red blue yellow pink green laptop phone cell_phone computer hand hands "
    "mouth lap arms way".split()
)
_PLACING = frozenset("in on near at by under behind beside inside against next_to in_front_of on_top_of along".split())
_PASSIVE = {
    "holding": "held",
    "carrying": "carried",
    "riding": "ridden",
    "pulling": "pulled",
    "pushing": "pushed",
    "wearing": "worn",
    "using": "used",
    "flying": "flown",
    "driving": "driven",
}
_ACTORS = GROUPS["animal"] | {"person", "teddy bear"}
_HANDLED = GROUPS["sports equipment"] | GROUPS["electronics"]
_BARE_PLACES = frozenset("bed water snow grass sand traffic mud sunlight darkness public".split())
_RESTING = frozenset("sitting standing lying laying sleeping resting perched".split())


def subject_tail(words: Sequence[Word], mention: Mention) -> list[str]:
    """What follows the caption's subject, with its verbs as participles: "sits on a bench" -> "sitting on a bench"."""
    return _texts(_shorten(_cut_foreign(_participles(words[mention.head + 1 :])), MAX_WORDS - 3))


def _texts(words: Sequence[Word]) -> list[str]:
    return [word.text for word in words]


def _participles(tail: Sequence[Word]) -> list[Word]:
    """The predicate as a modifier: "is sitting" -> "sitting", "that has" -> "with", "rides" -> "riding"."""
    words: list[Word] = []
    fresh = True  # still at the predicate of the noun, or just behind an "and"
    for word, following in zip(tail, [*tail[1:], Word("", "")], strict=False):
        if fresh:
            modifier = _modifier(word, following)
            if modifier is None:
                return words
            words += modifier
            fresh = not modifier
        elif word.tag in ("VBZ", "VBP", "VBD"):
            return _before_clause(words)
        else:
            words.append(word)
            fresh = word.text == "and" and following.tag in ("VBZ", "VBG")
    return words


def _modifier(word: Word, following: Word) -> list[Word] | None:
    """The first word of a predicate as that of a modifier; empty where it is dropped, None where nothing fits."""
    if word.text in _COPULAS:
        if following.tag in ("VBG", "VBN", "IN", "RB") or following.text == "being":
            return []
        return [Word("that", "WDT"), Word("is", "COP")] if following.tag == "JJ" else None
    if word.text in ("has", "have"):
        return [Word("with", "IN")] if following.tag in ("DT", "JJ", "NN", "NNS", "CD", "PRP$") else None
    if "n't" in word.text or word.text == "not":
        return None
    if (word.tag.startswith("RB") and word.text != "asleep") or word.tag == "WDT":
        return []
    return [Word(gerund(word.text), "VBG")] if word.tag in ("VBZ", "VBP", "VB") else [word]


def _before_clause(words: list[Word]) -> list[Word]:
    """Without the noun phrase whose verb has just been met, and what joined it."""
    for k in range(len(words) - 1, -1, -1):
        if words[k].tag in ("CC", "IN", "VBG", "WDT"):
            return words[:k]
    return []


def _cut_foreign(tail: Sequence[Word]) -> list[Word]:
    """Up to the first word that begins to speak of something else."""
    if tail and tail[0].text != "of" and (tail[0].tag in _FOREIGN_FIRST or tail[0].text == "off"):
        return []
    for k, word in enumerate(tail):
        rest = tail[k + 1 :]
        clause = word.text in _CLAUSE_STARTS or word.tag == "EX"
        actor = word.text == "and" and k > 0 and _names_actor(rest)
        scene = word.tag == "IN" and any(other.text in SCENE_NOUNS for other in rest[:3])
        each_other = word.tag == "IN" and _texts(rest[:2]) == ["each", "other"]
        if clause or actor or scene or each_other:
            return list(tail[:k])
    return list(tail)


def _names_actor(words: Sequence[Word]) -> bool:
    """Whether a noun phrase follows that does or is something of its own."""
    for word in words[:6]:
        if word.tag in ("VBG", "VBZ") or (word.tag.startswith("NN") and NOUN_CLASS.get(word.text) == "person"):
            return word is not words[0]
        if word.text in ("and", "with", "on", "in"):
            return False
    return False


def _shorten(tail: list[Word], limit: int) -> list[Word]:
    """At most `limit` words, cut where a new part begins, without dangling function words."""
    if len(tail) > limit:
        starts = [k for k in range(2, limit + 1) if tail[k].tag in ("IN", "CC", "VBG", "TO", "WDT")]
        tail = tail[: starts[-1]] if starts else []
    while tail and (tail[-1].tag in _NEVER_LAST or tail[-1].text in ("very", "next", "his", "that")):
        if tail[-1].text in ("down", "up", "around", "outside", "inside", "together"):
            break
        tail = tail[:-1]
    return tail


def object_tails(words: Sequence[Word], mention: Mention) -> list[list[str]]:
    """What can be said of something that is not the caption's subject; at least one tail, which may be empty."""
    inverse = _inverse(words, mention)
    local = _texts(_local_tail(words[mention.head + 1 :], handled=mention.class_name in _HANDLED))
    return [tail for tail in (inverse, local) if tail] or [[]]


def _inverse(words: Sequence[Word], mention: Mention) -> list[str] | None:
    """ "a man holding [a racket]" -> "held by a man"; "a cat sleeping on [a bed]" -> "with a cat sleeping on it"."""
    k = mention.start - 1
    preposition = {"on_top_of": "on"}.get(words[k].text, words[k].text) if k >= 0 else ""
    verb_at = k - 1 if preposition in ("on", "in") else k
    if verb_at < 1 or words[verb_at].tag not in ("VBG", "VBZ"):
        return None
    verb = gerund(words[verb_at].text)
    subject = _actor(words, verb_at - 2 if words[verb_at - 1].text in _COPULAS else verb_at - 1)
    if subject is None:
        return None
    if verb_at < k:
        return ["with", *subject, verb, preposition, "it"] if verb in _RESTING else None
    return [_PASSIVE[verb], "by", *subject] if verb in _PASSIVE else None


def _actor(words: Sequence[Word], head: int) -> list[str] | None:
    """The noun phrase that ends at `head` with the article "a", where it is one person or animal on its own."""
    if head < 0 or words[head].tag != "NN" or NOUN_CLASS.get(words[head].text.replace("_", " ")) not in _ACTORS:
        return None
    start = phrase_start(words, head)
    joined = start > 0 and words[start - 1].tag in ("IN", "CC", "CD")
    if joined or words[start].text not in ("a", "an", "the", "one"):
        return None
    return ["a", *_texts(words[start + 1 : head + 1])]


def _local_tail(tail: Sequence[Word], handled: bool) -> list[Word]:
    """Prepositional phrases of place and participles right behind the noun, which hold for the object too.

    `handled` objects are swung and thrown, so that "at" and "in" behind them tell about the action.
    """
    if len(tail) < 2:
        return []
    first, second = tail[0], tail[1]
    if not (first.text in _PLACING or first.tag == "VBN" or first.text in ("full", "of")):
        return []
    if (handled and first.text in ("at", "near")) or (
        first.text == "in" and second.tag == "NN" and second.text not in _BARE_PLACES
    ):
        return []
    beyond = ("with", "for", "to", "from") if first.tag != "VBN" else ()
    kept = [first]
    for word in tail[1:]:
        if word.tag in _NOT_PLACE or word.text in _CLAUSE_STARTS or word.text in beyond:
            break
        kept.append(word)
    if any(word.text in _OWNED or word.text in SCENE_NOUNS for word in kept):
        return []
    found = _shorten(_cut_foreign(kept), MAX_WORDS - 5)
    return found if len(found) > 1 else []
