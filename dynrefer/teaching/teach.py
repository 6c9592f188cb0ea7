"""From a project to a taught checkpoint that has lost nothing else: train the heads, then take as much as holds.

The taught weights are the line from the old ones to the trained ones, followed as far as the held-out regions gain and
nothing that is checked loses more than a point (after Wortsman et al., Robust fine-tuning of zero-shot models, 2022).
"""

from __future__ import annotations

import copy
import logging
import shutil
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from dynrefer.checkpoint import CARD, Checkpoint, load_checkpoint, save_checkpoint
from dynrefer.datasets.sample import Sample, write_samples
from dynrefer.errors import InputError
from dynrefer.files.atomic import write_whole
from dynrefer.model import DynRefer
from dynrefer.teaching.lessons import Lessons, checked, gallery, read_lessons
from dynrefer.teaching.measure import Examination, Figures, gain, losses, table
from dynrefer.teaching.prototypes import embed_regions, has_space, with_prototypes
from dynrefer.teaching.reference import called_otherwise, own_answers
from dynrefer.training.config import AugmentConfig, CacheConfig, LossWeights, OptimiserConfig, TextConfig, TrainConfig
from dynrefer.training.trainer import train
from dynrefer.vocabulary import Vocabulary

HELD_OUT, GALLERY, CHECK = "held-out regions of the project", "the gallery", "the data set to check with"
KEPT = "what the model was sure of before"
SHARES = (0.25, 0.5, 0.75, 1.0)  # of the way from the old weights to the trained ones; of equals the first
REHEARSED, WATCHED = 5, 10  # of the model's own answers, at most, on a photograph
TOLD = 12  # changes that the report names
OTHERS = 48  # class names beside those of the lessons
CONFIG = TrainConfig(
    batch_size=8,
    steps=120,
    max_tags=48,
    precision="fp32",
    save_every=60,
    validate_every=15,
    patience=3,
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
    """Whether anything was won and written, and the report in Markdown."""

    written: bool
    report: str


def teach(
    project: Path,
    out: Path,
    photos: Path | None = None,
    check: Path | None = None,
    model: str | None = None,
    names_only: bool = False,
) -> Taught:
    """Teach a checkpoint what the reviewed regions of a project say; a call that was cut off goes on where it was.

    Args:
        project: project file, or the folder of photographs that it lies beside.
        out: checkpoint folder to write, with the report as its card. Left alone where nothing was won.
        photos: the folder of photographs, where it does not lie beside the file.
        check: a folder that `data build` wrote, of whose split "val" nothing may be lost either.
        model: checkpoint folder or Hub id; the default one where None.
        names_only: train nothing, and only keep prototypes of the names that have two examples or more.

    Raises InputError where there is too little to learn from, or a photograph is missing.
    """
    start = time.monotonic()
    checkpoint = load_checkpoint(model)
    lessons = read_lessons(project, photos, checkpoint.vocabulary, checkpoint.model.config.tag_threshold)
    checkpoint = with_names(checkpoint, lessons.new_names)
    examples = gallery(checkpoint.vocabulary)
    rehearsed = [] if names_only else own_answers(checkpoint, lessons.taught, "train", REHEARSED)
    kept = own_answers(checkpoint, [*lessons.held_out, *examples], "val", WATCHED)
    sets = {HELD_OUT: lessons.held_out, GALLERY: examples, KEPT: kept, CHECK: checked(check) if check else []}
    work = _workplace(out, checkpoint, sets, [*lessons.taught, *rehearsed])
    logger.info("%d regions to learn from, %d held out", len(lessons.taught), len(lessons.held_out))
    logger.info("%d of the model's own answers are rehearsed, %d watched", len(rehearsed), len(kept))
    examination = Examination.of(sets, checkpoint, CONFIG, work)
    before = examination(checkpoint.model, checkpoint.vocabulary)
    after: Mapping[str, Figures] = before
    share = 0.0
    if not names_only:
        trained = _trained(checkpoint, lessons, rehearsed, work)
        share, after = _as_far_as_it_holds(checkpoint, trained, examination, before)
    vocabulary, after = _with_examples(checkpoint, lessons, work, examination, (before, after))
    taught = vocabulary.prototypes != checkpoint.vocabulary.prototypes
    counts = {name: len(samples) for name, samples in sets.items()}
    outcome = _outcome(checkpoint, lessons, share, vocabulary.prototypes if taught else (), start)
    changed = called_otherwise(replace(checkpoint, vocabulary=vocabulary), kept) if share or taught else []
    told = f"{table(before, after, counts)}\n{_watched(counts)}{_changed(changed, len(kept))}"
    report = f"# {checkpoint.name}, taught\n\n{outcome}\n\n{told}"
    if share or taught:
        named = replace(checkpoint.model.config, name=f"{checkpoint.name.removesuffix('-taught')}-taught")
        checkpoint.model.config = named
        save_checkpoint(out, checkpoint.model, vocabulary)
        write_whole(out / CARD, report)
    shutil.rmtree(work)
    return Taught(bool(share or taught), report)


def _workplace(
    out: Path, checkpoint: Checkpoint, sets: Mapping[str, Sequence[Sample]], taught: Sequence[Sample]
) -> Path:
    """The folder of the unfinished teaching, emptied where that was of other regions or of another checkpoint."""
    work = out.with_name(f"{out.name}.work")
    digest = sha256(checkpoint.fingerprint.encode())
    for sample in (*taught, *(sample for samples in sets.values() for sample in samples)):
        digest.update(repr(sample).encode())
    identity = work / "identity"
    if not identity.is_file() or identity.read_text() != digest.hexdigest():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        identity.write_text(digest.hexdigest())
    return work


def with_names(checkpoint: Checkpoint, names: tuple[str, ...]) -> Checkpoint:
    """The checkpoint with `names` added to its classes."""
    if not names:
        return checkpoint
    vocabulary, encoder = checkpoint.vocabulary, checkpoint.model.text_encoder
    assert encoder is not None
    with torch.inference_mode():
        own = encoder(vocabulary.class_texts(names))
    return replace(checkpoint, vocabulary=vocabulary.with_more_classes(names, own))


def _trained(checkpoint: Checkpoint, lessons: Lessons, rehearsed: Sequence[Sample], work: Path) -> DynRefer:
    """The network after training, at the step that was best on the held-out regions."""
    samples = [*lessons.taught, *rehearsed, *lessons.held_out]
    names = lessons.rivals | {sample.name for sample in samples if sample.name is not None}
    begin = save_checkpoint(work / "start", checkpoint.model, _few_names(checkpoint.vocabulary, names))
    write_samples(samples, work / "samples.jsonl")
    best = train(CONFIG, work, work / "run", init=begin)
    if best is None:
        raise InputError("the teaching was stopped; the same command goes on from there")
    return load_checkpoint(best).model


def _few_names(vocabulary: Vocabulary, known: Set[str]) -> Vocabulary:
    """The vocabulary with the `known` classes alone, and OTHERS by chance: each costs time."""
    order = torch.randperm(len(vocabulary.classes), generator=torch.Generator().manual_seed(0)).tolist()
    others = [place for place in order if vocabulary.classes[place] not in known][:OTHERS]
    places = [*(place for place, name in enumerate(vocabulary.classes) if name in known), *others]
    return vocabulary.with_classes_at(places)


def _as_far_as_it_holds(
    checkpoint: Checkpoint, trained: DynRefer, examination: Examination, before: Mapping[str, Figures]
) -> tuple[float, dict[str, Figures]]:
    """Move the network towards `trained` by the share that gains most; 0 and not at all where none gains and holds."""
    model = checkpoint.model
    old, new = copy.deepcopy(model.state_dict()), trained.state_dict()
    best, kept = 0.0, dict(before)
    for share in SHARES:
        _mix(model, old, new, share)
        after = examination(model, checkpoint.vocabulary)
        if _holds(f"{100 * share:.0f} % of the way", before, kept, after):
            best, kept = share, after
    _mix(model, old, new, best)
    return best, kept


def _holds(what: str, before: Mapping[str, Figures], kept: Mapping[str, Figures], after: Mapping[str, Figures]) -> bool:
    """Whether a change gains more than what is kept so far, and nothing is lost since `before`."""
    won, lost = gain(before[HELD_OUT], after[HELD_OUT]), losses(before, after, KEPT)
    logger.info("%s: %+.1f points on the held-out regions%s", what, won, "".join(f"; loses {line}" for line in lost))
    return won > gain(before[HELD_OUT], kept[HELD_OUT]) and not lost


def _with_examples(
    checkpoint: Checkpoint,
    lessons: Lessons,
    work: Path,
    examination: Examination,
    figures: tuple[Mapping[str, Figures], Mapping[str, Figures]],
) -> tuple[Vocabulary, Mapping[str, Figures]]:
    """The vocabulary with prototypes of the names taught, and the figures with it, where that gains and holds."""
    before, kept = figures
    if not has_space(checkpoint.model):
        return checkpoint.vocabulary, kept
    regions = embed_regions(lessons.taught, checkpoint, CONFIG, work / "examples")
    vocabulary = with_prototypes(checkpoint.vocabulary, [sample.name for sample in lessons.taught], regions)
    after = examination(checkpoint.model, vocabulary)
    if _holds("names beside their examples", before, kept, after):
        return vocabulary, after
    return checkpoint.vocabulary, kept


@torch.no_grad()
def _mix(model: DynRefer, old: Mapping[str, Tensor], new: Mapping[str, Tensor], share: float) -> None:
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.lerp(old[name], new[name], share))


