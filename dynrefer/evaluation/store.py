"""Stored predictions: one JSON line a region while a run goes on, one JSON file when it is done."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynrefer.errors import InputError

Prediction = dict[str, Any]


class PredictionStore:
    """The predictions of one run in its folder, which a killed run finds again when it is started anew.

    `identity` says what the predictions depend on (benchmark, data, model, options). Predictions of another identity
    are moved aside, never deleted, and `changed` names what differs. During the run a region costs memory for its key
    alone.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """Open the folder, which is made where it is missing.

        Raises:
            InputError: the folder holds a `predictions.json` that is not ours, or cannot be written.
        """
        self.identity = dict(identity)
        self.complete, self.partial = folder / "predictions.json", folder / "predictions.partial.jsonl"
        self.changed: list[str] = []
        self.keys: set[str] = set()
        self.seconds = 0.0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._start()
            self._file = self.partial.open("a", encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"The folder {folder} cannot be written ({error.strerror}): choose another --out."
            ) from error

    def _start(self) -> None:
        """Leave a partial file of our identity that holds all that is known, and no broken last line."""
        records: list[dict[str, Any]] = []
        for path in (self.complete, self.partial):
            if not path.exists():
                continue
            identity, found = read_predictions(path)
            if identity == self.identity:
                records = found
            else:
                self.changed = [name for name in self.identity if identity.get(name) != self.identity[name]]
                path.rename(path.with_stem(f"{path.stem}-{_digest(identity)}"))
        write_atomically(
            self.partial, "".join(json.dumps(line) + "\n" for line in ({"identity": self.identity}, *records))
        )
        self.keys = {record["key"] for record in records}
        self.seconds = sum(record["seconds"] for record in records)

    def add(self, predictions: Mapping[str, Prediction], seconds: float) -> None:
        """Write down at once the predictions of some regions, which took so many seconds together."""
        share = seconds / max(len(predictions), 1)
        for key, prediction in predictions.items():
            self._file.write(json.dumps({"key": key, "seconds": share, "prediction": prediction}) + "\n")
        self._file.flush()
        self.keys |= predictions.keys()
        self.seconds += seconds

    def close(self) -> None:
        """Stop writing; what was predicted stays for the next start."""
        self._file.close()

    def finish(self) -> None:
        """Turn the lines into `predictions.json` in one step."""
        self.close()
        identity, records = read_predictions(self.partial)
        write_atomically(self.complete, json.dumps({"identity": identity, "predictions": records}))
        self.partial.unlink()


def read_predictions(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The identity and the records (`key`, `seconds`, `prediction`) of a prediction file, complete or partial.

    Raises:
        InputError: the file is not one of ours.
    """
    try:
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            return content["identity"], content["predictions"]
        with path.open(encoding="utf-8") as file:
            lines = [line for line in file if line.endswith("\n")]
        return json.loads(lines[0])["identity"], [json.loads(line) for line in lines[1:]]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{path} is not a prediction file of this program: move it away or choose another --out."
        ) from error


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file or none of it."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)


def _digest(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
