"""Frozen features computed once: with them two CPU cores train everything behind the image encoder."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from dynrefer.boxes import check_box
from dynrefer.data.sample import Sample
from dynrefer.errors import InputError
from dynrefer.model import DynRefer
from dynrefer.model.encoder import EfficientNetEncoder
from dynrefer.photo import Photo
from dynrefer.training.augmentation import (
    Box,
    draw_coefficients,
    draw_colours,
    generator_for,
    jitter_box,
    mirror_box,
    mirror_image,
    vary_colours,
)
from dynrefer.training.cache_files import BAD, DONE, PENDING, CacheSettings, FeatureCache, open_cache
from dynrefer.views import boxes_in_views, crop_views, pixel_boxes, view_boxes

MAX_BAD_SHARE = 0.01
TEACHER_VIEW = 0.1
DEFAULTS = CacheSettings()


def build_cache(
    samples: Sequence[Sample],
    model: DynRefer,
    folder: Path,
    settings: CacheSettings = DEFAULTS,
    teacher: nn.Module | None = None,
    dtype: torch.dtype = torch.bfloat16,
    shard: tuple[int, int] = (0, 1),
) -> FeatureCache:
    """Encode all samples, or those that an interrupted call has left, photograph by photograph.

    Args:
        model: with its frozen encoder, on any device; `dtype` is the autocast type (bfloat16 is 3-5 times faster on a
            CPU with AMX and changes the features less than neighbouring views differ).
        shard: (k, n) does every n-th photograph, starting with the k-th: n processes with `OMP_NUM_THREADS=1` share a
            folder, and are much faster than one process with n threads where others use the processor too.
        teacher: classifier of normalised views with ImageNet's 1,000 classes, in the order of the encoder's embeddings.

    Raises:
        InputError: the folder holds a cache of something else, the disk is too small, or more than 1 % of the
            photographs cannot be read.
    """
    cache = open_cache(samples, model, folder, settings)
    encode = _Encoder(model, teacher, dtype)
    own = _own_photographs(samples, shard)
    pending = int((np.asarray(cache.state)[own] == PENDING).sum())
    total = int(own.sum()) * settings.variants
    with tqdm(total=total, initial=total - pending, unit="region", desc="features", smoothing=0.05) as bar:
        for variant in range(settings.variants):
            wanted = own & (np.asarray(cache.state[:, variant]) == PENDING)
            for path, rows in _by_photograph(samples, wanted).items():
                _cache_photograph(path, rows, variant, samples, cache, encode, settings, bar)
                bar.update(len(rows))
                if cache.bad.sum() > max(MAX_BAD_SHARE * len(samples), 1):
                    raise InputError(f"More than 1 % of the photographs cannot be read, the last is {path.name}.")
    for array in (cache.features, cache.state):
        array.flush()
    return FeatureCache(folder)


class _Encoder:
    """The frozen encoder as one function of crops, in the fastest form for the device."""

    BATCH = 32

    def __init__(self, model: DynRefer, teacher: nn.Module | None, dtype: torch.dtype) -> None:
        assert model.encoder is not None
        self.model, self.dtype, self.view_size = model, dtype, model.config.encoder.image_size
        self.device = next(model.parameters()).device
        self.encoder = copy.deepcopy(model.encoder).eval()
        if isinstance(self.encoder, EfficientNetEncoder):
            self.encoder.fold_batch_norm()
        self.encoder = self.encoder.to(memory_format=torch.channels_last)
        self.classifier = teacher.eval().to(self.device).to(memory_format=torch.channels_last) if teacher else None

    @torch.inference_mode()
    def cuts(self, crops: np.ndarray, inverse: np.ndarray, boxes: np.ndarray) -> Tensor:
        """crops uint8 [U, s, s, 3]; row n looks at crop inverse[n] with the region at boxes[n] -> [N, T, C] float16."""
        tokens = torch.cat([self._run(self.encoder, part) for part in _parts(crops, self.BATCH)])
        rows = zip(_parts(inverse, 4 * self.BATCH), _parts(boxes, 4 * self.BATCH), strict=True)
        cut = [self.model.align.cut(tokens[i], torch.from_numpy(b).to(self.device)).half() for i, b in rows]
        return torch.cat(cut).cpu()

    @torch.inference_mode()
    def probabilities(self, crops: np.ndarray) -> Tensor:
        """crops uint8 [N, s, s, 3] -> ImageNet probabilities [N, 1000]."""
        assert self.classifier is not None
        return torch.cat([self._run(self.classifier, part) for part in _parts(crops, self.BATCH)]).softmax(-1).cpu()

    def _run(self, network: nn.Module, crops: np.ndarray) -> Tensor:
        pixels = self.model.normalize(torch.from_numpy(crops)).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return network(pixels).float()


def _own_photographs(samples: Sequence[Sample], shard: tuple[int, int]) -> np.ndarray:
    """Which samples [N] lie on a photograph of this shard."""
    number = {path: n for n, path in enumerate(dict.fromkeys(sample.image for sample in samples))}
    return np.array([number[sample.image] % shard[1] == shard[0] for sample in samples], dtype=bool)


def _by_photograph(samples: Sequence[Sample], wanted: np.ndarray) -> dict[Path, list[int]]:
    groups: dict[Path, list[int]] = defaultdict(list)
    for row in np.flatnonzero(wanted).tolist():
        groups[samples[row].image].append(row)
    return groups


def _cache_photograph(
    path: Path,
    rows: list[int],
    variant: int,
    samples: Sequence[Sample],
    cache: FeatureCache,
    encode: _Encoder,
    settings: CacheSettings,
    bar: tqdm,
) -> None:
    """One variant of all samples of one photograph; what cannot be read is marked as bad and named."""
    try:
        image = Photo.read(path).pixels
        size = (image.shape[1], image.shape[0])
        boxes = [_checked_box(samples[row], size) for row in rows]
    except InputError as error:
        bar.write(f"skipped {len(rows)} samples of {path}: {error}")
        cache.state[rows, variant] = BAD
        return
    if variant == 0 and encode.classifier is not None:
        crops = np.concatenate(
            [crop_views(image, view_boxes(box, size, [TEACHER_VIEW]), encode.view_size) for box in boxes]
        )
        best = encode.probabilities(crops).topk(settings.teacher_classes)
        cache.teacher[rows], cache.teacher_index[rows] = best.values.half().numpy(), best.indices.numpy()
    picture, changed = _vary(image, boxes, [samples[r].sample_id for r in rows], path.name, variant, settings)
    coefficients = np.stack([_coefficients(samples[row], variant, settings) for row in rows])
    cache.features[rows, variant] = _features(picture, changed, coefficients, encode)
    cache.coefficients[rows, variant] = coefficients
    cache.geometry[rows, variant] = [region_geometry(box, size) for box in changed]
    cache.state[rows, variant] = DONE


def _features(image: np.ndarray, boxes: list[Box], coefficients: np.ndarray, encode: _Encoder) -> np.ndarray:
    """Cuts [S, V, T, C] of regions in one image; a view that several share (t = 1) is encoded once."""
    size = (image.shape[1], image.shape[0])
    views = [view_boxes(box, size, row) for box, row in zip(boxes, coefficients, strict=True)]
    inside = np.concatenate(
        [boxes_in_views(box, v, size, encode.view_size) for box, v in zip(boxes, views, strict=True)]
    )
    pixels = np.concatenate([pixel_boxes(v, size) for v in views])
    _, first, inverse = np.unique(pixels, axis=0, return_index=True, return_inverse=True)
    cuts = encode.cuts(crop_views(image, np.concatenate(views)[first], encode.view_size), inverse, inside)
    return cuts.unflatten(0, coefficients.shape).numpy()


def region_geometry(box: Box, image_size: tuple[int, int]) -> np.ndarray:
    """x1, y1, x2, y2, width, height as shares of the photograph's size: float32 [6]."""
    corners = np.asarray(box, dtype=np.float32) / np.tile(np.asarray(image_size, dtype=np.float32), 2)
    return np.concatenate([corners, corners[2:] - corners[:2]])


