"""From a configuration and a data folder to everything that a run needs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dynrefer.checkpoint import Checkpoint, load_checkpoint
from dynrefer.datasets.io import iter_samples, too_many
from dynrefer.datasets.sample import SOURCES, Sample
from dynrefer.datasets.texts import Sentence, load_texts
from dynrefer.errors import InputError
from dynrefer.model import DynRefer, ModelConfig
from dynrefer.model.encoder import EfficientNetEncoder
from dynrefer.training.cache import CacheSettings, FeatureCache, build_cache
from dynrefer.training.collate import Collate, loader_arguments
from dynrefer.training.config import TrainConfig
from dynrefer.training.dataset import CachedViews, PhotographViews, RegionDataset, ViewSource
from dynrefer.training.imagenet import imagenet_teacher
from dynrefer.training.optimiser import freeze_unused
from dynrefer.training.regions import RegionTable
from dynrefer.training.sampling import choose_samples, sample_weights
from dynrefer.training.texts import TextTable
from dynrefer.training.transforms import ViewTransform
from dynrefer.training.validation import Validation
from dynrefer.vocabulary import TextBank, Vocabulary

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setup:
    """The parts of a run.

    `loading` is how a DataLoader prepares batches. `identity` names configuration, samples and start: a state belongs
    to one of them. `teacher` is the ImageNet classifier that looks at every batch, where its beliefs are not cached.
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
    teacher: nn.Module | None = None


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
    samples: Iterable[Sample] = choose_samples(iter_samples(data / "samples.jsonl"), config.sampling)
    checkpoint = load_checkpoint(init, device)
    features = None
    if config.cache.enabled:
        every = [sample for sample in samples if sample.split in ("train", "val")]
        features = _open_cache(config, every, checkpoint.model, cache or data / "features")
        samples = _cached(every, features)
    corpus = _corpus(data / "corpus.jsonl") if config.texts.extra else []
    regions = _Regions(config, checkpoint.vocabulary, samples, keep=features is not None)
    if not len(regions.train):
        raise InputError(f"{data} has no sample of the split 'train' to train on.")
    sentences = regions.add_corpus(corpus)
    texts = _text_table(list(regions.texts), checkpoint.model, config, data)
    model = adapt(checkpoint.model, config).to(device)
    freeze_unused(model, config.weights, config.optimiser.rates, config.cache.enabled)
    loading = loader_arguments(config, device, processes)
    views = partial(_view_source, config, model.config, features)
    bank = checkpoint.vocabulary.bank(_class_names(model))
    dataset = RegionDataset(
        config,
        regions.train,
        texts,
        views(regions.train, regions.kept["train"]),
        _weights(regions.train, config),
        _sentence_chances(sentences, config),
        _teacher_beliefs(features, regions.kept["train"]),
    )
    collate = Collate(dataset, model.language.tokenize, model.config.language.styles, sentences)
    validation = None
    if len(regions.val):
        validation = Validation(regions.val, texts, views(regions.val, regions.kept["val"]), bank, loading)
    logger.info(
        "%d samples train, %d validate; %d texts, %d of them alone",
        *(len(part) for part in (regions.train, regions.val, texts.texts, corpus)),
    )
    teacher = None
    if config.weights.distill and features is None and isinstance(model.encoder, EfficientNetEncoder):
        teacher = imagenet_teacher(model.config.encoder.name).to(device).to(memory_format=torch.channels_last)
    identity = _identity(config, regions.digest, checkpoint)
    steps = config.steps_for(len(regions.train))
    return Setup(model, checkpoint.vocabulary, bank, dataset, collate, loading, validation, steps, identity, teacher)


def open_validation(config: TrainConfig, samples: Sequence[Sample], checkpoint: Checkpoint, folder: Path) -> Validation:
    """What scores a model on `samples` of the split "val", from features that are cached in `folder`."""
    model = checkpoint.model
    cache = _open_cache(config, samples, model, folder)
    usable = cache.usable(samples)
    texts: dict[str, int] = {}
    regions = RegionTable.of(usable, checkpoint.vocabulary, texts, dict.fromkeys(SOURCES, 1.0))
    return Validation(
        regions,
        _text_table(list(texts), model, config, folder),
        _view_source(config, model.config, cache, regions, usable),
        checkpoint.vocabulary.bank(_class_names(model)),
        loader_arguments(config, next(model.parameters()).device, 1),
    )


def _corpus(file: Path) -> list[Sentence]:
    """Texts without a photograph."""
    if not file.exists():
        raise InputError(f"{file} is missing: build the data with texts, or set 'texts.extra' to 0.")
    return load_texts(file)


