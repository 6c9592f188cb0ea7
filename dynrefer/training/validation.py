"""What decides which weights of a run are kept: classes, attributes and captions of samples outside of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from dynrefer.data.sample import DESCRIBED
from dynrefer.evaluation.ranking import attribute_precisions, class_accuracy
from dynrefer.model import DynRefer
from dynrefer.training.objective import Batch, represent
from dynrefer.training.regions import RegionTable
from dynrefer.training.sampling import area
from dynrefer.training.texts import TextTable
from dynrefer.training.views import ViewSource
from dynrefer.vocabulary import TextBank, best_of_groups

BATCH = 64
MIN_AREA = 0.005  # of the boxes whose class counts
FACTORS = {"class_top1": 0.5, "class_mean": 0.5, "attribute_map": 1.0, "caption_loss": -0.1}  # in the sum


class Validation:
    """Scores a model on the same views of the same samples every time.

    Args:
        regions, views: of the validation samples.
    """

    def __init__(self, regions: RegionTable, table: TextTable, views: ViewSource, bank: TextBank) -> None:
        self.regions, self.table, self.views, self.bank = regions, table, views, bank
        self.known = (regions.category >= 0).numpy() & np.array([area(s) > MIN_AREA for s in regions.samples])
        self.captions = [_described(numbers, sources) for _, numbers, sources in regions.texts]

    @torch.inference_mode()
    def __call__(self, model: DynRefer, autocast: torch.autocast) -> dict[str, float]:
        """`class_top1`, `class_mean`, `attribute_map`, `caption_loss` where samples allow, and as `score` a sum."""
        model.eval()
        device = next(model.parameters()).device
        bank = self.bank.to(device)
        classes, attributes, losses = [], [], []
        for start in range(0, len(self.regions.samples), BATCH):
            numbers = list(range(start, min(start + BATCH, len(self.regions.samples))))
            with autocast:
                queries, summary = self._represent(model, numbers, device)
                classes.append(model.contrast_logits(queries, bank.classes, summary).float().cpu())
                templates = model.contrast_logits(queries, bank.attributes, summary).float()
                attributes.append(best_of_groups(templates, bank.attribute_of, bank.num_attributes).cpu())
                losses += self._caption_losses(model, numbers, queries, summary)
        model.train()
        return self._scores(torch.cat(classes), torch.cat(attributes), losses)

    def _represent(self, model: DynRefer, numbers: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor | None]:
        seen = self.views.plain(numbers)
        empty = torch.zeros(0, dtype=torch.long)
        batch = Batch(
            **seen, captions=empty, controls=empty, controls_mask=empty, text=empty, text_id=empty, tags=empty
        )
        return represent(model, with_pixels(batch.to(device), model))

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

    def _scores(self, classes: Tensor, attributes: Tensor, losses: Sequence[float]) -> dict[str, float]:
        scores: dict[str, float] = {}
        if self.known.any():
            truth = self.regions.category.numpy()[self.known]
            scores["class_top1"], scores["class_mean"] = class_accuracy(truth, classes.numpy()[self.known])
        precisions = attribute_precisions(self.regions.attributes.numpy(), attributes.numpy())
        if not np.isnan(precisions).all():
            scores["attribute_map"] = float(np.nanmean(precisions))
        if losses:
            scores["caption_loss"] = float(np.mean(losses))
        return scores | {"score": sum(FACTORS[name] * value for name, value in scores.items())}


def with_pixels(batch: Batch, model: DynRefer) -> Batch:
    """Crops as uint8 become what the encoder takes; a batch of cached cuts stays."""
    return batch if batch.pixels is None else replace(batch, pixels=model.normalize(batch.pixels))


def _described(numbers: Sequence[int], sources: Sequence[str]) -> int | None:
    """The first text that says more than a label, or None."""
    return next((number for number, source in zip(numbers, sources, strict=True) if source in DESCRIBED), None)
