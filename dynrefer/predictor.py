"""Photograph and boxes -> results, by a model that stays loaded; repeats only what changed between two questions.

S regions, V views a region, T tokens a view, C channels, K classes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dynrefer.checkpoint import Checkpoint, load_checkpoint
from dynrefer.devices import choose_device, too_little_memory
from dynrefer.errors import InputError
from dynrefer.model.config import Generation
from dynrefer.model.language import control_text
from dynrefer.options import Options
from dynrefer.questions import Clock, Region, look_at
from dynrefer.regions import ImageSource
from dynrefer.reports import reports
from dynrefer.results import Attribute, Caption, RegionResult, Scored
from dynrefer.views import crop_views, pixel_boxes
from dynrefer.vocabulary import best_of_groups

ENCODED_TOGETHER = 32  # views; bounds what the image encoder needs for the moment
CACHED_VIEWS, CACHED_TEXTS = 512, 20_000
MAX_BATCH = 32  # regions through the network at a time, whatever was asked

SoFar = tuple[RegionResult, str]
"""A result, and the words of its caption; as long as they grow, the result has no caption yet."""


class Predictor:
    """Answers questions about regions with one loaded checkpoint.

    Views already encoded are kept (least recently used go first), keyed by the image's content and the view's pixels,
    and so are the embeddings of class names. One question is answered at a time; other threads wait.
    """

    def __init__(self, checkpoint: Checkpoint, device_reason: str = "") -> None:
        self.checkpoint = checkpoint
        self.model = checkpoint.model
        self.vocabulary = checkpoint.vocabulary
        self.device_reason = device_reason
        parameter = next(self.model.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        self._bank = self.vocabulary.bank().to(self.device)
        self._views: OrderedDict[tuple[bytes, bytes], Tensor] = OrderedDict()
        self._texts: OrderedDict[str, Tensor] = OrderedDict()
        self._lock = threading.Lock()
        self._writer = ThreadPoolExecutor(1)  # starts with its first use, on ZeroGPU after the fork

    @classmethod
    def from_pretrained(
        cls, source: str | Path | None = None, device: str | None = None, dtype: str | torch.dtype | None = None
    ) -> Predictor:
        """Load a checkpoint once and keep it.

        Args:
            source: checkpoint folder or Hub id; None for DYNREFER_MODEL, else the embedded dynrefer-mini.
            device: "cpu", "cuda", "cuda:1", "mps"; None chooses (`device_reason` says why).
            dtype: "float32", "bfloat16" or "float16"; None chooses.

        Raises InputError: no such checkpoint, damaged files, no such device, too little memory.
        """
        choice = choose_device(device, dtype)
        try:
            checkpoint = load_checkpoint(source, choice.device, choice.dtype)
        except torch.OutOfMemoryError as error:
            raise too_little_memory(choice.device) from error
        checkpoint.model.prepare_inference()
        return cls(checkpoint, choice.reason)

    @property
    def model_name(self) -> str:
        """The checkpoint's name, for example "dynrefer-mini"."""
        return self.checkpoint.name

    @property
    def num_views(self) -> int:
        """The largest number of views that the model looks through."""
        return self.model.config.num_views

    @property
    def default_mode(self) -> str:
        """The selection mode used when none is asked for."""
        return self.model.config.default_mode

    @property
    def tag_threshold(self) -> float:
        """The score from which a tag is shown, when none is asked for."""
        return self.model.config.tag_threshold

    def refer(
        self,
        image: ImageSource,
        box: Sequence[float] | None = None,
        boxes: Sequence[Sequence[float]] | None = None,
        **options: Any,
    ) -> Any:
        """Describe one region (`box` -> RegionResult) or several (`boxes` -> list of RegionResult) of a photograph.

        Args:
            image: path, PIL image, or uint8 RGB array [H, W, 3].
            box, boxes: x1, y1, x2, y2 in pixels of the upright image; at most 256 boxes.
            classes: names to choose the class from; the checkpoint's list (COCO's 80) when None.
            controls: words that the caption should mention.
            coefficients: manual views, each in [0, 1]; the first is taken as 0.
            num_views: views to look through, 1 .. `self.num_views` (default).
            mode: see `dynrefer.selection.MODES`; `self.default_mode` when None.
            tag_threshold: tags at or above it are returned; 0 returns all; `self.tag_threshold` when None.
            top_classes: how many classes to return; None returns all.
            captions: False leaves the caption out, which is faster.
            num_beams, max_new_tokens: search of the caption; the checkpoint's when None.
            generator: draws the views of mode "random".

        Raises InputError, in one sentence, for anything that cannot be used.
        """
        if (box is None) == (boxes is None):
            raise InputError("Give either one box or a list of boxes.")
        found = self._refer([(image, [box] if box is not None else boxes)], Options.checked(options, self.num_views))
        return found[0][0] if box is not None else found[0]

    def refer_stream(self, image: ImageSource, box: Sequence[float], **options: Any) -> Iterator[SoFar]:
        """Describe one region while its caption is written: yields the result so far and the caption's words so far.

        The first result has all but the caption. With one beam its words follow as they are written; several beams
        decide at the end. The last yield is the whole answer, the same as that of `refer`, whose options these are.
        Closing the generator ends the search at the next word.
        """
        checked = Options.checked(options, self.num_views)
        yield from reports(lambda tell: _with_words(self._refer([(image, [box])], checked, tell)[0][0]), self._writer)

    def refer_many(
        self, requests: Iterable[tuple[ImageSource, Sequence[Sequence[float]]]], *, batch_size: int = 32, **options: Any
    ) -> Iterator[list[RegionResult]]:
        """Describe the regions of many photographs, batched across them: one list of results a request, in order.

        Holds at most `batch_size` regions and their photographs at a time. Options are those of `refer`.
        """
        checked = Options.checked(options, self.num_views)
        waiting: list[tuple[ImageSource, Sequence[Sequence[float]]]] = []
        for image, boxes in requests:
            waiting.append((image, boxes))
            if sum(len(b) for _, b in waiting) >= batch_size:
                yield from self._refer(waiting, checked)
                waiting = []
        if waiting:
            yield from self._refer(waiting, checked)

    def warm_up(self) -> float:
        """Answer one question about a grey square, so that the first user does not wait; milliseconds it took."""
        grey = np.full((64, 64, 3), 128, dtype=np.uint8)
        result: RegionResult = self.refer(grey, (8, 8, 56, 56))
        self._views.clear()
        return result.timing_ms["total"]

    def _refer(
        self,
        requests: Sequence[tuple[ImageSource, Any]],
        options: Options,
        tell: Callable[[SoFar], None] | None = None,
    ) -> list[list[RegionResult]]:
        """A list of results a request; `tell` follows the caption where only one region is asked about."""
        with self._lock, torch.inference_mode():
            clock = Clock(self.device)
            asked = [look_at(image, boxes, options, self.num_views, self.default_mode) for image, boxes in requests]
            clock.lap("views")
            regions = [region for group in asked for region in group]
            results: list[RegionResult] = []
            try:
                for start in range(0, len(regions), MAX_BATCH):
                    results += self._describe(regions[start : start + MAX_BATCH], options, clock, tell)
            except torch.OutOfMemoryError as error:
                raise too_little_memory(self.device) from error
            timing = clock.times(len(regions))
            answers = iter([replace(result, timing_ms=timing) for result in results])
            return [[next(answers) for _ in group] for group in asked]

    def _describe(
        self, regions: Sequence[Region], options: Options, clock: Clock, tell: Callable[[SoFar], None] | None
    ) -> list[RegionResult]:
        tokens = self._encode(regions)
        clock.lap("encode")
        places = np.concatenate([region.inside(self.num_views, self._view_size) for region in regions])
        geometry = torch.from_numpy(np.stack([region.geometry for region in regions])).to(self.device)
        cuts = self.model.align.cut(tokens, torch.from_numpy(places).to(self.device))
        queries, summary = self.model.represent(cuts, geometry)
        clock.lap("fuse")
        tags = self.model.tag_logits(queries, self._bank.tags, summary).float().sigmoid()
        clock.lap("tags")
        names = options.classes or self.vocabulary.classes
        classes, attributes = self._contrast(queries, summary, names if options.classes else None)
        clock.lap("classes and attributes")
        threshold = self.tag_threshold if options.tag_threshold is None else options.tag_threshold
        results = [
            RegionResult(
                box=region.box,
                caption=None,
                classes=tuple(_best(names, scores, options.top_classes)),
                tags=tuple(item for item in _best(self.vocabulary.tags, tag_row, None) if item.score >= threshold),
                attributes=self._attributes(attribute_row),
                views=region.views,
                model=self.model_name,
            )
            for region, scores, tag_row, attribute_row in zip(
                regions, classes.tolist(), tags.tolist(), attributes.tolist(), strict=True
            )
        ]
        if options.captions:
            captions = self._captions(queries, summary, tags, options, _follow(results[0], tell))
            results = [replace(result, caption=caption) for result, caption in zip(results, captions, strict=True)]
            clock.lap("caption")
        return results

    @property
    def _view_size(self) -> int:
        return self.model.config.encoder.image_size

    def _encode(self, regions: Sequence[Region]) -> Tensor:
        """Tokens [S * V, T, C] of the regions' chosen views; only views that are not kept yet are cut and encoded."""
        keys: list[tuple[bytes, bytes]] = []
        missing: dict[tuple[bytes, bytes], np.ndarray] = {}
        for region in regions:
            boxes = pixel_boxes(region.chosen(self.num_views), region.size)
            for box in boxes:
                key = (region.digest, box.tobytes())
                keys.append(key)
                if key not in self._views and key not in missing:
                    missing[key] = crop_views(region.image, box[None], self._view_size)[0]
        found = {key: self._views[key] for key in keys if key in self._views}
        if missing:
            pixels = torch.from_numpy(np.stack(list(missing.values()))).split(ENCODED_TOGETHER)
            encoded = [tokens for part in pixels for tokens in self.model.encode(self.model.normalize(part))]
            found |= {key: tokens.clone() for key, tokens in zip(missing, encoded, strict=True)}  # frees the batch
        for key in keys:
            self._views[key] = found[key]
            self._views.move_to_end(key)
        while len(self._views) > CACHED_VIEWS:
            self._views.popitem(last=False)
        return torch.stack([found[key] for key in keys])

    def _contrast(self, queries: Tensor, summary: Tensor | None, names: Sequence[str] | None) -> tuple[Tensor, Tensor]:
        """Class probabilities [S, K] over `names` (None: the checkpoint's own) and attribute probabilities [S, A]."""
        classes = self._bank.classes if names is None else self._embed(self.vocabulary.class_texts(names))
        texts = torch.cat([classes, self._bank.attributes])
        logits = self.model.contrast_logits(queries, texts, summary).float()
        own, templates = logits.split([len(classes), len(self._bank.attributes)], 1)
        best = best_of_groups(templates, self._bank.attribute_of, self._bank.num_attributes)
        return own.softmax(-1), best.sigmoid()

    def _embed(self, texts: Sequence[str]) -> Tensor:
        """Text embeddings [T, E], each text embedded once."""
        assert self.model.text_encoder is not None
        missing = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if missing:
            self._texts.update(zip(missing, self.model.text_encoder(missing), strict=True))
        out = torch.stack([self._texts[text] for text in texts])
        while len(self._texts) > CACHED_TEXTS:
            self._texts.popitem(last=False)
        return out

    def _captions(
        self,
        queries: Tensor,
        summary: Tensor | None,
        tags: Tensor,
        options: Options,
        on_words: Callable[[str], None] | None,
    ) -> Iterator[Caption]:
        language = self.model.language
        search = Generation(**self.model.config.language.generation)
        changes = {"num_beams": options.num_beams, "max_new_tokens": options.max_new_tokens}
        search = replace(search, **{k: v for k, v in changes.items() if v is not None})
        controls = [control_text([*self._predicted(row), *options.controls]) for row in tags]
        ids, mask = (x.to(self.device) for x in language.tokenize(controls))
        sentence = language.sentence(summary) if summary is not None and language.config.sentence_slot else None
        prompt, prompt_mask = language.prompt(queries, ids, mask, sentence)
        for text, score in zip(*language.generate(prompt, prompt_mask, search, on_words), strict=True):
            yield Caption(text, score)

    def _predicted(self, tags: Tensor) -> list[str]:
        """The best predicted tags that the caption is told; how many is the checkpoint's choice."""
        count = min(self.model.config.language.predicted_controls, len(tags))
        if not count:
            return []
        best = _best(self.vocabulary.tags, tags.tolist(), count)
        return [tag.name for tag in best if tag.score >= self.tag_threshold]

    def _attributes(self, scores: Sequence[float]) -> tuple[Attribute, ...]:
        words = self.vocabulary.attributes
        order = sorted(range(len(scores)), key=lambda k: -scores[k])
        return tuple(Attribute(words[k].name, words[k].type, scores[k]) for k in order)


def _follow(result: RegionResult, tell: Callable[[SoFar], None] | None) -> Callable[[str], None] | None:
    """Tell what is known before the caption, and return what tells the caption's words."""
    if tell is None:
        return None
    tell((result, ""))
    return lambda words: tell((result, words))


def _with_words(result: RegionResult) -> SoFar:
    return result, result.caption.text if result.caption else ""


def _best(names: Sequence[str], scores: Sequence[float], count: int | None) -> list[Scored]:
    order = sorted(range(len(names)), key=lambda k: -scores[k])
    return [Scored(names[k], scores[k]) for k in order[:count]]
