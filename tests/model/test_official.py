"""The released checkpoint: the authors' own answers, conversion into a folder, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import resource
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynrefer import InputError, Predictor
from dynrefer.__main__ import main
from dynrefer.model import DynRefer, ModelConfig
from dynrefer.model.checkpoint import load_checkpoint
from dynrefer.model.convert import convert, official_attributes, read_released, read_tags
from dynrefer.model.official import convert_state_dict, released_name
from tests.model import tiny_official as tiny

FACTS = Path(__file__).resolve().parents[3] / "shared" / "official"
needs_facts = pytest.mark.skipif(not FACTS.is_dir(), reason="the authors' answers (../shared/official) are not here")


def close(ours: Tensor, theirs: Tensor) -> None:
    """Agreement to 1e-4 of the largest number."""
    assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


@pytest.fixture(scope="module")
def keys() -> dict[str, list[int]]:
    return json.loads((FACTS / "keys.json").read_text())


@pytest.fixture(scope="module")
def full_size(keys: dict[str, list[int]]) -> DynRefer:
    """The trained part of the paper's model with the synthetic weights that the authors' modules were run with."""
    model = DynRefer.from_config(ModelConfig.preset("dynrefer-flant5xl"), backbones=False)
    model.load_state_dict(convert_state_dict({name: tiny.synthetic(name, shape) for name, shape in keys.items()}))
    return model.eval()


@needs_facts
@torch.no_grad()
def test_every_stage_answers_as_the_authors_modules_do(full_size: DynRefer) -> None:
    case = {name: torch.from_numpy(value).float() for name, value in np.load(FACTS / "example.npz").items()}
    fused = full_size.fuse(case["vit_tokens"], case["boxes"])
    queries = full_size.resample(fused)
    close(fused[:, ::8, ::16], case["fused"])
    close(queries, case["query"])
    close(full_size.tag_logits(queries, case["tags"]), case["tag_logits"])
    close(full_size.contrast_logits(queries, case["texts"]), case["attr_logits"])
    close(full_size.project(queries)[:, :, ::32], case["llm"])


@needs_facts
def test_all_348_trained_tensors_have_a_place(keys: dict[str, list[int]], full_size: DynRefer) -> None:
    assert len(keys) == 348
    assert {released_name(name) for name in full_size.state_dict()} == set(keys)
    assert sum(p.numel() for p in full_size.parameters()) == sum(int(np.prod(shape)) for shape in keys.values())


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with released.pth, base/, text/ and tags.txt."""
    folder = tmp_path_factory.mktemp("official")
    state = tiny.released_state() | {"Qformer.bert.embeddings.position_ids": torch.arange(512)[None]}
    torch.save({"model": state, "epoch": 4}, folder / "released.pth")
    tiny.write_base(folder / "base")
    tiny.write_text_tower(folder / "text")
    (folder / "tags.txt").write_text("dog\ncat\nred\n")
    return folder


def convert_tiny(sources: Path, out: Path, released: Path | None = None, base: Path | None = None) -> Path:
    return convert(
        released or sources / "released.pth",
        out,
        base=base or sources / "base",
        text_encoder=sources / "text",
        tags=sources / "tags.txt",
        config=tiny.CONFIG,
    )


@pytest.fixture(scope="module")
def converted(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert_tiny(sources, tmp_path_factory.mktemp("converted") / "model")


def test_a_converted_folder_answers_through_the_predictor(converted: Path) -> None:
    predictor = Predictor.from_pretrained(converted, device="cpu")
    photo = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    results = predictor.refer(photo, boxes=[(5, 5, 50, 40), (20, 10, 79, 59)], tag_threshold=0, controls=["dog"])
    for result in results:
        assert {tag.name for tag in result.tags} == {"dog", "cat", "red"}
        assert len(result.attributes) == 117 and len(result.classes) == 5
        assert 0 < result.caption.score <= 1
        assert result.model == "tiny-official"
    assert not list(converted.glob("*.pth")) and not list(converted.glob("*.bin"))


def test_half_precision_answers_nearly_the_same(converted: Path) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    exact, short = (
        Predictor.from_pretrained(converted, device="cpu", dtype=dtype).refer(photo, (5, 5, 50, 40), tag_threshold=0)
        for dtype in ("float32", "bfloat16")
    )
    scores = [{tag.name: tag.score for tag in result.tags} for result in (exact, short)]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)
    assert short.caption.score == pytest.approx(exact.caption.score, rel=0.2)


