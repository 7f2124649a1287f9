"""Files of arrays (`.npz`), read so that every damage raises the same error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamd.errors import ModelMissing

PULL_AGAIN = "Run `streamd models verify`, then `streamd models pull`."
"""What to do about a model that was pulled."""
INSTALL_AGAIN = "It comes with streamd: install streamd again."
"""What to do about a file of the package."""


def load_arrays(path: Path, hint: str, names: Sequence[str] = ()) -> dict[str, npt.NDArray[Any]]:
    """Return every array of a file.

    Args:
        path: the file.
        hint: what to do if it cannot be read, at the end of the message.
        names: arrays that it must hold.

    Raises:
        ModelMissing: the file is not there, is damaged, or is no such file.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in {*stored.files, *names}}
    except OSError as error:
        raise ModelMissing(
            f"cannot load the model {path} ({error.strerror or error}). {hint}"
        ) from error
    except Exception as error:  # zipfile, zlib and numpy raise many kinds of errors for damage
        # numpy's own message does not help: it may advise to load pickles.
        what = "it is damaged, or no file of arrays"
        raise ModelMissing(f"cannot load the model {path} ({what}). {hint}") from error
