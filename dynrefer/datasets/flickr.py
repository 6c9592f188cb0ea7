"""Flickr30k Entities (Plummer et al., ICCV 2015) in its official format, which a user downloads, and packed.

`Annotations/<id>.xml` holds the boxes of each thing, `Sentences/<id>.txt` five sentences whose phrases are marked
("[/EN#283585/people A little girl] in [/EN#283586/clothing a pink dress] ..."), `train.txt`, `val.txt` and `test.txt`
the ids of each split; the photographs lie in any folder of it. Packed are `annotations/regions.json` (`images`;
`regions` with `bbox`, `phrases`, `sentences`; `captions`) and `annotations/splits.json`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from dynrefer.datasets.annotated import AnnotatedImage, AnnotatedRegion, described_samples, whole_image
from dynrefer.datasets.records import Photograph, Photographs, Problems, fitted, read_splits, records
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError, reason
from dynrefer.files.coco import annotation_box, box_numbers, id_key, stated_size, texts_of
from dynrefer.files.text import read_json, read_text

SPLITS = ("train", "val", "test")
SIDES = ("xmin", "ymin", "xmax", "ymax")
_MARK = re.compile(r"\[/EN#(\d+)/(\S+) ([^\]]*)\]")
_NOT_SEEN = "0"  # the id of phrases that name nothing visible
_AND = re.compile(r"\s*,?\s*(?:and|with another)\b")


@dataclass
class _Boxes:
    """What an annotation file says: the photograph's size and the boxes of each thing, by its id."""

    size: tuple[str, str] | None
    things: dict[str, list[dict[str, str | None]]] = field(default_factory=lambda: defaultdict(list))


def read_entities(root: Path, problems: Problems) -> Iterator[Sample]:
    """One sample a thing with a box of its own, and one a photograph with its sentences.

    What a thing is called are "phrase" texts; a sentence that begins with it is a "human" text of it.
    Raises InputError where files are missing or of another format.
    """
    if not (root / "Annotations").is_dir() or not (root / "Sentences").is_dir():
        raise InputError(f"{root} has no folders Annotations and Sentences: is it Flickr30k Entities?")
    splits = _splits(root)
    photographs = Photographs(root, problems)
    files = sorted((root / "Annotations").glob("*.xml"))
    found: list[AnnotatedImage] = []
    things = 0
    for file in files:
        try:
            boxes = _boxes(file)
            things += len(boxes.things)
            sentences = read_text(root / "Sentences" / f"{file.stem}.txt").splitlines()
        except InputError as error:
            problems.skip("annotations that cannot be read", file.name, why=reason(error))
            continue
        photograph = photographs.open(f"{file.stem}.jpg", file.stem, splits.get(file.stem, "none"), boxes.size)
        if photograph is not None:
            regions = _regions(photograph, boxes, sentences, problems)
            found.append(AnnotatedImage(photograph, regions, [plain(sentence) for sentence in sentences]))
    problems.check(len(files) + things)
    return (sample for image in found for sample in _samples("flickr30k", image))


def plain(sentence: str) -> str:
    """A marked sentence without its marks."""
    return " ".join(_MARK.sub(r"\3", sentence).split())


def _samples(name: str, image: AnnotatedImage) -> Iterator[Sample]:
    yield from described_samples(image)
    yield from whole_image(image, f"{name}-image-{image.photograph.image_id}")


def _splits(root: Path) -> dict[str, str]:
    known = [name for name in SPLITS if (root / f"{name}.txt").exists()]
    if not known:
        raise InputError(
            f"{root} has none of train.txt, val.txt and test.txt: they tell which photographs are for what."
        )
    return {image_id: split for split in known for image_id in read_text(root / f"{split}.txt").split()}


def _boxes(file: Path) -> _Boxes:
    try:
        tree = ElementTree.fromstring(read_text(file))
    except ElementTree.ParseError as error:
        raise InputError(f"it is not XML ({error})") from error
    width, height = tree.findtext("size/width"), tree.findtext("size/height")
    found = _Boxes((width, height) if width and height else None)
    for thing in tree.iter("object"):
        for box in thing.iter("bndbox"):
            for name in thing.iter("name"):
                found.things[(name.text or "").strip()].append({side: box.findtext(side) for side in SIDES})
    return found


def _regions(photograph: Photograph, boxes: _Boxes, sentences: list[str], problems: Problems) -> list[AnnotatedRegion]:
    phrases: dict[str, Counter[str]] = defaultdict(Counter)
    whole: dict[str, dict[str, None]] = defaultdict(dict)
    for sentence in sentences:
        marks = list(_MARK.finditer(sentence))
        for mark in marks:
            phrases[mark[1]][" ".join(mark[3].lower().split())] += 1
        first = marks[0] if marks else None
        if first and not sentence[: first.start()].strip() and not _AND.match(sentence[first.end() :]):
            whole[first[1]][plain(sentence)] = None
    regions = []
    for thing, found in boxes.things.items():
        if thing == _NOT_SEEN or len(found) != 1 or thing not in phrases:
            continue  # several boxes: a group, of which no box is what the phrase says
        box = fitted(partial(box_numbers, found[0], SIDES), photograph, problems, f"thing {thing} of {photograph.name}")
        if box is None:
            continue
        called = tuple(phrase for phrase, _ in phrases[thing].most_common())
        name = f"flickr30k-{photograph.image_id}-{thing}"
        regions.append(AnnotatedRegion(name, box, tuple(whole[thing]), phrases=called))
    return regions


def read_packed(root: Path, problems: Problems) -> Iterator[Sample]:
    """One sample a packed region ("phrase" and "human" texts) and one a photograph with captions; groups are not read.

    Raises InputError where files are missing or of another format.
    """
    file = root / "annotations" / "regions.json"
    content = read_json(file, "images", "regions")
    splits = read_splits(root / "annotations" / "splits.json")
    photographs = Photographs(root, problems)
    found: dict[str, AnnotatedImage] = {}
    images, listed = records(content, file, "images"), records(content, file, "regions")
    photographs.expect(record.get("file_name") for record in images)
    for record in images:
        key = id_key(record.get("id"))
        photograph = photographs.open(record.get("file_name"), key, splits.get(key, "none"), stated_size(record))
        if photograph is not None:
            found[key] = AnnotatedImage(photograph)
    for place, record in enumerate(listed, start=1):
        image = found.get(id_key(record.get("image_id")))
        what = f"region {record.get('id', f'number {place}')} of {file.name}"
        if image is None:
            problems.skip("regions of photographs that cannot be used", what)
        elif region := _packed_region(record, image.photograph, what, problems):
            image.regions.append(region)
    problems.check(len(images) + len(listed))
    for record in content.get("captions", ()):
        if image := found.get(id_key(record.get("image_id"))):
            image.captions += texts_of(record.get("caption")) or ()
    return (sample for image in found.values() for sample in _samples("flickr", image))


def _packed_region(
    record: Mapping[str, Any], photograph: Photograph, what: str, problems: Problems
) -> AnnotatedRegion | None:
    phrases, sentences = texts_of(record.get("phrases")), texts_of(record.get("sentences"))
    if not phrases and not sentences:
        problems.skip("regions without words", what, photograph.name)
        return None
    box = fitted(lambda: annotation_box(record), photograph, problems, what)
    if box is None:
        return None
    return AnnotatedRegion(f"flickr-{record.get('id', what)}", box, sentences or (), phrases=phrases or ())
