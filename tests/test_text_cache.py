"""Texts are embedded once; long lists outlive the process."""

from pathlib import Path

import pytest
import torch

from dynrefer import text_cache
from dynrefer.model.text_encoder import TextEncoder
from dynrefer.text_cache import TextCache
from tests.tiny import tiny_model


class Counting(torch.nn.Module):
    """A text encoder that keeps count of what it was asked."""

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder, self.config, self.tokenizer = encoder, encoder.config, encoder.tokenizer
        self.asked: list[str] = []

    def forward(self, texts: list[str]) -> torch.Tensor:
        """Embeddings of the texts."""
        self.asked += texts
        return self.encoder(texts)


@pytest.fixture
def encoder() -> Counting:
    model = tiny_model()
    assert model.text_encoder is not None
    return Counting(model.text_encoder)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small limits, so that lists of a few texts reach them."""
    monkeypatch.setattr(text_cache, "LONG_LIST", 4)
    monkeypatch.setattr(text_cache, "TOGETHER", 3)
    monkeypatch.setattr(text_cache, "FILES", 2)


def test_embeddings_are_the_encoders_in_the_order_asked(encoder: Counting, tmp_path: Path) -> None:
    found = TextCache(encoder, tmp_path).embed(["red dog", "cat", "red dog", "big car", "cup"])
    torch.testing.assert_close(found, encoder.encoder(["red dog", "cat", "red dog", "big car", "cup"]))


def test_who_waits_for_a_very_long_list_is_told_once(
    encoder: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(text_cache, "VERY_LONG_LIST", 5)
    for _ in range(2):
        TextCache(encoder, tmp_path).embed(list("abcd"))
        TextCache(encoder, tmp_path).embed(list("efghi"))
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["embedding 5 names, which takes a while; they are kept for the next time"]


def test_a_text_is_embedded_once(encoder: Counting, tmp_path: Path) -> None:
    cache = TextCache(encoder, tmp_path)
    for texts in (["dog", "cat"], ["cat", "dog", "dog"], ["dog", "cup"]):
        cache.embed(texts)
    assert encoder.asked == ["dog", "cat", "cup"]


def test_the_text_used_least_recently_goes_first(
    encoder: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_cache, "KEPT_TEXTS", 3)
    cache = TextCache(encoder, tmp_path)
    for texts in (["dog", "cat", "cup"], ["dog"], ["car"]):
        cache.embed(texts)
    encoder.asked.clear()
    cache.embed(["dog", "cup"])
    assert encoder.asked == []
    cache.embed(["cat"])
    assert encoder.asked == ["cat"]


def test_a_kept_text_keeps_no_other_in_memory(encoder: Counting, tmp_path: Path) -> None:
    cache = TextCache(encoder, tmp_path)
    cache.embed(["dog", "cat", "cup"])
    row = cache._rows["cat"]
    assert row.untyped_storage().nbytes() == row.numel() * row.element_size()


def test_a_long_list_is_read_from_disk_by_the_next_process(encoder: Counting, tmp_path: Path) -> None:
    texts = ["dog", "cat", "cup", "car", "red"]
    first = TextCache(encoder, tmp_path).embed(texts)
    encoder.asked.clear()
    torch.testing.assert_close(TextCache(encoder, tmp_path).embed([*texts, "blue"]), encoder.encoder([*texts, "blue"]))
    assert encoder.asked == ["blue"]
    assert len(first) == 5


def test_a_short_list_leaves_the_disk_alone(encoder: Counting, tmp_path: Path) -> None:
    TextCache(encoder, tmp_path / "new").embed(["dog", "cat"])
    assert not (tmp_path / "new").exists()


def test_another_text_encoder_has_another_file(encoder: Counting, tmp_path: Path) -> None:
    texts = ["dog", "cat", "cup", "car"]
    TextCache(encoder, tmp_path).embed(texts)
    for _ in range(3):
        with torch.no_grad():
            next(encoder.parameters()).add_(0.5)
        torch.testing.assert_close(TextCache(encoder, tmp_path).embed(texts), encoder.encoder(texts))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_file_is_made_again(encoder: Counting, tmp_path: Path) -> None:
    texts = ["dog", "cat", "cup", "car"]
    TextCache(encoder, tmp_path).embed(texts)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"nothing")
    torch.testing.assert_close(TextCache(encoder, tmp_path).embed(texts), encoder.encoder(texts))
    encoder.asked.clear()
    TextCache(encoder, tmp_path).embed(texts)
    assert encoder.asked == []


def test_a_folder_that_cannot_be_written_costs_no_answer(encoder: Counting, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert len(TextCache(encoder, tmp_path / "file").embed(["dog", "cat", "cup", "car"])) == 4


def test_others_are_let_in_between_batches(encoder: Counting, tmp_path: Path) -> None:
    moments: list[int] = []
    texts = ["dog", "cat", "cup", "car", "red", "big", "man"]
    TextCache(encoder, tmp_path).embed(texts, lambda: moments.append(len(encoder.asked)))
    assert moments == [3, 6, 7]
