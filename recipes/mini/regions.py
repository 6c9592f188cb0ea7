"""The regions whose features are worth caching, out of the samples.

    python -m recipes.mini.regions RUN --samples runs/samples/samples.jsonl --flickr FLICKR
    python -m recipes.mini.regions HELD --held-out-of RUN

Writes RUN/regions.jsonl: COCO's described or labelled boxes and a share of the others, Flickr's boxes and groups (one
box around several of a kind), named things twice, since each is augmented anew. With --held-out-of, a draw of
regions of training photographs that RUN's feature cache (`features --share`) left out: calibration is fitted on it.
"""

import argparse
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dynrefer.datasets.records import read_splits
from dynrefer.datasets.sample import RegionText, Sample, iter_samples, read_samples, write_samples
from dynrefer.errors import InputError
from dynrefer.files.coco import id_key
from dynrefer.files.text import read_json

REGIONS = "regions.jsonl"
Origin = Literal["coco", "flickr", "named"]

WHOLE_SHARE = 0.15  # of COCO's whole photographs
CLASS_ONLY = {"person": 0.12}  # share of boxes that carry nothing but this class
OTHER_CLASS_ONLY = 0.7
SMALLEST = {"coco": 0.004, "flickr": 0.015}  # share of the photograph, in training
GROUP_SHARE, PEOPLE_SHARE = 0.6, 0.4  # of Flickr's groups, and before it of groups of people
GROUP_FILLED = 0.45  # the least part of the box around a group that its boxes cover
HELD_OUT = {"coco": 900, "flickr": 400, "named": 350}
HELD_OUT_SMALLEST = 0.005


def main() -> None:
    """Read the arguments and write the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of this run")
    parser.add_argument("--samples", type=Path, help="samples.jsonl of recipes.mini.build")
    parser.add_argument("--flickr", type=Path, help="folder of packed Flickr30k Entities regions, for its groups")
    parser.add_argument("--held-out-of", type=Path, metavar="RUN", help="run whose uncached photographs to draw from")
    args = parser.parse_args()
    if args.held_out_of:
        done = np.load(args.held_out_of / "features" / "done.npy")
        regions = held_out(read_regions(args.held_out_of), done, random.Random(5))
    elif args.samples:
        regions = list(chosen(iter_samples(args.samples), args.flickr, random.Random(0)))
    else:
        parser.error("name --samples or --held-out-of")
    args.run.mkdir(parents=True, exist_ok=True)
    write_samples(regions, args.run / REGIONS)
    print(Counter((origin(region), region.split) for region in regions))


def read_regions(run: Path) -> list[Sample]:
    """The regions of a run, whose place in this list is their row in every array of it."""
    return read_samples(run / REGIONS)


def origin(sample: Sample) -> Origin:
    """The data set that a sample of `recipes.mini.build` comes from."""
    first = sample.photo.split("/")[0]
    return "flickr" if first == "flickr" else "named" if first == "named" else "coco"


def texts_of(sample: Sample, *sources: str) -> list[str]:
    """The sample's texts of some sources."""
    return [text.text for text in sample.texts if text.source in sources]


def area(sample: Sample) -> float:
    """The box's share of the photograph."""
    width, height = sample.image_size or (0, 0)
    x1, y1, x2, y2 = sample.box
    return (x2 - x1) * (y2 - y1) / max(1, width * height)


def chosen(samples: Iterable[Sample], flickr: Path | None, rng: random.Random) -> Iterator[Sample]:
    """The samples to learn from and to validate on; the splits are "train" and "val"."""
    named = []
    for sample in samples:
        sample = replace(sample, split="train" if sample.split == "train" else "val")
        if origin(sample) == "named":
            named.append(sample)
        elif (_wanted_of_coco if origin(sample) == "coco" else _wanted_of_flickr)(sample, rng):
            yield sample
    if flickr is not None:
        yield from groups(flickr, rng)
    for sample in named:
        yield from (sample, replace(sample, sample_id=f"{sample.sample_id}-again"))


def _wanted_of_coco(sample: Sample, rng: random.Random) -> bool:
    sources = {text.source for text in sample.texts}
    if sources == {"whole"}:
        return sample.split == "train" and rng.random() <= WHOLE_SHARE
    if sample.split == "val" or "described" in sources or sample.attributes is not None:
        return True
    if area(sample) < SMALLEST["coco"]:
        return False
    share = 1.0 if "grounded" in sources else CLASS_ONLY.get(sample.class_name or "", OTHER_CLASS_ONLY)
    return rng.random() <= share


def _wanted_of_flickr(sample: Sample, _: random.Random) -> bool:
    if not texts_of(sample, "phrase", "human"):
        return False  # a whole photograph
    return sample.split == "val" or area(sample) >= SMALLEST["flickr"]


def groups(root: Path, rng: random.Random) -> Iterator[Sample]:
    """Things that Flickr30k Entities boxes one by one under one phrase, as one box around all of them; training only.

    Raises InputError where the files are missing or of another format.
    """
    content = read_json(root / "annotations" / "regions.json", "images", "groups")
    splits = read_splits(root / "annotations" / "splits.json")
    images = {id_key(image["id"]): image for image in content["images"]}
    for group in content["groups"]:
        image = images.get(id_key(group["image_id"]))
        if image is None:
            raise InputError(f"A group of {root} belongs to no photograph: copy the folder again.")
        people = group["type"] in ("people", "bodyparts")
        if splits.get(id_key(image["id"])) == "val" or (people and rng.random() < 1 - PEOPLE_SHARE):
            continue
        sample = _group(root, group, image)
        covered = sum(box[2] * box[3] for box in group["bboxes"])
        x1, y1, x2, y2 = sample.box
        if covered / ((x2 - x1) * (y2 - y1)) >= GROUP_FILLED and rng.random() >= 1 - GROUP_SHARE:
            yield sample


def _group(root: Path, group: dict[str, Any], image: dict[str, Any]) -> Sample:
    corners = np.array([[x, y, x + w, y + h] for x, y, w, h in group["bboxes"]])
    x1, y1 = corners[:, :2].min(0).tolist()
    x2, y2 = corners[:, 2:].max(0).tolist()
    name = image["file_name"]
    return Sample(
        image=root / "images" / name,
        image_id=id_key(image["id"]),
        image_size=(int(image["width"]), int(image["height"])),
        box=(x1, y1, x2, y2),
        texts=tuple(RegionText(phrase, "phrase") for phrase in group["phrases"]),
        sample_id=f"flickr-group-{group['id']}",
        split="train",
        photo=f"flickr/images/{name}",
    )


def held_out(regions: list[Sample], done: np.ndarray, rng: random.Random) -> list[Sample]:
    """Regions of training photographs of which no region was cached; every named thing once."""
    used = {region.image for region, cached in zip(regions, done, strict=True) if cached}
    free = [region for region in regions if region.split == "train" and region.image not in used]
    coco = [region for region in free if origin(region) == "coco" and area(region) > HELD_OUT_SMALLEST]
    flickr = [region for region in free if origin(region) == "flickr"]
    named = [r for r in free if origin(r) == "named" and not r.sample_id.endswith("-again")]
    return [
        *rng.sample(coco, min(HELD_OUT["coco"], len(coco))),
        *rng.sample(flickr, min(HELD_OUT["flickr"], len(flickr))),
        *named[: HELD_OUT["named"]],
    ]


if __name__ == "__main__":
    main()
