"""The words a region is compared with: tags, attributes with their templates, classes; and their text embeddings.

E is the text encoder's width. Embeddings of the checkpoint's own words are stored with the weights, so that neither
start nor first answer waits for the text encoder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dynrefer.errors import InputError

# Of a taught name's prototype beside its text: the best of `benchmarks.prototypes --split train`.
PROTOTYPE_WEIGHT = 0.75
Embed = Callable[[Sequence[str]], Tensor]

_MORE_SYNONYMS = {"young/baby": ("kid", "kids", "child", "toddler", "boy", "girl"), "adult/old/aged": ("teen", "elder")}


@dataclass(frozen=True)
class AttributeWord:
    """One attribute: its first synonym as `name`, its `type`, and every text that is scored for it."""

    name: str
    type: str
    templates: tuple[str, ...]


@dataclass(frozen=True)
class TextBank:
    """Embeddings of the vocabularies that regions are scored against.

    Attributes:
        tags: [N, E]. attributes: [M, E], one a template. attribute_of: [M], the template's attribute in 0..A-1.
        classes: [K, E]. names: [K, E], the same without a template, where the tag decoder has a word on them as well.
        priors: [K], added to the logits of the classes.
    """

    tags: Tensor
    attributes: Tensor
    attribute_of: Tensor
    classes: Tensor
    names: Tensor | None = None
    priors: Tensor | None = None

    @property
    def num_attributes(self) -> int:
        """A."""
        return int(self.attribute_of.max()) + 1

    def to(self, device: torch.device) -> TextBank:
        """A copy on another device."""
        tensors = {name: value for name, value in vars(self).items() if value is not None}
        return TextBank(**{name: value.to(device, non_blocking=True) for name, value in tensors.items()})


@dataclass(frozen=True)
class Vocabulary:
    """Default words of a checkpoint and their embeddings.

    Attributes:
        tags: N words. attributes: A entries. classes: K names.
        class_template: how a class name becomes a text, with `{}` for the name.
        class_priors: K natural logarithms, how much likelier than the others people are to say a name; empty for none.
        tag_priors: N, added to the logits of tags that the network finds too often or too seldom; empty for none.
        prototypes: names that were taught by boxed examples.
        embeddings: "tags" [N, E], "attributes" [M, E] (all templates), "classes" [K, E], and "prototypes" [P, E] where
            there are any; empty until `embedded`.
    """

    tags: tuple[str, ...]
    attributes: tuple[AttributeWord, ...]
    classes: tuple[str, ...]
    class_template: str = "the {}"
    class_priors: tuple[float, ...] = ()
    tag_priors: tuple[float, ...] = ()
    prototypes: tuple[str, ...] = ()
    embeddings: Mapping[str, Tensor] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for words, priors in ((self.classes, self.class_priors), (self.tags, self.tag_priors)):
            if len(priors) not in (0, len(words)):
                raise ValueError(f"{len(priors)} priors for {len(words)} words")

    def class_texts(self, names: Sequence[str]) -> list[str]:
        """Class names in the template, lower case."""
        return [self.class_template.format(name.strip().lower()) for name in names]

    @property
    def attribute_texts(self) -> list[str]:
        """All M templates, attribute by attribute."""
        return [template for word in self.attributes for template in word.templates]

    @property
    def attribute_of(self) -> Tensor:
        """[M]: which attribute a template belongs to."""
        counts = torch.tensor([len(word.templates) for word in self.attributes])
        return torch.repeat_interleave(torch.arange(len(self.attributes)), counts)

    def embedded(self, embed: Embed) -> Vocabulary:
        """A copy with the embeddings computed by `embed` (texts -> [T, E])."""
        texts = {"tags": list(self.tags), "attributes": self.attribute_texts, "classes": self.class_texts(self.classes)}
        return self.with_embeddings({name: embed(words).float().cpu() for name, words in texts.items()})

    def with_embeddings(self, embeddings: Mapping[str, Tensor]) -> Vocabulary:
        """A copy that holds these embeddings. Raises InputError where one is missing or has another number of rows."""
        rows = {"tags": len(self.tags), "attributes": len(self.attribute_of), "classes": len(self.classes)}
        rows |= {"prototypes": len(self.prototypes)} if self.prototypes else {}
        for name, count in rows.items():
            if name not in embeddings or len(embeddings[name]) != count:
                raise InputError(f"The checkpoint's text embeddings do not fit its {name} in vocabulary.json.")
        return replace(self, embeddings=dict(embeddings))

    def with_more_classes(self, names: Sequence[str], embeddings: Tensor) -> Vocabulary:
        """A copy with further classes and their embeddings [M, E]; nothing is known of how often people say them."""
        priors = (*self.class_priors, *(0.0 for _ in names)) if self.class_priors else ()
        more = replace(self, classes=(*self.classes, *names), class_priors=priors)
        return more.with_embeddings(
            {**self.embeddings, "classes": torch.cat([self.embeddings["classes"], embeddings.float().cpu()])}
        )

    def with_classes_at(self, places: Sequence[int]) -> Vocabulary:
        """A copy with the classes at these places alone, in this order."""
        priors = tuple(self.class_priors[place] for place in places) if self.class_priors else ()
        few = replace(self, classes=tuple(self.classes[place] for place in places), class_priors=priors)
        return few.with_embeddings({**self.embeddings, "classes": self.embeddings["classes"][list(places)]})

    def beside_prototypes(self, names: Sequence[str], texts: Tensor, weight: float = PROTOTYPE_WEIGHT) -> Tensor:
        """Text embeddings [K, E] of `names`, of which taught ones move towards their prototypes by `weight`."""
        known = {name: row for row, name in enumerate(self.prototypes)}
        rows = [(place, known[name.lower()]) for place, name in enumerate(names) if name.lower() in known]
        if not rows:
            return texts
        places, own = (list(part) for part in zip(*rows, strict=True))
        moved_texts = texts.clone()
        prototypes = self.embeddings["prototypes"][own].to(texts)
        moved_texts[places] = F.normalize(torch.lerp(F.normalize(texts[places], dim=-1), prototypes, weight), dim=-1)
        return moved_texts

    def learnt(self, names: Sequence[str], embed: Embed, kind: Literal["classes", "tags"]) -> Tensor:
        """Embeddings [K, E] (float32, on the CPU) of class names in the template ("classes"), or alone ("tags").

        The checkpoint's own classes lie where training moved them, so that a name scores the same in a list that
        somebody types as among these; `embed` is asked for the others.
        """
        own, words = set(self.classes), [name.strip().lower() for name in names]
        known = zip({"classes": self.classes, "tags": self.tags}[kind], self.embeddings[kind], strict=True)
        rows = {word: row for word, row in known if word in own}
        if others := [word for word in dict.fromkeys(words) if word not in rows]:
            texts = self.class_texts(others) if kind == "classes" else others
            rows |= zip(others, embed(texts).float().cpu(), strict=True)
        return torch.stack([rows[word] for word in words])

    def bank(self, names: Tensor | None = None) -> TextBank:
        """The embeddings as the network takes them; with `names`, `learnt` alone, to score classes as answers do."""
        e = self.embeddings
        classes = self.beside_prototypes(self.classes, e["classes"])
        if names is None:
            return TextBank(e["tags"], e["attributes"], self.attribute_of, classes)
        names = self.beside_prototypes(self.classes, names)
        priors = torch.tensor(self.class_priors) if self.class_priors else None
        return TextBank(e["tags"], e["attributes"], self.attribute_of, classes, names, priors)

    def to_json(self) -> str:
        """Text of `vocabulary.json`."""
        values = {
            "tags": list(self.tags),
            "classes": list(self.classes),
            "class_template": self.class_template,
            "class_priors": list(self.class_priors),
            "tag_priors": list(self.tag_priors),
            **({"prototypes": list(self.prototypes)} if self.prototypes else {}),
            "attributes": [{"name": a.name, "type": a.type, "templates": list(a.templates)} for a in self.attributes],
        }
        return json.dumps(values, indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """Inverse of `to_json`. Raises InputError when the text is something else."""
        try:
            values: dict[str, Any] = json.loads(text)
            attributes = tuple(AttributeWord(a["name"], a["type"], tuple(a["templates"])) for a in values["attributes"])
            return cls(
                tuple(values["tags"]),
                attributes,
                tuple(values["classes"]),
                values["class_template"],
                tuple(map(float, values.get("class_priors", ()))),
                tuple(map(float, values.get("tag_priors", ()))),
                tuple(values.get("prototypes", ())),
            )
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise InputError("vocabulary.json is not a DynRefer vocabulary; download the checkpoint again.") from error


def ovad_attributes(entries: Sequence[Mapping[str, Any]], *, object_forms: bool) -> tuple[AttributeWord, ...]:
    """OVAD's attribute list as words with templates.

    Every synonym is asked as the released DynRefer checkpoint asks it (object word left empty): "the {synonym}
    {type}" for an attribute that an object has, "the {synonym}" for one that it is.

    Args:
        entries: with `name` ("type:synonym/synonym") and `is_has_att` ("is" or "has"), as in OVAD's annotation file.
        object_forms: ask "the  has {synonym} {type}" / "the  is {synonym}" as well, as the released checkpoint does.
    """
    words = []
    for entry in entries:
        kind, synonyms = entry["name"].split(":")
        kind = kind.replace(" tone", "")
        names = (*synonyms.split("/"), *_MORE_SYNONYMS.get(synonyms, ()))
        has = {"is": False, "has": True}[entry["is_has_att"]]
        templates = [text for name in names for text in _templates(name, kind, has)[: 2 if object_forms else 1]]
        words.append(AttributeWord(names[0], kind, tuple(dict.fromkeys(templates))))
    return tuple(words)


def _templates(name: str, kind: str, has: bool) -> list[str]:
    return [f"the {name} {kind}", f"the  has {name} {kind}"] if has else [f"the {name}", f"the  is {name}"]


def best_of_groups(logits: Tensor, groups: Tensor, count: int) -> Tensor:
    """The best template of each attribute: logits [S, T], groups [T] in 0..count-1 -> [S, count]."""
    out = logits.new_full((len(logits), count), -torch.inf)
    return out.scatter_reduce(1, groups.expand(len(logits), -1), logits, "amax")
