"""What the pointing head learns from: photographs as the frozen encoder sees them whole, and the boxes on them.

    python -m recipes.mini.pointing_views RUN --start CHECKPOINT --coco DIR --flickr DIR --things DIR
        [--part 0 --parts 2]

Writes RUN/views.jsonl, one line a view (a photograph scaled, perhaps cut or mirrored), and RUN/<H>x<W>.s<stride>.npy,
the encoder's maps (float16 [N, H / stride, W / stride, C]) of all views on a canvas of that shape. Goes on where it
stopped; several processes share the work.
"""

import argparse
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from filelock import FileLock
from tqdm import tqdm

from dynrefer.boxes import Box, clip, iou
from dynrefer.checkpoint import load_checkpoint
from dynrefer.datasets.records import Problems
from dynrefer.files.atomic import written_whole
from dynrefer.files.coco import sized_box
from dynrefer.files.text import read_json, read_jsonl
from dynrefer.model import DynRefer
from dynrefer.model.encoder import EfficientNetEncoder
from dynrefer.photo import Photo
from recipes.mini.descriptions import SAME, read_descriptions

LONGEST = 384
CANVASES = ((256, 384), (288, 384), (384, 384), (384, 288), (384, 256))  # height, width
STRIDES = (8, 16, 32)
HELD = 200  # photographs of COCO's train part on which rules are chosen, never trained on
THING, PART, CROWD = 0, 1, 2
LEAST_SIDE, LEAST_LEFT = 8.0, 0.6  # a cut box needs so many pixels a side and so much of what it was
BRIGHTNESS = (0.75, 1.25)
SHARES = {"coco": 3.0, "flickr": 1.0, "things": 0.7}  # how often a photograph is taken, by source
WAYS = ("plain", "mirrored", "cut", "cut", "scaled")
DESCRIPTIONS = Path(__file__).with_name("descriptions.jsonl")


@dataclass(frozen=True)
class View:
    """A photograph, or a cut-out of it, scaled onto a canvas from its upper left corner on.

    `boxes` are pixels of the canvas, `kinds` THING, PART or CROWD; where `complete`, what is in no box is no thing.
    """

    image: str
    cut: Box
    size: tuple[int, int]  # width, height of what the canvas shows
    mirrored: bool
    brightness: float
    canvas: tuple[int, int]
    row: int
    boxes: list[Box]
    kinds: list[int]
    complete: bool
    held: bool
    source: str


def main() -> None:
    """Read the arguments, plan the views and cache their maps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--start", type=Path, required=True, help="checkpoint whose encoder stays frozen")
    for name in ("coco", "flickr", "things"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.run.mkdir(parents=True, exist_ok=True)
    with FileLock(args.run / "lock"):
        if not (args.run / "views.jsonl").exists():
            views = list(plan(args.coco, args.flickr, args.things))
            with written_whole(args.run / "views.jsonl") as draft:
                draft.write_text("".join(json.dumps(asdict(view)) + "\n" for view in views), encoding="utf-8")
    fill(args.run, load_checkpoint(args.start).model, args.part, args.parts)


def read_views(run: Path) -> list[View]:
    """The views of a run, in the order in which they are cached."""
    records = (record for _, record in read_jsonl(run / "views.jsonl", "image", "canvas", "boxes"))
    return [View(**record | {"canvas": tuple(record["canvas"])}) for record in records]


def maps(run: Path, canvas: tuple[int, int], stride: int, mode: str = "r") -> np.ndarray:
    """The cached maps of a canvas at a stride: float16 [N, H / stride, W / stride, C]."""
    return np.load(run / f"{canvas[0]}x{canvas[1]}.s{stride}.npy", mmap_mode=mode)


def plan(coco: Path, flickr: Path, things: Path) -> Iterator[View]:
    """All views, in the order of their use: COCO's photographs plain and mirrored first, then the others, shuffled."""
    rng, rows = random.Random(3), Counter[tuple[int, int]]()
    records = photographs(coco, flickr, things)
    first = [(record, plain) for record in records if record["source"] == "coco" for plain in ("plain", "mirrored")]
    more = [(record, way) for record in records if record["source"] == "coco" for way in ("cut", "scaled")]
    more += [(record, "scaled") for record in records if record["source"] != "coco"]
    more += [(record, "cut") for record in records if record["source"] == "flickr"]
    rng.shuffle(first)
    rng.shuffle(more)
    for record, way in first + more:
        if not record["held"] or way == "plain":
            yield _view(record, way, rng, rows)


def photographs(coco: Path, flickr: Path, things: Path) -> list[dict[str, Any]]:
    """All photographs to learn from, with their boxes."""
    return [*coco_photographs(coco), *flickr_photographs(flickr, "train"), *_things(things)]


