"""The data of a benchmark: a folder in a data set's own format, or one that `data build` wrote."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dynrefer.datasets.build import READERS
from dynrefer.datasets.io import read_json
from dynrefer.datasets.io import read_samples
from dynrefer.datasets.io import Problems
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError

_MARKERS = {
    "coco": ("annotations/instances*.json",),
    "refcocog": ("refs*",),
    "vg-coco": ("vgcoco_splits.json",),
    "vg": ("region_descriptions.json",),
    "own": ("train.json", "val.json", "test.json"),
}
_OFFICIAL = {"refcocog": "RefCOCOg", "vg-coco": "VG-COCO"}


@dataclass(frozen=True)
class EvaluationData:
    """The samples of one split, `title` as reports call it, and the folder they came from."""

    title: str
    folder: Path
    samples: Sequence[Sample]

    @cached_property
    def photographs(self) -> str:
        """Digest of the photographs' names and sizes in bytes."""
        sizes = [[image.name, image.stat().st_size] for image in sorted({sample.image for sample in self.samples})]
        return hashlib.sha256(json.dumps(sizes).encode()).hexdigest()[:16]

    def attribute_entries(self) -> list[Mapping[str, Any]]:
        """OVAD's list of attributes (`name`, `is_has_att`, `freq_set`), by id, from its annotation file.

        Raises:
            InputError: there is no such file beside the data.
        """
        folders = [self.folder, *{sample.image.parent.parent for sample in self.samples[:1]}]
        files = [file for folder in folders for file in sorted((folder / "annotations").glob("ovad*.json"))]
        if not files:
            raise InputError(f"{self.folder / 'annotations'} has no OVAD file: put ovad2000.json there.")
        return sorted(read_json(files[0], "attributes")["attributes"], key=lambda entry: entry["id"])


def load_data(folder: Path, split: str | None = None) -> EvaluationData:
    """The samples of a split (by default the one that the paper evaluates on).

    Raises:
        InputError: the folder is missing, of no known format, empty in this split, or lacks a photograph.
    """
    if not folder.is_dir():
        raise InputError(f"There is no data folder {folder}: give --data the folder of the data set.")
    if (folder / "samples.jsonl").exists():
        dataset, samples = _dataset_of_build(folder), read_samples(folder / "samples.jsonl")
    else:
        dataset = _recognise(folder)
        samples = _read(dataset, folder)
    split = split or ("test" if dataset.startswith("vg") else "val")
    chosen = [sample for sample in samples if sample.split == split]
    if not chosen:
        found = ", ".join(sorted({sample.split for sample in samples})) or "nothing"
        raise InputError(f"The data set in {folder} has no '{split}' part, only {found}: choose with --split.")
    for image in dict.fromkeys(sample.image for sample in chosen):
        if not image.exists():
            raise InputError(f"The photograph {image} is missing: put it there, or build the samples again.")
    return EvaluationData(_title(dataset, folder, split), folder, chosen)


def _read(dataset: str, folder: Path) -> list[Sample]:
    """The samples of a data set, all of whose photographs must be there."""
    problems = Problems()
    try:
        samples = list(READERS[dataset](folder, problems))
    except InputError as error:
        raise _missing_photograph(problems) or error from error
    if missing := _missing_photograph(problems):
        raise missing
    return samples


def _missing_photograph(problems: Problems) -> InputError | None:
    named = problems.examples.get("photographs that are missing")
    if not named:
        return None
    return InputError(f"The photograph {named[0]} is missing: put it there, or take it out of the annotations.")


def _recognise(folder: Path) -> str:
    for dataset, markers in _MARKERS.items():
        if any(list(folder.glob(marker)) for marker in markers):
            return dataset
    raise InputError(
        f"{folder} is no data set that is known here: it holds neither COCO's, Visual Genome's or RefCOCOg's files, "
        "nor a val.json or samples.jsonl of your own."
    )


def _dataset_of_build(folder: Path) -> str:
    stats = folder / "stats.json"
    return str(read_json(stats).get("dataset", "")) if stats.exists() else ""


def _title(dataset: str, folder: Path, split: str) -> str:
    """The data set's own name where its official files are there, else the folder's."""
    name = folder.resolve().name
    if (folder / "annotations" / f"instances_{split}2017.json").exists():
        return f"COCO {split}2017"
    if (folder / "samples.jsonl").exists() or dataset in ("coco", "own"):
        return f"{name} {split}"
    if dataset == "vg":
        with (folder / "image_data.json").open(encoding="utf-8") as file:
            return f"Visual Genome v{'1.2' if 'image_id' in file.read(1000) else '1.0'} {split}"
    return f"{_OFFICIAL[dataset]} {split}"
