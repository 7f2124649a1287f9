"""Audio files and uploads, block by block, in a form that a stream may carry.

`reader` opens a file and picks the decoder: libsndfile for uncompressed formats, FFmpeg for the
others. Both decode to the end of the data, whatever length a header states. `timeline` turns the
times of a container into gaps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamd.audio.files.parts import Gap, Note, Part, TooLong, as_pcm16

if TYPE_CHECKING:
    from streamd.audio.files.reader import AudioFile, Source, load, read

__all__ = [
    "AudioFile",
    "Gap",
    "Note",
    "Part",
    "Source",
    "TooLong",
    "as_pcm16",
    "load",
    "read",
]


def __getattr__(name: str) -> Any:
    # The decoders are loaded where a file is read. A server, which decodes in processes of its own,
    # does without them.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from streamd.audio.files import reader

    return getattr(reader, name)
