"""Audio files and uploads, block by block, in a form that a stream may carry.

`reader` opens a file and picks the decoder: libsndfile for uncompressed formats, FFmpeg for the
others. Both decode to the end of the data, whatever length a header states. `timeline` turns the
times of a container into gaps.
"""

from streamd.audio.files.parts import Gap, Note, Part, TooLong
from streamd.audio.files.reader import AudioFile, Source, as_pcm16, load, read

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
