"""From a configuration and a data folder to everything that a run needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dynrefer.checkpoint import Checkpoint, load_checkpoint
from dynrefer.data.loader import read_samples
from dynrefer.data.problems import Problems
from dynrefer.data.sample import Sample
from dynrefer.errors import InputError
from dynrefer.model import DynRefer, ModelConfig
from dynrefer.model.encoder import EfficientNetEncoder
from dynrefer.training.batches import BatchSource
from dynrefer.training.cache_files import CacheSettings, FeatureCache, encoder_fingerprint
from dynrefer.training.config import TrainConfig
from dynrefer.training.device_views import DeviceViews, Photographs
from dynrefer.training.feature_cache import build_cache
from dynrefer.training.imagenet import imagenet_teacher
from dynrefer.training.regions import RegionTable
from dynrefer.training.sampling import choose_samples, sample_weights
from dynrefer.training.schedule import freeze_unused
from dynrefer.training.texts import TextTable
from dynrefer.training.validation import Validation
from dynrefer.training.views import CachedViews, PixelViews, Planner, ViewSource
from dynrefer.vocabulary import TextBank, Vocabulary

Say = Callable[[str], None]


@dataclass(frozen=True)
class Setup:
    """The parts of a run.

    `identity` names configuration, samples and start: a state belongs to one of them. `teacher` is the ImageNet
    classifier that looks at every batch, where its beliefs are not cached.
    """

    model: DynRefer
    vocabulary: Vocabulary
    bank: TextBank
    source: BatchSource
    validation: Validation | None
    problems: Problems
    steps: int
    identity: str
    teacher: nn.Module | None = None


def prepare(
    config: TrainConfig, data: Path, init: str | Path | None, cache: Path | None, device: torch.device, say: Say
) -> Setup:
    """Load the start and the data, and build the feature cache where one is asked for and missing.

    Raises InputError in one sentence for whatever is missing or does not fit.
    """
    init = init or config.init
    if init is None:
        raise InputError("Say what to start from: --init CHECKPOINT, or 'init' in the configuration.")
    samples = choose_samples(read_samples(data / "samples.jsonl"), config.sampling)
    checkpoint = load_checkpoint(init, device)
    features = (
        _open_cache(config, samples, checkpoint.model, cache or data / "features", say)
        if config.cache.enabled
        else None
    )
    if features is not None:
        samples = _cached(samples, features, say)
    train = [sample for sample in samples if sample.split == "train"]
    held_out = [sample for sample in samples if sample.split == "val"]
    if not train:
        raise InputError(f"{data} has no sample of the split 'train' to train on.")
    model = adapt(checkpoint.model, config).to(device)
    freeze_unused(model, config.weights, config.optimiser.rates, config.cache.enabled)
    corpus = _corpus(data, config)
    table = _text_table([*train, *held_out], corpus, checkpoint.model, config, data)
    problems = Problems()
    view_source = _view_sources(config, model.config, [*train, *held_out], features, problems, device)
    regions = RegionTable(train, checkpoint.vocabulary, table, config.texts.sources)
    source = BatchSource(
        config,
        regions,
        table,
        view_source(train),
        model.language.tokenize,
        model.config.language.styles,
        _weights(train, config),
        {table.index[text]: config.texts.extra_sources.get(kind, 0.0) for text, kind in corpus.items()},
        _teacher(features, train),
    )
    bank = checkpoint.vocabulary.bank(_class_names(model))
    validation = None
    if held_out:
        every = dict.fromkeys(config.texts.sources, 1.0)
        validation = Validation(
            RegionTable(held_out, checkpoint.vocabulary, table, every), table, view_source(held_out), bank
        )
    say(f"{len(train)} samples train, {len(held_out)} validate; {len(table.texts)} texts, {len(corpus)} of them alone")
    identity = _identity(config, train, checkpoint)
    teacher = None
    if config.weights.distill and features is None and isinstance(model.encoder, EfficientNetEncoder):
        teacher = imagenet_teacher(model.config.encoder.name).to(device).to(memory_format=torch.channels_last)
    steps = config.steps_for(len(train))
    return Setup(model, checkpoint.vocabulary, bank, source, validation, problems, steps, identity, teacher)


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


def _open_cache(
    config: TrainConfig, samples: Sequence[Sample], model: DynRefer, folder: Path, say: Say
) -> FeatureCache:
    """The cache in `folder`, built or finished first unless it is complete."""
    if (folder / "cache.json").exists():
        cache = FeatureCache(folder)
        if cache.info["encoder"] != encoder_fingerprint(model):
            raise InputError(
                f"The cache {folder} is of another image encoder: delete it, or name another with --cache."
            )
        if cache.complete:
            return cache
    say(f"caching features in {folder}; this is done once, and goes on where it stopped")
    drawn, variants = config.cache.drawn, config.cache.variants
    settings = CacheSettings(
        drawn=drawn, variants=variants, jitter=config.augment.jitter, colour=config.augment.colour, seed=config.seed
    )
    teacher = imagenet_teacher(model.config.encoder.name) if config.weights.distill else None
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    return build_cache(samples, model, folder, settings, teacher, dtype)


def _cached(samples: Sequence[Sample], cache: FeatureCache, say: Say) -> list[Sample]:
    """The samples whose features can be used."""
    kept = cache.usable(samples)
    if not kept:
        raise InputError(f"The feature cache {cache.folder} holds none of these samples: name another with --cache.")
    if len(kept) < len(samples):
        say(f"{len(samples) - len(kept)} samples are not in the feature cache, or unreadable, and are left out")
    return kept


def _view_sources(
    config: TrainConfig,
    model: ModelConfig,
    samples: Sequence[Sample],
    cache: FeatureCache | None,
    problems: Problems,
    device: torch.device,
) -> Callable[[Sequence[Sample]], ViewSource]:
    """What gives the views of a part of the samples: cache, photographs' files, or the device that holds them."""
    if cache is not None:
        return lambda part: CachedViews(cache, cache.rows(part), model.num_views, config.views)
    planner = Planner(model.num_views, model.encoder.image_size, config.views, config.augment)
    if not config.views.on_device:
        return lambda part: PixelViews(part, planner, problems)
    photographs = Photographs(list(dict.fromkeys(sample.image for sample in samples)), device, problems)
    return lambda part: DeviceViews(part, planner, photographs)


