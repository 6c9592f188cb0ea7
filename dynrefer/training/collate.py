"""Items -> a training batch: what a worker hands over. S items, V views."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dynrefer.errors import InputError
from dynrefer.model.language import control_text
from dynrefer.training.config import TrainConfig
from dynrefer.training.dataset import Item, RegionDataset, Views
from dynrefer.training.objective import Batch
from dynrefer.training.regions import STYLE_OF

MAX_WORKERS = 8
Tokenize = Callable[[Sequence[str]], tuple[Tensor, Tensor]]


class StepPart(NamedTuple):
    """A process's part of a step, None where no photograph could be read; and those passed over, with the reason."""

    batch: Batch | None
    unreadable: dict[str, str]


class Collate:
    """Puts the items of one part together.

    Args:
        tokenize: control texts -> ids and mask.
        styles: names of the model's styles.
    """

    def __init__(self, dataset: RegionDataset, tokenize: Tokenize, styles: Sequence[str]) -> None:
        self.dataset, self.tokenize, self.styles = dataset, tokenize, styles

    def __call__(self, items: Sequence[Item]) -> StepPart:
        """The part of a step that the items are: every n-th place of its batch."""
        unreadable = {image: why for item in items for image, why in item.unreadable.items()}
        readable = all(item.views is not None for item in items)
        return StepPart(self._batch(items) if readable else None, unreadable)

    def _batch(self, items: Sequence[Item]) -> Batch:
        regions, table, draw = self.dataset.regions, self.dataset.texts, self.dataset.draw(items[0].step)
        samples, texts = (torch.tensor([getattr(item, name) for item in items]) for name in ("sample", "text"))
        controls, mask = self.tokenize([control_text(item.controls) for item in items])
        tags, styles = regions.tags(samples), [STYLE_OF.get(item.source, "region") for item in items]
        return Batch(
            stack_views([item.views for item in items if item.views is not None]),
            captions=table.captions(texts),
            controls=controls,
            controls_mask=mask,
            text=table.embeddings(texts),
            text_id=texts,
            tags=tags if draw.tags is None else tags[:, draw.tags],
            style=torch.tensor([self.styles.index(name) if name in self.styles else 0 for name in styles]),
            attributes=regions.attributes(samples),
            category=regions.category(samples),
            names_class=torch.tensor([item.source == "class" for item in items]),
            all_text=table.embeddings(draw.texts),
            all_text_id=draw.texts,
            all_category=regions.category(draw.samples),
            all_names_class=torch.tensor([source == "class" for source in draw.sources]),
            tag_rows=draw.tags,
        )


def stack_views(views: Sequence[Views]) -> dict[str, Tensor]:
    """Views of S regions as `represent` takes them: pixels, boxes and cuts [S * V, ...], geometry [S, 6]."""
    stacked = {name: torch.from_numpy(np.stack([view[name] for view in views])) for name in views[0]}
    return {name: value if name == "geometry" else value.flatten(0, 1) for name, value in stacked.items()}


def loader_arguments(config: TrainConfig, device: torch.device, processes: int) -> dict[str, Any]:
    """Arguments of a DataLoader. Worker processes cut photographs; cached features need none.

    They are forked, so that they share the tables, which only Linux does safely.
    """
    can_fork = sys.platform == "linux" and "fork" in multiprocessing.get_all_start_methods()
    workers = config.workers
    if workers is None:
        fitting = min(MAX_WORKERS, max(1, (os.cpu_count() or 1) // processes))
        workers = 0 if config.cache.enabled or not can_fork else fitting
    if workers and not can_fork:
        raise InputError("Worker processes need Linux: set 'workers' to 0.")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not survive a fork
    loading: dict[str, Any] = {"num_workers": workers, "pin_memory": device.type == "cuda"}
    return loading | ({"worker_init_fn": _ignore_signals, "multiprocessing_context": "fork"} if workers else {})


def _ignore_signals(number: int) -> None:
    """A worker ends when the run does: Ctrl-C and SIGTERM, which reach it too, are for the run to answer."""
    for signalled in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signalled, signal.SIG_IGN)
