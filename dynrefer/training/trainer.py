"""The training loop: one process or many (`accelerate launch`), on a CPU or GPUs; stops and goes on at any moment."""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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

from dynrefer.checkpoint import save_checkpoint
from dynrefer.errors import InputError
from dynrefer.model import DynRefer
from dynrefer.training.config import TrainConfig
from dynrefer.training.logging import RunLog
from dynrefer.training.objective import Batch, GlobalTexts, Objective
from dynrefer.training.schedule import AveragedWeights, build_optimiser, rate_factor
from dynrefer.training.setup import Setup, prepare
from dynrefer.training.state import load_state, save_state
from dynrefer.training.validation import with_pixels
from dynrefer.vocabulary import TextBank


def train(
    config: str | Path,
    data: str | Path,
    out: str | Path,
    init: str | Path | None = None,
    cache: str | Path | None = None,
    max_steps: int | None = None,
) -> Path | None:
    """Train, or go on where the same command was stopped or killed.

    Args:
        config: a file of `configs/`.
        data: folder written by `python -m dynrefer data build`.
        out: folder of the run: `best/` and `last/` (checkpoints), `curves/` (TensorBoard), the state to go on from.
        init: checkpoint to start from, instead of the configuration's.
        cache: folder of cached features, by default `features` inside `data`.
        max_steps: stop after so many steps of the whole run, with its state saved.

    Returns:
        The best checkpoint, or None when the run was stopped before its end.

    Raises:
        InputError: in one sentence for whatever cannot be used.
    """
    settings = TrainConfig.from_json(config)
    patience = InitProcessGroupKwargs(timeout=timedelta(days=1))  # others wait while one process fills the cache
    accelerator = Accelerator(kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True), patience])
    folder, say = Path(out), accelerator.print
    with _owned(folder) if accelerator.is_main_process else nullcontext():
        with accelerator.main_process_first():
            setup = prepare(settings, Path(data), init, Path(cache) if cache else None, accelerator.device, say)
        return Trainer(settings, setup, folder, accelerator).run(max_steps)


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """The run's folder, made if need be and locked against a second run. Raises InputError where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError as error:
        raise InputError(f"Another process trains in {folder}: wait for it, or choose another --out.") from error
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be written to: {error.strerror}.") from error


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

    def run(self, max_steps: int | None = None) -> Path | None:
        """All steps that are left, or up to `max_steps`."""
        steps, start = self.setup.steps, self.progress.step
        end = steps if max_steps is None else min(steps, max_steps)
        quiet = not self.accelerator.is_main_process
        with self._signals(), RunLog(self.folder, start, steps, self.config.batch_size, quiet) as log:
            for step, batches, texts in self._batches(start, end):
                losses, rate = self._step(step, batches, texts)
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
            for reason, count in self.setup.problems.counts.items():
                log.say(f"{count} skipped: {reason}; {'; '.join(self.setup.problems.examples[reason])}")
        return self._finish() if self.progress.step == steps else None

    def _batches(self, start: int, end: int) -> Iterator[tuple[int, list[tuple[Batch, TextBank]], GlobalTexts]]:
        """Steps with this process's parts of their batches, each prepared while the step before is computed."""
        source, rank, world = self.setup.source, self.accelerator.process_index, self.accelerator.num_processes

        def assemble(step: int) -> tuple[list[tuple[Batch, TextBank]], GlobalTexts]:
            draw = source.draw(step)
            parts = range(rank, self.parts, world)
            return [(source.batch(draw, k, self.parts), source.bank(self.bank, draw)) for k in parts], source.texts(
                draw
            )

        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(assemble, start)
            for step in range(start, end):
                batches, texts = coming.result()
                if step + 1 < end:
                    coming = pool.submit(assemble, step + 1)
                yield step, batches, texts

    def _step(
        self, step: int, batches: list[tuple[Batch, TextBank]], texts: GlobalTexts
    ) -> tuple[dict[str, Tensor], float]:
        """One optimiser step: mean losses and the learning rate."""
        device = self.accelerator.device
        factor = rate_factor(step, self.setup.steps, self.config.optimiser.warmup_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base_rate"] * factor
        everything = GlobalTexts(**{name: value.to(device) for name, value in vars(texts).items()})
        sums: dict[str, Tensor] = {}
        with self._chance(step), self._attention():
            for number, (batch, bank) in enumerate(batches):
                last = number == len(batches) - 1
                with nullcontext() if last else self.accelerator.no_sync(self.network):
                    with self.autocast():
                        own = self._taught(with_pixels(batch.to(device), self.model))
                        losses = self.network(own, bank, self.config.weights, everything)
                    self.accelerator.backward(losses["total"] / len(batches))
                for name, value in losses.items():
                    sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach() / len(batches)
        sums["total"] = self.accelerator.reduce(sums["total"], "mean")
        self._update(step, sums["total"])
        return sums, self.config.optimiser.learning_rate * factor

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

    @torch.no_grad()
    def _taught(self, batch: Batch) -> Batch:
        """With what the teacher sees in the first view, on those ImageNet classes that it sees most in this batch."""
        if self.setup.teacher is None or batch.pixels is None:
            return batch
        beliefs = self.setup.teacher(batch.pixels[:: self.model.config.num_views]).float().softmax(-1)
        return replace(
            batch, teacher=beliefs, teacher_classes=beliefs.mean(0).topk(self.config.teacher_classes).indices
        )

    def autocast(self) -> torch.autocast:
        """Mixed precision, where the configuration asks for it."""
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
