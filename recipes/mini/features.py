"""Cached features of the frozen encoder: each region seen once, through three views of one augmented look.

    python -m recipes.mini.features RUN --start CHECKPOINT [--part 0 --parts 2] [--engine openvino] [--share 0.66]
    python -m recipes.mini.features HELD --start CHECKPOINT --plain

Writes RUN/features: cuts.npy (float16 [R, V, G + B + 49, C], see `RegionAlign.cut`), geometry.npy [R, 6], steps.npy
[R, V] and done.npy [R]. Goes on where it stopped; several processes share the work by photographs. OpenVINO
(`pip install openvino`, 50 MB) only makes this step faster on a CPU.
"""

import argparse
import importlib
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn
from tqdm import tqdm

from dynrefer.boxes import Box, geometry
from dynrefer.checkpoint import load_checkpoint
from dynrefer.datasets.sample import Sample
from dynrefer.model import DynRefer
from dynrefer.photo import Photo
from dynrefer.selection import information_gains
from dynrefer.views import CANDIDATES, boxes_in_views, crop_views, view_boxes
from recipes.mini.regions import read_regions
from recipes.mini.start import start_model

logger = logging.getLogger(__name__)

Encode = Callable[[np.ndarray], Tensor]  # uint8 [N, side, side, 3] -> tokens [N, T, C]
Rows = dict[str, tuple[tuple[int, ...], type[np.generic]]]  # shape and kind of a row of each array

FOLDER = "features"
TOGETHER = 8  # regions encoded at a time
JITTER, MIRROR, BRIGHTNESS = 0.08, 0.5, (0.8, 1.2)
DYNAMIC = 0.65  # share of regions whose views are chosen as at inference, the rest at random


def main() -> None:
    """Read the arguments and fill the cache."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of this run, with regions.jsonl")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint whose encoder stays frozen")
    parser.add_argument("--engine", choices=("torch", "openvino"), default="torch")
    parser.add_argument("--plain", action="store_true", help="no augmentation and float32, as at inference")
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0, help="of the photographs; the rest can be held out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = start_model(load_checkpoint(args.start))
    encode = (openvino_encoder if args.engine == "openvino" else torch_encoder)(model, exact=args.plain)
    regions = read_regions(args.run)
    fill(regions, open_cache(args.run / FOLDER, len(regions), model), model, encode, args)


class Cache:
    """The arrays of a cache, mapped; row r belongs to region r."""

    def __init__(self, folder: Path, mode: str = "r") -> None:
        self.cuts, self.geometry, self.steps, self.done = (
            np.load(folder / f"{name}.npy", mmap_mode=mode) for name in ("cuts", "geometry", "steps", "done")
        )

    def read(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """cuts [S * V, G + B + 49, C] float32 and geometry [S, 6] of regions, as `DynRefer.represent` takes them."""
        return torch.from_numpy(self.cuts[rows]).flatten(0, 1).float(), torch.from_numpy(self.geometry[rows])


def open_cache(folder: Path, count: int, model: DynRefer) -> Cache:
    """The cache in `folder`, made empty where there is none."""
    config = model.config
    tokens = config.encoder.global_tokens + config.encoder.belief_tokens + config.align.output_size**2
    views = config.num_views
    rows: Rows = {
        "cuts": ((views, tokens, config.encoder.width), np.float16),
        "geometry": ((6,), np.float32),
        "steps": ((views,), np.float32),
        "done": ((), np.uint8),
    }
    make_arrays(folder, count, rows)
    return Cache(folder, "r+")


def make_arrays(folder: Path, count: int, rows: Rows) -> None:
    """Arrays of `count` rows, zeros where there are none yet; several processes may ask for them at once."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        for name, (shape, dtype) in rows.items():
            if not (folder / f"{name}.npy").exists():
                np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (count, *shape)).flush()


def fill(regions: Sequence[Sample], cache: Cache, model: DynRefer, encode: Encode, args: argparse.Namespace) -> None:
    """Cache what is missing of this process's photographs, in a shuffled order that all processes agree on."""
    rows: dict[Path, list[int]] = defaultdict(list)
    for row, region in enumerate(regions):
        rows[region.image].append(row)
    images = sorted(rows)
    random.Random(1).shuffle(images)
    images = images[: round(args.share * len(images))][args.part :: args.parts]
    rng = random.Random(args.part + 7)
    size = model.config.encoder.image_size
    for image in tqdm(images, unit="photograph"):
        missing = [row for row in rows[image] if not cache.done[row]]
        if not missing:
            continue
        photo = Photo.read(image)
        mirrored = Photo.read(np.ascontiguousarray(photo.pixels[:, ::-1]))
        for start in range(0, len(missing), TOGETHER):
            part = missing[start : start + TOGETHER]
            looks = [Look(photo, mirrored, regions[row].box, size, None if args.plain else rng) for row in part]
            crops = np.concatenate([seen.crops for seen in looks])
            if not args.plain:
                crops = brightened(crops, [rng.uniform(*BRIGHTNESS) for _ in part])
            with torch.inference_mode():
                inside = torch.from_numpy(np.concatenate([seen.inside for seen in looks]))
                cuts = model.align.cut(encode(crops).float(), inside).half().numpy()
            cache.cuts[part] = cuts.reshape(len(part), -1, *cuts.shape[1:])
            cache.geometry[part] = [seen.geometry for seen in looks]
            cache.steps[part] = [seen.steps for seen in looks]
            cache.done[part] = 1


