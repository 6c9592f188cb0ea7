from pathlib import Path

import torch

from dynrefer.datasets.sample import RegionText, Sample
from recipes.mini.targets import FALSE, TRUE, UNKNOWN, TagLabels
from recipes.mini.vocabulary import Words

TAGS = ("dog", "bridge", "puppy", "red", "blue", "wooden", "shiny")
WORDS = Words(("dog", "bridge", "puppy"), TAGS, ("dog", "red", "blue", "wooden"), frozenset())


def labels() -> TagLabels:
    embeddings = torch.eye(len(TAGS))
    embeddings[TAGS.index("puppy")] = embeddings[TAGS.index("dog")]  # alike
    return TagLabels(WORDS, embeddings)


def region(text: str, photo: str = "flickr/images/1.jpg", attributes: tuple[int, ...] | None = None) -> Sample:
    source = "phrase" if photo.startswith("flickr") else "described"
    return Sample(
        image=Path(photo),
        image_id="1",
        image_size=(100, 100),
        box=(0, 0, 50, 50),
        texts=(RegionText(text, source),),
        sample_id="1",
        split="train",
        tags=tuple(text.split()),
        attributes=attributes,
        photo=photo,
    )


def found(sample: Sample, names: list[str]) -> dict[str, int]:
    return dict(zip(TAGS, labels().of(sample, names).tolist(), strict=True))


def test_qualities_that_nobody_said_are_unknown() -> None:
    tags = found(region("a dog"), ["dog"])

    assert (tags["dog"], tags["red"], tags["wooden"], tags["shiny"]) == (TRUE, UNKNOWN, UNKNOWN, UNKNOWN)


def test_other_names_are_false_unless_they_are_like_one_that_was_said() -> None:
    tags = found(region("a dog"), ["dog"])

    assert (tags["bridge"], tags["puppy"]) == (FALSE, UNKNOWN)


def test_who_says_red_denies_blue() -> None:
    tags = found(region("a red dog"), ["dog"])

    assert (tags["red"], tags["blue"], tags["wooden"]) == (TRUE, FALSE, UNKNOWN)


def test_labelled_regions_leave_open_only_qualities_that_are_no_attributes() -> None:
    tags = found(region("dog", photo="train/1.jpg", attributes=(1, 0)), ["dog"])

    assert (tags["red"], tags["wooden"], tags["shiny"]) == (FALSE, FALSE, UNKNOWN)


def test_a_region_of_which_no_tag_is_known_teaches_none() -> None:
    assert set(found(region("an axolotl"), ["axolotl"]).values()) == {UNKNOWN}
