"""What a keyword network spells and remembers: the file beside its graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from streamd.arrays import PULL_AGAIN
from streamd.errors import ModelMissing


class KeywordInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes of an FSMN-CTC network, and how it writes words."""

    layers: int
    """Memory blocks."""
    width: int
    """Numbers of a frame in a memory block."""
    memory: int
    """Frames before the newest one that a block keeps."""
    delay: int
    """Frames after a frame that its scores depend on."""
    tokens: tuple[str, ...]
    """What each output stands for; the first is the blank."""
    lexicon: Mapping[str, str] = {}
    """How words are written in tokens, by word."""

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_bytes(msgspec.json.encode(self))


def read(path: Path) -> KeywordInfo:
    """Read what `KeywordInfo.write` wrote.

    Raises:
        ModelMissing: it is not there or not as it was written.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=KeywordInfo)
    except (OSError, msgspec.DecodeError) as error:
        raise ModelMissing(f"cannot load the model {path} ({error}). {PULL_AGAIN}") from error
