"""Frozen features computed once: with them two CPU cores train everything behind the image encoder.

N samples, A variants of each (0 is plain, the others are mirrored, jittered and coloured anew), V views,
T = G + B + g * g tokens of width C (see `RegionAlign.cut`).
"""

from __future__ import annotations

import copy
import json
import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from tqdm import tqdm

from dynrefer.boxes import Box, geometry
from dynrefer.datasets.records import check_readable
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError
from dynrefer.files.atomic import write_whole
from dynrefer.model import DynRefer
from dynrefer.model.encoder import EfficientNetEncoder
from dynrefer.photo import Photo
from dynrefer.training.config import TrainConfig
from dynrefer.training.transforms import (
    ViewPlan,
    changed,
    draw_coefficients,
    draw_colours,
    generator_for,
    jitter_box,
    mirror_box,
    region_box,
)
from dynrefer.views import boxes_in_views, crop_views, pixel_boxes, view_boxes

logger = logging.getLogger(__name__)

ARRAYS = ("features", "coefficients", "geometry", "state")
PENDING, DONE, BAD = 0, 1, 2
FIXED = (0.3, 0.6, 0.1, 0.8, 0.5, 0.2, 0.7, 0.4, 0.9)  # the views that are not drawn, of samples outside of training
SEED = 0


class FeatureCache:
    """The arrays of a cache folder, mapped from disk.

    Attributes:
        features: float16 [N, A, V, T, C]. coefficients: float32 [N, A, V]. geometry: float32 [N, A, 6].
        state: uint8 [N, A], PENDING, DONE or BAD.
    """

    def __init__(self, folder: Path, mode: str = "r") -> None:
        self.folder, self.mode = folder, mode
        try:
            self.info = json.loads((folder / "cache.json").read_text(encoding="utf-8"))
            arrays = {n: np.load(folder / f"{n}.npy", mmap_mode=mode) for n in ARRAYS}  # type: ignore[arg-type]
        except (OSError, ValueError) as error:
            raise InputError(f"There is no complete feature cache in {folder.name!r}: build it first.") from error
        self.features, self.coefficients, self.geometry = (arrays[n] for n in ("features", "coefficients", "geometry"))
        self.state = arrays["state"]

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process maps the files itself."""
        return FeatureCache, (self.folder, self.mode)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.info["samples"])}

    def row(self, sample: Sample) -> int:
        """The cache's row of a sample. Raises InputError where it was never cached."""
        try:
            return self._row_of[sample_key(sample)]
        except KeyError as error:
            raise InputError(
                f"The sample {sample.sample_id} is not in the feature cache {self.folder.name!r}: it caches other "
                "samples, so delete it or name another folder with --cache."
            ) from error

    def is_usable(self, row: int) -> bool:
        """Whether the plain variant of a row is there."""
        return bool(self.state[row, 0] == DONE)


def build_cache(samples: Iterable[Sample], model: DynRefer, folder: Path, config: TrainConfig) -> FeatureCache:
    """Encode all samples of "train" and "val", or those that are not in the cache yet, photograph by photograph.

    A photograph that could not be read is tried again by the next call. A cache of more samples is used as it is. On a
    CPU with AMX bfloat16 is 3-5 times faster and changes the features less than neighbouring views differ.

    Args:
        model: with its frozen encoder, on any device.

    Raises InputError: the folder holds other samples, views or weights, the disk is too small, or more than 1 % of the
    photographs cannot be read.
    """
    logger.info("cached features are in %s; what is missing is made once, and goes on where it stopped", folder)
    every = [sample for sample in samples if sample.split in ("train", "val")]
    cache = _open(every, model, folder, config)
    rows = np.array([cache.row(sample) for sample in every], dtype=np.int64)
    wanted = np.asarray(cache.state)[rows] != DONE
    pending = int(wanted.sum())
    if not pending:
        return FeatureCache(folder)
    encode = _Encoder(model, torch.bfloat16 if config.precision == "bf16" else torch.float32)
    total, photographs = wanted.size, len({sample.image for sample in every})
    away: dict[Path, str] = {}
    with tqdm(total=total, initial=total - pending, unit="region", desc="features", smoothing=0.05) as bar:
        for variant in range(config.cache.variants):
            for path, numbers in _by_photograph(every, wanted[:, variant]).items():
                here = [(int(rows[number]), every[number]) for number in numbers]
                try:
                    _cache_photograph(path, here, variant, cache, encode, config)
                except InputError as error:
                    bar.write(f"left out {len(here)} samples of {path}: {error}")
                    cache.state[[row for row, _ in here], variant] = BAD
                    away[path] = str(error)
                    check_readable(away, photographs)
                bar.update(len(here))
    for array in (cache.features, cache.state):
        array.flush()
    return FeatureCache(folder)


