"""What the shipped weights say, asked as a user would, about every example of the page."""

import re
from collections.abc import Sequence

import pytest

from dynrefer import Predictor
from dynrefer.checkpoint import shipped
from dynrefer.examples import Example, read_examples
from dynrefer.results import RegionResult

# Where a caption turns from the thing itself to what is around it: "cup | on a saucer", "man | riding a horse".
TURN = re.compile(
    r"\b(?:in|on|at|with|by|near|beside|behind|under|over|through|across|against|from|next to|in front of"
    r"|holding|wearing|riding|(?:and|or) (?:an?|the))\b"
)
Said = list[tuple[Example, RegionResult]]


def names_it(caption: str, names: Sequence[str]) -> bool:
    """Whether the caption's own thing, not one that it mentions beside it, has one of these names."""
    thing = TURN.split(caption.lower(), maxsplit=1)[0]
    return re.search(rf"\b(?:{'|'.join(map(re.escape, names))})(?:e?s)?\b", thing) is not None


@pytest.fixture(scope="module")
def said() -> Said:
    """Every example with what the model says of it: no option given, the class list the model's own."""
    predictor = Predictor.from_pretrained(shipped("checkpoints/dynrefer-mini"), device="cpu")
    examples = read_examples()
    answers = predictor.refer_many((example.path, [example.box]) for example in examples)
    return [(example, result) for example, (result,) in zip(examples, answers, strict=True)]


def told(said: Said) -> str:
    """A line for each example, for whoever reads that the test failed."""
    lines = []
    for example, result in said:
        assert result.caption
        classes = ", ".join(f"{one.name} {one.score:.2f}" for one in result.classes[:3])
        right = "class " if result.classes[0].name in example.names else "      "
        right += "caption" if names_it(result.caption.text, example.names) else "       "
        lines.append(f'{example.title:13}right: {right}  {classes}; "{result.caption.text}"')
    return "\n" + "\n".join(lines)


def test_the_best_class_is_right_for_16_of_18_examples(said: Said) -> None:
    right = [example.title for example, result in said if result.classes[0].name in example.names]
    assert len(said) == 18
    assert len(right) >= 16, told(said)


def test_the_caption_names_the_right_thing_for_12_of_18_examples(said: Said) -> None:
    right = [
        example.title for example, result in said if result.caption and names_it(result.caption.text, example.names)
    ]
    assert len(said) == 18
    assert len(right) >= 12, told(said)


@pytest.mark.parametrize(
    ("caption", "names", "right"),
    [
        ("A loggerhead turtle swimming in the sea", ["turtle"], True),
        ("two white cups on a table", ["cup"], True),
        ("a slice of pizza", ["pizza"], True),
        ("a cup with a spoon", ["spoon"], False),
        ("a cup and a spoon", ["spoon"], False),
        ("a man riding a horse", ["horse"], False),
        ("an airplane flying over a bridge", ["bridge"], False),
        ("a carpet", ["car"], False),
    ],
)
def test_a_caption_is_right_by_its_own_thing(caption: str, names: list[str], right: bool) -> None:
    assert names_it(caption, names) is right
