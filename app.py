"""The page on this machine or as a Space: `python app.py`."""

import sys

from dynrefer.errors import InputError
from dynrefer.predictor import Predictor
from dynrefer.ui import build_page, launch_options

if __name__ == "__main__":
    try:
        predictor = Predictor.from_pretrained()
    except InputError as error:
        sys.exit(f"The page cannot start: {error}")
    build_page(predictor).launch(**launch_options(predictor))