def _open(samples: Sequence[Sample], model: DynRefer, folder: Path, config: TrainConfig) -> FeatureCache:
    """The cache in `folder` to write to, made with all its space reserved when it is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    made_with: dict[str, float] = {"drawn": config.cache.drawn, "variants": config.cache.variants}
    made_with |= {"jitter": config.augment.jitter, "colour": config.augment.colour}
    info = {
        "encoder": encoder_fingerprint(model),
        "settings": made_with,
        "samples": [sample_key(sample) for sample in samples],
    }
    with FileLock(folder / "lock"):
        if (folder / "cache.json").exists():
            cache = FeatureCache(folder, "r+")
            _check_same(cache, info)
            return cache
        n, a, v = len(samples), config.cache.variants, config.cache.drawn + 2
        tokens, width = model.align.cut_tokens, model.config.encoder.width
        _reserve(folder / "features.npy", (n, a, v, tokens, width), np.float16)
        _reserve(folder / "coefficients.npy", (n, a, v), np.float32)
        _reserve(folder / "geometry.npy", (n, a, 6), np.float32)
        _reserve(folder / "state.npy", (n, a), np.uint8)
        write_whole(folder / "cache.json", json.dumps(info))
    cache = FeatureCache(folder, "r+")
    cache.state[[s.split != "train" for s in samples], 1:] = DONE  # what is only measured needs no variants
    return cache


def _check_same(cache: FeatureCache, info: dict[str, Any]) -> None:
    remedy = "delete it, or name another folder with --cache."
    if cache.info["encoder"] != info["encoder"]:
        raise InputError(f"The feature cache {cache.folder} is of another image encoder: {remedy}")
    held, asked = cache.info["settings"], info["settings"]
    other = [f"{name} {held.get(name)} instead of {asked[name]}" for name in asked if held.get(name) != asked[name]]
    if other:
        raise InputError(f"The feature cache {cache.folder} was made with {', '.join(other)}: {remedy}")


def _reserve(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    """An array of zeros on disk; its blocks are taken now where the system can, for a full disk kills whoever maps it.

    Raises InputError where there is not enough space.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    full = InputError(f"The feature cache needs {size / 1e9:.1f} GB that the disk does not have; free some.")
    if shutil.disk_usage(path.parent).free < size:
        raise full
    np.lib.format.open_memmap(path, "w+", dtype, shape).flush()
    if hasattr(os, "posix_fallocate"):
        try:
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            path.unlink()
            raise full from error


def encoder_fingerprint(model: DynRefer) -> str:
    """Names the frozen encoder's weights, and whether its classifier's belief is among the tokens."""
    assert model.encoder is not None
    digest = sha256(b"belief" if model.config.encoder.belief else b"")
    for name, value in model.encoder.state_dict().items():
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def sample_key(sample: Sample) -> str:
    """Names a region, its photograph and the split that it was cached for."""
    return f"{sample.split}/{sample.photo_id}/{sample.sample_id}/" + ",".join(f"{x:.2f}" for x in sample.box)


