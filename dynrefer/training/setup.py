"""From a configuration and a data folder to everything that a run needs."""

from __future__ import annotations

import json
import logging
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dynrefer.checkpoint import Checkpoint, load_checkpoint
from dynrefer.datasets.records import too_many
from dynrefer.datasets.sample import SOURCES, Sample, iter_samples
from dynrefer.errors import InputError
from dynrefer.model import DynRefer, ModelConfig
from dynrefer.training.cache import FeatureCache, build_cache
from dynrefer.training.collate import Collate, loader_arguments
from dynrefer.training.config import TrainConfig
from dynrefer.training.dataset import CachedViews, PhotographViews, RegionDataset, ViewSource
from dynrefer.training.regions import RegionTable, TextTable
from dynrefer.training.state import freeze_unused
from dynrefer.training.validation import Validation
from dynrefer.vocabulary import TextBank, Vocabulary

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setup:
    """The parts of a run.

    `loading` is how a DataLoader prepares batches. `identity` names configuration, samples and start: a state belongs
    to one of them.
    """

    model: DynRefer
    vocabulary: Vocabulary
    bank: TextBank
    dataset: RegionDataset
    collate: Collate
    loading: dict[str, Any]
    validation: Validation | None
    steps: int
    identity: str


def prepare(
    config: TrainConfig,
    data: Path,
    init: str | Path | None,
    cache: Path | None,
    device: torch.device,
    processes: int = 1,
) -> Setup:
    """Load the start and the data, and build the feature cache where one is asked for and missing.

    Raises InputError in one sentence for whatever is missing or does not fit.
    """
    init = init or config.init
    if init is None:
        raise InputError("Say what to start from: --init CHECKPOINT, or 'init' in the configuration.")
    samples = data / "samples.jsonl"
    checkpoint = load_checkpoint(init, device)
    features = None
    if config.cache.enabled:
        features = build_cache(iter_samples(samples), checkpoint.model, cache or data / "features", config)
    regions = _Regions(config, checkpoint.vocabulary, iter_samples(samples), features)
    if not len(regions.train):
        raise InputError(f"{data} has no sample of the split 'train' to train on.")
    texts = _text_table(list(regions.texts), checkpoint.model, config, data)
    model = adapt(checkpoint.model, config).to(device)
    freeze_unused(model, config.weights, config.optimiser.rates, config.cache.enabled)
    loading = loader_arguments(config, device, processes)
    views = partial(_view_source, config, model.config, features)
    bank = checkpoint.vocabulary.bank()
    dataset = RegionDataset(config, regions.train, texts, views(regions.train, regions.train_rows))
    collate = Collate(dataset, model.language.tokenize, model.config.language.styles)
    validation = None
    if len(regions.val):
        validation = Validation(regions.val, texts, views(regions.val, regions.val_rows), bank, loading)
    logger.info(
        "%d samples train, %d validate; %d texts", *(len(part) for part in (regions.train, regions.val, texts.texts))
    )
    identity = _identity(config, regions.digest, checkpoint)
    steps = config.steps_for(len(regions.train))
    return Setup(model, checkpoint.vocabulary, bank, dataset, collate, loading, validation, steps, identity)


def open_validation(config: TrainConfig, samples: Sequence[Sample], checkpoint: Checkpoint, folder: Path) -> Validation:
    """What scores a model on `samples` of the split "val", from features that are cached in `folder`."""
    model = checkpoint.model
    features = build_cache(samples, model, folder, config)
    regions = _Regions(config, checkpoint.vocabulary, samples, features)
    texts = _text_table(list(regions.texts), model, config, folder)
    views = _view_source(config, model.config, features, regions.val, regions.val_rows)
    loading = loader_arguments(config, next(model.parameters()).device, 1)
    return Validation(regions.val, texts, views, checkpoint.vocabulary.bank(), loading)


class _Regions:
    """The samples of a run as two tables of one list of texts; with a cache those that it has, and their rows in it."""

    def __init__(
        self, config: TrainConfig, vocabulary: Vocabulary, samples: Iterable[Sample], cache: FeatureCache | None
    ) -> None:
        self.texts: dict[str, int] = {}
        self.train = RegionTable(vocabulary, self.texts, config.texts.sources)
        self.val = RegionTable(vocabulary, self.texts, dict.fromkeys(SOURCES, 1.0))
        self.train_rows, self.val_rows = array("q"), array("q")
        left_out = 0
        digest = sha256()
        for sample in samples:
            if sample.split not in ("train", "val"):
                continue
            table, rows = (self.train, self.train_rows) if sample.split == "train" else (self.val, self.val_rows)
            if cache is not None:
                row = cache.row(sample)
                if not cache.is_usable(row):
                    left_out += 1
                    continue
                rows.append(row)
            table.add(sample)
            if sample.split == "train":
                digest.update(f"{sample.sample_id}{sample.box}{[text.text for text in sample.texts]}".encode())
        self.digest = digest.hexdigest()
        if left_out:
            logger.warning("%d samples on photographs that cannot be read are left out", left_out)


def adapt(model: DynRefer, config: TrainConfig) -> DynRefer:
    """The model with the configuration's changes; what is new follows from the seed."""
    changed = model.config.changed(config.model)
    if changed == model.config:
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return model.changed(changed)


def _view_source(
    config: TrainConfig, model: ModelConfig, cache: FeatureCache | None, regions: RegionTable, rows: array[int]
) -> ViewSource:
    if cache is not None:
        return CachedViews(cache, np.array(rows), model.num_views, config.views)
    return PhotographViews(regions, model.num_views, model.encoder.image_size, config.views, config.augment)


def _text_table(texts: Sequence[str], model: DynRefer, config: TrainConfig, data: Path) -> TextTable:
    assert model.language.tokenizer is not None and model.text_encoder is not None
    table = TextTable(
        texts,
        model.language.tokenizer,
        model.text_encoder,
        end_token=model.config.language.options.get("eos_token_id", 1),
        max_tokens=config.texts.max_tokens,
        folder=data,
    )
    if too_many(len(table.unspelled), len(texts)):
        logger.warning(
            "%d of %d texts have letters that this checkpoint's language model cannot write, for example %r: it learns "
            "them as unknown; start from a checkpoint whose tokenizer has read that language",
            *(len(table.unspelled), len(texts), table.unspelled[0]),
        )
    return table


def _identity(config: TrainConfig, samples: str, checkpoint: Checkpoint) -> str:
    passing = ("save_every", "validate_every", "log_every", "init", "workers")
    frozen = {name: value for name, value in config.to_dict().items() if name not in passing}
    return sha256(json.dumps([frozen, samples, checkpoint.fingerprint]).encode()).hexdigest()[:16]