def _watched(counts: Mapping[str, int]) -> str:
    """How much of the model's other knowledge was watched, where that was the gallery alone."""
    examples = counts[GALLERY]
    if counts[CHECK] or not examples:
        return ""
    return (
        f"\nOutside of the project only the gallery's {examples} examples were watched, of which one is "
        f"{100 / examples:.1f} points, and {counts[KEPT]} of the model's own answers; `--check FOLDER` watches "
        "regions of your own data as well.\n"
    )


def _changed(changed: Sequence[str], count: int) -> str:
    """Which of the model's own sure answers are others now: right or wrong, only a person can tell."""
    if not changed:
        return ""
    more = f" and {len(changed) - TOLD} more" if len(changed) > TOLD else ""
    return (
        f"\nOf {count} regions beside the lessons whose names it was sure of, {len(changed)} are called otherwise now: "
        f"{'; '.join(changed[:TOLD])}{more}.\n"
    )


def _outcome(checkpoint: Checkpoint, lessons: Lessons, share: float, prototypes: Sequence[str], start: float) -> str:
    parts = [
        f"{len(lessons.taught)} regions that a person reviewed taught it in {time.monotonic() - start:.0f} s; "
        f"{len(lessons.held_out)} others were held out."
    ]
    if share:
        parts.append(f"{100 * share:.0f} % of the way from the old weights to the trained ones was taken.")
    if prototypes:
        parts.append(f"Names beside their examples: {', '.join(prototypes)}.")
    if lessons.new_names:
        parts.append(f"New names: {', '.join(lessons.new_names)}.")
    if not share and not prototypes:
        parts.append("Nothing was won on them without a loss of more than a point elsewhere, so nothing was changed.")
    return " ".join(parts)
