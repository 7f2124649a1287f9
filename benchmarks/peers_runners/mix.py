"""The reference mix: its audio, what is said in it, and streamd's own events of it, offline."""

import random
import re
from typing import NamedTuple

import numpy as np
import soundfile
from streams import CLIPS, RATE_HZ, make_streams, skipped

from streamd.compose import make_parts
from streamd.config import Config
from streamd.config.sections import EngineConfig
from streamd.files.offline import OfflineAnalysis
from streamd.models.library import Library
from streamd.modules.gallery import Gallery
from streamd.types import AudioFormat

FRAME, STEP, WINDOW = 512, 1280, 25_600
GRACE_MS = 1000
"""Milliseconds after a clip until which a detection counts for it."""
SETTLING_MS = 3000
"""Milliseconds of a stream that do not count, because peers have no score yet (wyoming-openwakeword
for 2 s)."""


class Clip(NamedTuple):
    """A clip in a stream."""

    stream: int
    start_ms: int
    stop_ms: int
    said: str | None
    """Normalised text; None if the stream's begin or end cuts the clip."""


class Mix:
    """N streams of a folder's clips, and which clip is where."""

    def __init__(self, folder, count, seconds, seed):
        self.streams = make_streams(folder, count, seconds, seed)
        self.clips = list(_clips(folder, count, int(seconds * RATE_HZ), seed))

    def tally(self, found, words, count):
        """Compare detections (stream, word, ms) in the first streams with what is said there.

        Returns:
            Times that a word was said and found, times that it was said, detections elsewhere.
        """
        clips = [c for c in self.clips if c.stream < count]
        cut = [c for c in clips if c.said is None or c.start_ms < SETTLING_MS]
        whole = [c for c in clips if c not in cut]
        said = [(clip, word) for clip in whole for word in words if word in clip.said]
        left = [tuple(one) for one in found if not any(_is_in(one, clip) for clip in cut)]
        detected = 0
        for clip, word in said:
            hits = [one for one in left if one[1] == word and _is_in(one, clip)]
            if hits:
                detected += 1
                left.remove(hits[0])
        return detected, len(said), len(left)


def _is_in(one, clip):
    stream, _, at_ms = one
    return stream == clip.stream and clip.start_ms <= at_ms <= clip.stop_ms + GRACE_MS


def _clips(folder, count, samples, seed):
    """Repeat the random draws of `make_streams`."""
    paths, rng = sorted(folder.rglob("*.flac")), random.Random(seed)
    for stream in range(count):
        at = None
        while at is None or at < samples:
            path = rng.choice(paths)
            info = soundfile.info(path)
            if info.samplerate != RATE_HZ:
                continue
            length = info.frames + info.frames * 3 // 2
            at = -skipped(stream, length) if at is None else at
            start_ms, stop_ms = (1000 * max(n, 0) // RATE_HZ for n in (at, at + info.frames))
            is_whole = at >= 0 and at + info.frames <= samples
            yield Clip(stream, start_ms, stop_ms, said(path) if is_whole else None)
            at += length


def said(path):
    """Return the text of a bundled clip; of other clips only the name is known."""
    script = (CLIPS / "make_speech.sh").read_text()
    lines = re.findall(r'^say \w+ "(.+)" (\S+)$', script, re.M)
    text = {name: text for text, name in lines}.get(path.name, path.stem)
    return re.sub(r"[^a-z0-9]+", "_", text.lower())


class Truth(NamedTuple):
    """streamd's outputs for the mix, in one thread and without a socket."""

    speech: np.ndarray
    """float32 [streams, frames]: probability, 0 where the level gate skipped the frame."""
    stops: list[list[int]]
    """By stream, the ends of its speaker windows, samples."""
    is_full: np.ndarray
    """bool [windows]: the window is 1.6 s long."""
    embeddings: np.ndarray
    """float32 [windows, 256]."""
    wakes: list[tuple[int, str, int]]
    """(stream, word, `at`)."""


class _Tapped(OfflineAnalysis):
    """An analysis that keeps the engine's answers."""

    def __init__(self, *parts):
        super().__init__(*parts)
        self.answers = []

    def complete(self, job, output):
        if job.samples is None:  # not what is left at the end, walked on a padded copy
            self.answers.append((job.pass_name, job.start, job.stop, output))
        super().complete(job, output)


def run_offline(streams, modules):
    """Run the streams through streamd's session, one after the other."""
    parts = make_parts(Config(engine=EngineConfig(threads=1)), Library())
    chosen, _ = parts.registry.resolve(modules)
    speech = np.zeros((len(streams), len(streams[0]) // FRAME), np.float32)
    last = len(streams[0]) // STEP * STEP  # peers read no further
    stops, windows, wakes = [], [], []
    for i, audio in enumerate(streams):
        tapped = _Tapped(parts.engine, parts.registry, chosen, AudioFormat(), Gallery.empty())
        events = list(tapped.events([audio.tobytes()]))
        wakes += [(i, e.word, e.at) for e in events if type(e).__name__ == "Wake"]
        tapped.close()
        for name, _, stop, output in tapped.answers:
            if name == "vad":
                speech[i, stop // FRAME - len(output) : stop // FRAME] = output
        voice = [rest for name, *rest in tapped.answers if name == "voice" and rest[1] <= last]
        voice.sort(key=lambda rest: rest[1])
        stops.append([stop for _, stop, _ in voice])
        windows += [(stop - start == WINDOW, output.embedding) for start, stop, output in voice]
    is_full = np.array([full for full, _ in windows], bool)
    embeddings = np.array([e for _, e in windows], np.float32).reshape(-1, 256)
    return Truth(speech, stops, is_full, embeddings, wakes)
