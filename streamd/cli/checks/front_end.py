"""The line of `streamd doctor` about the audio front end."""

from __future__ import annotations

import numpy as np

from streamd.audio.frontend.chain import Chain
from streamd.front_ends import FRAME, Kind, Part, installed
from streamd.types import Enhance

PARTS: dict[Part, str] = {
    "webrtc": "noise suppression of WebRTC",
    "deep": "DeepFilterNet3",
    "echo": "echo cancellation",
}


def checked(wanted: Enhance) -> tuple[str, bool]:
    """Run a frame through each part that is installed.

    Args:
        wanted: Noise suppression that is configured.

    Returns:
        What to say, and whether all is fine.
    """
    works: list[str] = []
    faults = []
    for part, name in PARTS.items():
        if part not in installed():
            continue
        try:
            Chain(Kind((part,))).run(np.zeros((FRAME, 2) if part == "echo" else FRAME, np.int16))
        except Exception as error:  # whatever a package that was built for another machine raises
            faults.append(f"{name} cannot be loaded: {error}")
        else:
            works.append(part)
    said = ", ".join([*(name for part, name in PARTS.items() if part in works), *faults])
    if not said:
        said = "not installed; optional: pip install 'streamd-voice[enhance]'"
    if wanted != "off" and wanted not in works:
        return f"{said}; session.enhance is {wanted!r}, and streams go without it", False
    return said, not faults
