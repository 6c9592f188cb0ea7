"""From a project and the gallery to samples: what is taught, what is held out, and what must not be lost."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from dynrefer.datasets.sample import RegionText, Sample, iter_samples
from dynrefer.datasets.words import class_text, clean_caption, has_letters, said_tags
from dynrefer.errors import InputError
from dynrefer.examples import Example, read_examples
from dynrefer.files.photo_files import PhotoFinder
from dynrefer.project import PhotoRecord, Region, photo_folder, project_file, read_project
from dynrefer.vocabulary import Vocabulary

HELD_OUT = 5  # one photograph in five
LEAST = 4  # regions
MOST_CHECKED = 300  # of a data set
LIKELY = 0.3  # from this score on a tag that nobody judged may be true


@dataclass(frozen=True)
class Lessons:
    """Samples: `taught` are of the split "train", those `held_out` of "val".

    `new_names` are those to learn as well, `rivals` what the model thought of the regions.
    """

    taught: list[Sample]
    held_out: list[Sample]
    new_names: tuple[str, ...]
    rivals: frozenset[str]


def read_lessons(project: Path, photos: Path | None, vocabulary: Vocabulary, threshold: float) -> Lessons:
    """The reviewed regions of a project, as samples.

    Args:
        project: its file, or the folder of photographs beside it; photos: that folder, where it lies elsewhere.
        threshold: the score from which the model's tags are shown, so that accepting a region accepts them.

    Raises InputError where there is too little to learn from, or a photograph is missing.
    """
    file = project_file(project)
    finder = PhotoFinder(photos or photo_folder(file))
    records = [record for record in read_project(file) if any(map(_teaches, record.regions))]
    count = sum(_teaches(region) for record in records for region in record.regions)
    if count < LEAST:
        raise InputError(
            f"{file.name} has {count} corrected or accepted regions; to teach, {LEAST} are needed and 40 are good"
        )
    held_out = _held_out(records)
    names = Counter(_name(region) for record in records for region in record.regions if _teaches(region))
    new = tuple(name for name, seen in names.items() if name and seen > 1 and name not in vocabulary.classes)
    samples = [
        _sample(record, number, region, finder.find(record.image), vocabulary, threshold)
        for record in records
        for number, region in enumerate(record.regions)
        if _teaches(region)
    ]
    if len(records) == 1:  # the regions of one photograph are all there is to hold out
        parts = ["val" if number % HELD_OUT == 2 else "train" for number in range(len(samples))]
    else:
        parts = ["val" if sample.photo in held_out else "train" for sample in samples]
    split = [replace(sample, split=part) for sample, part in zip(samples, parts, strict=True)]
    rivals = {entry.name for record in records for region in record.regions for entry in region.answer.classes}
    taught, held = ([sample for sample in split if sample.split == part] for part in ("train", "val"))
    return Lessons(taught, held, new, frozenset(rivals))


def gallery(vocabulary: Vocabulary) -> list[Sample]:
    """The example photographs with the name of each box, as samples of the split "val"."""
    samples = []
    for number, example in enumerate(read_examples()):
        name = next((name for name in example.names if name in vocabulary.classes), None)
        if name is not None:
            samples.append(_named(example, f"gallery-{number}", name))
    return samples


def checked(data: Path) -> list[Sample]:
    """At most MOST_CHECKED regions outside of training, of a folder that `data build` wrote. Raises InputError."""
    found = (sample for sample in iter_samples(data / "samples.jsonl") if sample.split == "val")
    return list(islice(found, MOST_CHECKED))


def _teaches(region: Region) -> bool:
    return region.status != "rejected" and region.reviewed


def _held_out(records: Sequence[PhotoRecord]) -> set[str]:
    """Photographs to keep apart, always the same: one in five, at least one."""
    order = sorted((record.image for record in records), key=lambda name: zlib.crc32(name.encode()))
    return set(order[: max(1, round(len(order) / HELD_OUT))]) if len(order) > 1 else set()


def _name(region: Region) -> str | None:
    """What a person says that a region is: their own word, or the model's that they accepted."""
    if region.words.name is not None:
        return region.words.name.lower()
    best = region.answer.classes
    return best[0].name if region.status == "accepted" and best else None


def _sample(
    record: PhotoRecord, number: int, region: Region, image: Path, vocabulary: Vocabulary, threshold: float
) -> Sample:
    """A reviewed region. Of what nobody judged, tags that are likely are left open, and attributes are unknown."""
    result, accepted, name = region.result, region.status == "accepted", _name(region)
    texts: dict[str, RegionText] = {}
    if result.caption is not None and (accepted or region.words.caption is not None):
        text = clean_caption(result.caption.text)
        texts[text] = RegionText(text, "human")
    if name is not None:
        text = class_text(name)
        texts.setdefault(text, RegionText(text, "class"))
    kept = [text for text in texts.values() if has_letters(text.text)]
    true = {tag for tag, is_so in region.words.tags.items() if is_so}
    true |= {tag.name for tag in region.answer.tags if accepted and tag.score >= threshold}
    true |= {word for text in kept for word in said_tags(text.text)} | ({name} if name else set())
    true -= {tag for tag, is_so in region.words.tags.items() if not is_so}
    may_be = {tag.name for tag in region.answer.tags if tag.score >= LIKELY}
    return Sample(
        image=image,
        image_id=record.image,
        image_size=record.size,
        box=region.answer.box,
        texts=tuple(kept) or (RegionText(class_text(_subject(region)), "class"),),
        sample_id=f"{record.image}#{number}",
        split="train",
        tags=tuple(sorted(true)),
        ignored_tags=tuple(sorted(may_be - true - set(region.words.tags))),
        attributes=_attributes(region, vocabulary),
        class_name=name,
        name=name,
        photo=record.image,
    )


def _subject(region: Region) -> str:
    """A name to speak of the region by where a person judged only its tags or attributes."""
    return region.answer.classes[0].name if region.answer.classes else "thing"


def _attributes(region: Region, vocabulary: Vocabulary) -> tuple[int, ...] | None:
    """1 has, 0 has not, -1 unknown; None where nothing is known. Accepting accepts what the model is surest of."""
    sure = {entry.key: entry.score for entry in region.answer.attributes if region.status == "accepted"}
    keys = [f"{word.type}:{word.name}" for word in vocabulary.attributes]
    labels = [_label(region.words.attributes.get(key), sure.get(key, 0.0)) for key in keys]
    return tuple(labels) if any(label >= 0 for label in labels) else None


def _label(said: bool | None, score: float) -> int:
    if said is not None:
        return int(said)
    return 1 if score >= 0.5 else -1


def _named(example: Example, sample_id: str, name: str) -> Sample:
    file, texts = example.file, (RegionText(class_text(name), "class"),)
    return Sample(
        example.path, file, None, example.box, texts, sample_id, "val", class_name=name, name=name, photo=file
    )
