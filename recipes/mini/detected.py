"""What a detector of COCO's classes sees on photographs that have no such labels.

    python -m recipes.mini.detected RUN --boxes DETECTIONS

DETECTIONS is JSON: for each photograph, by the name that regions know it by, [x1, y1, x2, y2, class, score] in pixels.
In RUN/regions.jsonl a region of people's own words that lies where something was detected gets its class; what nobody
boxed is added behind all others, with no text but its class. Neither is ever validated on. Photographs of named things
are left out: they show mostly what is none of COCO's classes, and a detector calls it the nearest one.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dynrefer.boxes import Box, iou
from dynrefer.datasets.sample import RegionText, Sample, write_samples
from dynrefer.files.text import read_json
from recipes.mini.classes import CLASS_NAMES
from recipes.mini.regions import REGIONS, area, origin, read_regions

CERTAIN = 0.45  # the least score
SAME, BESIDE = 0.7, 0.5  # overlap from which a region is what was detected, and from which nothing is added
SMALLEST = 0.006  # share of the photograph

Detection = tuple[Box, str, float]


def main() -> None:
    """Read the arguments and rewrite the regions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of this run")
    parser.add_argument("--boxes", type=Path, required=True, help="what was detected")
    args = parser.parse_args()
    known = set(CLASS_NAMES)
    detections = {
        photo: surest([((x1, y1, x2, y2), name, score) for x1, y1, x2, y2, name, score in boxes if name in known])
        for photo, boxes in read_json(args.boxes).items()
    }
    before = [region for region in read_regions(args.run) if not region.sample_id.startswith("detected-")]
    regions = [classed(region, detections.get(region.photo, ())) for region in before]
    regions += added(regions, detections)
    write_samples(regions, args.run / REGIONS)
    print(
        sum(r.class_name is not None for r in regions[: len(before)]), "classed,", len(regions) - len(before), "added"
    )


def surest(boxes: Sequence[Detection]) -> list[Detection]:
    """Without those that lie where something else is surer."""
    return [d for d in boxes if all(other[2] <= d[2] or iou(d[0], other[0]) < SAME for other in boxes)]


def classed(region: Sample, detections: Iterable[Detection]) -> Sample:
    """The region with the class of what was detected there, where it is a training region without one."""
    if region.split != "train" or origin(region) != "flickr":
        return region
    same = [d for d in detections if d[2] >= CERTAIN and iou(d[0], region.box) >= SAME]
    return replace(region, class_name=max(same, key=lambda d: d[2])[1] if same else None)


def added(regions: Sequence[Sample], detections: Mapping[str, Sequence[Detection]]) -> list[Sample]:
    """Detections on training photographs where no region of a class lies yet."""
    by_photo: dict[str, list[Sample]] = defaultdict(list)
    for region in regions:
        by_photo[region.photo].append(region)
    found = []
    for photo, boxes in detections.items():
        others = by_photo.get(photo, [])
        if not others or any(region.split != "train" or origin(region) != "flickr" for region in others):
            continue
        taken = [region.box for region in others if region.class_name is not None]
        for number, (box, name, score) in enumerate(boxes):
            sample = replace(
                others[0],
                box=box,
                texts=(RegionText(f"a {name}", "class"),),
                sample_id=f"detected-{photo}-{number}",
                class_name=name,
                name=None,
            )
            if score >= CERTAIN and area(sample) >= SMALLEST and all(iou(box, other) < BESIDE for other in taken):
                found.append(sample)
    return found


if __name__ == "__main__":
    main()
