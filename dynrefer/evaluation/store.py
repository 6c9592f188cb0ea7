"""Stored predictions: one JSON line a region while a run goes on, one JSON file when it is done."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dynrefer.errors import InputError
from dynrefer.files.atomic import claim, unwritable, write_whole

Prediction = dict[str, Any]


class PredictionStore:
    """The predictions of one run in its folder, which a killed run finds again when it is started anew.

    `identity` says what the predictions depend on (benchmark, data, model, options). Predictions of another identity
    are moved aside, never deleted, and `changed` names what differs. During the run a region costs memory for its key
    alone. `sizes` has the bytes that the photograph of each known region had: one of another size is another one.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """Open the folder, which is made where it is missing.

        Raises InputError: the folder holds a `predictions.json` that is not ours, or cannot be written.
        """
        self.identity = dict(identity)
        self.complete, self.partial = folder / "predictions.json", folder / "predictions.partial.jsonl"
        self.changed: list[str] = []
        self.sizes: dict[str, int | None] = {}
        self.seconds = 0.0
        claim(folder)
        try:
            self._start()
            self._file = self.partial.open("a", encoding="utf-8")
        except OSError as error:
            raise unwritable(folder, error) from error

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
                differing = [name for name in self.identity if identity.get(name) != self.identity[name]]
                self.changed = differing or ["the program"]
                path.rename(path.with_stem(f"{path.stem}-{_digest(identity)}"))
        lines = (json.dumps(line) + "\n" for line in ({"identity": self.identity}, *records))
        write_whole(self.partial, "".join(lines))
        self.sizes = {record["key"]: record["bytes"] for record in records}
        self.seconds = sum(record["seconds"] for record in records)

    def add(self, predictions: Mapping[str, Prediction], sizes: Mapping[str, int | None], seconds: float) -> None:
        """Write down at once the predictions of some regions, which took so many seconds together.

        Raises InputError: the disk is full; what was written before stays.
        """
        share = seconds / max(len(predictions), 1)
        records = [
            {"key": key, "bytes": sizes[key], "seconds": share, "prediction": prediction}
            for key, prediction in predictions.items()
        ]
        try:
            self._file.write("".join(json.dumps(record) + "\n" for record in records))
            self._file.flush()
        except OSError as error:
            raise unwritable(self.partial, error) from error
        self.sizes |= sizes
        self.seconds += seconds

    def close(self) -> None:
        """Stop writing; what was predicted stays for the next start."""
        try:
            self._file.close()
        except OSError as error:
            raise unwritable(self.partial, error) from error

    def finish(self, left_out: Sequence[Mapping[str, str]] = ()) -> None:
        """Turn the lines into `predictions.json` in one step; `left_out` are the records that have no prediction."""
        self.close()
        identity, records = read_predictions(self.partial)
        latest = {record["key"]: record for record in records}
        content = {"identity": identity, "left_out": list(left_out), "predictions": list(latest.values())}
        write_whole(self.complete, json.dumps(content))
        self.partial.unlink()


def read_predictions(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The identity and the records (`key`, `bytes`, `seconds`, `prediction`) of a prediction file.

    Raises InputError: the file is not one of ours.
    """
    try:
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            identity, records = content["identity"], content["predictions"]
        else:
            with path.open(encoding="utf-8") as file:
                lines = [line for line in file if line.endswith("\n")]
            identity, records = json.loads(lines[0])["identity"], [json.loads(line) for line in lines[1:]]
        return identity, [{"bytes": None} | record for record in records]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{path} is not a prediction file of this program: move it away or choose another --out."
        ) from error


def read_left_out(path: Path) -> list[dict[str, str]]:
    """The records that a finished run left out, from its `predictions.json`."""
    return json.loads(path.read_text(encoding="utf-8")).get("left_out", [])


def _digest(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
