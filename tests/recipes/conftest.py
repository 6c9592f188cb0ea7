"""The tiny COCO folder of the data sets' tests."""

from tests.datasets.conftest import coco_root as coco_root
