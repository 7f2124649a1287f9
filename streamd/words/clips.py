"""Recordings of a phrase: finds the phrase, and what is wrong with the recording."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from streamd.audio.files import load
from streamd.display import display_name
from streamd.engine.passes.base import Pass
from streamd.engine.passes.warm import initial_rows
from streamd.errors import NotAudio
from streamd.types import RATE_HZ, Samples
from streamd.words.limits import MAX_CLIP_S

MIN_PHRASE_MS = 200
MAX_PHRASE_MS = 2500
"""Longest phrase: longer ones do not fit into the window of a head."""
_ON = 0.5
_PAUSE = RATE_HZ // 5
"""Longest silence inside a phrase, samples."""
_MARGIN = 400
"""Samples by which the VAD is late at onsets and early at ends."""
_LEAD = RATE_HZ // 2
_CLIPPED_SHARE = 0.002
_QUIET_DBFS = -45.0
_SECOND_DB = 12.0
"""Another run of speech counts as a second utterance if it is at most so much fainter."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One recording, 16 kHz."""

    name: str
    samples: Samples
    start: int
    """First sample of the phrase."""
    stop: int
    """Exclusive end of the phrase."""
    remarks: tuple[str, ...] = ()

    @property
    def phrase_ms(self) -> int:
        """Length of the phrase."""
        return (self.stop - self.start) * 1000 // RATE_HZ


def load_clip(file: Path, vad: Pass, track: int | None = None) -> Clip:
    """Read a recording and find the phrase in it.

    Args:
        file: any audio.
        vad: a pass that gives the speech probability of frames.
        track: Number of the audio track, from 1; None takes the first.

    Raises:
        NotAudio: it is not audio, has no such track, contains no speech, or is too long to be
            one phrase.
    """
    name = display_name(file)
    notes: list[str] = []
    samples = load(file, name=name, max_s=MAX_CLIP_S, track=track, note=notes.append)
    return find_clip(name, samples, vad, notes)


def find_clip(name: str, samples: Samples, vad: Pass, notes: Iterable[str]) -> Clip:
    """Return a decoded recording as a clip, with the remarks of its decoder.

    Args:
        name: Name of the recording.
        samples: int16, 16 kHz.
        vad: A pass that gives the speech probability of frames.
        notes: Remarks of the decoder.

    Raises:
        NotAudio: As `find_phrase`.
    """
    clip = find_phrase(name, samples, vad)
    remarks = (note.removeprefix(f"{name}: ") for note in notes)
    return replace(clip, remarks=(*remarks, *clip.remarks))


def refuse_copies(clips: Iterable[Clip]) -> None:
    """Refuse duplicates: the estimate would rest on clips that are in the training data.

    Raises:
        NotAudio: Two clips are the same.
    """
    seen: dict[bytes, str] = {}
    for clip in clips:
        samples = clip.samples.tobytes()
        if samples in seen:
            raise NotAudio(f"{clip.name}: the same recording as {seen[samples]}; each counts once")
        seen[samples] = clip.name


def find_phrase(name: str, samples: Samples, vad: Pass) -> Clip:
    """Find the loudest run of speech.

    Raises:
        NotAudio: there is none, or it is too long to be one phrase.
    """
    runs = _speech(samples, vad)
    if not runs:
        raise NotAudio(
            f"{name}: no speech was found in it. Record the phrase again, closer or louder."
        )
    power = samples.astype(np.float64) ** 2
    levels = [10 * np.log10(power[a:b].mean() + 1e-9) for a, b in runs]
    energies = [power[a:b].sum() for a, b in runs]
    best = int(np.argmax(energies))
    start, stop = runs[best]
    clip = Clip(name, samples, start, stop)
    if not MIN_PHRASE_MS <= clip.phrase_ms <= MAX_PHRASE_MS:
        raise NotAudio(
            f"{name}: {clip.phrase_ms / 1000:.1f} s of speech in one piece; a phrase takes "
            f"{MIN_PHRASE_MS / 1000} to {MAX_PHRASE_MS / 1000} s. Cut the recording to the phrase."
        )
    remarks = []
    if sum(level > levels[best] - _SECOND_DB for level in levels) > 1:
        remarks.append("holds more than one utterance; the loudest was taken")
    if np.mean(np.abs(samples[start:stop].astype(np.int32)) >= 32_700) > _CLIPPED_SHARE:
        remarks.append("is clipped: record it at a lower level")
    if levels[best] - 20 * np.log10(32_768) < _QUIET_DBFS:
        remarks.append("is very quiet: record it closer or at a higher level")
    return Clip(name, samples, start, stop, tuple(remarks))


def _speech(samples: Samples, vad: Pass) -> Sequence[tuple[int, int]]:
    """Return runs of speech as (start, stop), with pauses closed."""
    context: int = vad.context_samples  # type: ignore[attr-defined]
    frame: int = vad.item_samples - context  # type: ignore[attr-defined]
    silence = np.zeros(_LEAD + frame, np.int16)
    padded = np.concatenate((silence, samples, silence))
    state = initial_rows(vad, 1)
    runs: list[tuple[int, int]] = []
    for start in range(context, len(padded) - frame + 1, frame):
        (probability,), state = vad.run([padded[start - context : start + frame]], [None], state)
        if probability < _ON:
            continue
        a, b = start - len(silence), start + frame - len(silence)
        if runs and a - runs[-1][1] <= _PAUSE:
            runs[-1] = (runs[-1][0], b)
        else:
            runs.append((a, b))
    bounded = ((max(a - _MARGIN, 0), min(b + _MARGIN, len(samples))) for a, b in runs)
    return [(a, b) for a, b in bounded if a < b]
