"""RefCOCOg: objects of COCO 2014 with several descriptions by people.

A folder holds `refs(umd).p` (or `refs(google).p`, or the same list as `refs.json`), `instances.json` and `train2014/`
or `images/`. For COCO-format conversions with a `caption` an annotation see `own.py`.
"""

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from dynrefer.datasets.annotated import AnnotatedImage, AnnotatedRegion, described_samples
from dynrefer.datasets.coco_file import read_coco_file
from dynrefer.datasets.records import Photographs, Problems, records
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError
from dynrefer.files.coco import id_key
from dynrefer.files.text import read_json

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
        raise InputError(
            f"{file} is not a pickle of plain lists and texts ({error}): save the same list as refs.json."
        ) from error


def read(root: Path, problems: Problems) -> Iterator[Sample]:
    """One sample a referred object. Raises InputError where files are missing or of another format."""
    refs = _references(root)
    wanted = {id_key(ref["image_id"]) for ref in refs}
    content = read_coco_file(root / "instances.json", Photographs(root, problems), lambda *_: "none", wanted)
    found: dict[str, AnnotatedImage] = {}
    for place, ref in enumerate(refs, start=1):
        what = f"reference {ref.get('ref_id', f'number {place}')}"
        image = content.images.get(id_key(ref["image_id"]))
        region = _region(ref, image, place) if image else None
        if image is None:
            problems.skip("photographs that are missing", what, f"image {ref['image_id']}")
        elif region is None:
            problems.skip("references without an annotation or a sentence", what, image.photograph.name)
        else:
            photograph = replace(image.photograph, split=str(ref["split"]))
            found.setdefault(f"{photograph.split}/{photograph.name}", AnnotatedImage(photograph)).regions.append(region)
    problems.check(content.total + len(refs))
    return (sample for image in found.values() for sample in described_samples(image))


def _region(ref: Mapping[str, Any], image: AnnotatedImage, place: int) -> AnnotatedRegion | None:
    region = next((found for found in image.regions if found.id == str(ref["ann_id"])), None)
    sentences = ref["sentences"] if isinstance(ref["sentences"], list) else []
    said = [sentence.get("sent") or sentence.get("raw") for sentence in sentences if isinstance(sentence, Mapping)]
    texts = tuple(dict.fromkeys(text for text in said if isinstance(text, str)))
    if region is None or not texts:
        return None
    return replace(region, id=f"refcocog-{ref.get('ref_id', place)}", captions=texts)


def _references(root: Path) -> list[Mapping[str, Any]]:
    file = next((root / name for name in REFS if (root / name).exists()), None)
    if file is None:
        raise InputError(f"{root} has none of {', '.join(REFS)}: is it RefCOCOg's folder?")
    refs = records(read_json(file) if file.suffix == ".json" else read_plain_pickle(file), file)
    needed = {"image_id", "ann_id", "split", "sentences"}
    if not all(isinstance(ref, Mapping) and needed <= ref.keys() for ref in refs):
        raise InputError(f"{file} is not a list of references with {', '.join(sorted(needed))}.")
    return refs
