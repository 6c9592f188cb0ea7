"""A user's own segmenter: a tiny random one of each kind, from a folder as a real one."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dynrefer import InputError, Predictor
from dynrefer.formats import Record, encode
from dynrefer.photo import Photo
from dynrefer.pointing import mask_box, read_mask, read_prompt
from dynrefer.results import RegionResult
from dynrefer.segmenter import SEGMENTER, Embedding, Segmenter, without_specks
from tests.segmenters import save_segmenter

KINDS = ("edgetam", "sam2", "sam")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: save_segmenter(kind, tmp_path_factory.mktemp("segmenters")) for kind in KINDS}


@pytest.fixture(scope="module", params=KINDS)
def pointer(request: pytest.FixtureRequest, folders: dict[str, Path], tiny_checkpoint: Path) -> Predictor:
    return Predictor.from_pretrained(tiny_checkpoint, device="cpu", segmenter=str(folders[request.param]))


@pytest.mark.parametrize(
    "given",
    [{"point": (30, 40)}, {"points": [(30, 40), (35, 45), (100, 80, False)]}, {"box": (20, 20, 80, 70)}],
    ids=lambda given: next(iter(given)),
)
def test_what_is_pointed_at_has_a_mask_of_the_photographs_size_and_its_bounds_as_box(
    pointer: Predictor, photo: np.ndarray, given: dict[str, Any]
) -> None:
    found = pointer.propose(photo, **given)
    assert 1 <= len(found) <= (3 if "point" in given else 1)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        assert one.mask is not None and one.mask.shape == (90, 120) and one.mask.dtype == bool
        assert one.box == mask_box(one.mask)


@pytest.mark.parametrize("kind", ["point", "points", "scribble"])
def test_a_description_is_of_the_masks_bounds_and_keeps_the_mask(
    pointer: Predictor, photo: np.ndarray, kind: str
) -> None:
    given: Any = {"point": (30, 40), "points": [(30, 40), (100, 80, False)], "scribble": [(20, 20), (40, 40)]}[kind]
    told = json.loads(json.dumps(pointer.refer(photo, captions=False, **{kind: given}).to_dict()))
    assert list(told["prompt"]) == [kind]
    assert tuple(told["box"]) == mask_box(read_mask(told["mask"], (120, 90)))
    assert RegionResult.from_dict(told).mask == told["mask"]


def test_where_a_point_lies_is_the_same_on_the_photograph_and_for_the_segmenter(
    pointer: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pointer.segmenter is not None
    model, processor = pointer.segmenter.network
    pixels = np.random.default_rng(1).integers(0, 256, (75, 200, 3), dtype=np.uint8)
    asked: dict[str, torch.Tensor] = {}
    monkeypatch.setattr(model, "forward", lambda **given: asked.update(given) or pytest.fail("seen"))
    around = pointer.segmenter.look_around(Photo.read(pixels))
    with pytest.raises(pytest.fail.Exception):
        around.around(np.array([[150, 60]], np.float32), np.array([True]), 1)
    theirs = processor(images=pixels, input_points=[[[[150, 60]]]], return_tensors="pt")["input_points"]
    assert torch.allclose(asked["input_points"], theirs.float())
    with pytest.raises(pytest.fail.Exception):
        around.like((20, 10, 150, 60), 1)
    theirs = processor(images=pixels, input_boxes=[[[20, 10, 150, 60]]], return_tensors="pt")["input_boxes"]
    assert torch.allclose(asked["input_boxes"], theirs.float())


def test_a_photograph_is_embedded_once(
    folders: dict[str, Path], tiny_checkpoint: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.from_pretrained(tiny_checkpoint, device="cpu", segmenter=folders["edgetam"])
    looked: list[Photo] = []
    look_around = Segmenter.look_around

    def counted(self: Segmenter, seen: Photo) -> Embedding:
        looked.append(seen)
        return look_around(self, seen)

    monkeypatch.setattr(Segmenter, "look_around", counted)
    for x in (10, 50, 90):
        predictor.propose(photo, point=(x, 40))
    predictor.refer(photo, point=(20, 20), captions=False)
    predictor.propose(photo.copy(), box=(5, 5, 60, 60))
    assert len(looked) == 1


def test_a_model_without_a_pointing_head_points_by_the_segmenter(
    folders: dict[str, Path], tiny_checkpoint: Path, photo: np.ndarray
) -> None:
    predictor = Predictor.from_pretrained(tiny_checkpoint, device="cpu", segmenter=folders["sam"])
    predictor.model.pointing = None
    assert predictor.can_point and not predictor.can_find
    assert predictor.refer(photo, point=(30, 40), captions=False).mask is not None
    with pytest.raises(InputError, match="cannot point"):
        predictor.propose(photo)


def test_where_the_segmenter_finds_nothing_the_pointing_head_answers(
    folders: dict[str, Path], tiny_checkpoint: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.from_pretrained(tiny_checkpoint, device="cpu", segmenter=folders["sam"])
    monkeypatch.setattr(Embedding, "around", lambda *_: [])
    assert predictor.propose(photo, point=(30, 40))[0].mask is None


def test_the_environment_names_the_segmenter(
    folders: dict[str, Path], tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SEGMENTER, str(folders["sam2"]))
    segmenter = Predictor.from_pretrained(tiny_checkpoint, device="cpu").segmenter
    assert segmenter is not None and segmenter.folder == folders["sam2"]


def test_a_mask_is_exported_as_cocos_segmentation_and_in_our_own_json(pointer: Predictor, photo: np.ndarray) -> None:
    result = pointer.refer(photo, point=(30, 40), captions=False)
    assert result.mask is not None
    mask = read_mask(result.mask, (120, 90))
    record = Record.of(result, "photo.png", (120, 90))
    (annotation,) = json.loads(encode([record], "coco")[0].decode())["annotations"]
    assert annotation["segmentation"] == result.mask and annotation["area"] == mask.sum()
    (entry,) = json.loads(encode([record], "json")[0].decode())
    assert entry["segmentation"] == entry["mask"] == result.mask


def test_tiny_parts_of_a_mask_do_not_spoil_its_box() -> None:
    logits = np.full((64, 64), -1, np.float32)
    logits[10:40, 10:40] = logits[45:60, 10:40] = 3
    logits[2:4, 60:62] = 3
    kept = without_specks(logits) > 0
    assert mask_box(kept) == (10, 10, 40, 60)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("gone", "no segmenter folder"),
        ("someone/not-downloaded", "not on this machine|Hub has no model"),
        ("foreign", "model foreign is no segmenter: .* model_type bert; give EdgeTAM, SAM 2 or SAM"),
        ("list", "model list is no segmenter: .* no model_type"),
        ("no config", "no readable config.json"),
        ("no weights", "has no model.safetensors; download it again"),
        ("no processor", "has no processor_config.json; download it again"),
    ],
)
def test_a_segmenter_that_is_none_is_said_in_one_sentence_at_the_start(
    folders: dict[str, Path], tmp_path: Path, broken: str, sentence: str
) -> None:
    folder = tmp_path / broken
    if "/" not in broken and broken != "gone":
        shutil.copytree(folders["sam"], folder)
    if broken == "foreign":
        (folder / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    elif broken == "list":
        (folder / "config.json").write_text("[]", encoding="utf-8")
    elif broken.startswith("no "):
        names = {"config": "config.json", "weights": "model.safetensors", "processor": "processor_config.json"}
        (folder / names[broken.removeprefix("no ")]).unlink()
    source: str | Path = broken if "/" in broken else folder
    with pytest.raises(InputError, match=sentence) as error:
        Segmenter.find(source, CPU)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("damage", "sentence"), [("cut", "cannot be loaded"), ("other", "cannot be loaded|lack")])
def test_damaged_weights_are_said_in_one_sentence(
    folders: dict[str, Path], tmp_path: Path, damage: str, sentence: str
) -> None:
    folder = Path(shutil.copytree(folders["sam"], tmp_path / "sam"))
    weights = folder / "model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        shutil.copy(folders["edgetam"] / "model.safetensors", weights)
    segmenter = Segmenter.find(folder, CPU)
    assert segmenter is not None
    with pytest.raises(InputError, match=sentence) as error:
        _ = segmenter.network
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", [{"point": (130, 5)}, {"point": (float("nan"), 5)}, {"box": (500, 500, 600, 600)}])
def test_places_outside_are_refused_before_the_segmenter_is_asked(
    folders: dict[str, Path], tiny_checkpoint: Path, photo: np.ndarray, given: dict[str, Any]
) -> None:
    predictor = Predictor.from_pretrained(tiny_checkpoint, device="cpu", segmenter=folders["sam"])
    with pytest.raises(InputError):
        predictor.propose(photo, **given)
    assert predictor.segmenter is not None and "network" not in vars(predictor.segmenter)


def test_a_start_does_not_import_transformers(
    folders: dict[str, Path], tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)  # who imports it fails
    Predictor.from_pretrained(tiny_checkpoint, device="cpu", segmenter=str(folders["sam"]))


def test_a_given_mask_stays_as_it_is(pointer: Predictor, photo: np.ndarray) -> None:
    mask = np.zeros((90, 120), bool)
    mask[20:50, 30:70] = True
    prompt = read_prompt((120, 90), mask=mask)
    assert prompt is not None
    found = pointer.pointed_at(Photo.read(photo), prompt)
    assert found.box == (30, 20, 70, 50) and found.mask is not None and (found.mask == mask).all()
