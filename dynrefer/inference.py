"""Regions through the network: what is computed of each, and what is kept from one question to the next.

S regions, V views a region, T tokens a view, C channels, K classes, A attributes, N tags, E text width.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from cachetools import LRUCache
from torch import Tensor

from dynrefer.checkpoint import Checkpoint
from dynrefer.devices import Clock
from dynrefer.model.config import Calibrated, Generation
from dynrefer.model.language import control_text
from dynrefer.model.query_decoder import QueryDecoder, TextQueries
from dynrefer.model.recording import Recorded
from dynrefer.question import Question
from dynrefer.results import Attribute, Caption, RegionResult, Scored
from dynrefer.selection import Region
from dynrefer.text_cache import GiveWay, TextCache, go_on
from dynrefer.threads import computing
from dynrefer.views import pixel_boxes
from dynrefer.vocabulary import best_of_groups

KEPT_VIEWS, KEPT_LISTS = 256, 4  # a view of the small model takes a third of a megabyte
ALTERNATIVES = 8  # names among which one that is said may be
ENCODED_TOGETHER = {"cpu": 3, "cuda": 32}  # views between two moments at which others may come in
RECORDED_REGIONS = 4  # up to which a GPU waits for kernels to be started more than for them
PAIRS_TOGETHER = 32_768  # of region and text; bounds the memory of long class lists
IDENTITY = (1.0, 0.0)
ENDINGS = "e?s|e?d|ing|en"  # of a word's other forms

Representation = tuple[Tensor, Tensor | None, Tensor | None]
"""Queries [S, Q, D], summary [S, D] and belief, see `DynRefer.represent`."""


class ClassQueries(NamedTuple):
    """A class list as the decoders take it; `tags` is None where the tag decoder is not asked about classes."""

    contrast: TextQueries
    tags: TextQueries | None


class Inference:
    """One loaded checkpoint with its caches: encoded views by the photograph's content, and embedded texts.

    Not for several threads at once, except inside `give_way`.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        encoder = checkpoint.model.text_encoder
        assert encoder is not None
        self.model, self.vocabulary, self.name = checkpoint.model, checkpoint.vocabulary, checkpoint.name
        self.config = self.model.config
        self.device = next(self.model.parameters()).device
        self.texts = TextCache(encoder)
        self._look = Recorded(self._seen, most=self.config.num_views)
        self._represent = Recorded(self._represented, most=RECORDED_REGIONS * self.config.num_views)
        bank = self.vocabulary.bank().to(self.device)
        with torch.inference_mode():
            self._tags = self._compact(self.model.tag_texts(bank.tags))
            self._classes = self._prepared(bank.classes, self._plain(self.vocabulary.classes))
            # Attributes are apart from names, so what the classifier believes does not count for them.
            self._templates = replace(self.model.contrast_texts(bank.attributes), votes=None, whole=True)
        self._template_of, self._num_attributes = bank.attribute_of, bank.num_attributes
        self._names = frozenset(self.vocabulary.classes)
        self._priors = torch.tensor(self.vocabulary.class_priors or 0.0, device=self.device)
        self._tag_priors = torch.tensor(self.vocabulary.tag_priors or 0.0, device=self.device)
        self._asked: LRUCache[tuple[str, ...], ClassQueries] = LRUCache(KEPT_LISTS)
        self._views: LRUCache[tuple[bytes, bytes], Tensor] = LRUCache(KEPT_VIEWS)

    def answer(
        self, regions: Sequence[Region], question: Question, clock: Clock, give_way: GiveWay
    ) -> list[RegionResult]:
        """A result a region, without its timing."""
        between = give_way if len(regions) > 1 else go_on  # a single region is not worth waiting for others
        tokens = self._encode(regions, between)
        clock.lap("encode")
        places = np.concatenate([region.inside(self.config.num_views, self._view_size) for region in regions])
        geometry = torch.from_numpy(np.stack([region.geometry for region in regions])).to(self.device)
        region = self._represent(tokens, torch.from_numpy(places).to(self.device), geometry)
        clock.lap("fuse")
        own, classes, tags, attributes = self._words(region, question, clock, give_way)
        clock.lap("classes and attributes")
        captions: list[Caption] | list[None] = [None] * len(regions)
        if question.captions:
            between()
            captions = self._captions(region, own, tags, question)
            clock.lap("caption")
        notes = (*question.notes, *self._cut_controls(question))
        surest = own.amax(1).sigmoid().tolist()
        rows = zip(regions, surest, classes, tags, attributes, captions, strict=True)
        return [self._result(question, notes, *row) for row in rows]

    def _seen(self, pixels: Tensor) -> Tensor:
        """Tokens [N, T, C] of normalised views."""
        return self.model.encode(pixels)

    def _represented(self, tokens: Tensor, places: Tensor, geometry: Tensor) -> Representation:
        """Of tokens [S * V, T, C] of views, the regions' places inside them [S * V, 4], and `geometry` [S, 6]."""
        return self.model.represent(self.model.align.cut(tokens, places), geometry)

    def _words(
        self, region: Representation, question: Question, clock: Clock, give_way: GiveWay
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Calibrated logits of the checkpoint's names, the asked ones, tags and attributes, each [S, ..] on the CPU.

        A decoder reads the region for all lists at once, and both decoders are asked about names where the
        configuration says so.
        """
        lists = [self._classes]
        if question.classes is not None:
            lists.append(self._class_queries(question.classes, give_way))
        tags, *by_tags = self._scores(
            self.model.tagging, region, [self._tags, *(names.tags for names in lists if names.tags)], give_way
        )
        clock.lap("tags")
        templates, *logits = self._scores(
            self.model.contrast, region, [self._templates, *(names.contrast for names in lists)], give_way
        )
        if by_tags:
            logits = [x + self.config.class_tag_weight * y for x, y in zip(logits, by_tags, strict=True)]
        tags = self._calibrated("tags", tags.float() + self._tag_priors)
        own = classes = self._own_classes(logits[0].float())
        if question.classes is not None:
            classes = self._calibrated("classes", logits[1] - self._reference(logits[0].float()))
        attributes = self._calibrated("attributes", best_of_groups(templates, self._template_of, self._num_attributes))
        return own.cpu(), classes.cpu(), tags.cpu(), attributes.cpu()  # waits once, not often

    def _class_queries(self, names: tuple[str, ...], give_way: GiveWay) -> ClassQueries:
        """Names as the decoders take them, kept for the next question with the same list."""
        if names not in self._asked:
            self._asked[names] = self._prepared(
                self._embedded(names, "classes", give_way), self._plain(names, give_way)
            )
        return self._asked[names]

    def _embedded(self, names: Sequence[str], kind: Literal["classes", "tags"], give_way: GiveWay) -> Tensor:
        """Embeddings [K, E] of class names, beside their prototypes where they were taught; see `Vocabulary.learnt`."""
        texts = self.vocabulary.learnt(names, partial(self.texts.embed, give_way=give_way), kind)
        return self.vocabulary.beside_prototypes(names, texts).to(self.device)

    def _plain(self, names: Sequence[str], give_way: GiveWay = go_on) -> Tensor | None:
        """The same of the names without a template, where the tag decoder is asked about classes as well."""
        return self._embedded(names, "tags", give_way) if self.config.class_tag_weight else None

    def _prepared(self, texts: Tensor, plain: Tensor | None) -> ClassQueries:
        """Of embeddings [K, E] of the names in the class template, and of the names alone."""
        tags = None if plain is None else self._compact(self.model.tag_texts(plain))
        return ClassQueries(self._compact(self.model.contrast_texts(texts)), tags)

    def _compact(self, texts: TextQueries) -> TextQueries:
        """In less memory, where the decoders take a list whole; a GPU has the memory, and is faster without."""
        return texts.sparse() if self.config.decoder.shortlist and self.device.type == "cpu" else texts

    def _own_classes(self, logits: Tensor) -> Tensor:
        """Calibrated logits [S, K] of the checkpoint's own names, which know how often people say each."""
        logits = logits + self._priors
        kind: Calibrated = "own_classes" if "own_classes" in self.config.calibration else "classes"
        return self._calibrated(kind, logits - self._reference(logits))

    def _reference(self, own: Tensor) -> Tensor:
        """What class logits count from [S, 1]: a share of the log-sum-exp over the checkpoint's own names."""
        return self.config.relative_classes * own.logsumexp(1, keepdim=True)

    @property
    def _view_size(self) -> int:
        return self.config.encoder.image_size

    def _encode(self, regions: Sequence[Region], give_way: GiveWay) -> Tensor:
        """Tokens [S * V, T, C] of the regions' chosen views; only views that are not kept yet are cut and encoded."""
        keys: list[tuple[bytes, bytes]] = []
        found: dict[tuple[bytes, bytes], Tensor] = {}
        missing: dict[tuple[bytes, bytes], tuple[Region, np.ndarray]] = {}
        for region in regions:
            for box in pixel_boxes(region.chosen(self.config.num_views), region.photo.size):
                key = (region.photo.digest, box.tobytes())
                keys.append(key)
                if (kept := self._views.get(key)) is not None:
                    found[key] = kept
                else:
                    missing[key] = (region, box)
        together = ENCODED_TOGETHER.get(self.device.type, ENCODED_TOGETHER["cuda"])
        for start in range(0, len(missing), together):
            if start:
                give_way()
            part = list(missing.items())[start : start + together]
            crops = np.stack([region.photo.crop(box, self._view_size) for _, (region, box) in part])
            with computing.watched():
                encoded = self._look(self.model.normalize(torch.from_numpy(crops)))
            # cloned, so that no view keeps its whole batch in memory
            found |= {key: tokens.clone() for (key, _), tokens in zip(part, encoded, strict=True)}
        self._views.update(found)
        return torch.stack([found[key] for key in keys])

    def _scores(
        self, decoder: QueryDecoder, region: Representation, lists: Sequence[TextQueries], give_way: GiveWay
    ) -> list[Tensor]:
        """Logits [S, T] of each list; lists that are decoded whole go through in parts."""
        queries, summary, belief = region
        if decoder.shortlist:
            return decoder.score_lists(lists, queries, summary, belief)
        size = max(1, PAIRS_TOGETHER // len(queries))
        logits: list[Tensor] = []
        for texts in lists:
            parts: list[Tensor] = []
            for part in texts.split(size):
                if parts:
                    give_way()
                parts.append(decoder(queries, part, summary, belief))
            logits.append(torch.cat(parts, 1))
        return logits

    def _calibrated(self, kind: Calibrated, logits: Tensor) -> Tensor:
        """Logits of the network as logits of probabilities, by the checkpoint's calibration of `kind`."""
        scale, bias = self.config.calibration.get(kind, IDENTITY)
        return logits.float() * scale + bias

    def _captions(self, region: Representation, classes: Tensor, tags: Tensor, question: Question) -> list[Caption]:
        """Captions of the regions, told the asker's words and what the decoders are surest of.

        What a caption has to say and does not is written again from that on.
        """
        queries, summary, _ = region
        language = self.model.language
        changes: dict[str, Any] = {"num_beams": question.num_beams, "max_new_tokens": question.max_new_tokens}
        search = Generation(**language.config.generation)
        search = replace(search, **{k: v for k, v in changes.items() if v is not None})
        known = [self._known(*row) for row in zip(classes, tags, strict=True)]
        # The asker's own words come first, since what does not fit is cut at the end.
        words = [list(dict.fromkeys([*question.controls, *row])) for row in known]
        ids, mask = (x.to(self.device) for x in language.tokenize([control_text(row) for row in words]))
        sentence = language.sentence(summary) if summary is not None and language.config.sentence_slot else None
        prompt, prompt_mask = language.prompt(queries, ids, mask, sentence)
        texts, scores = language.generate(prompt, prompt_mask, search, ids)
        begin = [""] * len(texts)
        for _ in range(max(1, len(question.controls))):  # what is said first can push out what was said before
            missing = [self._unsaid(text, question.controls, row) for text, row in zip(texts, classes, strict=True)]
            again = [k for k, said in enumerate(missing) if said not in begin[k]]  # else there was no room for it
            if not again:
                break
            for k in again:
                begin[k] = f"{begin[k]} {missing[k]}".strip()
            more = language.generate(prompt[again], prompt_mask[again], search, ids[again], [begin[k] for k in again])
            for k, text, score in zip(again, *more, strict=True):
                texts[k], scores[k] = text, score
        # A name of the checkpoint's own that the writer has no letters for leaves blanks.
        return [Caption(" ".join(text.split()), score) for text, score in zip(texts, scores, strict=True)]

    def _known(self, classes: Tensor, tags: Tensor) -> list[str]:
        """The surest name and the surest tags, of logits [K] and [N], that the caption is told."""
        most, least = self.config.language.predicted_controls, self.config.language.subject_threshold
        best = [name.name for name in _best(self.vocabulary.classes, classes, 1) if name.score >= least] if most else []
        count = min(most, len(tags))
        surest = _best(self.vocabulary.tags, tags, count) if count else []
        return [*best, *(tag.name for tag in surest if tag.score >= self.config.tag_threshold)][:most]

    def _unsaid(self, caption: str, controls: Sequence[str], classes: Tensor) -> str:
        """What the caption has to begin with, because it had to say it and does not: qualities first, then things.

        It has to say the asker's words; without any, the surest name or another that is at least half as sure.
        """
        if not controls:
            best, *others = _best(self.vocabulary.classes, classes, ALTERNATIVES)
            if best.score < self.config.language.subject_threshold:
                return ""
            names = [best.name, *(other.name for other in others if 2 * other.score >= best.score)]
            return "" if any(_says(caption, name) for name in names) else best.name
        words = filter(None, (self.model.language.writable(word.lower()) for word in controls))
        missing = [word for word in words if not _says(caption, word)]
        things = [word for word in missing if word in self._names]
        return " ".join([*(word for word in missing if word not in things), " and ".join(things)]).strip()

    def _cut_controls(self, question: Question) -> tuple[str, ...]:
        """A note where the asker's own control words alone are more than the caption's writer reads."""
        tokenizer, most = self.model.language.tokenizer, self.config.language.max_control_tokens
        if not question.controls or not question.captions or tokenizer is None:
            return ()
        pieces = len(tokenizer.encode(control_text(question.controls), add_special_tokens=False).ids)
        if pieces <= most:
            return ()
        return (f"The control words are {pieces} word pieces long, and the caption's writer reads the first {most}.",)

    def _result(
        self,
        question: Question,
        notes: tuple[str, ...],
        region: Region,
        surest: float,
        classes: Tensor,
        tags: Tensor,
        attributes: Tensor,
        caption: Caption | None,
    ) -> RegionResult:
        """Of the probability of the model's best own name and logits [K], [N], [A].

        Logits are put in order before they become probabilities, which may round to the same.
        """
        names, words = question.classes or self.vocabulary.classes, self.vocabulary.attributes
        threshold = self.config.tag_threshold if question.tag_threshold is None else question.tag_threshold
        return RegionResult(
            box=region.box,
            caption=caption,
            classes=tuple(_best(names, classes, question.top_classes)),
            tags=tuple(_best(self.vocabulary.tags, tags, question.top_tags, threshold)),
            attributes=tuple(Attribute(words[k].name, words[k].type, p) for k, p in _order(attributes, None)),
            views=region.views,
            model=self.name,
            none_of_these=1 - float(classes.max().sigmoid()),
            sure=surest >= self.config.sure_threshold,
            notes=(*region.photo.notes, *notes, *_left_out(question.controls, caption)),
        )


def _best(names: Sequence[str], logits: Tensor, count: int | None, least: float = 0.0) -> list[Scored]:
    return [Scored(names[k], score) for k, score in _order(logits, count, least)]


def _order(logits: Tensor, count: int | None, least: float = 0.0) -> list[tuple[int, float]]:
    """Places and probabilities of the largest logits, best first, from `least` on; of equal ones the first."""
    values, places = logits.sort(descending=True, stable=True)
    scores = values[:count].sigmoid().double()
    kept = int((scores >= least).sum())
    return list(zip(places[:kept].tolist(), scores[:kept].tolist(), strict=True))


def _left_out(controls: Sequence[str], caption: Caption | None) -> tuple[str, ...]:
    """A note where the asker's words stand in no caption, though it was to say them."""
    words = [word for word in controls if caption is not None and not _says(caption.text, word.lower())]
    return (f"The caption has no room, or the model no letters, for: {', '.join(words)}.",) if words else ()


def _says(caption: str, word: str) -> bool:
    """Whether a caption says a word or a form of it: dogs for dog, puppies for puppy, but not carpet for car."""
    forms = rf"{re.escape(word[:-1])}(?:y|ies|ied)" if word.endswith("y") else rf"{re.escape(word)}(?:{ENDINGS})?"
    return re.search(rf"\b{forms}(?!\w)", caption, re.IGNORECASE) is not None
