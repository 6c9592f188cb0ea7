"""The training loop: one process or many (`accelerate launch`), on a CPU or GPUs; stops and goes on at any moment."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import FrameType

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader

from dynrefer.checkpoint import save_checkpoint
from dynrefer.datasets.records import check_readable
from dynrefer.errors import InputError
from dynrefer.files.atomic import lock
from dynrefer.model import DynRefer
from dynrefer.training.collate import StepPart
from dynrefer.training.config import TrainConfig
from dynrefer.training.dataset import StepSampler
from dynrefer.training.objective import Batch, Objective
from dynrefer.training.run_log import RunLog
from dynrefer.training.setup import Setup, prepare
from dynrefer.training.state import AveragedWeights, build_optimiser, load_state, rate_factor, save_state


def train(
    config: str | Path | TrainConfig,
    data: str | Path,
    out: str | Path,
    init: str | Path | None = None,
    cache: str | Path | None = None,
    max_steps: int | None = None,
) -> Path | None:
    """Train, or go on where the same command was stopped or killed.

    Args:
        config: a file of `configs/`, or what it says.
        data: folder written by `python -m dynrefer data build`.
        out: folder of the run: `best/` and `last/` (checkpoints), `curves/` (TensorBoard), the state to go on from.
        init: checkpoint to start from, instead of the configuration's.
        cache: folder of cached features, by default `features` inside `data`.
        max_steps: stop after so many steps of the whole run, with its state saved.

    Returns:
        The best checkpoint, or None when the run was stopped before its end.

    Raises InputError: in one sentence for whatever cannot be used.
    """
    if max_steps is not None and max_steps < 1:
        raise InputError("--max-steps must be 1 or more")
    settings = config if isinstance(config, TrainConfig) else TrainConfig.from_json(config)
    patience = InitProcessGroupKwargs(timeout=timedelta(days=1))  # others wait while one process fills the cache
    accelerator = Accelerator(kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True), patience])
    folder = Path(out)
    if not accelerator.is_main_process:
        logging.getLogger("dynrefer").setLevel(logging.ERROR)
    busy = f"Another process trains in {folder}: wait for it, or choose another --out."
    with lock(folder / "lock", busy) if accelerator.is_main_process else nullcontext():
        with accelerator.main_process_first():
            features = Path(cache) if cache else None
            setup = prepare(settings, Path(data), init, features, accelerator.device, accelerator.num_processes)
        return Trainer(settings, setup, folder, accelerator).run(max_steps)


class Trainer:
    """One run.

    A step's global batch is dealt out to processes and accumulated parts; as losses are means over a part's regions
    and the contrast sees all texts of the global batch, the gradient does not depend on how it is dealt out. (The
    attribute, class and class-name terms of the small model are means over what is known in each part.)
    """

    def __init__(self, config: TrainConfig, setup: Setup, folder: Path, accelerator: Accelerator) -> None:
        self.config, self.setup, self.folder, self.accelerator = config, setup, folder, accelerator
        self.parts = accelerator.num_processes * config.accumulate
        if config.batch_size % self.parts:
            raise InputError(
                f"'batch_size' {config.batch_size} cannot be dealt out to {accelerator.num_processes} processes with "
                f"'accumulate' {config.accumulate}: make it a multiple of {self.parts}."
            )
        self.model: DynRefer = setup.model.train()
        self.optimiser = build_optimiser(self.model, config.optimiser)
        self.average = AveragedWeights(self.model, config.optimiser.ema) if config.optimiser.ema else None
        self.progress = load_state(folder, self.model, self.optimiser, self.average, setup.identity)
        self.network = accelerator.prepare_model(Objective(self.model))
        self.bank = setup.bank.to(accelerator.device)
        self.stopping = False
        self.unreadable: dict[str, str] = {}

    def run(self, max_steps: int | None = None) -> Path | None:
        """All steps that are left, or up to `max_steps`."""
        steps, start = self.setup.steps, self.progress.step
        end = steps if max_steps is None else min(steps, max_steps)
        quiet = not self.accelerator.is_main_process
        with self._signals(), RunLog(self.folder, start, steps, self.config.batch_size, quiet) as log:
            for step, batches in self._batches(start, end):
                if self._helps_no_more():
                    log.say(f"ended after step {step}: no better score in {self.config.patience} validations")
                    break
                losses, rate = self._step(step, batches)
                done = step + 1
                self.progress = replace(self.progress, step=done)
                log.losses(done, losses, rate, show=done % self.config.log_every == 0 or done == end)
                stop = self._asked_to_stop()
                if done % self.config.validate_every == 0 or done == steps:
                    self._validate(log)
                if done % self.config.save_every == 0 or done == end or stop:
                    self._save()
                if stop:
                    log.say(f"stopped after step {done}; the same command goes on from there")
                    break
            for image, reason in self._left_out():
                log.say(f"left out {image}: {reason}")
        return self._finish() if self.progress.step == steps or self._helps_no_more() else None

    def _helps_no_more(self) -> bool:
        """Whether no validation was better for as long as the configuration has patience."""
        best, patience = self.progress.best_step, self.config.patience
        if best is None or patience is None:
            return False
        return self.progress.step - best >= patience * self.config.validate_every

    def _batches(self, start: int, end: int) -> Iterator[tuple[int, list[Batch]]]:
        """Steps with this process's parts of their batches, which the loader prepares ahead."""
        if start >= end:
            return
        own = range(self.accelerator.process_index, self.parts, self.accelerator.num_processes)
        sampler = StepSampler(range(start, end), self.config.batch_size, own, self.parts)
        loader = DataLoader(
            self.setup.dataset, batch_sampler=sampler, collate_fn=self.setup.collate, **self.setup.loading
        )
        coming = iter(loader)
        for step in range(start, end):
            yield step, [self._usable(next(coming)) for _ in own]

    def _step(self, step: int, batches: Sequence[Batch]) -> tuple[dict[str, Tensor], float]:
        """One optimiser step: mean losses and the learning rate."""
        device = self.accelerator.device
        factor = rate_factor(step, self.setup.steps, self.config.optimiser.warmup_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base_rate"] * factor
        sums: dict[str, Tensor] = {}
        with self._chance(step), self._attention():
            for number, batch in enumerate(batches, start=1):
                with nullcontext() if number == len(batches) else self.accelerator.no_sync(self.network):
                    with self.autocast():
                        losses = self.network(batch.to(device), self.bank, self.config.weights)
                    self.accelerator.backward(losses["total"] / len(batches))
                for name, value in losses.items():
                    sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach() / len(batches)
        sums["total"] = self.accelerator.reduce(sums["total"], "mean")
        self._update(step, sums["total"])
        return sums, self.config.optimiser.learning_rate * factor

    def _left_out(self) -> list[tuple[str, str]]:
        """Photographs that could not be read so far, to train or to validate with, and why."""
        held_out = self.setup.validation.unreadable if self.setup.validation is not None else {}
        return list((self.unreadable | held_out).items())

    def _usable(self, part: StepPart) -> Batch:
        """A part's batch. Raises InputError where the photographs passed over so far are more than 1 % of all."""
        self.unreadable |= part.unreadable
        check_readable(self.unreadable, len(self.setup.dataset.regions.photographs), none=part.batch is None)
        assert part.batch is not None
        return part.batch

    def _update(self, step: int, total: Tensor) -> None:
        norm = torch.nn.utils.clip_grad_norm_(
            [p for _, p in self.model.trainable_parameters()], self.config.optimiser.clip
        )
        if not (torch.isfinite(norm) and torch.isfinite(total)):
            raise InputError(
                f"The loss is not a finite number at step {step + 1}: lower the learning rate and name another "
                "--out; checkpoints saved so far are kept."
            )
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.model, step)

    def autocast(self) -> torch.autocast:
        """Mixed precision, where the configuration asks for it."""
        # torch's RMSNorm says so of every run, and nobody who trains can change it
        warnings.filterwarnings("ignore", "Mismatch dtype between input and weight")
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def _attention(self) -> AbstractContextManager[None]:
        """On a CPU the plain formula: many texts look at a few queries, where the fused kernel's backward is slow."""
        return sdpa_kernel(SDPBackend.MATH) if self.accelerator.device.type == "cpu" else nullcontext()

    @contextmanager
    def _chance(self, step: int) -> Iterator[None]:
        """Dropout of this step and process from the seed alone; the world's generator is left as it was."""
        devices = [self.accelerator.device] if self.accelerator.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(hash((self.config.seed, step, self.accelerator.process_index)) % 2**63)
            yield

    def _validate(self, log: RunLog) -> None:
        """Score the averaged weights; keep them as `best/` when no earlier ones were as good."""
        if self.accelerator.is_main_process and self.setup.validation is not None:
            with self.average.applied(self.model) if self.average else nullcontext():
                scores = self.setup.validation(self.model, self.autocast())
                log.scores(self.progress.step, scores)
                best = self.progress.best_score
                if best is None or scores["score"] > best or self.progress.best_step == self.progress.step:
                    save_checkpoint(self.folder / "best", self.model, self.setup.vocabulary)
                    self.progress = replace(self.progress, best_score=scores["score"], best_step=self.progress.step)
        self.accelerator.wait_for_everyone()

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            save_state(self.folder, self.model, self.optimiser, self.average, self.progress)
        self.accelerator.wait_for_everyone()

    def _finish(self) -> Path:
        last = self.folder / "last"
        if self.accelerator.is_main_process:
            with self.average.applied(self.model) if self.average else nullcontext():
                save_checkpoint(last, self.model, self.setup.vocabulary)
        self.accelerator.wait_for_everyone()
        return self.folder / "best" if self.setup.validation is not None else last

    def _asked_to_stop(self) -> bool:
        """Whether any process got a signal; all must agree, for the others would wait for it."""
        flag = torch.tensor(float(self.stopping), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, "sum") > 0)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and the first Ctrl-C end the run after the step at hand."""

        def stop(number: int, frame: FrameType | None) -> None:
            if self.stopping and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.stopping = True

        former = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
