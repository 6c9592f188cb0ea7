"""Runs of the tiny model: what comes out, and that being stopped, killed or dealt out to processes changes nothing."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
from collections.abc import Callable
from functools import cache
from importlib import import_module
from itertools import count
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file
from torch import Tensor

from dynrefer.checkpoint import load_checkpoint, save_checkpoint
from dynrefer.datasets.sample import Sample, read_samples, write_samples
from dynrefer.errors import InputError
from dynrefer.training import state
from dynrefer.training.trainer import Trainer, train
from tests.tiny import tiny_model, tiny_vocabulary
from tests.training.conftest import write_data
from tests.training.forked import started
from tests.training.run_worker import train_until_killed, write_gradients

pytestmark = pytest.mark.slow

Write = Callable[..., Path]
PATIENCE = 900  # seconds for a process that only has to start: others may keep the machine busy


@pytest.fixture
def write(tmp_path: Path, settings: dict[str, Any]) -> Write:
    """Writes the small configuration with changes."""

    def write(name: str = "changed", **changes: Any) -> Path:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(settings | changes))
        return path

    return write


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """Sums come out in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def ended(*processes: ForkServerProcess) -> list[int | None]:
    """The exit code of each; none outlives this call."""
    try:
        for process in processes:
            process.join(PATIENCE)
        return [process.exitcode for process in processes]
    finally:
        for process in processes:
            process.kill()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def final_state(out: Path) -> dict[str, Tensor]:
    return load_file(out / "state.safetensors")


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert different == []


def test_a_run_leaves_checkpoints_that_load(undisturbed: Path) -> None:
    best, last = (load_checkpoint(undisturbed / name) for name in ("best", "last"))
    assert best.name == last.name == "tiny"
    assert any((undisturbed / "curves").iterdir())


def assert_ends_as(undisturbed: Path, run: Path) -> None:
    assert_same(final_state(run), final_state(undisturbed))
    for name in ("best", "last"):
        file = Path(name) / "model.safetensors"
        assert_same(load_file(run / file), load_file(undisturbed / file))


