"""Where the model runs and in which number format: chosen once, with the reason; and how long it took there."""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from dynrefer.errors import InputError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
SECONDS_BETWEEN_RETURNS = 10.0
_UNFINISHED, _PAUSED = "unfinished", "paused"  # marks of a clock that end no stage


@dataclass(frozen=True)
class DeviceChoice:
    """A device, the number format of the weights and, where another is faster, of the arithmetic; and why.

    Attributes:
        arithmetic: of convolutions and linear layers; None for `dtype`.
    """

    device: torch.device
    dtype: torch.dtype
    reason: str
    arithmetic: torch.dtype | None = None


def choose_device(device: str | torch.device | None = None, dtype: str | torch.dtype | None = None) -> DeviceChoice:
    """What was asked for, else a GPU if there is one (bfloat16 where it computes in it), else the CPU in float32.

    A CPU that is asked for bfloat16 and has instructions for it multiplies in that format; weights stay float32, and so
    does all that is added up.

    Raises InputError when the device or format does not exist here.
    """
    if device is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
        reason = "a GPU is present" if name == "cuda" else "no GPU is present"
    else:
        name, reason = str(device), "it was asked for"
    try:
        chosen = torch.device(name)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"The device {name!r} is not available here; use cpu, or cuda on a machine with a GPU."
        ) from error
    if chosen.type == "meta":
        raise InputError("The device 'meta' computes nothing; use cpu, or cuda on a machine with a GPU.")
    if dtype is not None:
        why, asked = f"{chosen} because {reason}, {dtype} because it was asked for", _as_dtype(dtype)
        if chosen.type == "cpu" and asked == torch.bfloat16 and _computes_in_bfloat16():
            return DeviceChoice(chosen, torch.float32, why, torch.bfloat16)
        return DeviceChoice(chosen, asked, why)
    fast = torch.bfloat16 if chosen.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    why = "a GPU computes fast in it" if fast is torch.bfloat16 else "it is exact and fits"
    name = str(fast).removeprefix("torch.")
    return DeviceChoice(chosen, fast, f"{chosen} because {reason}, {name} because {why}")


def too_little_memory(device: torch.device) -> InputError:
    """The sentence for a device whose memory ran out."""
    if device.type != "cuda":
        return InputError(
            "The memory of this machine does not hold the model; close other programs or use dynrefer-mini."
        )
    free, total = (size / 2**30 for size in torch.cuda.mem_get_info(device))
    return InputError(
        f"The GPU's memory does not hold the model ({free:.1f} of {total:.1f} GiB are free); "
        "close other programs on it, or use --device cpu or a smaller model."
    )


def usable_cores() -> int:
    """Cores that this process is bound to, or that its container's quota is worth where these are fewer.

    PyTorch knows nothing of a quota: 64 threads that share two cores wait for each other.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no such file, or "max", which is no quota
        quota, period = map(int, CPU_QUOTA.read_text().split())
        cores = min(cores, math.ceil(quota / period))
    return cores


def return_freed_memory() -> None:
    """Let the system have what was freed; glibc keeps it otherwise, other C libraries do not."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


@contextmanager
def freed_memory_returned() -> Iterator[None]:
    """Return it every SECONDS_BETWEEN_RETURNS inside the block, and at its end.

    For what runs long: threads free what the others will not use again, 0.8 GB after photographs of 64 megapixels, and
    what is kept lies scattered among what was freed, so that memory grows from batch to batch.
    """
    ended = threading.Event()

    def give_back() -> None:
        while not ended.wait(SECONDS_BETWEEN_RETURNS):
            return_freed_memory()

    threading.Thread(target=give_back, name="freed-memory", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        return_freed_memory()


class Clock:
    """Milliseconds a stage took; a GPU's own clock is read at the end, so that no stage waits for the one before."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: list[tuple[str, Any]] = [("", self._now())]

    def lap(self, stage: str) -> None:
        """End a stage; stages of the same name add up."""
        self._marks.append((stage, self._now()))

    def pause(self) -> None:
        """Stop in the middle of a stage; it goes on with `resume`."""
        self._marks.append((_UNFINISHED, self._now()))

    def resume(self) -> None:
        """Go on; the time since `pause` does not count."""
        self._marks.append((_PAUSED, self._now()))

    def times(self, regions: int) -> dict[str, float]:
        """Milliseconds a region of a batch of `regions`; waits for the device."""
        laps: dict[str, float] = {}
        begun = 0.0
        for (_, start), (stage, end) in pairwise(self._marks):
            if stage == _PAUSED:
                continue
            begun += self._between(start, end)
            if stage != _UNFINISHED:
                laps[stage] = laps.get(stage, 0.0) + begun
                begun = 0.0
        return {stage: ms / regions for stage, ms in laps.items()}

    def _now(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        mark = torch.cuda.Event(enable_timing=True)
        mark.record(torch.cuda.current_stream(self._device))
        return mark

    def _between(self, start: Any, end: Any) -> float:
        if self._device.type != "cuda":
            return 1000 * (end - start)
        end.synchronize()
        return start.elapsed_time(end)


def _computes_in_bfloat16() -> bool:
    """Whether the processor has instructions for it; a PyTorch that cannot tell (before 2.9) counts as one without."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _as_dtype(dtype: str | torch.dtype) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise InputError(f"There is no number format {dtype!r}; use {', '.join(_DTYPES)}.")
    return _DTYPES[dtype]
