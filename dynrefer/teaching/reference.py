"""What a model answers before it is taught, about regions that no lesson is about: to rehearse, and to watch over.

Nobody who teaches has a data set with the truth of everything else. The model's own sure answers stand in for it: it
rehearses some on the photographs of the lessons (after Li and Hoiem, Learning without forgetting, 2016), and is held to
those on other photographs, as far as they may be wrong themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from dynrefer.boxes import Box, overlaps
from dynrefer.checkpoint import Checkpoint
from dynrefer.datasets.sample import RegionText, Sample
from dynrefer.datasets.words import class_text, clean_caption, has_letters
from dynrefer.photo import Photo
from dynrefer.predictor import Predictor
from dynrefer.results import RegionResult

SAME = 0.4  # overlap from which a region is one that a lesson is about
SURE = 0.5  # score of a name, and of an attribute that is there
ABSENT = 0.05  # score up to which an attribute is not there
LIKELY = 0.3  # score from which a tag may be true


def own_answers(checkpoint: Checkpoint, samples: Iterable[Sample], split: str, most: int) -> list[Sample]:
    """Regions beside those of `samples`, at most `most` a photograph of theirs, with what the checkpoint is sure of."""
    predictor = Predictor(checkpoint)
    if not predictor.can_find:
        return []
    boxes: dict[Path, list[Box]] = {}
    for sample in samples:
        boxes.setdefault(sample.image, []).append(sample.box)
    return [one for image, known in boxes.items() for one in _on_photograph(predictor, image, known, split, most)]


def called_otherwise(checkpoint: Checkpoint, samples: Iterable[Sample]) -> list[str]:
    """What of `own_answers` the checkpoint, which was taught since, gives another name: "street.jpg: bus -> tram"."""
    predictor, regions = Predictor(checkpoint), defaultdict(list)
    for sample in samples:
        regions[sample.image].append(sample)
    told = []
    for image, known in regions.items():
        results = predictor.refer(image, boxes=[sample.box for sample in known], captions=False, top_classes=1)
        names = zip((sample.name for sample in known), (result.classes[0].name for result in results), strict=True)
        told += [f"{image.name}: {before} -> {now}" for before, now in names if before != now]
    return told


def _on_photograph(predictor: Predictor, image: Path, known: list[Box], split: str, most: int) -> Iterator[Sample]:
    photo = Photo.open(image)
    found = np.array([one.box for one in predictor.propose(photo, limit=most)]).reshape(-1, 4)
    others = found[(overlaps(found, np.array(known)) < SAME).all(1)]
    if not len(others):
        return
    for number, result in enumerate(predictor.refer(photo, boxes=others, tag_threshold=0.0)):
        if result.sure and result.classes and result.classes[0].score >= SURE:
            yield _sample(predictor, image, photo.size, f"{image}#own-{number}", result, split)


def _sample(
    predictor: Predictor, image: Path, size: tuple[int, int], sample_id: str, result: RegionResult, split: str
) -> Sample:
    name, caption = result.classes[0].name, clean_caption(result.caption.text) if result.caption else ""
    texts = [RegionText(caption, "described")] if has_letters(caption) else []
    scores = {entry.key: entry.score for entry in result.attributes}
    known = [scores.get(f"{word.type}:{word.name}", LIKELY) for word in predictor.vocabulary.attributes]
    true = {tag.name for tag in result.tags if tag.score >= predictor.tag_threshold}
    return Sample(
        image=image,
        image_id=image.name,
        image_size=size,
        box=result.box,
        texts=(*texts, RegionText(class_text(name), "class")),
        sample_id=sample_id,
        split=split,
        tags=tuple(sorted(true)),
        ignored_tags=tuple(sorted({tag.name for tag in result.tags if tag.score >= LIKELY} - true)),
        attributes=tuple(1 if score >= SURE else 0 if score <= ABSENT else -1 for score in known),
        class_name=name,
        name=name,
        photo=str(image),
    )
