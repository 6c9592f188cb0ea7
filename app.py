"""The page on this machine or as a Space: `python app.py`; to work through a folder: `python app.py --folder DIR`."""

import sys

from dynrefer.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
