"""How well a model does on sets of regions, before it was taught and after."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from dynrefer.checkpoint import Checkpoint
from dynrefer.datasets.sample import Sample
from dynrefer.model import DynRefer
from dynrefer.training.config import TrainConfig
from dynrefer.training.setup import open_validation
from dynrefer.training.validation import Validation
from dynrefer.vocabulary import Vocabulary

POINT = 1.0
OWN_POINTS = 10.0
TITLES = {
    "class_top1": "class right, %",
    "attribute_map": "attributes, mean average precision, %",
    "caption_loss": "the caption, probability a word piece, %",
}
Figures = dict[str, float]
"""Percentages by the names of TITLES, more is better."""


@dataclass(frozen=True)
class Examination:
    """Sets of regions by what they are called in the report, each with how it is scored.

    `names` are the vocabulary's classes alone, so that the best class is the one that the page would show.
    """

    sets: Mapping[str, Validation]
    names: Tensor | None = None

    @classmethod
    def of(
        cls, sets: Mapping[str, Sequence[Sample]], checkpoint: Checkpoint, config: TrainConfig, folder: Path
    ) -> Examination:
        """Prepare sets that are not empty; their features are kept in `folder`."""
        found = {name: samples for name, samples in sets.items() if samples}
        encoder, names = checkpoint.model.text_encoder, None
        if checkpoint.model.config.class_tag_weight and encoder is not None:
            with torch.inference_mode():
                names = checkpoint.vocabulary.learnt(checkpoint.vocabulary.classes, encoder, "tags")
        return cls(
            {
                name: open_validation(config, samples, checkpoint, folder / f"check-{number}")
                for number, (name, samples) in enumerate(found.items())
            },
            names,
        )

    def __call__(self, model: DynRefer, vocabulary: Vocabulary) -> dict[str, Figures]:
        """The figures of each set."""
        device = next(model.parameters()).device
        for validation in self.sets.values():
            validation.bank = vocabulary.bank(self.names)
        plain = torch.autocast(device.type, enabled=False)
        with sdpa_kernel(SDPBackend.MATH):
            found = {name: validation(model, plain) for name, validation in self.sets.items()}
        model.eval()
        return {
            name: {key: _percent(key, scores[key]) for key in TITLES if key in scores} for name, scores in found.items()
        }


def gain(before: Figures, after: Figures) -> float:
    """Points won on one set, over all its figures."""
    return sum(after[key] - before[key] for key in before)


def losses(before: Mapping[str, Figures], after: Mapping[str, Figures], own: str = "") -> list[str]:
    """What was lost by more than a point, in words.

    The set `own` holds the model's answers before, some of which the lessons rightly change: OWN_POINTS of its names.
    """
    return [
        f"{name}: {TITLES[key]} {was:.1f} -> {after[name][key]:.1f}"
        for name, figures in before.items()
        for key, was in figures.items()
        if after[name][key] < was - (OWN_POINTS if (name, key) == (own, "class_top1") else POINT)
    ]


def table(before: Mapping[str, Figures], after: Mapping[str, Figures], counts: Mapping[str, int]) -> str:
    """Before and after as a table in Markdown."""
    lines = ["| | regions | before | after |", "|---|---|---|---|"]
    for name, figures in before.items():
        for key, was in figures.items():
            lines.append(f"| {name}: {TITLES[key]} | {counts[name]} | {was:.1f} | {after[name][key]:.1f} |")
    return "\n".join(lines)


def _percent(key: str, value: float) -> float:
    return 100 * (math.exp(-value) if key == "caption_loss" else value)