@torch.no_grad()
def test_a_converted_folder_holds_the_base_models_image_encoder_and_language_model(
    converted: Path, tmp_path: Path
) -> None:
    base = tiny.write_base(tmp_path / "base")
    model = load_checkpoint(converted).model
    assert model.encoder is not None and model.language.t5 is not None
    pixels = torch.randn(2, 3, 224, 224)
    torch.testing.assert_close(model.encode(pixels), base.vision_model(pixels).last_hidden_state)
    asked = {"inputs_embeds": torch.randn(2, 5, 16), "decoder_input_ids": torch.tensor([[0, 3, 4], [0, 5, 6]])}
    torch.testing.assert_close(model.language.t5(**asked).logits, base.language_model(**asked).logits)
    assert model.language.t5.encoder.embed_tokens.weight is model.language.t5.shared.weight


@torch.no_grad()
def test_texts_are_embedded_as_the_authors_text_tower_embeds_them(converted: Path, sources: Path) -> None:
    text_encoder = load_checkpoint(converted).model.text_encoder
    assert text_encoder is not None
    tensors = tiny.write_text_tower(sources / f"again-{os.getpid()}")
    ours = text_encoder(["the dog", "the  is red", "a big red cat"])
    for embedding, text in zip(ours, ["the dog", "the is red", "a big red cat"], strict=True):
        ids = [tiny.START, *(tiny.TOKENS.index(word) for word in text.split()), tiny.END]
        theirs = open_clip_text(tensors, torch.tensor(ids + [0] * (77 - len(ids))))
        torch.testing.assert_close(embedding, theirs, rtol=1e-4, atol=1e-5)


def open_clip_text(tensors: dict[str, Tensor], ids: Tensor) -> Tensor:
    """The EVA-CLIP text tower's arithmetic on open_clip's tensors: ids [77], zeros after the end token -> [E]."""
    t = {name.removeprefix("text."): value for name, value in tensors.items()}
    width = tiny.TEXT_WIDTH
    x = (t["token_embedding.weight"][ids] + t["positional_embedding"])[:, None]
    mask = torch.full((77, 77), -torch.inf).triu(1)
    for layer in range(tiny.TEXT_LAYERS):
        p = {k.split(".", 3)[3]: v for k, v in t.items() if k.startswith(f"transformer.resblocks.{layer}.")}
        attention = nn.MultiheadAttention(width, tiny.TEXT_HEADS)
        attention.load_state_dict({k.removeprefix("attn."): v for k, v in p.items() if k.startswith("attn.")})
        y = F.layer_norm(x, (width,), p["ln_1.weight"], p["ln_1.bias"])
        x = x + attention(y, y, y, attn_mask=mask)[0]
        y = F.layer_norm(x, (width,), p["ln_2.weight"], p["ln_2.bias"])
        y = F.gelu(F.linear(y, p["mlp.c_fc.weight"], p["mlp.c_fc.bias"]))
        x = x + F.linear(y, p["mlp.c_proj.weight"], p["mlp.c_proj.bias"])
    end = int((ids == tiny.END).nonzero()[0])
    final = F.layer_norm(x[end, 0], (width,), t["ln_final.weight"], t["ln_final.bias"])
    return final @ t["text_projection"]


def test_the_trained_tensors_keep_every_bit(converted: Path) -> None:
    model = load_checkpoint(converted).model
    ours = convert_state_dict(tiny.released_state(), tiny.CONFIG)
    state = model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in ours.items())


def test_control_words_end_as_the_checkpoint_was_trained(converted: Path) -> None:
    language = load_checkpoint(converted).model.language
    ids, mask = language.tokenize(["dog,red|", ""])
    word = tiny.TOKENS.index
    assert ids.tolist() == [[word("dog"), word(","), word("red"), word("|"), 1], [word("|"), 1, 0, 0, 0]]
    assert mask.sum(1).tolist() == [5, 2]