class Scenes:
    """Whole photographs as views on one canvas, drawn anew each time.

    `photographs` are the names by which photographs are known elsewhere; a view's photograph is given by its place.
    """

    def __init__(self, file: Path, photographs: Sequence[str]) -> None:
        self.place = {name: k for k, name in enumerate(photographs)}
        known = [record for record in read_json(file) if record["image"] in self.place]
        self.records = [record for record in known if not record["held"]]
        self.held_records = [record for record in known if record["held"]]
        shares = np.array([SHARES[record["source"]] for record in self.records])
        self._chances = shares / shares.sum()

    def draw(self, count: int, canvas: tuple[int, int], rng: np.random.Generator) -> tuple[list[View], list[int]]:
        """Views, and the place of each one's photograph."""
        chosen = [self.records[k] for k in rng.choice(len(self.records), count, p=self._chances)]
        ways = random.Random(int(rng.integers(1 << 30)))
        return self._views(chosen, [ways.choice(WAYS) for _ in chosen], canvas, ways)

    def held(self, count: int, canvas: tuple[int, int]) -> Iterator[tuple[list[View], list[int]]]:
        """The held-out photographs as they are, so many at once."""
        for start in range(0, len(self.held_records), count):
            part = self.held_records[start : start + count]
            yield self._views(part, ["plain"] * len(part), canvas, random.Random(0))

    def _views(
        self, records: Sequence[dict[str, Any]], ways: Sequence[str], canvas: tuple[int, int], rng: random.Random
    ) -> tuple[list[View], list[int]]:
        rows, canvases = Counter[tuple[int, int]](), (canvas,)
        views = [_view(r, way, rng, rows, canvases, max(canvas)) for r, way in zip(records, ways, strict=True)]
        return views, [self.place[record["image"]] for record in records]