def _corpus(data: Path, config: TrainConfig) -> dict[str, str]:
    """Sentences without a photograph, with their kind."""
    path = data / "corpus.jsonl"
    if not config.texts.extra:
        return {}
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {record["text"]: record["kind"] for record in records}
    except OSError as error:
        raise InputError(f"{path} cannot be read: build the data with --texts, or set 'extra' to 0.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}): build the data again.") from error


def _text_table(
    samples: Sequence[Sample], corpus: Mapping[str, str], model: DynRefer, config: TrainConfig, data: Path
) -> TextTable:
    assert model.language.tokenizer is not None and model.text_encoder is not None
    texts = [text.text for sample in samples for text in sample.texts]
    return TextTable(
        [*texts, *corpus],
        model.language.tokenizer,
        model.text_encoder,
        end_token=model.config.language.options.get("eos_token_id", 1),
        max_tokens=config.texts.max_tokens,
        folder=data,
    )


def _weights(samples: Sequence[Sample], config: TrainConfig) -> np.ndarray | None:
    """Chances of the samples; None when all are alike, so that an epoch is a pass over them."""
    weights = sample_weights(samples, config.sampling)
    return None if np.allclose(weights, weights[0]) else weights


def _class_names(model: DynRefer) -> Tensor | None:
    """Embeddings of ImageNet's class names [1000, E], where the encoder has them."""
    return (
        model.encoder.get_buffer("class_embeddings").cpu() if isinstance(model.encoder, EfficientNetEncoder) else None
    )


def _teacher(cache: FeatureCache | None, samples: Sequence[Sample]) -> tuple[Tensor, Tensor] | None:
    if cache is None:
        return None
    rows = cache.rows(samples)
    probability = torch.from_numpy(np.array(cache.teacher[rows]))
    return (torch.from_numpy(np.array(cache.teacher_index[rows])), probability) if probability.any() else None


def _identity(config: TrainConfig, samples: Sequence[Sample], checkpoint: Checkpoint) -> str:
    frozen = {
        k: v for k, v in config.to_dict().items() if k not in ("save_every", "validate_every", "log_every", "init")
    }
    names = [f"{s.sample_id}{s.box}{[t.text for t in s.texts]}" for s in samples]
    return sha256(json.dumps([frozen, names, checkpoint.fingerprint]).encode()).hexdigest()[:16]
