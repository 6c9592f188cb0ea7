"""Pointing over HTTP: what stands in the place of boxes, and what is found."""

import base64
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from dynrefer import Predictor
from dynrefer.pointing import read_mask
from dynrefer.server.app import build_service
from dynrefer.server.schema import EXAMPLE_REGION, Proposed
from tests.server.conftest import BOX, FakePredictor, picture


def body(**options: Any) -> dict[str, Any]:
    return {"image": base64.b64encode(picture()).decode(), "options": options}


def test_a_point_stands_in_the_place_of_boxes_and_the_answer_says_so(client: TestClient) -> None:
    (region,) = client.post("/v1/regions", json=body(point=[20, 30], num_views=2)).json()["regions"]
    assert region["prompt"] == {"point": [20, 30]}
    assert region["box"] == BOX


def test_the_answer_has_the_mask_that_a_segmenter_made(client: TestClient, fake: FakePredictor) -> None:
    fake.mask = np.zeros((90, 120), bool)
    fake.mask[10:50, 10:60] = True
    (region,) = client.post("/v1/regions", json=body(point=[20, 30])).json()["regions"]
    assert set(region) == set(EXAMPLE_REGION)
    assert (read_mask(region["mask"], (120, 90)) == fake.mask).all()


def test_a_stream_says_it_too(client: TestClient) -> None:
    answer = client.post("/v1/regions", json=body(scribble=[[20, 30], [25, 30]]) | {"stream": True})
    assert '"prompt": {"scribble": [[20.0, 30.0], [25.0, 30.0]]}' in answer.text


def test_proposals_have_the_fields_of_the_schema(predictor: Predictor) -> None:
    with TestClient(build_service(predictor, token="")) as client:
        answer = client.post("/v1/propose", json=body(words=["dog", "cup"], limit=3)).json()
    assert 1 <= len(answer["proposals"]) <= 3 and answer["model"] == "tiny"
    for proposal in answer["proposals"]:
        assert set(proposal) == set(Proposed.model_fields)
        assert set(proposal["words"]) == {"dog", "cup"}


@pytest.mark.parametrize(
    ("path", "given", "told"),
    [
        ("regions", body(point=[5000, 30]), "point lies outside"),
        ("regions", body(point=[20, 30], scribble=[[1, 1]]), "one of point, scribble"),
        ("regions", body(point=[20, 30]) | {"boxes": [BOX]}, "either boxes or point"),
        ("regions", body(mask="/etc/passwd"), "must be a polygon or"),
        ("regions", body(points=[[1, 1]] * 10_000), "10000 were given"),
        ("regions", body(), "no box"),
        ("propose", body(words=[]), "no word to look for"),
        ("propose", body(colour="red"), "options of propose are point, points, box, words, limit"),
        ("propose", body() | {"boxes": [BOX]}, "no field"),
        ("propose", body(box=BOX, point=[20, 30]), "either a box or point, not both"),
        ("propose", body(box=[500, 500, 600, 600]), "outside"),
    ],
)
def test_what_cannot_be_pointed_with_is_refused(predictor: Predictor, path: str, given: Any, told: str) -> None:
    with TestClient(build_service(predictor, token="")) as client:
        answer = client.post(f"/v1/{path}", json=given)
    assert answer.status_code == 422
    assert told in answer.json()["error"]
