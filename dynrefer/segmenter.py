"""Masks by a segmenter of the user's own: EdgeTAM, SAM 2 or SAM as transformers has them, from a folder or the Hub.

transformers is imported when the first mask is asked for, so that a start costs nothing more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from dynrefer.boxes import Box
from dynrefer.checkpoint import find_folder
from dynrefer.errors import InputError, shown
from dynrefer.photo import Photo
from dynrefer.pointing import mask_box
from dynrefer.proposals import Proposal

SEGMENTER = "DYNREFER_SEGMENTER"
# The classes of transformers by the model_type of config.json; that of a video segmenter holds one of photographs.
FAMILIES = {"edgetam": ("EdgeTamModel", "Sam2Processor"), "sam2": ("Sam2Model", "Sam2Processor")}
FAMILIES |= {f"{kind}_video": classes for kind, classes in FAMILIES.items()} | {"sam": ("SamModel", "SamProcessor")}
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PROCESSOR = ("processor_config.json", "preprocessor_config.json")
SPECK = 0.02  # share of a mask's largest part below which another part of it is noise, and would spoil the box
ALIKE = 0.9  # overlap from which two masks are one


class Segmenter:
    """Makes masks of what is pointed at; its weights are loaded when they are first needed.

    Args:
        folder: as `save_pretrained` writes model and processor of one of FAMILIES.
        name: what errors and `/v1/models` call it.

    Raises InputError where the folder holds none.
    """

    def __init__(self, folder: Path, device: torch.device, name: str) -> None:
        self.folder, self.device, self.name = folder, device, shown(name)
        kind = self._kind()
        if kind not in FAMILIES:
            says = f"model_type {shown(kind)}" if kind else "no model_type"
            raise InputError(
                f"The model {self.name} is no segmenter: its config.json says {says}; give EdgeTAM, SAM 2 or SAM as "
                "transformers has them, for example yonigozlan/EdgeTAM-hf."
            )
        for names in (WEIGHTS, PROCESSOR):
            if not any((folder / file).is_file() for file in names):
                raise InputError(f"The segmenter {self.name} has no {names[0]}; download it again, and whole.")
        self._classes = FAMILIES[kind]

    @classmethod
    def find(cls, source: str | Path | None, device: torch.device) -> Segmenter | None:
        """That of a folder or Hub id; None for DYNREFER_SEGMENTER, without which there is none.

        Raises InputError where there is no such segmenter, or it is not here and the Hub is out of reach.
        """
        source = source or os.environ.get(SEGMENTER)
        if not source:
            return None
        folder = find_folder(source, "segmenter")
        return cls(folder, device, Path(source).name if Path(source).expanduser().is_dir() else str(source))

    def _kind(self) -> str:
        try:
            config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"The segmenter {self.name} has no readable config.json; it is not complete.") from error
        return str(config.get("model_type", "")) if isinstance(config, dict) else ""

    @cached_property
    def network(self) -> tuple[Any, Any]:
        """(model, processor). Raises InputError where they cannot be loaded."""
        try:
            import transformers

            transformers.utils.logging.disable_progress_bar()
            model_class, processor_class = (getattr(transformers, name) for name in self._classes)
            options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
            model, told = model_class.from_pretrained(self.folder, dtype=torch.float32, **options)
            processor = processor_class.from_pretrained(self.folder, local_files_only=True)
        except Exception as error:  # the library raises many kinds
            absent = [name for name in ("transformers", "timm", "torchvision") if find_spec(name) is None]
            if absent:
                raise InputError(f"A segmenter needs more packages: pip install {' '.join(absent)}.") from error
            raise InputError(
                f"The segmenter {self.name} cannot be loaded; its files are damaged or do not belong together."
            ) from error
        if told["missing_keys"]:
            lacking = min(told["missing_keys"])
            raise InputError(f"The weights of the segmenter {self.name} lack {lacking}; download it again.")
        return model.eval().requires_grad_(False).to(self.device), processor

    def look_around(self, photo: Photo) -> Embedding:
        """One pass of the image encoder over a whole photograph."""
        model, processor = self.network
        inputs = processor(images=Image.fromarray(photo.pixels), return_tensors="pt")
        features = model.get_image_embeddings(inputs.pop("pixel_values").to(self.device))
        sizes = {name: torch.as_tensor(size) for name, size in inputs.items()}
        stretched = torch.tensor([[processor.target_size] * 2])  # whatever its shape; SAM alone keeps it, and pads
        height, width = sizes.get("reshaped_input_sizes", stretched)[0].tolist()
        return Embedding(self, features, sizes, (width / photo.width, height / photo.height))


@dataclass(frozen=True)
class Embedding:
    """What a segmenter knows of one photograph; answers like `Surroundings`, with masks."""

    segmenter: Segmenter
    features: Any
    """One map, or one a level, on the segmenter's device."""
    sizes: Mapping[str, torch.Tensor]
    """(height, width) of the photograph, and of what the encoder saw of it where it was padded: [1, 2] each."""
    scale: tuple[float, float]
    """Pixels that the encoder saw for one of the photograph, across and down."""

    def around(self, points: np.ndarray, inside: np.ndarray, limit: int) -> list[Proposal]:
        """Masks of what holds the points [K, 2] marked `inside` [K] (bool) and none of the others, best first.

        One point may mean a thing, a part of it, or what it is a part of: then there are up to three.
        """
        places = torch.as_tensor(points * np.array(self.scale), dtype=torch.float32)[None, None]
        labels = torch.as_tensor(inside, dtype=torch.int64)[None, None]
        return self._masks(limit, len(points) == 1, input_points=places, input_labels=labels)

    def like(self, box: Box, limit: int) -> list[Proposal]:
        """The mask of the thing in a box."""
        corners = torch.tensor([[[side * self.scale[axis % 2] for axis, side in enumerate(box)]]])
        return self._masks(limit, False, input_boxes=corners)

    def _masks(self, limit: int, ambiguous: bool, **prompt: torch.Tensor) -> list[Proposal]:
        model, processor = self.segmenter.network
        asked = {name: value.to(self.segmenter.device) for name, value in prompt.items()}
        answer = model(image_embeddings=self.features, multimask_output=ambiguous, **asked)
        logits, scores = answer.pred_masks[0, 0].float().cpu(), answer.iou_scores[0, 0].float().cpu().clamp(0, 1)
        found: list[Proposal] = []
        for place in scores.argsort(descending=True).tolist():
            small = torch.from_numpy(without_specks(logits[place].numpy()))[None, None]
            mask = processor.post_process_masks([small], **self.sizes)[0][0, 0].numpy().astype(bool)
            if mask.any() and all(_overlap(mask, one.mask) < ALIKE for one in found):
                found.append(Proposal(mask_box(mask), float(scores[place]), mask=mask))
        return found[:limit]


def without_specks(logits: np.ndarray) -> np.ndarray:
    """Logits of a mask [h, w] (float32) without the parts that are tiny beside the largest one."""
    count, parts, about, _ = cv2.connectedComponentsWithStats((logits > 0).astype(np.uint8), connectivity=8)
    areas = about[1:, cv2.CC_STAT_AREA]
    if count <= 2:
        return logits
    specks = 1 + np.flatnonzero(areas < SPECK * areas.max())
    return np.where(np.isin(parts, specks), -np.abs(logits), logits)


def _overlap(one: np.ndarray, other: np.ndarray | None) -> float:
    """Intersection over union of two masks."""
    assert other is not None
    return float((one & other).sum() / (one | other).sum())
