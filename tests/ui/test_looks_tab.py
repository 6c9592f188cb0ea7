"""The sweep over t and the comparison."""

import re

from dynrefer.results import Attribute
from dynrefer.ui.looks_tab import STEPS, called, follow
from tests.ui.conftest import BOX, Visitor


def test_the_sweep_goes_through_every_t_with_own_class_names(visitor: Visitor) -> None:
    updates = list(visitor.sweep.run(visitor.values(BOX, classes="dog, cat, teapot")))
    shown = [update[visitor.sweep.result] for update in updates if visitor.sweep.result in update]
    assert len(shown) == len(STEPS)
    assert shown[-1].count("<tr>") == 1 + len(STEPS)
    assert {"dog", "cat", "teapot"} <= set(re.findall(r"</i>(\w+)</li>", shown[-1]))


def test_attributes_of_one_name_are_followed_by_their_types() -> None:
    steps = [
        (0.0, (Attribute("white", "color", 0.9), Attribute("white", "hair color", 0.2))),
        (1.0, (Attribute("white", "hair color", 0.6), Attribute("white", "color", 0.4))),
    ]
    lines = follow(steps, lambda entry: entry.key, called)
    assert [(line.name, [point.value for point in line.points]) for line in lines] == [
        ("white (color)", [90, 40]),
        ("white (hair color)", [20, 60]),
    ]


def test_the_box_alone_is_compared_with_the_chosen_views(visitor: Visitor) -> None:
    comparison = visitor.comparison
    values = visitor.values(BOX)
    values |= {choice: choice.value for side in comparison.sides for choice in side}
    shown = comparison.run(values)[comparison.result]
    assert re.findall(r'aria-label="([^"]+)"', shown)[::2] == ["Box alone", "Dynamic: what adds most"]
