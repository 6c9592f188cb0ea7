"""Runs of a subprocess: killed at a given point, stopped by a signal, or one step whose gradients are written down.

python run_worker.py ACTION POINT CONFIG DATA OUT CACHE
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

import dynrefer.training.state as state
import dynrefer.training.trainer as trainer
from dynrefer.training.config import TrainConfig
from dynrefer.training.setup import prepare


def end_at(point: str, number: int) -> None:
    """Send `number` to this process when the run reaches `point`: "step K", "state K" (half written) or "best"."""
    place, _, count = point.partition(" ")
    step, sync, save = trainer.Trainer._step, state._sync, trainer.save_checkpoint
    left = [int(count or 1)]

    def reached() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), number)

    def stepping(self: trainer.Trainer, *given: object) -> object:
        reached()
        return step(self, *given)  # type: ignore[arg-type]

    def syncing(path: Path) -> None:
        reached()
        sync(path)

    def saving(*given: object) -> object:
        saved = save(*given)  # type: ignore[arg-type]
        reached()
        return saved

    if place == "step":
        trainer.Trainer._step = stepping  # type: ignore[method-assign, assignment]
    elif place == "state":
        state._sync = syncing
    else:
        trainer.save_checkpoint = saving  # type: ignore[assignment]


def write_gradients(config: str, data: str, out: str, cache: str) -> None:
    """One step on however many processes there are: global loss and gradients into `out`."""
    accelerator = Accelerator(cpu=True)
    settings = TrainConfig.from_json(config)
    setup = prepare(settings, Path(data), None, Path(cache), accelerator.device, print)

    class Recorder(trainer.Trainer):
        def _update(self, step: int, total: Tensor) -> None:
            named = self.model.trainable_parameters()
            found = {name: p.grad.clone() for name, p in named if p.grad is not None}
            if self.accelerator.is_main_process:
                torch.save({"loss": total.detach(), "gradients": found}, out)

    folder = Path(f"{out}-{accelerator.process_index}")
    folder.mkdir()
    Recorder(settings, setup, folder, accelerator).run(1)


if __name__ == "__main__":
    torch.set_num_threads(1)
    action, where, *paths = sys.argv[1:]
    if action == "gradients":
        write_gradients(*paths)
    else:
        end_at(where, signal.SIGKILL if action == "kill" else signal.SIGTERM)
        trainer.train(*paths[:3], cache=paths[3])
