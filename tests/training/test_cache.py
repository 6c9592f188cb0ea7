"""Cached features: what is stored, that work goes on where it stopped, and what happens to bad photographs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dynrefer.checkpoint import load_checkpoint
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError
from dynrefer.model import DynRefer
from dynrefer.photo import Photo
from dynrefer.training.cache import BAD, DONE, PENDING, FeatureCache, build_cache
from dynrefer.training.config import AugmentConfig, CacheConfig, TrainConfig
from dynrefer.views import boxes_in_views, crop_views, view_boxes

CACHE, AUGMENT = CacheConfig(drawn=1, variants=2), AugmentConfig(jitter=0.06, colour=0.2)


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> DynRefer:
    return load_checkpoint(tiny_checkpoint).model


@pytest.fixture(scope="module")
def believing(model: DynRefer) -> DynRefer:
    """The same model, whose encoder passes its classifier's belief on as well."""
    encoder = replace(model.config.encoder, belief=True)
    changed = DynRefer(replace(model.config, encoder=encoder)).eval()
    changed.load_state_dict(model.state_dict(), strict=False)
    return changed


def build(samples: list[Sample], model: DynRefer, folder: Path, **changed: float) -> FeatureCache:
    cache = replace(CACHE, **{name: value for name, value in changed.items() if hasattr(CACHE, name)})
    augment = replace(AUGMENT, **{name: value for name, value in changed.items() if hasattr(AUGMENT, name)})
    return build_cache(samples, model, folder, TrainConfig(cache=cache, augment=augment, precision="fp32"))


def test_features_are_those_of_the_products_own_views(samples: list[Sample], model: DynRefer, tmp_path: Path) -> None:
    sample = samples[0]
    cache = build([sample], model, tmp_path)
    image = Photo.read(sample.image).pixels
    size, side = (image.shape[1], image.shape[0]), model.config.encoder.image_size
    views = view_boxes(sample.box, size, cache.coefficients[0, 0])
    tokens = model.encode(model.normalize(torch.from_numpy(crop_views(image, views, side))))
    cuts = model.align.cut(tokens, torch.from_numpy(boxes_in_views(sample.box, views, size, side)))
    assert np.allclose(cache.features[0, 0], cuts.detach().numpy(), atol=2e-2)


def test_the_classifiers_belief_is_kept_with_the_features(
    samples: list[Sample], model: DynRefer, believing: DynRefer, tmp_path: Path
) -> None:
    plain = build(samples[:1], model, tmp_path / "plain").features[0, 0]
    kept = torch.from_numpy(build(samples[:1], believing, tmp_path / "believing").features[0, 0].astype(np.float32))
    first, count = believing.config.encoder.global_tokens, believing.config.encoder.belief_tokens
    belief = kept[:, first : first + count].flatten(1)
    assert (belief >= 0).all()
    assert torch.allclose(belief.sum(1), torch.ones(len(belief)), atol=1e-2)
    assert np.allclose(np.delete(kept.numpy(), range(first, first + count), 1), plain.astype(np.float32), atol=2e-2)


def test_a_cache_without_belief_is_refused_by_a_model_that_wants_it(
    samples: list[Sample], model: DynRefer, believing: DynRefer, tmp_path: Path
) -> None:
    build(samples[:1], model, tmp_path)
    with pytest.raises(InputError, match="another image encoder"):
        build(samples[:1], believing, tmp_path)


def test_views_begin_with_the_region_and_end_with_the_image(
    samples: list[Sample], model: DynRefer, tmp_path: Path
) -> None:
    cache = build(samples[:2], model, tmp_path)
    assert (cache.coefficients[..., 0] == 0).all()
    assert (cache.coefficients[..., -1] == 1).all()
    assert ((cache.coefficients[..., 1] > 0) & (cache.coefficients[..., 1] < 1)).all()


def test_the_second_variant_is_mirrored(samples: list[Sample], model: DynRefer, tmp_path: Path) -> None:
    cache = build(samples[1:2], model, tmp_path)
    plain, mirrored = cache.geometry[0]
    assert mirrored[0] == pytest.approx(1 - plain[2], abs=0.06)
    assert mirrored[2] == pytest.approx(1 - plain[0], abs=0.06)


