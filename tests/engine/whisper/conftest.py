"""What faster-whisper makes of the committed speech, and the model itself."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import soundfile
from daemons import DATA

Clip = Mapping[str, Any]


@pytest.fixture(scope="session")
def reference() -> Mapping[str, Clip]:
    """`tests/data/make_whisper_reference.py` wrote it."""
    clips: Mapping[str, Clip] = json.loads((DATA / "whisper_reference.json").read_text())
    assert len(clips) == 5
    return clips


@pytest.fixture(scope="session")
def clips(reference: Mapping[str, Clip]) -> dict[str, np.ndarray]:
    """The clips, int16 at 16 kHz, by file name."""
    return {name: soundfile.read(DATA / name, dtype="int16")[0] for name in reference}
