"""Puts the embedded model and the example photographs into the wheel; everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("checkpoints/dynrefer-mini", "assets/examples")  # found there again by `dynrefer.checkpoint.shipped`


class BuildWithData(build_py):
    """Copies the shipped folders to `dynrefer/_data`; an editable install reads them where they are."""

    def run(self) -> None:
        """Build the package, then add the folders."""
        super().run()
        if self.editable_mode:
            return
        for folder in SHIPPED:
            for path in sorted(Path(folder).iterdir()):
                if path.is_file() and not path.name.startswith("."):
                    target = Path(self.build_lib, "dynrefer", "_data", folder, path.name)
                    self.mkpath(str(target.parent))
                    self.copy_file(str(path), str(target))


setup(cmdclass={"build_py": BuildWithData})
