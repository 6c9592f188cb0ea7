"""The page on this machine or as a Space: `python app.py`."""

import sys

from dynrefer.errors import InputError
from dynrefer.predictor import Predictor
from dynrefer.server import serve

if __name__ == "__main__":
    try:
        serve(Predictor.from_pretrained())
    except InputError as error:
        sys.exit(f"The page cannot start: {error}")
