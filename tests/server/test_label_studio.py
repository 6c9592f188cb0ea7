"""Label Studio's ML backend, asked as Label Studio's own server asks (label_studio/ml/api_connector.py)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from dynrefer.checkpoint import shipped
from dynrefer.formats import parse
from dynrefer.proposals import Proposal
from dynrefer.results import Attribute, Caption, RegionResult, Scored
from dynrefer.server.label_studio import Backend, Labelling, build_backend

CONFIGURATION = (Path(__file__).parents[2] / "docs/label-studio.xml").read_text("utf-8")
ATTRIBUTES = (Attribute("red", "color", 0.9), Attribute("wet", "state", 0.8), Attribute("white", "color", 0.2))


class FakePredictor:
    """Answers every region with the first of the classes asked for."""

    model_name = "fake"

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Any]] = []

    def propose(self, photo: Any, limit: int) -> list[Proposal]:
        return [Proposal((160.0, 240.0, 480.0, 360.0), 0.9)]

    def refer(self, photo: Any, boxes: Sequence[Any], classes: list[str] | None) -> list[RegionResult]:
        self.asked.append((boxes, classes))
        names = (Scored((classes or ["thing"])[0], 0.75),)
        return [
            RegionResult(box, Caption("a red thing", 0.5), names, (Scored("wood", 0.9),), ATTRIBUTES, (), model="fake")
            for box in boxes
        ]


@pytest.fixture
def fake() -> FakePredictor:
    return FakePredictor()


@pytest.fixture
def client(fake: FakePredictor, tmp_path: Path) -> TestClient:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (640, 480)).save(tmp_path / "photos/cat.png")
    return TestClient(build_backend(Backend(fake, photos=tmp_path / "photos")))  # type: ignore[arg-type]


def rectangle(**more: Any) -> dict[str, Any]:
    value = {"x": 25, "y": 50, "width": 50, "height": 25, "rotation": 0} | more
    item = {"id": "r1", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "value": value}
    return item | {"original_width": 640, "original_height": 480, "image_rotation": 0}


def request(result: list[Any] | None, configuration: str = CONFIGURATION, **task: Any) -> dict[str, Any]:
    """What Label Studio posts to /predict."""
    given = {"id": 5, "data": {"image": "/data/upload/1/0a1b2c3d-cat.png"}, "predictions": [], "annotations": []}
    context = None if result is None else {"result": result}
    return {
        "tasks": [given | task],
        "project": "1.1764180000",
        "label_config": configuration,
        "params": {"login": None, "password": None, "context": context},
    }


def test_it_is_up_and_takes_a_project(client: TestClient) -> None:
    assert client.get("/health").json()["status"] == client.get("/").json()["status"] == "UP"
    given = {"project": "1.1764180000", "schema": CONFIGURATION, "hostname": "http://localhost:8080"}
    given |= {"access_token": "0123", "extra_params": None}
    assert client.post("/setup", json=given).json() == {"model_version": "fake"}
    assert client.post("/webhook", json={"action": "START_TRAINING"}).status_code == 201


def test_the_documented_choices_are_the_models() -> None:
    words = json.loads((shipped("checkpoints/dynrefer-mini") / "vocabulary.json").read_text("utf-8"))["attributes"]
    assert set(Labelling.read(CONFIGURATION).choices) <= {f"{word['type']}: {word['name']}" for word in words}


def test_a_drawn_rectangle_comes_back_with_all_that_the_configuration_asks(
    client: TestClient, fake: FakePredictor
) -> None:
    answer = client.post("/predict", json=request([rectangle()])).json()
    (found,) = answer["results"]
    assert fake.asked == [([(160.0, 240.0, 480.0, 360.0)], ["person", "dog", "cat", "car", "region"])]
    assert (found["score"], found["model_version"], answer["model_version"]) == (0.75, "fake", "fake")
    values = {item["from_name"]: item["value"] for item in found["result"]}
    assert {item["id"] for item in found["result"]} == {"r1"}
    assert values["label"]["rectanglelabels"] == ["person"]
    assert [values["label"][side] for side in ("x", "y", "width", "height")] == [25, 50, 50, 25]
    assert values["caption"]["text"] == ["a red thing"]
    assert values["tags"]["text"] == ["wood"]
    assert values["attributes"]["choices"] == ["color: red", "state: wet"]


def test_of_several_tasks_one_that_cannot_be_answered_costs_itself_alone(client: TestClient) -> None:
    several = request([rectangle()])
    several["tasks"].insert(0, {"id": 4, "data": {"image": "/data/upload/1/missing.png"}})
    missing, found = client.post("/predict", json=several).json()["results"]
    assert (missing["result"], missing["score"]) == ([], 0.0)
    assert found["score"] == 0.75


def test_what_it_answers_reads_as_a_prediction(client: TestClient) -> None:
    answer = client.post("/predict", json=request([rectangle()])).json()
    tasks = [{"data": {"image": "cat.png"}, "predictions": answer["results"]}]
    (record,) = parse(json.dumps(tasks), "tasks.json")
    assert (record.label, record.score, record.caption, record.by) == ("person", 0.75, "a red thing", "model")


def test_only_what_the_configuration_has_is_answered(client: TestClient, fake: FakePredictor) -> None:
    plain = '<View><Image name="photo" value="$picture"/><Rectangle name="box" toName="photo"/></View>'
    task = {"data": {"picture": "cat.png"}}
    (found,) = client.post("/predict", json=request([rectangle()], plain, **task)).json()["results"]
    assert [(item["from_name"], item["to_name"], item["type"]) for item in found["result"]] == [
        ("box", "photo", "rectangle")
    ]
    assert fake.asked[0][1] is None


def test_one_choice_is_the_likeliest(client: TestClient) -> None:
    choices = (
        '<Choices name="colour" toName="image" choice="single"><Choice value="white"/><Choice value="Red"/></Choices>'
    )
    text = f'<View><Image name="image" value="$image"/><RectangleLabels name="l" toName="image"/>{choices}</View>'
    (found,) = client.post("/predict", json=request([rectangle()], text)).json()["results"]
    assert [item["value"]["choices"] for item in found["result"] if item["type"] == "choices"] == [["Red"]]


def test_a_task_without_a_drawing_is_answered_about_the_rectangles_it_has_or_proposals(client: TestClient) -> None:
    (found,) = client.post("/predict", json=request(None)).json()["results"]
    assert found["result"][0]["id"] == "region-1"
    assert found["result"][0]["value"]["width"] == 50
    (found,) = client.post("/predict", json=request(None, annotations=[{"result": [rectangle()]}])).json()["results"]
    assert found["result"][0]["id"] == "r1"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (request([rectangle()], "<View>"), "the labelling configuration is no XML"),
        (request([rectangle()], "<View/>"), "the labelling configuration has no <Image>"),
        (request([rectangle()], '<View><Image name="image" value="$image"/></View>'), "has no <RectangleLabels>"),
        (request([rectangle()], data={"image": "dog.png"}), 'the photograph "dog.png" is not in the folder photos'),
        (request([rectangle(x=200)]), "the box lies outside the 640 x 480 image"),
        ({"label_config": CONFIGURATION, "tasks": "all"}, '"tasks" must be a list of tasks'),
        ([], "the body must be a JSON object"),
    ],
    ids=range(7),
)
def test_what_cannot_be_answered_gets_a_sentence(client: TestClient, given: Any, words: str) -> None:
    answer = client.post("/predict", json=given)
    assert answer.status_code == 422
    assert words in answer.json()["error"][0].lower() + answer.json()["error"][1:]


def test_the_token_goes_to_label_studio_alone(fake: FakePredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Backend(fake, "http://localhost:8080")  # type: ignore[arg-type]
    client = TestClient(build_backend(backend))
    asked: list[str] = []

    async def from_server(url: str) -> bytes:
        asked.append(f"server {url}")
        return b""

    async def elsewhere(url: str) -> bytes:
        asked.append(f"elsewhere {url}")
        return b""

    monkeypatch.setattr(backend, "_from_server", from_server)
    monkeypatch.setattr("dynrefer.server.label_studio.fetch", elsewhere)
    for name in ("/data/upload/1/a.png", "http://localhost:8080/data/a.png", "https://example.org/a.png"):
        assert client.post("/predict", json=request([rectangle()], data={"image": name})).status_code == 422
    assert asked == [
        "server http://localhost:8080/data/upload/1/a.png",
        "server http://localhost:8080/data/a.png",
        "elsewhere https://example.org/a.png",
    ]
    foreign = {"schema": CONFIGURATION, "hostname": "http://other:8080", "access_token": "theirs"}
    client.post("/setup", json=foreign)
    assert backend.token == ""
    client.post("/setup", json=foreign | {"hostname": "http://localhost:8080"})
    assert backend.token == "theirs"
