"""What captions are measured against, and what is told of their wording."""

from pathlib import Path

import pytest

from dynrefer.datasets.sample import RegionText, Sample, Source
from dynrefer.errors import InputError
from dynrefer.evaluation import captions
from dynrefer.evaluation.benchmark import EvaluationData, Scores
from dynrefer.evaluation.captions import Captions
from dynrefer.evaluation.meteor import CaptionScores, Meteor


@pytest.fixture(autouse=True)
def scores_without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR and CIDEr have tests of their own."""
    monkeypatch.setattr(captions, "score_captions", lambda found, texts, _: CaptionScores(0.2, 1.5, [], []))


def described(number: int, texts: dict[Source, str], side: float = 50, name: str | None = None) -> Sample:
    told = tuple(RegionText(text, source) for source, text in texts.items())
    box = (0.0, 0.0, side, side)
    return Sample(Path(f"{number}.jpg"), str(number), (100, 100), box, told, str(number), "val", name=name)


def load(*samples: Sample, min_area: float = 0.0) -> Captions:
    return Captions.load(EvaluationData("Flickr30k Entities val", Path(), samples), Meteor(), min_area=min_area)


def scored(benchmark: Captions, *texts: str) -> Scores:
    return benchmark.score({r.key: {"caption": text} for r, text in zip(benchmark.regions, texts, strict=True)})


def value(scores: Scores, metric: str) -> float:
    return next(figure.value for figure in scores.figures if figure.metric == metric)


def test_phrases_and_sentences_of_a_region_are_its_references_and_the_protocol_says_so() -> None:
    benchmark = load(
        described(1, {"phrase": "a little girl", "human": "A little girl is climbing.", "class": "people"}),
        described(2, {"phrase": "a wooden house"}),
        described(3, {"whole": "A girl climbs into a house."}),
    )
    assert benchmark.truth == [["a little girl", "A little girl is climbing."], ["a wooden house"]]
    protocols = {figure.protocol for figure in scored(benchmark, "a girl", "a house").figures}
    assert "Flickr30k Entities val, phrases and sentences by people, all regions" in protocols


def test_only_boxes_above_a_share_of_their_photograph_count_where_one_is_given() -> None:
    small, large = described(1, {"phrase": "a ball"}, side=20), described(2, {"phrase": "a house"}, side=30)
    benchmark = load(small, large, min_area=0.05)
    assert benchmark.samples == [large]
    assert "boxes above 0.05 of the photograph" in scored(benchmark, "a house").figures[0].protocol
    with pytest.raises(InputError, match="no regions with captions"):
        load(small, min_area=0.05)


def test_the_noun_is_right_by_the_data_sets_name_or_else_by_the_head_noun() -> None:
    benchmark = load(
        described(1, {"phrase": "a brown animal"}, name="dog"),
        described(2, {"phrase": "a brown puppy in the grass"}),
        described(3, {"phrase": "two boys"}),
    )
    assert value(scored(benchmark, "a puppy", "a tree", "a child on grass"), "right noun") == pytest.approx(200 / 3)


def test_slips_and_equal_captions_are_counted_by_region() -> None:
    benchmark = load(*(described(number, {"phrase": "a tree"}) for number in range(4)))
    scores = scored(benchmark, "a trees", "a trees", "a tree", "a green tree")
    assert value(scores, "captions with a slip of grammar") == 50.0
    assert value(scores, "different captions") == 75.0
    assert scores.details["slips of grammar, most frequent"] == {"a trees": 2}
