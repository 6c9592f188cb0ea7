"""Data sets, one file each, all read into the same `Sample`."""