def test_an_interrupted_cache_is_finished_without_doing_the_rest_again(
    samples: list[Sample], model: DynRefer, tmp_path: Path
) -> None:
    whole = np.array(build(samples[:2], model, tmp_path).features)
    writable = FeatureCache(tmp_path, "r+")
    writable.state[1, 1] = PENDING
    writable.features[1, 1] = 0
    writable.features[0, 0] = 7
    again = build(samples[:2], model, tmp_path)
    assert (again.state[:] == DONE).all()
    assert np.array_equal(again.features[1, 1], whole[1, 1])
    assert (again.features[0, 0] == 7).all()


def test_a_cache_of_other_samples_is_refused(samples: list[Sample], model: DynRefer, tmp_path: Path) -> None:
    build(samples[:1], model, tmp_path)
    with pytest.raises(InputError, match="caches other samples"):
        build(samples[1:2], model, tmp_path)


@pytest.mark.parametrize("change", [{"drawn": 2}, {"variants": 3}, {"jitter": 0.3}, {"colour": 0.5}])
def test_a_complete_cache_of_other_settings_is_refused(
    change: dict[str, float], samples: list[Sample], model: DynRefer, tmp_path: Path
) -> None:
    build(samples[:1], model, tmp_path)
    [(name, value)] = change.items()
    made = getattr(CACHE, name, None) or getattr(AUGMENT, name)
    with pytest.raises(InputError, match=f"made with {name} {made} instead of {value}"):
        build(samples[:1], model, tmp_path, **change)


def test_samples_outside_of_training_have_as_many_views_as_are_asked_for(
    samples: list[Sample], model: DynRefer, tmp_path: Path
) -> None:
    [cached] = build(samples[-1:], model, tmp_path, drawn=4, variants=1).coefficients
    assert cached[0].tolist() == pytest.approx([0, 0.3, 0.6, 0.1, 0.8, 1])


def test_a_cache_of_more_samples_is_used_without_encoding(
    samples: list[Sample], model: DynRefer, tmp_path: Path
) -> None:
    build(samples[:2], model, tmp_path)
    writable = FeatureCache(tmp_path, "r+")
    writable.features[1, 0] = 7
    assert (build(samples[1:2], model, tmp_path).features[1, 0] == 7).all()


def away(sample: Sample, folder: Path) -> Sample:
    return replace(sample, image=folder / "away.png", sample_id="away")


def test_a_photograph_that_was_away_once_is_tried_again(
    samples: list[Sample], model: DynRefer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    two = [away(samples[0], tmp_path), samples[1]]
    first = build(two, model, tmp_path / "cache")
    assert "away.png" in "".join(capfd.readouterr())
    assert first.state.tolist() == [[BAD, BAD], [DONE, DONE]]
    assert [first.is_usable(first.row(sample)) for sample in two] == [False, True]
    shutil.copy(samples[0].image, two[0].image)
    assert (build(two, model, tmp_path / "cache").state[:] == DONE).all()


def test_a_photograph_of_another_size_than_annotated_is_bad(
    samples: list[Sample], model: DynRefer, tmp_path: Path
) -> None:
    wrong = replace(samples[0], image_size=(640, 480))
    assert build([wrong, samples[1]], model, tmp_path).state.tolist() == [[BAD, BAD], [DONE, DONE]]


def test_many_bad_photographs_end_the_run_and_one_of_this_run_is_named(
    samples: list[Sample], model: DynRefer, tmp_path: Path
) -> None:
    three = [away(samples[0], tmp_path), samples[1], samples[2]]
    build(three, model, tmp_path / "cache")
    shutil.copy(samples[0].image, three[0].image)
    gone = [three[0], *(replace(samples[n], image=tmp_path / f"gone-{n}.png") for n in (1, 2))]
    writable = FeatureCache(tmp_path / "cache", "r+")
    writable.state[1:] = PENDING
    with pytest.raises(
        InputError, match=r"2 of 3 photographs cannot be read, more than 1 %; the first is .*gone-1\.png"
    ):
        build(gone, model, tmp_path / "cache")


def test_samples_that_were_never_cached_are_named(samples: list[Sample], model: DynRefer, tmp_path: Path) -> None:
    cache = build(samples[:1], model, tmp_path)
    with pytest.raises(InputError, match=r"train-1"):
        cache.row(samples[1])
