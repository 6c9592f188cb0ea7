"""Runs of a subprocess: killed at a given step, or one step whose gradients are written down.

python run_worker.py kill STEP CONFIG DATA OUT CACHE
python run_worker.py gradients - CONFIG DATA OUT CACHE
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from dynrefer.training import trainer
from dynrefer.training.config import TrainConfig
from dynrefer.training.setup import prepare


def kill_at(number: int) -> None:
    """Kill this process as the run begins its step `number`, counted from 0."""
    step = trainer.Trainer._step

    def stepping(self: trainer.Trainer, at: int, *given: object) -> object:
        if at == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, at, *given)  # type: ignore[arg-type]

    trainer.Trainer._step = stepping  # type: ignore[method-assign, assignment]


def write_gradients(config: str, data: str, out: str, cache: str) -> None:
    """One step on however many processes there are: global loss and gradients into `out`."""
    accelerator = Accelerator(cpu=True)
    settings = TrainConfig.from_json(config)
    setup = prepare(settings, Path(data), None, Path(cache), accelerator.device, accelerator.num_processes)

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
        kill_at(int(where))
        trainer.train(*paths[:3], cache=paths[3])