def test_a_killed_run_ends_with_the_same_weights(
    undisturbed: Path, config: Path, data: Path, features: Path, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    assert ended(started(said, train_until_killed, 3, config, data, tmp_path / "run", features)) == [-signal.SIGKILL], (
        said.read_text()
    )
    train(config, data, tmp_path / "run", cache=features)
    assert_ends_as(undisturbed, tmp_path / "run")


class Killed(BaseException):
    """As sudden as an exception can be."""


@pytest.mark.parametrize(
    ("place", "call"),
    [("dynrefer.training.state.save_file", 3), ("dynrefer.training.trainer.save_checkpoint", 1)],
    ids=["state half written", "best just written"],
)
def test_a_run_that_broke_while_writing_ends_with_the_same_weights(
    place: str,
    call: int,
    undisturbed: Path,
    config: Path,
    data: Path,
    features: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, _, name = place.rpartition(".")
    write, calls = getattr(import_module(module), name), count(1)

    def breaking(*given: Any, **more: Any) -> Any:
        written = write(*given, **more)
        if next(calls) == call:
            raise Killed
        return written

    with monkeypatch.context() as patched:
        patched.setattr(place, breaking)
        with pytest.raises(Killed):
            train(config, data, tmp_path / "run", cache=features)
    train(config, data, tmp_path / "run", cache=features)
    assert_ends_as(undisturbed, tmp_path / "run")


def test_sigterm_saves_the_step_at_hand_and_stops(
    undisturbed: Path,
    config: Path,
    data: Path,
    features: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = Trainer._step

    def stepping(self: Trainer, number: int, *given: Any) -> Any:
        if number == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, number, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", stepping)
        assert train(config, data, tmp_path / "run", cache=features) is None
    assert "stopped after step 3" in "".join(capfd.readouterr())
    assert not (tmp_path / "run" / "last").exists()
    train(config, data, tmp_path / "run", cache=features)
    assert_ends_as(undisturbed, tmp_path / "run")


@pytest.mark.parametrize("fused", [True, False])
def test_the_optimisers_moments_go_where_its_kernels_want_them(fused: bool) -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(2, 2, device="meta"))  # stands for a GPU

        def trainable_parameters(self) -> Any:
            return self.named_parameters()

    model: Any = Model()
    optimiser = torch.optim.AdamW(model.parameters())
    optimiser.param_groups[0]["fused"] = fused
    moments = {"exp_avg": torch.zeros(2, 2), "exp_avg_sq": torch.zeros(2, 2), "step": torch.tensor(7.0)}
    saved = {f"optimiser/weight/{name}": value for name, value in moments.items()}
    state._restore(saved | {"model/weight": torch.zeros(2, 2)}, model, optimiser, None)
    found = optimiser.state[model.weight]
    assert {name: value.device.type for name, value in found.items()} == {
        "exp_avg": "meta",
        "exp_avg_sq": "meta",
        "step": "meta" if fused else "cpu",
    }


def test_max_steps_stops_and_the_next_call_goes_on(
    undisturbed: Path, config: Path, data: Path, features: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="--max-steps must be 1 or more"):
        train(config, data, tmp_path / "run", cache=features, max_steps=0)
    assert train(config, data, tmp_path / "run", cache=features, max_steps=3) is None
    assert train(config, data, tmp_path / "run", cache=features) == tmp_path / "run" / "best"
    assert_same(final_state(tmp_path / "run"), final_state(undisturbed))


@pytest.fixture(scope="module")
def gradients(
    tmp_path_factory: pytest.TempPathFactory, settings: dict[str, Any], samples: list[Sample], features: Path
) -> Callable[..., dict[str, Any]]:
    """Loss and gradients of one step of the paper's objective without dropout, each way computed once."""
    folder = tmp_path_factory.mktemp("gradients")
    data = write_data(folder / "data", samples)
    quiet: dict[str, Any] = {"resampler": {"dropout": 0.0}, "decoder": {"dropout": 0.0}}
    quiet["language"] = {"options": {"dropout_rate": 0.0}}

    @cache
    def gradients(processes: int = 1, accumulate: int = 1) -> dict[str, Any]:
        out = folder / f"{processes}-{accumulate}"
        config = folder / f"{out.name}.json"
        config.write_text(json.dumps(settings | {"model": quiet, "weights": {}, "texts": {}, "accumulate": accumulate}))
        if processes == 1:
            write_gradients(config, data, out, features)
        else:
            group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
            given = (folder / "said", write_gradients, config, data, out, features)
            ranks = [started(*given, **group, RANK=str(n), LOCAL_RANK=str(n)) for n in range(processes)]
            assert ended(*ranks) == [0] * processes, given[0].read_text()
        return torch.load(out, weights_only=True)

    return gradients


def test_accumulated_parts_give_the_gradient_of_the_whole_batch(gradients: Callable[..., dict[str, Any]]) -> None:
    assert_close(gradients(), gradients(accumulate=2))


def test_two_processes_give_loss_and_gradient_of_one_with_the_doubled_batch(
    gradients: Callable[..., dict[str, Any]],
) -> None:
    assert_close(gradients(), gradients(processes=2))


def assert_close(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=1e-5)
    assert one["gradients"].keys() == other["gradients"].keys()
    for name, value in one["gradients"].items():
        assert torch.allclose(value, other["gradients"][name], rtol=1e-3, atol=1e-6), name


def test_gradients_reach_exactly_the_trainable_set(
    gradients: Callable[..., dict[str, Any]], tiny_checkpoint: Path
) -> None:
    found = gradients()["gradients"]
    trainable = {name for name, _ in load_checkpoint(tiny_checkpoint).model.trainable_parameters()}
    assert trainable == found.keys()
    assert not any(name.startswith(("encoder.", "text_encoder.")) for name in trainable)
    still = {name for name, value in found.items() if name.endswith("weight") and not value.any()}
    assert still <= {"align.deform.offset_mask_dw.weight"}  # behind a layer that starts at zero


@pytest.mark.parametrize(
    ("changes", "still"),
    [
        ({"weights": {"tag": 0}}, "tagging."),
        ({"weights": {"caption": 0}}, "language."),
        ({"weights": {"contrast": 0}}, "contrast."),
    ],
)
def test_a_decoder_that_is_off_stays_as_it_was(
    changes: dict[str, Any], still: str, write: Write, data: Path, features: Path, tmp_path: Path
) -> None:
    config = write(**changes, texts={}, steps=2, validate_every=9)
    train(config, data, tmp_path / "run", cache=features)
    start = load_checkpoint(json.loads(config.read_text())["init"]).model.state_dict()
    end = load_checkpoint(tmp_path / "run" / "last").model.state_dict()
    moved = {name for name in start if not torch.allclose(start[name], end[name], atol=2e-3)}
    assert not any(name.startswith(still) for name in moved)
    assert {"resampler", "align"} <= {name.split(".")[0] for name in moved}


@pytest.mark.parametrize("changes", [{"num_views": 2, "align": {"enabled": False}}, {"num_views": 1}])
def test_views_and_alignment_can_be_changed(
    changes: dict[str, Any], write: Write, data: Path, features: Path, tmp_path: Path
) -> None:
    train(write(model=changes, steps=2), data, tmp_path / "run", cache=features)
    model = load_checkpoint(tmp_path / "run" / "last").model
    assert model.config.num_views == changes.get("num_views", 3)
    assert (model.align.deform is None) == ("align" in changes or changes.get("num_views") == 1)


@pytest.mark.parametrize(
    "views", [{}, {"stochastic": False, "fixed": [0.2, 0.6]}, {"nested": False}, {"keep_region": False}]
)
def test_photographs_train_without_a_cache(views: dict[str, Any], write: Write, data: Path, tmp_path: Path) -> None:
    config = write(
        cache={}, views=views, steps=1, workers=0, batch_size=2, augment={"mirror": 0.5, "jitter": 0.06, "colour": 0.2}
    )
    assert train(config, data, tmp_path / "run") == tmp_path / "run" / "best"


def break_photographs(data: Path, rows: tuple[int, ...]) -> None:
    """Put files that are no photographs in the place of those of some samples."""
    records = [json.loads(line) for line in (data / "samples.jsonl").read_text().splitlines()]
    for row in rows:
        broken = data / f"broken-{row}.png"
        broken.write_bytes(b"no photograph")
        records[row]["image"] = str(broken)
    (data / "samples.jsonl").write_text("\n".join(map(json.dumps, records)))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_photograph_is_left_out_and_named(
    workers: int, write: Write, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    break_photographs(data, (3, 13))  # one of 12, and one of 4 to validate with
    config = write(cache={}, steps=3, batch_size=4, validate_every=3, workers=workers)
    assert train(config, data, tmp_path / "run") == tmp_path / "run" / "best"
    said = "".join(capfd.readouterr())
    assert "broken-3.png: " in said and "broken-13.png: " in said


def test_many_unreadable_photographs_end_the_run(write: Write, data: Path, tmp_path: Path) -> None:
    break_photographs(data, (3, 4, 5))
    with pytest.raises(
        InputError, match=r"[23] of 12 photographs cannot be read, more than 1 %; the first is .*broken"
    ):
        train(write(cache={}, steps=3, batch_size=4, validate_every=9, workers=0), data, tmp_path / "run")


def test_a_full_disk_stops_with_a_sentence_and_keeps_the_finished_state(
    config: Path, data: Path, features: Path, tmp_path: Path
) -> None:
    train(config, data, tmp_path / "run", cache=features, max_steps=2)
    finished = (tmp_path / "run" / "state.safetensors").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(InputError, match="could not be written"):
            train(config, data, tmp_path / "run", cache=features)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == finished


def test_a_folder_with_another_run_is_refused(undisturbed: Path, write: Write, data: Path, features: Path) -> None:
    with pytest.raises(InputError, match="choose another --out"):
        train(write(batch_size=2), data, undisturbed, cache=features)


def test_a_damaged_state_is_named(config: Path, data: Path, features: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "state.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"state\.safetensors is damaged"):
        train(config, data, tmp_path / "run", cache=features)


def test_a_start_is_needed(write: Write, data: Path, features: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--init"):
        train(write(init=None), data, tmp_path / "run", cache=features)


def test_data_without_training_samples_are_refused(config: Path, data: Path, features: Path, tmp_path: Path) -> None:
    write_samples(read_samples(data / "samples.jsonl", "val"), data / "samples.jsonl")
    with pytest.raises(InputError, match="no sample of the split 'train'"):
        train(config, data, tmp_path / "run", cache=features)


def test_a_folder_that_another_run_holds_is_refused(config: Path, data: Path, features: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / "lock"), pytest.raises(InputError, match="Another process trains"):
        train(config, data, tmp_path / "run", cache=features)


def test_a_cache_of_another_encoder_is_refused(write: Write, data: Path, features: Path, tmp_path: Path) -> None:
    model = tiny_model(seed=1)
    assert model.text_encoder is not None
    other = save_checkpoint(tmp_path / "other", model, tiny_vocabulary().embedded(model.text_encoder), torch.float32)
    with pytest.raises(InputError, match="another image encoder"):
        train(write(), data, tmp_path / "run", init=other, cache=features)
