"""What a run shows: a progress bar with the loss's parts, rate and time left, and TensorBoard curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm


class RunLog:
    """Progress bar and curves of one process; `quiet` processes show and write nothing.

    Args:
        start, steps: first step to come, and all steps; curves after `start` (of a run that was killed) are replaced.
        regions: regions a step, for the rate.
    """

    def __init__(self, folder: Path, start: int, steps: int, regions: int, quiet: bool = False) -> None:
        self.regions, self.sums, self.count = regions, dict[str, Tensor](), 0
        self.bar = tqdm(total=steps, initial=start, unit="step", disable=quiet, smoothing=0.1)
        self.writer = None if quiet else SummaryWriter(str(folder / "curves"), purge_step=start)

    def losses(self, step: int, losses: Mapping[str, Tensor], rate: float, show: bool) -> None:
        """Add a finished step's losses; their means since the last time are shown and written when `show`."""
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, value.new_zeros(())) + value.detach()
        self.count += 1
        self.bar.update()
        if not show:
            return
        means = {name: float(value) / self.count for name, value in self.sums.items()}
        self.sums, self.count = {}, 0
        speed = (self.bar.format_dict["rate"] or 0.0) * self.regions
        self.bar.set_postfix_str(
            " ".join(f"{name} {value:.3f}" for name, value in means.items()) + f" lr {rate:.1e} {speed:.0f} regions/s"
        )
        self._write(step, {f"loss/{name}": value for name, value in means.items()})
        self._write(step, {"speed/learning_rate": rate, "speed/regions_per_second": speed})

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        """Show and write a validation."""
        self.say(f"step {step}: " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items()))
        self._write(step, {f"validation/{name}": value for name, value in scores.items()})

    def say(self, text: str) -> None:
        """A line above the bar."""
        if not self.bar.disable:
            self.bar.write(text)

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)
            self.writer.flush()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()
        if self.writer is not None:
            self.writer.close()
