"""Folders of models for tests that bring one of their own."""

import os
from pathlib import Path

from streamd.models.library import MANIFEST, Library


def beside_defaults(folder: Path) -> Path:
    """Make a folder with the default models, so that others can be pulled beside them."""
    folder.mkdir()
    for path in Library().directory.iterdir():
        if path.name == MANIFEST:
            (folder / MANIFEST).write_bytes(path.read_bytes())
        elif path.is_file():
            os.symlink(path, folder / path.name)
    return folder