class Look:
    """One region as it is seen: crops uint8 [V, side, side, 3], where it lies inside them [V, 4], geometry [6].

    With `rng` the box is jittered, half of the photographs are mirrored, and a third of the looks have random views.
    """

    def __init__(self, photo: Photo, mirrored: Photo, box: Box, side: int, rng: random.Random | None) -> None:
        seen = photo
        if rng is not None:
            jittered = _jittered(box, photo.size, rng)
            mirror = rng.random() < MIRROR
            if jittered is not None:
                box = _mirrored(jittered, photo.width) if mirror else jittered
                seen = mirrored if mirror else photo
        places = view_boxes(box, photo.size, [0.0, *CANDIDATES])
        taken = _views(seen, places, rng)
        self.steps = [[0.0, *CANDIDATES][k] for k in taken]
        self.crops = crop_views(seen.pixels, places[taken], side)
        self.inside = boxes_in_views(box, places[taken], photo.size, side)
        self.geometry = geometry(box, photo.size)


def _views(photo: Photo, places: np.ndarray, rng: random.Random | None) -> list[int]:
    if rng is None or rng.random() < DYNAMIC:
        gains = information_gains(photo, places, [0.0, *CANDIDATES])
        return [0, *(int(k) + 1 for k in np.argsort(-gains[1:], kind="stable")[:2])]
    return [0, *rng.sample(range(1, len(CANDIDATES) + 1), 2)]


def _jittered(box: Box, size: tuple[int, int], rng: random.Random) -> Box | None:
    """The box with each side moved a little; None where less than a pixel is left."""
    width, height = box[2] - box[0], box[3] - box[1]
    moved = [side + rng.uniform(-JITTER, JITTER) * (height if k % 2 else width) for k, side in enumerate(box)]
    x1, y1, x2, y2 = (float(min(max(side, 0), size[k % 2])) for k, side in enumerate(moved))
    return (x1, y1, x2, y2) if x2 - x1 >= 1 and y2 - y1 >= 1 else None


def _mirrored(box: Box, width: int) -> Box:
    return (width - box[2], box[1], width - box[0], box[3])


def brightened(crops: np.ndarray, factors: Sequence[float]) -> np.ndarray:
    """Crops uint8 [S * V, ..], each region's by its own factor."""
    scale = np.repeat(factors, len(crops) // len(factors))[:, None, None, None].astype(np.float32)
    return np.clip(crops * scale, 0, 255).astype(np.uint8)


class _Encoder(nn.Module):
    """Pixels uint8 [N, side, side, 3] -> tokens, as one graph."""

    def __init__(self, model: DynRefer) -> None:
        super().__init__()
        assert model.encoder is not None
        self.encoder = model.encoder
        self.register_buffer("mean", torch.tensor(model.config.encoder.mean))
        self.register_buffer("std", torch.tensor(model.config.encoder.std))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.encoder(((pixels.float() - self.mean) / self.std).permute(0, 3, 1, 2))


def torch_encoder(model: DynRefer, *, exact: bool) -> Encode:
    """The encoder in PyTorch: bfloat16, or float32 where `exact`."""
    encoder = _Encoder(model).eval()

    def encode(crops: np.ndarray) -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=not exact):
            return encoder(torch.from_numpy(crops))

    return encode


def openvino_encoder(model: DynRefer, *, exact: bool) -> Encode:
    """The same in OpenVINO, on one thread."""
    openvino = importlib.import_module("openvino")  # optional, so that no list of requirements names it

    side = model.config.encoder.image_size
    example = torch.zeros(1, side, side, 3, dtype=torch.uint8)
    shape = openvino.PartialShape([-1, side, side, 3])
    with torch.no_grad():
        graph = openvino.convert_model(_Encoder(model).eval(), example_input=example, input=[shape])
    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32" if exact else "bf16"}
    compiled = openvino.Core().compile_model(graph, "CPU", {**options, "ENABLE_CPU_PINNING": False})
    return lambda crops: torch.from_numpy(compiled(crops)[0])


if __name__ == "__main__":
    main()
