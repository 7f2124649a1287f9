"""Published models run in their own toolkits and in streamd, on the same audio.

`make test-models` installs the toolkits and runs these tests; no other run collects them. A file
gets a toolkit by `toolkit("torch")` of `tests/needs.py`, which skips it where that is missing.
"""

import os
import tempfile
from pathlib import Path

import pytest

# Toolkits make these folders when they are imported; a test writes nothing into the user's home.
_CACHE = tempfile.TemporaryDirectory(prefix="streamd-toolkits-")
for _name in ("MODELSCOPE_CACHE", "HF_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
    os.environ[_name] = str(Path(_CACHE.name) / _name.lower())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder. What a toolkit warns about is no fault of streamd's."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.published)
            item.add_marker(pytest.mark.filterwarnings("ignore"))
