"""The files of a feature cache: what is stored of every sample, and where.

N samples, A variants of each (0 is plain, the others are mirrored, jittered and coloured anew), V views,
T = G + g * g tokens of width C (see `RegionAlign.cut`), K teacher classes.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError
from dynrefer.model import DynRefer

ARRAYS = ("features", "coefficients", "geometry", "teacher", "teacher_index", "state")
PENDING, DONE, BAD = 0, 1, 2


@dataclass(frozen=True)
class CacheSettings:
    """What is cached of every sample. Views: t = 0, then `drawn` coefficients below 1, then t = 1.

    Attributes:
        drawn: for training drawn anew for every sample and variant; other splits take the first of `fixed`.
        variants: odd ones are mirrored; all but 0 have the box jittered by `jitter` and the colours by `colour`.
        teacher_classes: K, the likeliest ImageNet classes whose probabilities are kept.
    """

    drawn: int = 2
    fixed: tuple[float, ...] = (0.3, 0.6)
    variants: int = 2
    jitter: float = 0.06
    colour: float = 0.2
    teacher_classes: int = 32
    seed: int = 0

    @property
    def num_views(self) -> int:
        """V."""
        return self.drawn + 2


class FeatureCache:
    """The arrays of a cache folder, mapped from disk.

    Attributes:
        features: float16 [N, A, V, T, C]. coefficients: float32 [N, A, V]. geometry: float32 [N, A, 6].
        teacher: float16 [N, K], teacher_index: int16 [N, K]. state: uint8 [N, A], PENDING, DONE or BAD.
    """

    def __init__(self, folder: Path, mode: str = "r") -> None:
        self.folder = folder
        try:
            self.info = json.loads((folder / "cache.json").read_text())
            arrays = {n: np.load(folder / f"{n}.npy", mmap_mode=mode) for n in ARRAYS}  # type: ignore[arg-type]
        except (OSError, ValueError) as error:
            raise InputError(f"There is no complete feature cache in {folder.name!r}: build it first.") from error
        self.features, self.coefficients, self.geometry = (arrays[n] for n in ("features", "coefficients", "geometry"))
        self.teacher, self.teacher_index, self.state = (arrays[n] for n in ("teacher", "teacher_index", "state"))

    def rows(self, samples: Sequence[Sample]) -> np.ndarray:
        """The cache's row of every sample [S]. Raises InputError where one was never cached."""
        row_of = {name: row for row, name in enumerate(self.info["samples"])}
        missing = [s.sample_id for s in samples if sample_key(s) not in row_of]
        if missing:
            raise InputError(
                f"{len(missing)} samples are not in the feature cache {self.folder.name!r}, the first is {missing[0]}; "
                "build the cache from these samples."
            )
        return np.array([row_of[sample_key(s)] for s in samples], dtype=np.int64)

    def usable(self, samples: Sequence[Sample]) -> list[Sample]:
        """Those of the samples whose plain variant is there."""
        ready = {
            name for name, state in zip(self.info["samples"], self.state[:, 0].tolist(), strict=True) if state == DONE
        }
        return [sample for sample in samples if sample_key(sample) in ready]

    @property
    def complete(self) -> bool:
        """Whether nothing is left to encode."""
        return not (np.asarray(self.state) == PENDING).any()

    @property
    def bad(self) -> np.ndarray:
        """Which rows could not be read [N]."""
        return (np.asarray(self.state) == BAD).any(1)


def open_cache(samples: Sequence[Sample], model: DynRefer, folder: Path, settings: CacheSettings) -> FeatureCache:
    """The cache in `folder` to write to, made with all its space reserved when it is not there yet.

    Raises InputError when it holds something else, or when the disk is too small.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _open(samples, model, folder, settings)


def _open(samples: Sequence[Sample], model: DynRefer, folder: Path, settings: CacheSettings) -> FeatureCache:
    info = {
        "encoder": encoder_fingerprint(model),
        "settings": asdict(settings),
        "samples": [sample_key(s) for s in samples],
    }
    if (folder / "cache.json").exists():
        cache = FeatureCache(folder, "r+")
        if cache.info != json.loads(json.dumps(info)):
            raise InputError(
                f"{folder.name!r} caches other samples, views or weights; delete it or name another folder."
            )
        return cache
    n, a, v, k = len(samples), settings.variants, settings.num_views, settings.teacher_classes
    tokens = model.config.encoder.global_tokens + model.config.align.output_size**2
    _reserve(folder / "features.npy", (n, a, v, tokens, model.config.encoder.width), np.float16)
    _reserve(folder / "coefficients.npy", (n, a, v), np.float32)
    _reserve(folder / "geometry.npy", (n, a, 6), np.float32)
    _reserve(folder / "teacher.npy", (n, k), np.float16)
    _reserve(folder / "teacher_index.npy", (n, k), np.int16)
    _reserve(folder / "state.npy", (n, a), np.uint8)
    temporary = folder / "cache.json.new"
    temporary.write_text(json.dumps(info))
    temporary.rename(folder / "cache.json")
    cache = FeatureCache(folder, "r+")
    cache.state[[s.split != "train" for s in samples], 1:] = DONE  # what is only measured needs no variants
    return cache


def _reserve(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    """An array of zeros on disk; its blocks are taken now, for a full disk kills whoever writes to a sparse map."""
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    array.flush()
    try:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        size = path.stat().st_size / 1e9
        path.unlink()
        raise InputError(f"The feature cache needs {size:.1f} GB that the disk does not have; free some.") from error


def encoder_fingerprint(model: DynRefer) -> str:
    """Names the frozen encoder's weights."""
    assert model.encoder is not None
    digest = sha256()
    for name, value in model.encoder.state_dict().items():
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def sample_key(sample: Sample) -> str:
    """Names a region and the split that it was cached for."""
    return f"{sample.split}/{sample.sample_id}/" + ",".join(f"{x:.2f}" for x in sample.box)
