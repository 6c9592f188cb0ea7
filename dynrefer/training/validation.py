"""What decides which weights of a run are kept: classes, attributes and captions of samples outside of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dynrefer.datasets.records import check_readable
from dynrefer.datasets.sample import DESCRIBED
from dynrefer.errors import InputError
from dynrefer.evaluation.metrics import attribute_precisions, class_accuracy
from dynrefer.model import DynRefer
from dynrefer.training.collate import stack_views
from dynrefer.training.dataset import Views, ViewSource
from dynrefer.training.objective import on_device, represent
from dynrefer.training.regions import RegionTable, TextTable
from dynrefer.vocabulary import TextBank, best_of_groups

BATCH = 64
MIN_AREA = 0.005  # of the boxes whose class counts
FACTORS = {"class_top1": 0.5, "class_mean": 0.5, "attribute_map": 1.0, "caption_loss": -0.1}  # in the sum


class PlainViews(Dataset[tuple[int, Views | str]]):
    """The same views of each region every time, or why its photograph cannot be read."""

    def __init__(self, count: int, views: ViewSource) -> None:
        self.count, self.views = count, views

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[int, Views | str]:
        try:
            return number, self.views.plain(number)
        except InputError as error:
            return number, str(error)


@dataclass
class _Answers:
    """What the model says of the regions `numbers` [R]: class and attribute scores, and losses of their captions."""

    numbers: list[int] = field(default_factory=list)
    classes: list[Tensor] = field(default_factory=list)
    attributes: list[Tensor] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


class Validation:
    """Scores a model on the same views of the same samples every time; those that cannot be read do not count.

    Args:
        regions, views: of the validation samples.
        loading: how the DataLoader prepares them.

    Attributes:
        unreadable: photographs that the last scoring passed over, with the reason.
    """

    def __init__(
        self, regions: RegionTable, table: TextTable, views: ViewSource, bank: TextBank, loading: dict[str, Any]
    ) -> None:
        self.regions, self.table, self.bank = regions, table, bank
        self.dataset, self.loading = PlainViews(len(regions), views), loading
        self.captions = [_described(regions.texts(number)) for number in range(len(regions))]
        self.unreadable: dict[str, str] = {}

    @torch.inference_mode()
    def __call__(self, model: DynRefer, autocast: torch.autocast) -> dict[str, float]:
        """`class_top1`, `class_mean`, `attribute_map`, `caption_loss` where samples allow, and as `score` a sum.

        Raises InputError where more than 1 % of the photographs cannot be read.
        """
        model.eval()
        device = next(model.parameters()).device
        bank, answers = self.bank.to(device), _Answers()
        self.unreadable = {}
        for numbers, views, unreadable in DataLoader(self.dataset, BATCH, collate_fn=_collate, **self.loading):
            self.unreadable |= {str(self.regions.place(number).image): why for number, why in unreadable.items()}
            if numbers:
                with autocast:
                    self._answer(model, bank, numbers, on_device(views, device), answers)
        model.train()
        check_readable(self.unreadable, len(self.regions.photographs), "photographs to validate with")
        return self._scores(answers)

    def _answer(
        self, model: DynRefer, bank: TextBank, numbers: list[int], views: dict[str, Tensor], answers: _Answers
    ) -> None:
        queries, summary, belief = represent(model, views)
        answers.numbers += numbers
        answers.classes.append(_class_logits(model, bank, queries, summary, belief).float().cpu())
        templates = model.contrast_logits(queries, bank.attributes, summary).float()
        answers.attributes.append(best_of_groups(templates, bank.attribute_of, bank.num_attributes).cpu())
        answers.losses += self._caption_losses(model, numbers, queries, summary)

    def _caption_losses(
        self, model: DynRefer, numbers: Sequence[int], queries: Tensor, summary: Tensor | None
    ) -> list[float]:
        rows = [row for row, number in enumerate(numbers) if self.captions[number] is not None]
        if not rows:
            return []
        language, device = model.language, queries.device
        texts = torch.tensor([self.captions[numbers[row]] for row in rows])
        none = torch.zeros(len(rows), 0, dtype=torch.long, device=device)
        sentence = language.sentence(summary[rows]) if summary is not None and language.config.sentence_slot else None
        prompt, mask = language.prompt(queries[rows], none, none, sentence)
        return language(prompt, mask, self.table.captions(texts).to(device)).float().tolist()

    def _scores(self, answers: _Answers) -> dict[str, float]:
        numbers = torch.tensor(answers.numbers)
        scores: dict[str, float] = {}
        truth = self.regions.category(numbers).numpy()
        known = (truth >= 0) & (self.regions.areas()[answers.numbers] > MIN_AREA)
        if known.any():
            classes = torch.cat(answers.classes).numpy()[known]
            scores["class_top1"], scores["class_mean"] = class_accuracy(truth[known], classes)
        labels = self.regions.attributes(numbers).numpy()
        precisions = attribute_precisions(labels, torch.cat(answers.attributes).numpy())
        if not np.isnan(precisions).all():
            scores["attribute_map"] = float(np.nanmean(precisions))
        if answers.losses:
            scores["caption_loss"] = float(np.mean(answers.losses))
        return scores | {"score": sum(FACTORS[name] * value for name, value in scores.items())}


def _class_logits(
    model: DynRefer, bank: TextBank, queries: Tensor, summary: Tensor | None, belief: Tensor | None
) -> Tensor:
    """[S, K], by the contrast decoder, and by whatever else the bank has of the names."""
    logits = model.contrast_logits(queries, bank.classes, summary, belief)
    if bank.names is not None:
        logits = logits + model.config.class_tag_weight * model.tag_logits(queries, bank.names, summary, belief)
    return logits if bank.priors is None else logits + bank.priors


def _collate(items: Sequence[tuple[int, Views | str]]) -> tuple[list[int], dict[str, Tensor], dict[int, str]]:
    """The regions that could be read, their views, and why the others could not."""
    read = [(number, views) for number, views in items if not isinstance(views, str)]
    unreadable = {number: reason for number, reason in items if isinstance(reason, str)}
    return [number for number, _ in read], stack_views([views for _, views in read]) if read else {}, unreadable


def _described(texts: Sequence[tuple[int, str]]) -> int | None:
    """The first text that says more than a label, or None."""
    return next((number for number, source in texts if source in DESCRIBED), None)
