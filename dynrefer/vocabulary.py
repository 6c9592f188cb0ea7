"""The words a region is compared with: tags, attributes with their templates, classes; and their text embeddings.

E is the text encoder's width. Embeddings of the checkpoint's own words are stored with the weights, so that neither
start nor first answer waits for the text encoder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dynrefer.errors import InputError

PROTOTYPE_WEIGHT = 0.5  # of a taught name's prototype beside its text, see `benchmarks/prototypes.py`
Embed = Callable[[Sequence[str]], Tensor]

_MORE_SYNONYMS = {
    "young/baby": ("kid", "kids", "child", "toddler", "boy", "girl"),
    "adult/old/aged": ("teen", "elder"),
}


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
        classes: [K, E].
    """

    tags: Tensor
    attributes: Tensor
    attribute_of: Tensor
    classes: Tensor

    @property
    def num_attributes(self) -> int:
        """A."""
        return int(self.attribute_of.max()) + 1

    def to(self, device: torch.device) -> TextBank:
        """A copy on another device."""
        tensors: dict[str, Any] = {f.name: moved(getattr(self, f.name), device) for f in fields(self)}
        return TextBank(**tensors)


@dataclass(frozen=True)
class Vocabulary:
    """Default words of a checkpoint and their embeddings.

    Attributes:
        tags: N words. attributes: A entries. classes: K names.
        class_template: how a class name becomes a text, with `{}` for the name.
        prototypes: names that were taught by boxed examples.
        embeddings: "tags" [N, E], "attributes" [M, E] (all templates), "classes" [K, E], and "prototypes" [P, E] where
            there are any; empty until `embedded`.
    """

    tags: tuple[str, ...]
    attributes: tuple[AttributeWord, ...]
    classes: tuple[str, ...]
    class_template: str = "the {}"
    prototypes: tuple[str, ...] = ()
    embeddings: Mapping[str, Tensor] = field(default_factory=dict, compare=False)

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
        texts = {
            "tags": list(self.tags),
            "attributes": self.attribute_texts,
            "classes": self.class_texts(self.classes),
        }
        return self.with_embeddings({name: embed(words).float().cpu() for name, words in texts.items()})

    def with_embeddings(self, embeddings: Mapping[str, Tensor]) -> Vocabulary:
        """A copy that holds these embeddings. Raises InputError where one is missing or has another number of rows."""
        rows = {"tags": len(self.tags), "attributes": len(self.attribute_of), "classes": len(self.classes)}
        rows |= {"prototypes": len(self.prototypes)} if self.prototypes else {}
        for name, count in rows.items():
            if name not in embeddings or len(embeddings[name]) != count:
                raise InputError(f"The checkpoint's text embeddings do not fit its {name} in vocabulary.json.")
        return replace(self, embeddings=dict(embeddings))

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

    def bank(self) -> TextBank:
        """The embeddings as the network takes them."""
        e = self.embeddings
        classes = self.beside_prototypes(self.classes, e["classes"])
        return TextBank(e["tags"], e["attributes"], self.attribute_of, classes)

    def to_json(self) -> str:
        """Text of `vocabulary.json`."""
        values = {
            "tags": list(self.tags),
            "classes": list(self.classes),
            "class_template": self.class_template,
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
            prototypes = tuple(values.get("prototypes", ()))
            return cls(
                tuple(values["tags"]), attributes, tuple(values["classes"]), values["class_template"], prototypes
            )
        except (json.JSONDecodeError, KeyError, TypeError) as error:
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
        has = entry["is_has_att"] == "has"
        templates = [text for name in names for text in _templates(name, kind, has)[: 2 if object_forms else 1]]
        words.append(AttributeWord(names[0], kind, tuple(dict.fromkeys(templates))))
    return tuple(words)


def _templates(name: str, kind: str, has: bool) -> list[str]:
    return [f"the {name} {kind}", f"the  has {name} {kind}"] if has else [f"the {name}", f"the  is {name}"]


def best_of_groups(logits: Tensor, groups: Tensor, count: int) -> Tensor:
    """The best template of each attribute: logits [S, T], groups [T] in 0..count-1 -> [S, count]."""
    out = logits.new_full((len(logits), count), -torch.inf)
    return out.scatter_reduce(1, groups.expand(len(logits), -1), logits, "amax")


def moved(value: Tensor | None, device: torch.device) -> Tensor | None:
    """The tensor on a device, without waiting for it; None stays None."""
    return value.to(device, non_blocking=True) if value is not None else None
