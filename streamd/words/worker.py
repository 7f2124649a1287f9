"""The process that makes one word: a job on its standard input, the word on its standard output.

Training takes seconds of CPU in small steps. In a process of its own it delays no stream.
"""

from __future__ import annotations

import sys

import msgspec
import numpy as np

from streamd.backends import Backends
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.silero import SileroVad
from streamd.errors import Refusal
from streamd.models.library import Library
from streamd.words.clips import find_clip, refuse_copies
from streamd.words.jobs import Failed, Job, Made
from streamd.words.making import make_word, remarks_on
from streamd.words.negatives import built_in


def make(job: Job) -> Made:
    """Make the word of a job.

    Raises:
        Refusal: The clips are not good for one.
    """
    library, backends = Library(), Backends(job.engine)
    vad = SileroVad(backends.of(SileroVad.name), library)
    clips = [
        find_clip(clip.name, np.frombuffer(clip.samples, np.int16), vad, clip.notes)
        for clip in job.clips
    ]
    refuse_copies(clips)
    wake = OpenWakeWord(backends.of(OpenWakeWord.name), library, ())
    making = make_word(job.name, clips, wake, built_in(), threshold=job.threshold)
    return Made(making.word.info, making.word.head, remarks_on(making))


def main() -> None:
    """Make one word."""
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Job)
    result: Made | Failed
    try:
        result = make(job)
    except Refusal as refusal:
        result = Failed(refusal.code, refusal.message)
    sys.stdout.buffer.write(msgspec.msgpack.encode(result))


if __name__ == "__main__":
    main()
