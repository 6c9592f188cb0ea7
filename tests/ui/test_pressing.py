"""What a press takes, as the browser is told."""

import base64
from typing import Any

import numpy as np
import pytest

from dynrefer import Predictor, Proposal
from dynrefer.pointing import encode_mask, mask_outline
from dynrefer.ui.finding import FindHandlers, packed
from tests.pointing import Pointing
from tests.ui.conftest import Said, Visitor


@pytest.fixture
def pressing(visitor: Visitor, pointing: Pointing) -> FindHandlers:
    return visitor.finding()


def told(visitor: Visitor, updates: dict[Any, Any]) -> dict[str, Any]:
    """What the picker is told."""
    return updates[visitor.main.stage.picker]


def test_the_browser_gets_the_grid_to_a_fraction_of_a_pixel() -> None:
    size = (4000, 3000)
    boxes = np.random.default_rng(0).uniform(-50, 1, (5, 7, 4)).astype(np.float32) * np.tile(size, 2) / -50
    grid = packed(boxes, size)
    sent = np.frombuffer(base64.b64decode(grid["boxes"]), dtype="<u2").reshape(grid["rows"], grid["columns"], 4)
    assert np.abs(sent / 65535 * np.tile(size, 2) - np.clip(boxes, 0, np.tile(size, 2))).max() < 0.05


def test_a_new_photograph_is_looked_at_once(visitor: Visitor, pressing: FindHandlers) -> None:
    grid = told(visitor, pressing.look(visitor.values()))["grid"]
    assert (grid["rows"], grid["columns"]) == (2, 3)


def test_a_look_that_comes_after_its_photograph_has_gone_is_not_shown(
    visitor: Visitor, pressing: FindHandlers, pointing: Pointing
) -> None:
    pointing.before = lambda: visitor.session.begin("other.png")
    assert "grid" not in told(visitor, pressing.look(visitor.values()))


def test_a_press_is_told_what_there_is_at_its_points(
    visitor: Visitor, pressing: FindHandlers, pointing: Pointing
) -> None:
    points = [[50.5, 40.0, True], [10.0, 10.0, False]]
    found = told(visitor, pressing.point(visitor.values(), Said(points=points)))["pointed"]
    assert found["points"] == points
    assert [one["box"] for one in found["found"]] == [list(box) for box in pointing.boxes]
    assert found["found"][0]["outline"] is not None
    assert found["found"][1]["outline"] is None


def test_a_press_that_is_described_keeps_the_mask_it_took_and_shows_it(
    visitor: Visitor, tiny_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.zeros((150, 200), dtype=bool)
    mask[20:50, 30:70] = True
    other = Proposal((0, 0, 200, 150), 0.9, mask=np.ones_like(mask))
    monkeypatch.setattr(tiny_predictor, "segmenter", "any")
    monkeypatch.setattr(visitor.main, "_propose", lambda *_, **__: [other, Proposal((30, 20, 70, 50), 0.8, mask=mask)])
    said = Said(points=[[50.5, 40.0, True]])
    shape = told(visitor, visitor.main.describe_drawn(visitor.values((30, 20, 70, 50)), said))["shape"]
    assert shape == {"box": [30, 20, 70, 50], "outline": mask_outline(mask)}
    (result,) = visitor.session.album.results
    assert result.mask == encode_mask(mask)
    assert "shape" in told(visitor, visitor.main.clear_answer(visitor.session, 0.5))
    assert told(visitor, visitor.main.clear_answer(visitor.session, 0.5))["shape"] == {}


def test_without_a_pointing_head_the_browser_presses_without_a_grid(
    visitor: Visitor, pressing: FindHandlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Predictor, "can_find", False)
    assert told(visitor, pressing.look(visitor.values()))["grid"]["rows"] == 0


def test_a_press_without_points_is_refused(visitor: Visitor, pressing: FindHandlers) -> None:
    with pytest.raises(Exception, match="as a list"):
        pressing.point(visitor.values(), Said(points="all"))
