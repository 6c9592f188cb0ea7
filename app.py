"""The page on this machine or as a Space: `python app.py`."""

from dynrefer.predictor import Predictor
from dynrefer.ui import build_page, launch_options

if __name__ == "__main__":
    build_page(Predictor.from_pretrained()).launch(**launch_options())
