"""What `together` needs beside a run's targets: which views tell most of each region, whole scenes, held-out ones.

    python -m recipes.mini.together_data RUN --coco COCO_REGIONS --flickr FLICKR_REGIONS --things NAMED_THINGS
        [--part 0 --parts 2]

Writes RUN/steps.npy (uint8 [R, 2]: tenths of the two views that `dynamic` takes beside the region; goes on where it
stopped, and several processes share the work), RUN/scenes.json (whole photographs with boxes, for pointing) and
RUN/held.json (photographs that nothing is trained on, for calibration).
"""

import argparse
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from dynrefer.datasets.sample import Sample
from dynrefer.files.atomic import written_whole
from dynrefer.files.text import read_json
from recipes.mini.features import make_arrays
from recipes.mini.predictions import FOLDER as PREDICTIONS
from recipes.mini.region_lessons import Lessons
from recipes.mini.regions import HELD, origin, read_regions

STEPS, SCENES = "steps.npy", "scenes.json"
HELD_STEP = 6  # of the photographs that the start was not trained on, every so many'th is held out
FEW = 5  # photographs of a name, below which none is held out


class Regions:
    """Boxes [R, 4], the photograph of each [R], tenths of its best views [R, 2], and which rows serve what."""

    def __init__(self, run: Path, lessons: Lessons) -> None:
        regions = read_regions(run)
        self.photographs = sorted({region.photo for region in regions})
        place = {photo: k for k, photo in enumerate(self.photographs)}
        self.boxes = torch.tensor([region.box for region in regions], dtype=torch.float32)
        self.places = torch.tensor([place[region.photo] for region in regions])
        self.steps = torch.from_numpy(np.load(run / STEPS).astype(np.int64))
        held = set(read_json(run / HELD))
        self.validation = ~lessons.training
        self.ready = np.array([region.photo not in held for region in regions]) & lessons.training

    def to(self, device: torch.device | str) -> None:
        """Move what steps read."""
        self.boxes, self.places, self.steps = (part.to(device) for part in (self.boxes, self.places, self.steps))


def main() -> None:
    """Read the arguments and write the three files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of this run")
    for name in ("coco", "flickr", "things"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    args = parser.parse_args()
    regions = read_regions(args.run)
    if args.part == 0:
        _write(args.run / HELD, held_out(regions, np.load(args.run / PREDICTIONS / "done.npy")))
        _write(args.run / SCENES, scenes(args.coco, args.flickr, args.things))
    choose_views(regions, args.run, args.part, args.parts)


def _write(file: Path, content: object) -> None:
    with written_whole(file) as draft:
        draft.write_text(json.dumps(content), encoding="utf-8")


def held_out(regions: Sequence[Sample], done: np.ndarray) -> list[str]:
    """Photographs that the start was not trained on and nothing is trained on now; every name keeps some."""
    used = {region.photo for region, trained in zip(regions, done, strict=False) if trained}
    names = Counter(region.name for region in regions if origin(region) == "named")
    free = {
        region.photo
        for region in regions
        if region.split == "train"
        and region.photo not in used
        and (origin(region) != "named" or names[region.name] >= FEW)
    }
    return sorted(photo for photo in free if zlib.crc32(photo.encode()) % HELD_STEP == 0)


def scenes(coco: Path, flickr: Path, things: Path) -> list[dict[str, object]]:
    """Whole photographs with their boxes, known by the names that regions know them by."""
    from recipes.mini.pointing_views import photographs

    roots = {"coco": (coco, ""), "flickr": (flickr, "flickr/"), "things": (things, "named/")}
    found = []
    for record in photographs(coco, flickr, things):
        root, before = roots[record["source"]]
        found.append(record | {"image": before + Path(record["image"]).relative_to(root).as_posix()})
    return found


def choose_views(regions: Sequence[Sample], run: Path, part: int, parts: int) -> None:
    """Fill this process's share of steps.npy."""
    from dynrefer.photo import Photo
    from dynrefer.selection import information_gains
    from dynrefer.views import CANDIDATES, view_boxes

    make_arrays(run, len(regions), {STEPS.removesuffix(".npy"): ((2,), np.uint8)})
    steps = np.load(run / STEPS, mmap_mode="r+")
    rows: dict[Path, list[int]] = defaultdict(list)
    for row, region in enumerate(regions):
        if not steps[row].all():
            rows[region.image].append(row)
    for image in tqdm(sorted(rows)[part::parts], unit="photograph", mininterval=10):
        photo = Photo.read(image)
        for row in rows[image]:
            tenths = [0.0, *CANDIDATES]
            gains = information_gains(photo, view_boxes(regions[row].box, photo.size, tenths), tenths)
            steps[row] = np.argsort(-gains[1:], kind="stable")[:2] + 1
    steps.flush()


if __name__ == "__main__":
    main()