class _Encoder:
    """The frozen encoder as one function of crops, in the fastest form for the device."""

    BATCH = 32

    def __init__(self, model: DynRefer, dtype: torch.dtype) -> None:
        assert model.encoder is not None
        self.model, self.dtype, self.view_size = model, dtype, model.config.encoder.image_size
        self.device = next(model.parameters()).device
        self.encoder = copy.deepcopy(model.encoder).eval()
        if isinstance(self.encoder, EfficientNetEncoder):
            self.encoder.fold_batch_norm()
        self.encoder = self.encoder.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def cuts(self, crops: np.ndarray, inverse: np.ndarray, boxes: np.ndarray) -> Tensor:
        """crops uint8 [U, s, s, 3]; row n looks at crop inverse[n] with the region at boxes[n] -> [N, T, C] float16."""
        tokens = torch.cat([self._run(part) for part in _parts(crops, self.BATCH)])
        rows = zip(_parts(inverse, 4 * self.BATCH), _parts(boxes, 4 * self.BATCH), strict=True)
        cut = [self.model.align.cut(tokens[i], torch.from_numpy(b).to(self.device)).half() for i, b in rows]
        return torch.cat(cut).cpu()

    def _run(self, crops: np.ndarray) -> Tensor:
        pixels = self.model.normalize(torch.from_numpy(crops)).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.encoder(pixels).float()


def _by_photograph(samples: Sequence[Sample], wanted: np.ndarray) -> dict[Path, list[int]]:
    groups: dict[Path, list[int]] = defaultdict(list)
    for number in np.flatnonzero(wanted).tolist():
        groups[samples[number].image].append(number)
    return groups


def _cache_photograph(
    path: Path,
    here: Sequence[tuple[int, Sample]],
    variant: int,
    cache: FeatureCache,
    encode: _Encoder,
    config: TrainConfig,
) -> None:
    """One variant of the samples of one photograph, each with its row. Raises InputError where it cannot be read."""
    photo = Photo.read(path)
    rows, samples = [row for row, _ in here], [sample for _, sample in here]
    boxes = [region_box(sample.box, sample.image_size, photo.size) for sample in samples]
    plans = [_plan(s, box, photo.size, variant, config) for s, box in zip(samples, boxes, strict=True)]
    cache.features[rows, variant] = _features(photo.pixels, plans, encode)
    cache.coefficients[rows, variant] = [_coefficients(sample, variant, config.cache.drawn) for sample in samples]
    cache.geometry[rows, variant] = [geometry(plan.box, photo.size) for plan in plans]
    cache.state[rows, variant] = DONE


def _features(pixels: np.ndarray, plans: Sequence[ViewPlan], encode: _Encoder) -> np.ndarray:
    """Cuts [S, V, T, C] of regions in one photograph; a view that several share (t = 1) is encoded once."""
    size, side = plans[0].size, encode.view_size
    views = np.concatenate([plan.views for plan in plans])
    inside = np.concatenate([boxes_in_views(plan.box, plan.views, size, side) for plan in plans])
    _, first, inverse = np.unique(pixel_boxes(views, size), axis=0, return_index=True, return_inverse=True)
    crops = crop_views(changed(pixels, plans[0].colours, plans[0].mirror), views[first], side)
    return encode.cuts(crops, inverse, inside).unflatten(0, (len(plans), -1)).numpy()


def _plan(sample: Sample, box: Box, size: tuple[int, int], variant: int, config: TrainConfig) -> ViewPlan:
    """How a variant's views are cut; colours and mirror are the photograph's."""
    coefficients = _coefficients(sample, variant, config.cache.drawn)
    if variant == 0:
        return ViewPlan(box, view_boxes(box, size, coefficients), size)
    colours = draw_colours(config.augment.colour, generator_for(SEED, sample.photo_id, variant))
    box = jitter_box(box, size, config.augment.jitter, generator_for(SEED, sample.sample_id, variant, "box"))
    box = mirror_box(box, size) if variant % 2 else box
    return ViewPlan(box, view_boxes(box, size, coefficients), size, mirror=bool(variant % 2), colours=colours)


def _coefficients(sample: Sample, variant: int, drawn: int) -> np.ndarray:
    """t of the cached views: 0, then some below 1, then 1."""
    if sample.split == "train":
        rng = generator_for(SEED, sample.sample_id, variant, "views")
        steps: Sequence[float] = draw_coefficients(drawn, rng, whole_image=False)
    else:
        steps = FIXED[:drawn]
    return np.array([0.0, *steps, 1.0], dtype=np.float32)


def _parts(array: np.ndarray, size: int) -> list[np.ndarray]:
    return [array[start : start + size] for start in range(0, len(array), size)]
