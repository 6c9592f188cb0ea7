"""Photograph and boxes -> results, by a model that stays loaded and answers many askers in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
from cachetools import LRUCache

from dynrefer.batches import BoxLike, Ready, Request, batches
from dynrefer.boxes import Box, check_box
from dynrefer.checkpoint import Checkpoint, load_checkpoint
from dynrefer.devices import Clock, choose_device, return_freed_memory, too_little_memory, usable_cores
from dynrefer.errors import InputError, shown
from dynrefer.inference import Inference
from dynrefer.photo import ImageSource, Photo
from dynrefer.pointing import Prompt, encode_mask, read_prompt
from dynrefer.proposals import BoxGrid, Proposal, Surroundings, check_limit, check_words, look_around, named
from dynrefer.question import Question
from dynrefer.results import RegionResult
from dynrefer.segmenter import Embedding, Segmenter
from dynrefer.selection import Region, choose_regions
from dynrefer.threads import T, Turns, computing, made_ahead

NAMED_AMONG = 32  # proposals of a photograph that words are looked for among
KEPT_SURROUNDINGS = 64  # photographs whose things are known
KEPT_EMBEDDINGS = 16  # photographs as the segmenter knows them, up to 17 MB each
TURN = {"cpu": 8, "cuda": 32}  # regions of one asker through the network before the next asker's


class Predictor:
    """Answers questions about regions with one loaded checkpoint.

    Views already encoded are kept (least recently used go first), keyed by the photograph's content and the view's
    pixels, and so are the embeddings of class names. Askers in other threads take turns, first come, first served; a
    long question lets them in between.
    """

    def __init__(self, checkpoint: Checkpoint, device_reason: str = "", segmenter: Segmenter | None = None) -> None:
        self.checkpoint = checkpoint
        self.segmenter = segmenter
        self.model = checkpoint.model
        self.vocabulary = checkpoint.vocabulary
        self.device_reason = device_reason
        parameter = next(self.model.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        self.arithmetic = self.model.arithmetic or self.dtype
        self.inference = computing.run(partial(Inference, checkpoint))
        self._turns = Turns()
        self._surroundings: LRUCache[bytes, Surroundings] = LRUCache(KEPT_SURROUNDINGS)
        self._embeddings: LRUCache[bytes, Embedding] = LRUCache(KEPT_EMBEDDINGS)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | None = None,
        device: str | None = None,
        dtype: str | torch.dtype | None = None,
        segmenter: str | Path | None = None,
    ) -> Predictor:
        """Load a checkpoint once and keep it.

        Args:
            source: checkpoint folder or Hub id; None for DYNREFER_MODEL, else the embedded dynrefer-mini.
            device: "cpu", "cuda", "cuda:1", "mps"; None chooses (`device_reason` says why).
            dtype: "float32", "bfloat16" or "float16"; None chooses.
            segmenter: folder or Hub id of an EdgeTAM, SAM 2 or SAM of transformers, which then makes a mask of what is
                pointed at; None for DYNREFER_SEGMENTER, else none.

        Raises InputError: no such checkpoint, damaged files, no such device, too little memory.
        """
        choice = choose_device(device, dtype)
        torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
        masks = Segmenter.find(segmenter, choice.device)
        try:
            checkpoint = computing.run(partial(load_checkpoint, source, choice.device, choice.dtype))
        except torch.OutOfMemoryError as error:
            raise too_little_memory(choice.device) from error
        computing.run(partial(checkpoint.model.prepare_inference, choice.arithmetic))
        predictor = cls(checkpoint, choice.reason, masks)
        return_freed_memory()
        return predictor

    def __reduce__(self) -> tuple[Callable[..., Predictor], tuple[Any, ...]]:
        """What is pickled is where it came from: another process, which cannot share the network, loads its own."""
        segmenter = None if self.segmenter is None else self.segmenter.folder
        return type(self).from_pretrained, (self.checkpoint.folder, str(self.device), self.arithmetic, segmenter)

    def use(self, checkpoint: Checkpoint) -> None:
        """Answer with another checkpoint on the same device from now on; what is being answered is finished before."""
        computing.run(partial(checkpoint.model.prepare_inference, self.model.arithmetic))
        inference = computing.run(partial(Inference, checkpoint))
        with self._turns:
            self.checkpoint, self.model, self.vocabulary = checkpoint, checkpoint.model, checkpoint.vocabulary
            self.inference = inference
            self._surroundings.clear()

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
    def can_point(self) -> bool:
        """Whether prompts other than boxes and masks can be used: by a segmenter, or the model's pointing head."""
        return self.segmenter is not None or self.can_find

    @property
    def can_find(self) -> bool:
        """Whether the model has a pointing head, which finds everything, and things by name."""
        return self.model.pointing is not None

    @property
    def tag_threshold(self) -> float:
        """The score from which a tag is shown, when none is asked for."""
        return self.model.config.tag_threshold

    @overload
    def refer(
        self,
        image: ImageSource,
        box: BoxLike | None = None,
        boxes: None = None,
        *,
        question: Question | None = None,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> RegionResult: ...

    @overload
    def refer(
        self,
        image: ImageSource,
        box: None = None,
        *,
        boxes: Sequence[BoxLike] | np.ndarray | torch.Tensor,
        question: Question | None = None,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> list[RegionResult]: ...

    def refer(
        self,
        image: ImageSource,
        box: BoxLike | None = None,
        boxes: Sequence[BoxLike] | np.ndarray | torch.Tensor | None = None,
        *,
        point: object = None,
        points: object = None,
        scribble: object = None,
        mask: object = None,
        question: Question | None = None,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> RegionResult | list[RegionResult]:
        """Describe one region (a box, or what a prompt points at) or several (`boxes`, at most 256) of a photograph.

        Exactly one of box, boxes, point, points, scribble and mask is given.

        Args:
            image: Photo, path, bytes of an image file, PIL image, or uint8 RGB array [H, W, 3].
            box, boxes: x1, y1, x2, y2 in pixels of the upright photograph.
            point: x, y. points: [x, y] or [x, y, inside], where inside is false for a point beside the thing.
            scribble: points along a line drawn over the thing.
            mask: array [H, W], image file, polygon, or COCO's run-length encoding; the region is its bounds.
            question: options checked before; the keyword arguments win over it.
            generator: draws the views of mode "random".
            options: the fields of `Question`: classes, controls, coefficients, num_views, mode, tag_threshold ...

        Raises InputError, in one sentence, for anything that cannot be used.
        """
        prompts = {"point": point, "points": points, "scribble": scribble, "mask": mask}
        if sum(given is not None for given in (box, boxes, *prompts.values())) != 1:
            raise InputError("Give either one box, a list of boxes, or one of point, points, scribble and mask.")
        checked = self._checked(question, options)
        start = time.perf_counter()
        photo = Photo.open(image)
        prompt = read_prompt(photo.size, **prompts)
        pointed = None if prompt is None else self.pointed_at(photo, prompt)
        asked = boxes if boxes is not None else [box if pointed is None else pointed.box]
        regions = choose_regions(photo, asked, checked, self.num_views, self.default_mode, generator)
        turn = TURN.get(self.device.type, TURN["cuda"])
        results = self._answer(regions, checked, 1000 * (time.perf_counter() - start), turn)
        if boxes is not None:
            return results
        if prompt is None or pointed is None:
            return results[0]
        mask = None if pointed.mask is None else encode_mask(pointed.mask)
        return replace(results[0], prompt=prompt.to_dict(), mask=mask)

    def propose(
        self,
        image: ImageSource,
        point: object = None,
        points: object = None,
        words: object = None,
        limit: int = 20,
        box: object = None,
    ) -> list[Proposal]:
        """Things on a photograph, best first: all of it, those at a place or in a box, or those that words name.

        Where there is a segmenter, it finds what is at a place or in a box, and its proposals have masks; all else is
        found by the model's pointing head. The first question about a photograph looks at the whole of it once; what
        was seen is kept with its content.

        Args:
            image: as of `refer`.
            point, points: where to look, as of `refer`.
            words: names; every proposal then has a score for each, by which the proposals are put in order.
            limit: how many proposals at most, 1 to 100.
            box: x1, y1, x2, y2 around the thing, instead of points.

        Raises InputError for what cannot be used, and where the model has no pointing head, but needs one.
        """
        limit, names = check_limit(limit), check_words(words)
        photo = Photo.open(image)
        prompt = read_prompt(photo.size, point=point, points=points)
        if box is not None and prompt is not None:
            raise InputError(f"give either a box or {prompt.kind}, not both")
        where = prompt if box is None else check_box(box, photo.size)
        most = limit if names is None else max(limit, NAMED_AMONG)
        found = self._around(photo, lambda of: of.everything(most)) if where is None else self._at(photo, where, most)
        return found[:limit] if names is None else self._named(photo, found, names)[:limit]

    def box_grid(self, image: ImageSource) -> BoxGrid:
        """For each place of a photograph, the box that a press there takes; kept as `propose` keeps it.

        Raises InputError where the model has no pointing head.
        """
        return self._around(Photo.open(image), lambda of: of.grid)

    def pointed_at(self, photo: Photo, prompt: Prompt) -> Proposal:
        """What was pointed at: a mask with its bounds, or what the segmenter, else the pointing head finds.

        Raises InputError where there is neither, or nothing is found.
        """
        if prompt.bounds is not None:
            return Proposal(prompt.bounds, 1.0, mask=prompt.mask)
        found = self._at(photo, prompt, 1)
        if not found:
            raise InputError("there is nothing to be found at that place; draw a box around what you mean")
        return found[0]

    def _at(self, photo: Photo, where: Prompt | Box, limit: int) -> list[Proposal]:
        """What the points or the box mean, by the segmenter, or by the pointing head where that finds nothing."""

        def asked(of: Embedding | Surroundings) -> list[Proposal]:
            return of.around(*where.clicks, limit) if isinstance(where, Prompt) else of.like(where, limit)

        found: list[Proposal] = []
        if self.segmenter is not None:
            try:
                found = self._in_turn(lambda: asked(self._embedding(photo)))
            except torch.OutOfMemoryError as error:
                raise too_little_memory(self.device) from error
        if found or (self.segmenter is not None and not self.can_find):
            return found
        return self._around(photo, asked)

    def _embedding(self, photo: Photo) -> Embedding:
        assert self.segmenter is not None
        if photo.digest not in self._embeddings:
            self._embeddings[photo.digest] = self.segmenter.look_around(photo)
        return self._embeddings[photo.digest]

    def _around(self, photo: Photo, asked: Callable[[Surroundings], T]) -> T:
        """What `asked` of the photograph's surroundings gives."""

        def answer() -> T:
            if photo.digest not in self._surroundings:
                self._surroundings[photo.digest] = look_around(self.model, photo)
                return_freed_memory()  # once a photograph: a look at the whole of one frees some 80 MB
            return asked(self._surroundings[photo.digest])

        return self._in_turn(answer)

    def _named(self, photo: Photo, found: Sequence[Proposal], names: Sequence[str]) -> list[Proposal]:
        """The proposals with a score for each name, see `named`."""
        if not found:
            return []
        asked = Question.checked(classes=names, top_classes=None, coefficients=(0.0,), captions=False)
        results = self.refer(photo, boxes=[proposal.box for proposal in found], question=asked)
        scores = [{scored.name: scored.score for scored in result.classes} for result in results]
        return named(found, scores)

    @overload
    def refer_many(
        self, requests: Iterable[Request], *, batch_size: int = 32, errors: Literal["raise"] = "raise", **options: Any
    ) -> Iterator[list[RegionResult]]: ...

    @overload
    def refer_many(
        self, requests: Iterable[Request], *, batch_size: int = 32, errors: Literal["return"], **options: Any
    ) -> Iterator[list[RegionResult] | InputError]: ...

    def refer_many(
        self,
        requests: Iterable[Request],
        *,
        batch_size: int = 32,
        errors: Literal["raise", "return"] = "raise",
        ahead: int = 0,
        askers: int = 1,
        question: Question | None = None,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> Iterator[list[RegionResult] | InputError]:
        """Describe the regions of many photographs, batched across them: one list of results a request, in order.

        Args:
            requests: pairs of an image and its boxes, taken one at a time.
            batch_size: holds at most so many photographs, and about so many regions, at a time, of which as many go
                through the network in one turn.
            errors: "raise" ends with the first request that cannot be used, after the answers before it; "return"
                gives its InputError in its place and goes on.
            ahead: so many batches are opened and their views chosen by another thread, which also takes the requests,
                while the network answers those before.
            askers: how many people wait for the answers; to those of one, other threads are let in at every
                opportunity, to those of n at every n-th.
            question, generator, options: as of `refer`.

        Raises InputError for options that cannot be used, before anything is asked.
        """
        counts = (("batch size", batch_size, 1), ("number of batches ahead", ahead, 0), ("number of askers", askers, 1))
        for called, number, least in counts:
            if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < least:
                raise InputError(f'the {called} must be a whole number from {least} on, not "{shown(number)}"')
        if errors not in ("raise", "return"):
            raise InputError(f'errors must be "raise" or "return", not "{shown(errors)}"')
        if not isinstance(requests, Iterable):
            raise InputError(f'requests must be pairs of an image and its boxes, not "{shown(requests)}"')
        checked = self._checked(question, options)

        def choose(photo: Photo, boxes: object) -> list[Region]:
            return choose_regions(photo, boxes, checked, self.num_views, self.default_mode, generator)

        ready = batches(requests, choose, int(batch_size))
        ready = made_ahead(ready, int(ahead)) if ahead else ready
        return self._answers(ready, checked, int(batch_size), errors == "raise", int(askers))

    def warm_up(self) -> float:
        """Answer one question about a grey square, so that the first user does not wait; milliseconds it took."""
        grey = Photo.read(np.full((64, 64, 3), 128, dtype=np.uint8))
        if self.segmenter is not None:
            self.propose(grey, point=(32, 32))
        return self.refer(grey, (8, 8, 56, 56)).timing_ms["total"]

    def _checked(self, question: Question | None, options: dict[str, Any]) -> Question:
        if question is not None and not isinstance(question, Question):
            raise InputError(f'the question must be a Question, not "{shown(question)}"')
        if question is not None and options:
            return Question.checked(question.options() | options, max_views=self.num_views)
        return Question.checked(question or options, max_views=self.num_views)

    def _answers(
        self, ready: Iterator[list[Ready]], question: Question, batch_size: int, raising: bool, askers: int
    ) -> Iterator[list[RegionResult] | InputError]:
        for batch in ready:
            regions = [region for request in batch for region in request.known]
            views_ms = sum(request.views_ms for request in batch)
            answers = iter(self._answer(regions, question, views_ms, batch_size, askers))
            for request in batch:
                if isinstance(request.regions, InputError):
                    if raising:
                        raise request.regions
                    yield request.regions
                else:
                    yield [next(answers) for _ in request.known]

    def _answer(
        self, regions: Sequence[Region], question: Question, views_ms: float, together: int, askers: int = 1
    ) -> list[RegionResult]:
        """Results of the regions, `together` in one turn; `views_ms` is what it took to choose the views of all."""
        results: list[RegionResult] = []
        opportunities = count(1)

        def answered(part: Sequence[Region]) -> list[RegionResult]:
            clock = Clock(self.device)
            give_way = partial(self._give_way, clock, opportunities, askers)
            answers = self.inference.answer(part, question, clock, give_way)
            times = {"views": views_ms / len(regions)} | clock.times(len(part))
            times["total"] = sum(times.values())
            return [replace(answer, timing_ms=times) for answer in answers]

        for start in range(0, len(regions), together):
            try:
                results += self._in_turn(partial(answered, regions[start : start + together]))
            except torch.OutOfMemoryError as error:
                raise too_little_memory(self.device) from error
        return results

    def _in_turn(self, job: Callable[[], T]) -> T:
        """What `job` gives, when it is this asker's turn at the network."""
        with self._turns:
            return computing.run(torch.inference_mode()(job))

    def _give_way(self, clock: Clock, opportunities: Iterator[int], askers: int) -> None:
        """Let those who wait come first; what several wait for, one turn at a time, does so the more seldom."""
        if next(opportunities) % askers == 0 and self._turns.waiting:
            clock.pause()
            self._turns.give_way()
            clock.resume()
