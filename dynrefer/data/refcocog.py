"""RefCOCOg: objects of COCO 2014 with several descriptions by people.

A folder holds `refs(umd).p` (or `refs(google).p`, or the same list as `refs.json`), `instances.json` and `train2014/`
or `images/`. For COCO-format conversions with a `caption` an annotation see `own.py`.
"""

import pickle
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from dynrefer.boxes import xywh_to_xyxy
from dynrefer.data.described import DescribedRegion, Photograph, described_samples
from dynrefer.data.files import find_photograph, read_json
from dynrefer.data.problems import Problems
from dynrefer.data.sample import Sample
from dynrefer.errors import InputError

REFS = ("refs(umd).p", "refs(google).p", "refs.json")


class _PlainUnpickler(pickle.Unpickler):
    """Admits lists, dictionaries, strings and numbers; anything that would import code is refused."""

    def find_class(self, module_name: str, global_name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")


def read_plain_pickle(file: Path) -> Any:
    """The plain containers in a pickle (Python 2's too). Raises InputError on a pickle of anything else."""
    try:
        with file.open("rb") as stream:
            return _PlainUnpickler(stream, encoding="latin1").load()
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}).") from error
    except Exception as error:  # a damaged pickle raises nearly anything
        raise InputError(f"{file} is not a pickle of plain lists and texts ({error}): download it again.") from error


def read(root: Path, problems: Problems) -> Iterator[Sample]:
    """One sample a referred object. Raises InputError where files are missing or of another format."""
    instances = read_json(root / "instances.json", "images", "annotations", "categories")
    images = {record["id"]: record for record in instances["images"]}
    boxes = {annotation["id"]: annotation["bbox"] for annotation in instances["annotations"]}
    names = {category["id"]: category["name"] for category in instances["categories"]}
    grouped: dict[Photograph, list[DescribedRegion]] = defaultdict(list)
    refs = _references(root)
    for ref in refs:
        what = f"reference {ref.get('ref_id')}"
        record = images.get(ref["image_id"])
        path = record and find_photograph(root, record["file_name"], ("train2014", "images"))
        if record is None or path is None:
            problems.skip("photographs that are missing", record["file_name"] if record else f"image {ref['image_id']}")
            continue
        size = int(record["width"]), int(record["height"])
        box = xywh_to_xyxy(boxes.get(ref["ann_id"]), size)
        if box is None:
            problems.skip("boxes without area or annotation", what)
        elif ref["category_id"] not in names:
            problems.skip("unknown category ids", what)
        else:
            photograph = Photograph(path, str(ref["image_id"]), size, ref["split"])
            said = tuple(dict.fromkeys(sentence["sent"] for sentence in ref["sentences"]))
            region = DescribedRegion(f"refcocog-{ref['ref_id']}", box, said, names[ref["category_id"]])
            grouped[photograph].append(region)
    problems.check(len(refs))
    return (sample for photograph, regions in grouped.items() for sample in described_samples(photograph, regions))


def _references(root: Path) -> list[Mapping[str, Any]]:
    file = next((root / name for name in REFS if (root / name).exists()), None)
    if file is None:
        raise InputError(f"{root} has none of {', '.join(REFS)}: is it RefCOCOg's folder?")
    refs = read_json(file) if file.suffix == ".json" else read_plain_pickle(file)
    needed = {"image_id", "ann_id", "ref_id", "category_id", "split", "sentences"}
    if not isinstance(refs, list) or not all(isinstance(ref, dict) and needed <= ref.keys() for ref in refs):
        raise InputError(f"{file} is not a list of references with {', '.join(sorted(needed))}.")
    return refs