def _vary(
    image: np.ndarray, boxes: list[Box], names: list[str], photograph: str, variant: int, settings: CacheSettings
) -> tuple[np.ndarray, list[Box]]:
    if variant == 0:
        return image, boxes
    size = (image.shape[1], image.shape[0])
    image = vary_colours(image, draw_colours(settings.colour, generator_for(settings.seed, photograph, variant)))
    boxes = [
        jitter_box(box, size, settings.jitter, generator_for(settings.seed, name, variant, "box"))
        for box, name in zip(boxes, names, strict=True)
    ]
    if variant % 2:
        return mirror_image(image), [mirror_box(box, size) for box in boxes]
    return image, boxes


def _coefficients(sample: Sample, variant: int, settings: CacheSettings) -> np.ndarray:
    if sample.split == "train":
        rng = generator_for(settings.seed, sample.sample_id, variant, "views")
        drawn: Sequence[float] = draw_coefficients(settings.drawn, rng, whole_image=False)
    else:
        drawn = settings.fixed[: settings.drawn]
    return np.array([0.0, *drawn, 1.0], dtype=np.float32)


def _checked_box(sample: Sample, size: tuple[int, int]) -> Box:
    if sample.image_size is not None and tuple(sample.image_size) != size:
        width, height = sample.image_size
        raise InputError(f"it is {size[0]} x {size[1]} pixels, its annotations say {width} x {height}")
    return check_box(sample.box, size)


def _parts(array: np.ndarray, size: int) -> list[np.ndarray]:
    return [array[start : start + size] for start in range(0, len(array), size)]
