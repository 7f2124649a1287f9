"""Files of arrays (`.npz`), read so that damage has one kind of error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamd.errors import ModelMissing


def load_arrays(path: Path, hint: str) -> dict[str, npt.NDArray[Any]]:
    """Read every array of a file.

    Args:
        path: the file.
        hint: what to do if it cannot be read; ends the message.

    Raises:
        ModelMissing: the file is not there, is damaged, or is no such file.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # damage shows in zipfile, zlib, numpy, by ten kinds of errors
        raise ModelMissing(f"cannot load the model {path} ({error}). {hint}") from error
