"""A tiny random model in a real checkpoint folder, shared by all tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from tokenizers import Tokenizer, models, pre_tokenizers

from dynrefer import Predictor
from dynrefer.checkpoint import save_checkpoint
from dynrefer.model import DynRefer, ModelConfig
from dynrefer.vocabulary import AttributeWord, Vocabulary

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")

WORDS = "a the and on in with dog cat car cup red blue big small man woman holding sitting , |".split()


def word_tokenizer() -> Tokenizer:
    """Words to ids; pad, end and unknown are 0, 1, 2."""
    words = ["<pad>", "</s>", "<unk>", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return tokenizer


def tiny_model(seed: int = 0) -> DynRefer:
    """A random network of the preset "tiny" with its tokenizers, in evaluation mode."""
    torch.manual_seed(seed)
    model = DynRefer(ModelConfig.preset("tiny"))
    assert model.text_encoder is not None
    model.language.tokenizer = model.text_encoder.tokenizer = word_tokenizer()
    return model.eval()


def tiny_vocabulary() -> Vocabulary:
    """Four tags, three attributes, four classes."""
    attributes = (
        AttributeWord("red", "color", ("the red color", "the the red")),
        AttributeWord("blue", "color", ("the blue color",)),
        AttributeWord("big", "size", ("the big", "the big size")),
    )
    return Vocabulary(("dog", "cat", "red", "car"), attributes, ("dog", "cat", "car", "cup"))


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of the tiny random model."""
    model = tiny_model()
    assert model.text_encoder is not None
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    return save_checkpoint(folder, model, tiny_vocabulary().embedded(model.text_encoder), torch.float32)


@pytest.fixture
def predictor(tiny_checkpoint: Path) -> Predictor:
    """A fresh predictor of the tiny model, nothing cached."""
    return Predictor.from_pretrained(tiny_checkpoint, device="cpu")


@pytest.fixture
def photo() -> np.ndarray:
    """A photograph with something different everywhere: uint8 [90, 120, 3]."""
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
