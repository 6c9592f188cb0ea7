"""A small data folder: generated photographs with a coloured square each, and their samples."""

from __future__ import annotations

import json
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dynrefer.checkpoint import load_checkpoint
from dynrefer.datasets.sample import RegionText, Sample, write_samples
from dynrefer.training.cache import build_cache
from dynrefer.training.config import AugmentConfig, CacheConfig, TrainConfig
from dynrefer.training.setup import Setup, prepare
from dynrefer.training.trainer import train

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}
NAMES = ("dog", "cat", "car", "cup")
SIZE = (96, 64)


def make_sample(folder: Path, number: int, split: str) -> Sample:
    """A photograph of noise with one square, whose colour and corner tell what it is."""
    rng = np.random.default_rng(number)
    colour, name = list(COLOURS)[number % 2], NAMES[number % 4]
    pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    x, y = 8 * (number % 5), 4 * (number % 4)
    pixels[y : y + 32, x : x + 40] = COLOURS[colour]
    path = folder / f"{split}-{number}.png"
    Image.fromarray(pixels).save(path)
    texts = (RegionText(f"a {colour} {name} on the big car", "grounded"), RegionText(f"a {name}", "class"))
    return Sample(
        image=path,
        image_id=str(number),
        image_size=SIZE,
        box=(x, y, x + 40, y + 32),
        texts=texts[number % 3 == 0 :],
        sample_id=f"{split}-{number}",
        split=split,
        tags=(name, "red") if colour == "red" else (name,),
        attributes=(int(colour == "red"), int(colour == "blue"), -1),
        class_name=name,
        complete=True,
        photo=path.name,
    )


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    folder = tmp_path_factory.mktemp("photographs")
    return [make_sample(folder, n, "train") for n in range(12)] + [make_sample(folder, n, "val") for n in range(4)]


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory, samples: list[Sample], tiny_checkpoint: Path) -> Path:
    """A complete feature cache of the samples."""
    folder = tmp_path_factory.mktemp("features")
    augment, cache = AugmentConfig(jitter=0.06, colour=0.2), CacheConfig(enabled=True, drawn=2, variants=2)
    config = TrainConfig(augment=augment, cache=cache, precision="fp32")
    build_cache(samples, load_checkpoint(tiny_checkpoint).model, folder, config)
    return folder


@pytest.fixture(scope="session")
def settings(tiny_checkpoint: Path) -> dict[str, Any]:
    """A configuration of a few steps, as JSON holds it."""
    return {
        "init": str(tiny_checkpoint),
        "batch_size": 4,
        "steps": 6,
        "precision": "fp32",
        "save_every": 2,
        "validate_every": 3,
        "log_every": 1,
        "optimiser": {"learning_rate": 0.01, "warmup_steps": 2, "ema": 0.9},
        "weights": {"category": 1.0, "attribute": 1.0, "sentence": 1.0},
        "cache": {"enabled": True, "drawn": 2, "variants": 2},
        "augment": {"jitter": 0.06, "colour": 0.2},
    }


def write_data(folder: Path, samples: list[Sample]) -> Path:
    """A folder as `python -m dynrefer data build` leaves it."""
    folder.mkdir()
    write_samples(samples, folder / "samples.jsonl")
    return folder


@pytest.fixture
def data(tmp_path: Path, samples: list[Sample]) -> Path:
    return write_data(tmp_path / "data", samples)


@pytest.fixture
def config(tmp_path: Path, settings: dict[str, Any]) -> Path:
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(settings))
    return path


@pytest.fixture(scope="session")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, samples: list[Sample], settings: dict[str, Any], features: Path
) -> Setup:
    """What a run begins with."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "tiny.json").write_text(json.dumps(settings))
    data = write_data(folder / "data", samples)
    setup = prepare(TrainConfig.from_json(folder / "tiny.json"), data, None, features, torch.device("cpu"))
    setup.model.eval()
    return setup


@pytest.fixture
def setup(prepared: Setup) -> Setup:
    """The same, of which no step was drawn yet."""
    dataset, collate = copy(prepared.dataset), copy(prepared.collate)
    collate.dataset = dataset
    return replace(prepared, dataset=dataset, collate=collate)


@pytest.fixture(scope="session")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, samples: list[Sample], settings: dict[str, Any], features: Path
) -> Path:
    """The folder of a run that nothing interrupted, computed by one thread."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "tiny.json").write_text(json.dumps(settings))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(folder / "tiny.json", write_data(folder / "data", samples), folder / "run", cache=features)
    torch.set_num_threads(threads)
    return folder / "run"