class _Regions:
    """The samples of a run as two tables of one list of texts; `kept` holds the samples where a cache needs them."""

    def __init__(self, config: TrainConfig, vocabulary: Vocabulary, samples: Iterable[Sample], keep: bool) -> None:
        self.texts: dict[str, int] = {}
        self.train = RegionTable(vocabulary, self.texts, config.texts.sources)
        self.val = RegionTable(vocabulary, self.texts, dict.fromkeys(SOURCES, 1.0))
        self.kept: dict[str, list[Sample]] = {"train": [], "val": []}
        digest = sha256()
        for sample in samples:
            table = {"train": self.train, "val": self.val}.get(sample.split)
            if table is None:
                continue
            table.add(sample)
            if keep:
                self.kept[sample.split].append(sample)
            if sample.split == "train":
                digest.update(f"{sample.sample_id}{sample.box}{[text.text for text in sample.texts]}".encode())
        self.digest = digest.hexdigest()

    def add_corpus(self, corpus: Iterable[Sentence]) -> dict[int, str]:
        """Add sentences without a photograph: the kind of each by its number."""
        return {self.texts.setdefault(s.text, len(self.texts)): s.kind for s in corpus}


def adapt(model: DynRefer, config: TrainConfig) -> DynRefer:
    """The model with the configuration's changes: what still fits keeps its weights, the rest is random."""
    changed = ModelConfig.from_dict(_merged(model.config.to_dict(), config.model))
    if changed == model.config:
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        new = DynRefer(changed)
    own = new.state_dict()
    new.load_state_dict(
        {k: v for k, v in model.state_dict().items() if k in own and own[k].shape == v.shape}, strict=False
    )
    new.language.tokenizer = model.language.tokenizer
    assert new.text_encoder is not None and model.text_encoder is not None
    new.text_encoder.tokenizer = model.text_encoder.tokenizer
    return new


def _merged(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    nested = {k: _merged(values.get(k, {}), v) for k, v in changes.items() if isinstance(v, Mapping)}
    return values | dict(changes) | nested


def _open_cache(config: TrainConfig, samples: Sequence[Sample], model: DynRefer, folder: Path) -> FeatureCache:
    """The cache in `folder`, built or finished first where anything is missing."""
    logger.info("cached features are in %s; what is missing is made once, and goes on where it stopped", folder)
    settings = CacheSettings(
        drawn=config.cache.drawn,
        variants=config.cache.variants,
        jitter=config.augment.jitter,
        colour=config.augment.colour,
    )
    teacher = partial(imagenet_teacher, model.config.encoder.name) if config.weights.distill else None
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    return build_cache(samples, model, folder, settings, teacher, dtype)


def _cached(samples: Sequence[Sample], cache: FeatureCache) -> list[Sample]:
    """The samples whose features can be used."""
    kept = cache.usable(samples)
    if len(kept) < len(samples):
        logger.warning("%d samples on photographs that cannot be read are left out", len(samples) - len(kept))
    return kept


def _view_source(
    config: TrainConfig, model: ModelConfig, cache: FeatureCache | None, regions: RegionTable, kept: Sequence[Sample]
) -> ViewSource:
    if cache is not None:
        return CachedViews(cache, cache.rows(kept), model.num_views, config.views)
    return PhotographViews(
        regions, ViewTransform(model.num_views, model.encoder.image_size, config.views, config.augment)
    )


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


def _weights(regions: RegionTable, config: TrainConfig) -> np.ndarray | None:
    """Chances of the samples; None when all are alike, so that an epoch is a pass over them."""
    weights = sample_weights(regions.traits, config.sampling)
    return None if np.allclose(weights, weights[0]) else weights


def _sentence_chances(sentences: Mapping[int, str], config: TrainConfig) -> tuple[np.ndarray, np.ndarray] | None:
    """Numbers of the sentences without a photograph, and their chances, which sum to 1."""
    if not sentences:
        return None
    chances = np.array([config.texts.extra_sources.get(kind, 0.0) for kind in sentences.values()])  # type: ignore[call-overload]
    if not chances.sum():
        raise InputError(
            "No text of corpus.jsonl is of a kind that 'texts.extra_sources' draws from: set 'extra' to 0."
        )
    return np.fromiter(sentences, dtype=np.int64), chances / chances.sum()


def _class_names(model: DynRefer) -> Tensor | None:
    """Embeddings of ImageNet's class names [1000, E], where the encoder has them."""
    return (
        model.encoder.get_buffer("class_embeddings").cpu() if isinstance(model.encoder, EfficientNetEncoder) else None
    )


def _teacher_beliefs(cache: FeatureCache | None, samples: Sequence[Sample]) -> tuple[Tensor, Tensor] | None:
    if cache is None:
        return None
    rows = cache.rows(samples)
    probability = torch.from_numpy(np.array(cache.teacher[rows]))
    return (torch.from_numpy(np.array(cache.teacher_index[rows])), probability) if probability.any() else None


def _identity(config: TrainConfig, samples: str, checkpoint: Checkpoint) -> str:
    passing = ("save_every", "validate_every", "log_every", "init", "workers")
    frozen = {name: value for name, value in config.to_dict().items() if name not in passing}
    return sha256(json.dumps([frozen, samples, checkpoint.fingerprint]).encode()).hexdigest()[:16]
