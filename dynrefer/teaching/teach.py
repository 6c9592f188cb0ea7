"""From a project to a taught checkpoint that has lost nothing else: train the heads, then take as much as holds.

The taught weights are the line from the old ones to the trained ones, followed as far as the held-out regions gain and
nothing that is checked loses more than a point (after Wortsman et al., Robust fine-tuning of zero-shot models, 2022).
"""

from __future__ import annotations

import copy
import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from dynrefer.atomic import written_whole
from dynrefer.checkpoint import CARD, Checkpoint, load_checkpoint, save_checkpoint
from dynrefer.datasets.io import write_samples
from dynrefer.errors import InputError
from dynrefer.model import DynRefer
from dynrefer.teaching.lessons import Lessons, checked, gallery, read_lessons
from dynrefer.teaching.measure import Examination, Figures, gain, losses, table
from dynrefer.training.config import AugmentConfig, CacheConfig, LossWeights, OptimiserConfig, TextConfig, TrainConfig
from dynrefer.training.trainer import train

HELD_OUT, GALLERY, CHECK = "held-out regions of the project", "the gallery", "the data set to check with"
SHARES = (1.0, 0.75, 0.5, 0.25)  # of the way from the old weights to the trained ones
CONFIG = TrainConfig(
    batch_size=16,
    steps=150,
    max_tags=64,
    precision="fp32",
    save_every=50,
    validate_every=10,
    patience=4,
    log_every=10,
    weights=LossWeights(
        tag=0.1, contrast=0.25, attribute=4.0, category=0.5, sentence=1.0, class_caption=0.15, label_smoothing=0.05
    ),
    optimiser=OptimiserConfig(learning_rate=2e-4, warmup_steps=10, ema=0.9, rates={"align": 0.0, "resampler": 0.0}),
    texts=TextConfig(max_tokens=26),
    augment=AugmentConfig(mirror=0.5, jitter=0.06, colour=0.2),
    cache=CacheConfig(enabled=True, drawn=2, variants=3),
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Taught:
    """What became of it: the share of the way that was taken (0: nothing), and the report in Markdown."""

    share: float
    report: str


def teach(
    project: Path, out: Path, photos: Path | None = None, check: Path | None = None, model: str | None = None
) -> Taught:
    """Teach a checkpoint what the reviewed regions of a project say; a call that was cut off goes on where it was.

    Args:
        project: project file, or the folder of photographs that it lies beside.
        out: checkpoint folder to write, with the report as its card. Left alone where nothing was won.
        photos: the folder of photographs, where it does not lie beside the file.
        check: a folder that `data build` wrote, of whose split "val" nothing may be lost either.
        model: checkpoint folder or Hub id; the default one where None.

    Raises InputError where there is too little to learn from, or a photograph is missing.
    """
    start = time.monotonic()
    checkpoint = load_checkpoint(model)
    lessons = read_lessons(project, photos, checkpoint.vocabulary, checkpoint.model.config.tag_threshold)
    checkpoint = with_names(checkpoint, lessons.new_names)
    sets = {HELD_OUT: lessons.held_out, GALLERY: gallery(checkpoint.vocabulary), CHECK: checked(check) if check else []}
    work = out.with_name(f"{out.name}.work")
    logger.info("%d regions to learn from, %d held out", len(lessons.taught), len(lessons.held_out))
    examination = Examination.of(sets, checkpoint, CONFIG, work)
    before = examination(checkpoint.model)
    trained = _trained(checkpoint, lessons, work)
    share, after = _as_far_as_it_holds(checkpoint.model, trained, examination, before)
    counts = {name: len(samples) for name, samples in sets.items()}
    report = _report(checkpoint, lessons, share, table(before, after, counts), losses(before, after), start)
    if share:
        named = replace(checkpoint.model.config, name=f"{checkpoint.name.removesuffix('-taught')}-taught")
        checkpoint.model.config = named
        save_checkpoint(out, checkpoint.model, checkpoint.vocabulary)
        with written_whole(out / CARD) as draft:
            draft.write_text(report, encoding="utf-8")
    shutil.rmtree(work)
    return Taught(share, report)


def with_names(checkpoint: Checkpoint, names: tuple[str, ...]) -> Checkpoint:
    """The checkpoint with `names` added to its classes."""
    if not names:
        return checkpoint
    vocabulary, encoder = checkpoint.vocabulary, checkpoint.model.text_encoder
    assert encoder is not None
    with torch.inference_mode():
        own = encoder(vocabulary.class_texts(names)).float().cpu()
    embeddings = {**vocabulary.embeddings, "classes": torch.cat([vocabulary.embeddings["classes"], own])}
    more = replace(vocabulary, classes=(*vocabulary.classes, *names))
    return replace(checkpoint, vocabulary=more.with_embeddings(embeddings))


def _trained(checkpoint: Checkpoint, lessons: Lessons, work: Path) -> DynRefer:
    """The network after training, at the step that was best on the held-out regions."""
    begin = save_checkpoint(work / "start", checkpoint.model, checkpoint.vocabulary)
    write_samples([*lessons.taught, *lessons.held_out], work / "samples.jsonl")
    best = train(CONFIG, work, work / "run", init=begin)
    if best is None:
        raise InputError("the teaching was stopped; the same command goes on from there")
    return load_checkpoint(best).model


def _as_far_as_it_holds(
    model: DynRefer, trained: DynRefer, examination: Examination, before: Mapping[str, Figures]
) -> tuple[float, dict[str, Figures]]:
    """Move `model` towards `trained` by the share that gains most; 0 and nothing moved where none gains and holds."""
    old, new = copy.deepcopy(model.state_dict()), trained.state_dict()
    best, kept, most = 0.0, dict(before), 0.0
    for share in SHARES:
        _mix(model, old, new, share)
        after = examination(model)
        won = gain(before[HELD_OUT], after[HELD_OUT])
        logger.info("%.0f %% of the way: %+.1f points on the held-out regions", 100 * share, won)
        for lost in losses(before, after):
            logger.info("  loses %s", lost)
        if won > most and not losses(before, after):
            best, kept, most = share, after, won
    _mix(model, old, new, best)
    return best, kept


@torch.no_grad()
def _mix(model: DynRefer, old: Mapping[str, Tensor], new: Mapping[str, Tensor], share: float) -> None:
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.lerp(old[name], new[name], share))


def _report(checkpoint: Checkpoint, lessons: Lessons, share: float, figures: str, lost: list[str], start: float) -> str:
    taken = f"{100 * share:.0f} % of the way from the old weights to the trained ones was taken"
    outcome = taken if share else "nothing was won on the held-out regions without a loss elsewhere, so nothing changed"
    names = f" New names: {', '.join(lessons.new_names)}." if lessons.new_names else ""
    return (
        f"# {checkpoint.name}, taught\n\n"
        f"Taught {len(lessons.taught)} regions that a person reviewed in {time.monotonic() - start:.0f} s, "
        f"{len(lessons.held_out)} were held out.{names} The result: {outcome}.\n\n{figures}\n\n"
        + "".join(f"Lost more than a point: {line}.\n" for line in lost)
    )
