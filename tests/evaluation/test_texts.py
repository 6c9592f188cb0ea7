"""METEOR and CIDEr against pycocoevalcap used directly."""

import shutil

import pytest

from dynrefer.errors import InputError
from dynrefer.evaluation import texts

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="METEOR and its tokenizer need Java")

CAPTIONS = ["A man, riding a horse.", "two dogs on the grass", "a cup"]
REFERENCES = [["A man riding a brown horse", "man on a horse"], ["Dogs playing on grass."], ["a white mug", "the mug"]]


@needs_java
def test_scores_are_those_of_the_coco_caption_challenge() -> None:
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenizer = PTBTokenizer()
    truth = tokenizer.tokenize({i: [{"caption": t} for t in lines] for i, lines in enumerate(REFERENCES)})
    found = tokenizer.tokenize({i: [{"caption": line}] for i, line in enumerate(CAPTIONS)})
    scores = texts.score_captions(CAPTIONS, REFERENCES)
    meteor, meteors = Meteor().compute_score(truth, found)
    assert (scores.meteor, scores.meteors) == (meteor, meteors)
    assert scores.cider == pytest.approx(Cider().compute_score(truth, found)[0])


@needs_java
def test_single_meteor_scores_ignore_case_and_punctuation() -> None:
    scores = texts.meteor_scores(["A Man riding, a horse.", "a cup"], [["a man riding a horse"], ["dogs"]])
    assert scores == [1.0, 0.0]


@needs_java
def test_empty_captions_and_line_ends_inside_a_caption_do_not_shift_the_scores() -> None:
    captions = ["", "two dogs\non the\u2028grass ||| x", "a white mug"]
    meteors = texts.score_captions(captions, REFERENCES).meteors
    assert meteors[0] == 0 < meteors[1] < meteors[2] == 1


def test_missing_java_is_one_sentence_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="install a Java runtime"):
        texts.require_java()


def test_no_captions_score_nothing_and_need_no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert texts.meteor_scores([], []) == []