def _view(
    record: dict[str, Any],
    way: str,
    rng: random.Random,
    rows: Counter[tuple[int, int]],
    canvases: Sequence[tuple[int, int]] = CANVASES,
    most: int = LONGEST,
) -> View:
    width, height = record["size"]
    cut = (0.0, 0.0, float(width), float(height))
    longest = most if way in ("plain", "mirrored", "cut") else rng.randint(most // 2, most)
    if way == "cut":
        share = rng.uniform(0.5, 0.9)
        x, y = (rng.uniform(0, side * (1 - share)) for side in (width, height))
        cut = (x, y, x + share * width, y + share * height)
    scale = longest / max(cut[2] - cut[0], cut[3] - cut[1])
    size = max(1, round((cut[2] - cut[0]) * scale)), max(1, round((cut[3] - cut[1]) * scale))
    mirrored = way == "mirrored" or (way != "plain" and rng.random() < 0.5)
    canvas = min((c for c in canvases if c[0] >= size[1] and c[1] >= size[0]), key=lambda c: c[0] * c[1])
    boxes, kinds = [], []
    for box, kind in zip(record["boxes"], record["kinds"], strict=True):
        seen = clip(tuple((side - cut[k % 2]) * scale for k, side in enumerate(box)), size)  # type: ignore[arg-type]
        if seen is None:
            continue
        whole = (box[2] - box[0]) * (box[3] - box[1]) * scale**2
        left = (seen[2] - seen[0]) * (seen[3] - seen[1]) / whole
        if min(seen[2] - seen[0], seen[3] - seen[1]) < LEAST_SIDE / 2:
            continue
        small = min(seen[2] - seen[0], seen[3] - seen[1]) < LEAST_SIDE or left < LEAST_LEFT
        boxes.append((size[0] - seen[2], seen[1], size[0] - seen[0], seen[3]) if mirrored else seen)
        kinds.append(CROWD if small else kind)
    rows[canvas] += 1
    brightness = 1.0 if way == "plain" else rng.uniform(*BRIGHTNESS)
    return View(
        *(record["image"], cut, size, mirrored, brightness, canvas, rows[canvas] - 1, boxes, kinds),
        *(record["complete"], record["held"], record["source"]),
    )


def coco_photographs(root: Path) -> Iterator[dict[str, Any]]:
    """COCO's boxes, and regions that were described and are no box of COCO's."""
    content = read_json(root / "annotations" / "instances.json", "images", "annotations")
    train = set(read_json(root / "annotations" / "splits.json", "train")["train"])
    described = read_descriptions(DESCRIPTIONS, Problems())
    annotations = defaultdict(list)
    for annotation in content["annotations"]:
        annotations[annotation["image_id"]].append(annotation)
    held = HELD
    for image in sorted(content["images"], key=lambda image: random.Random(image["id"]).random()):
        if image["id"] not in train:
            continue
        size, complete = (image["width"], image["height"]), image.get("boxes_complete_80", True)
        found = [(clip(sized_box(a["bbox"]), size), CROWD if a["iscrowd"] else THING) for a in annotations[image["id"]]]
        known = [(box, kind) for box, kind in found if box is not None]
        for text in described.get(str(image["id"]), ()):
            box = text.pixels(size)
            if all(iou(box, other) < SAME for other, _ in known):
                known.append((box, PART))
        held -= complete and held > 0
        path = str(root / "images" / image["file_name"])
        yield _record(path, size, known, "coco", complete=complete, held=complete and held > 0)


def flickr_photographs(root: Path, part: str) -> Iterator[dict[str, Any]]:
    """Those of a part, "train" or "val", with the boxes that people spoke of."""
    content = read_json(root / "annotations" / "regions.json", "images", "regions", "groups")
    chosen = set(read_json(root / "annotations" / "splits.json", part)[part])
    found = defaultdict(set)
    for region in content["regions"]:
        found[region["image_id"]].add((tuple(region["bbox"]), PART if region["type"] in LOOSE else THING))
    for group in content["groups"]:
        found[group["image_id"]] |= {(tuple(box), PART if group["type"] in LOOSE else THING) for box in group["bboxes"]}
    for image in content["images"]:
        if image["id"] in chosen and found[image["id"]]:
            size = image["width"], image["height"]
            boxes = [(clip(sized_box(box), size), kind) for box, kind in sorted(found[image["id"]])]
            path = str(root / "images" / image["file_name"])
            yield _record(path, size, [(box, kind) for box, kind in boxes if box is not None], "flickr")


LOOSE = ("clothing", "bodyparts", "scene")  # Flickr's types of regions that are parts or grounds, not things


def _things(root: Path) -> Iterator[dict[str, Any]]:
    for record in read_json(root / "annotations.json"):
        size = record["width"], record["height"]
        box = clip(sized_box(record["box"]), size) if record.get("box") else None
        if box is not None:
            yield _record(str(root / "images" / record["file_name"]), size, [(box, THING)], "things")


def _record(
    path: str,
    size: tuple[int, int],
    boxes: list[tuple[Box, int]],
    source: str,
    *,
    complete: bool = False,
    held: bool = False,
) -> dict[str, Any]:
    return {
        "image": path,
        "size": size,
        "boxes": [box for box, _ in boxes],
        "kinds": [kind for _, kind in boxes],
        "source": source,
        "complete": complete,
        "held": held,
    }


@torch.inference_mode()
def fill(run: Path, model: DynRefer, part: int = 0, parts: int = 1) -> None:
    """Cache the maps of this process's share of the views that are missing."""
    views = read_views(run)
    assert isinstance(model.encoder, EfficientNetEncoder)
    model.prepare_inference()
    arrays, done = _arrays(run, views, model.encoder)
    for number in tqdm(range(part, len(views), parts), unit="view", mininterval=10):
        if not done[number]:
            view = views[number]
            pixels = model.normalize(torch.from_numpy(render(view)[None]))
            for stride, level in zip(STRIDES, model.encoder.levels(pixels), strict=True):
                arrays[view.canvas, stride][view.row] = level[0].permute(1, 2, 0).half().numpy()
            done[number] = 1


def render(view: View) -> np.ndarray:
    """The canvas, uint8 [H, W, 3]; grey where there is no photograph."""
    x1, y1, x2, y2 = (round(side) for side in view.cut)
    cut = Photo.read(view.image).pixels[y1:y2, x1:x2]
    how = cv2.INTER_AREA if view.size[0] < cut.shape[1] else cv2.INTER_LINEAR
    shown = cv2.resize(np.ascontiguousarray(cut), view.size, interpolation=how)
    shown = shown[:, ::-1] if view.mirrored else shown
    canvas = np.full((*view.canvas, 3), 127, np.uint8)
    canvas[: view.size[1], : view.size[0]] = np.clip(shown * view.brightness, 0, 255)
    return canvas


def _arrays(
    run: Path, views: list[View], encoder: EfficientNetEncoder
) -> tuple[dict[tuple[tuple[int, int], int], np.ndarray], np.ndarray]:
    """The mapped arrays by canvas and stride, and which views are done, made empty where they are missing."""
    counts = Counter(view.canvas for view in views)
    with FileLock(run / "lock"):
        if not (run / "done.npy").exists():
            for (height, width), count in counts.items():
                for stride, depth in zip(STRIDES, encoder.level_channels, strict=True):
                    shape = (count, height // stride, width // stride, depth)
                    np.lib.format.open_memmap(run / f"{height}x{width}.s{stride}.npy", "w+", np.float16, shape).flush()
            np.lib.format.open_memmap(run / "done.npy", "w+", np.uint8, (len(views),)).flush()
    arrays = {(c, s): maps(run, c, s, "r+") for c in counts for s in STRIDES}  # type: ignore[arg-type]
    return arrays, np.load(run / "done.npy", mmap_mode="r+")  # type: ignore[return-value]


if __name__ == "__main__":
    main()