def test_attributes_are_asked_with_the_authors_templates() -> None:
    words = {(word.type, word.name): word.templates for word in official_attributes()}
    assert len(words) == 117
    assert words["hair", "dark"] == ("the dark hair", "the  has dark hair")
    assert words["tone", "dark"] == ("the dark", "the  is dark")
    assert {"the toddler", "the  is girl"} <= set(words["maturity", "young"])


def drop(state: dict[str, Tensor]) -> None:
    del state["t5_proj.bias"]


def add(state: dict[str, Tensor]) -> None:
    state["llm_proj.weight"] = torch.zeros(1)


def reshape(state: dict[str, Tensor]) -> None:
    state["cvem_mlp.0.weight"] = state["cvem_mlp.0.weight"][:, :-1]


def adapt(state: dict[str, Tensor]) -> None:
    state["t5_model.base_model.model.lm_head.lora_A.default.weight"] = torch.zeros(1)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(drop, "t5_proj.bias"), (add, "llm_proj.weight"), (reshape, "cvem_mlp.0.weight"), (adapt, "LoRA")],
)
def test_a_tensor_that_does_not_fit_is_named_and_nothing_is_written(
    spoil: object, said: str, sources: Path, tmp_path: Path
) -> None:
    state = tiny.released_state()
    assert callable(spoil)
    spoil(state)
    torch.save({"model": state}, tmp_path / "released.pth")
    with pytest.raises(InputError, match=said):
        convert_tiny(sources, tmp_path / "out", released=tmp_path / "released.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["released.pth"]


class Surprise:
    """An object that would make a folder when unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_pickled_object_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"model": {"query_tokens": Surprise(tmp_path / "surprise")}}, tmp_path / "released.pth")
    with pytest.raises(InputError, match="could run code"):
        read_released(tmp_path / "released.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Surprise(tmp_path / "surprise")))
    with pytest.raises(InputError, match="could run code"):
        read_released(tmp_path / "plain.pth")
    assert not (tmp_path / "surprise").exists()


def test_a_damaged_renamed_or_missing_file_gets_one_sentence(sources: Path, tmp_path: Path) -> None:
    whole = (sources / "released.pth").read_bytes()
    for name, content in {"half.pth": whole[: len(whole) // 2], "text.pth": b"not a model", "empty.pth": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_released(tmp_path / name)
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(InputError, match="no dictionary of tensors"):
        read_released(tmp_path / "list.pth")
    with pytest.raises(InputError, match="no file"):
        read_released(tmp_path / "absent.pth")


def test_a_base_model_of_another_size_is_named(sources: Path, tmp_path: Path) -> None:
    other = tmp_path / "base"
    other.mkdir()
    for path in (sources / "base").iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    index = json.loads((other / "model.safetensors.index.json").read_text())
    (other / index["weight_map"]["language_model.lm_head.weight"]).unlink()
    with pytest.raises(InputError, match="has no model-"):
        convert_tiny(sources, tmp_path / "out", base=other)
    with pytest.raises(InputError, match="lacks the tensor vision_model"):
        convert_tiny(sources, tmp_path / "out", base=converted_without_shards(tmp_path))
    assert not (tmp_path / "out").exists()


def converted_without_shards(tmp_path: Path) -> Path:
    folder = tmp_path / "other"
    tiny.write_text_tower(folder)
    (folder / "open_clip_model.safetensors").rename(folder / "model.safetensors")
    return folder


def test_a_full_disk_leaves_nothing_behind(sources: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # writing more fails as on a full disk
    try:
        with pytest.raises(InputError, match="could not be written"):
            convert_tiny(sources, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_overwritten(sources: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        convert_tiny(sources, tmp_path)


def test_without_a_network_the_hub_ids_are_asked_for_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="--tags"):
        read_tags(None)
    with pytest.raises(InputError, match="nobody/nothing"):
        load_checkpoint("nobody/nothing")


def test_the_command_says_what_is_wrong_and_exits_with_2(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--base", str(sources / "base"), "--text-encoder", str(sources / "text")]
    code = main(["convert", str(sources / "tags.txt"), str(tmp_path / "out"), *arguments])
    message = capsys.readouterr().err
    assert code == 2 and "tags.txt was not read" in message and len(message.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert main(["cost", "--preset", "dynrefer-unheard-of"]) == 2
    assert "dynrefer-flant5xl" in capsys.readouterr().err
