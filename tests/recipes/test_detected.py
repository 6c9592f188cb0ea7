"""A detector's classes beside people's own words."""

from pathlib import Path

from dynrefer.datasets.sample import RegionText, Sample
from recipes.mini.detected import added, classed, surest

DOG = ((10.0, 10.0, 60.0, 60.0), "dog", 0.8)
CAT = ((11.0, 10.0, 60.0, 60.0), "cat", 0.6)


def region(photo: str = "flickr/images/1.webp", split: str = "train", box: tuple[float, ...] = DOG[0]) -> Sample:
    return Sample(
        image=Path(photo),
        image_id="1",
        image_size=(100, 100),
        box=box,  # type: ignore[arg-type]
        texts=(RegionText("a brown puppy", "phrase"),),
        sample_id="one",
        split=split,
        photo=photo,
    )


def test_a_region_where_something_was_detected_gets_its_class() -> None:
    assert classed(region(), [DOG]).class_name == "dog"


def test_a_region_beside_it_gets_none() -> None:
    assert classed(region(box=(50.0, 50.0, 90.0, 90.0)), [DOG]).class_name is None


def test_regions_to_validate_on_and_named_things_keep_what_they_have() -> None:
    assert classed(region(split="val"), [DOG]).class_name is None
    assert classed(region(photo="named/images/1.jpg"), [DOG]).class_name is None


def test_the_surest_of_two_classes_in_one_place_stays() -> None:
    assert surest([CAT, DOG]) == [DOG]


def test_what_nobody_boxed_is_added_with_no_text_but_its_class() -> None:
    far = ((65.0, 65.0, 95.0, 95.0), "cat", 0.7)
    found = added([classed(region(), [DOG])], {"flickr/images/1.webp": [DOG, far]})
    assert [(sample.box, sample.class_name, sample.texts) for sample in found] == [
        (far[0], "cat", (RegionText("a cat", "class"),))
    ]


def test_nothing_is_added_to_photographs_that_are_validated_on() -> None:
    assert added([region(split="val")], {"flickr/images/1.webp": [DOG]}) == []
