"""Runs in processes of their own: killed at a given step, or one step whose gradients are written down."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from dynrefer.training import trainer
from dynrefer.training.config import TrainConfig
from dynrefer.training.setup import prepare


def train_until_killed(number: int, config: Path, data: Path, out: Path, cache: Path) -> None:
    """Train, and kill this process as the run begins its step `number`, counted from 0."""
    step = trainer.Trainer._step

    def stepping(self: trainer.Trainer, at: int, *given: object) -> object:
        if at == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, at, *given)  # type: ignore[arg-type]

    trainer.Trainer._step = stepping  # type: ignore[method-assign, assignment]
    trainer.train(config, data, out, cache=cache)


def write_gradients(config: Path, data: Path, out: Path, cache: Path) -> None:
    """One step on however many processes there are: global loss and gradients into `out`."""
    accelerator = Accelerator(cpu=True)
    settings = TrainConfig.from_json(config)
    setup = prepare(settings, data, None, cache, accelerator.device, accelerator.num_processes)

    class Recorder(trainer.Trainer):
        def _update(self, step: int, total: Tensor) -> None:
            named = self.model.trainable_parameters()
            found = {name: p.grad.clone() for name, p in named if p.grad is not None}
            if self.accelerator.is_main_process:
                torch.save({"loss": total.detach(), "gradients": found}, out)

    folder = Path(f"{out}-{accelerator.process_index}")
    folder.mkdir()
    Recorder(settings, setup, folder, accelerator).run(1)
