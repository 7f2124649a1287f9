"""Enrolled voices: every pair of a voice and a recording, and whole galleries."""

import random
from collections import defaultdict
from functools import lru_cache

import numpy as np

from streamd.events import Speaker

from .sessions import CONFIG, events_of, gallery_of, speech, voice_of
from .stats import Table, equal_error, rate_of, speakers_rate, trials_of

LENGTHS = (1, 2, 3, None)
"""Seconds of a test; None is the whole recording."""
CONDITIONS = {
    "wide": ("speaker", "wide", "wide"),
    "narrow": ("speaker", "narrow", "narrow"),
    "narrow, enrolled wide": ("speaker", "wide", "narrow"),
    "wide, emotional": ("emotion", "wide", "wide"),
}
"""Category, channel of the enrolment and of the test."""
SILENCE = 8000
"""Samples behind each recording, so that its last utterance ends by itself."""
CANDIDATES = (0.60, 0.65, 0.70, 0.725, 0.75, 0.775, 0.80, 0.85)
GALLERIES = 2
"""Draws of enrolments for each test against all voices."""
OUTCOMES = ("right", "wrong", "unsure", "reject", "too_short")


def tasks(clips):
    """A print of every clip by channel and length, then each clip against galleries."""
    spoken = [clip for clip in clips if clip.category in ("speaker", "emotion")]
    read = [clip for clip in spoken if clip.category == "speaker"]
    return [(clip.name, prints, clip) for clip in spoken] + [
        (f"{clip.name} among {len({c.speaker for c in read})}", identify, (i, read))
        for i, clip in enumerate(read)
    ]


def prints(clip):
    samples = clip.samples()
    channels = ("wide", "narrow") if clip.category == "speaker" else ("wide",)
    found = {
        (channel, length): voice_of(beginning(samples, length), channel)
        for channel in channels
        for length in LENGTHS
    }
    return clip, found


def beginning(samples, length):
    """From the first speech on, `length` seconds; then silence."""
    if length is not None:
        edges = speech(samples)
        onset_ms = edges[0][0] + CONFIG.vad.pre_roll_ms if edges else 0
        samples = samples[onset_ms * 16 :][: length * 16_000]
    return np.concatenate([samples, np.zeros(SILENCE, np.int16)])


@lru_cache
def enrol(clip, channel):
    return voice_of(beginning(clip.samples(), None), channel).embedding


def identify(task):
    """One clip against a gallery of every voice, and of every other voice."""
    i, clips = task
    test = clips[i]
    rest = defaultdict(list)
    for clip in clips:
        if clip is not test:
            rest[clip.speaker].append(clip)
    found = []
    for channel in ("wide", "narrow"):
        for draw in range(GALLERIES):
            rng = random.Random(f"{i} {draw}")
            voices = {name: [enrol(rng.choice(own), channel)] for name, own in sorted(rest.items())}
            others = {name: own for name, own in voices.items() if name != test.speaker}
            for length in LENGTHS:
                samples = beginning(test.samples(), length)
                for enrolled in (voices, others):
                    gallery = gallery_of(enrolled, channel)
                    key = (channel, length, enrolled is voices, test.speaker)
                    said = outcomes(samples, channel, gallery, test.speaker)
                    found += [(*key, outcome) for outcome in said]
    return found


def outcomes(samples, channel, gallery, speaker):
    """What the final event of each utterance says."""
    for event in events_of(samples, {"speaker": {}}, channel, gallery):
        if isinstance(event, Speaker) and event.final:
            if event.decision == "accept":
                yield "right" if event.speaker == speaker else "wrong"
            else:
                yield event.decision


def tables(results, fixtures):
    known = [r for r in results if isinstance(r, tuple)]
    trials = {
        (name, size, length): list(_trials(known, *condition, size, length))
        for name, condition in CONDITIONS.items()
        for size in (1, 3)
        for length in LENGTHS
    }
    yield _verification(trials)
    yield _candidates(trials)
    yield _identification([row for r in results if isinstance(r, list) for row in r])


def _trials(known, category, enrolled_on, tested_on, size, length):
    """(score or None for too short, voice, speaker of the test)."""
    by_speaker = defaultdict(list)
    for clip, found in known:
        if clip.category == category:
            by_speaker[clip.speaker].append((clip, found))
    tests = [one for own in by_speaker.values() for one in own]
    for name, own in by_speaker.items():
        for start in range(len(own)):
            if len(own) <= size:
                continue  # nothing would be left to test
            chosen = [own[(start + k) % len(own)] for k in range(size)]
            voice = np.sum([found[enrolled_on, None].embedding for _, found in chosen], axis=0)
            voice /= np.linalg.norm(voice)
            for clip, found in tests:
                if any(clip is c for c, _ in chosen):
                    continue
                sample = found[tested_on, length]
                short = sample.speech_ms < CONFIG.speaker.min_speech_ms
                none = short or sample.embedding is None
                yield None if none else float(voice @ sample.embedding), name, clip.speaker


def _verification(trials):
    table = Table(
        "One enrolled voice, one recording, at the default thresholds",
        [
            "channel",
            "enrolments",
            "test",
            "genuine",
            "accept",
            "unsure",
            "reject",
            "impostor",
            "false accept",
            "unsure (imp.)",
            "too short",
            "EER",
            "at",
        ],
    )
    for (name, size, length), rows in trials.items():
        scored = [row for row in rows if row[0] is not None]
        if not scored:
            continue
        band = getattr(CONFIG.speaker.thresholds, CONDITIONS[name][2])
        trials_found = trials_of(scored)
        equal = equal_error(trials_found)
        cells = []
        for is_genuine in (True, False):
            shares = _shares(trials_found, band, is_genuine)
            cells += [shares[0].of, *(shares if is_genuine else shares[:2])]
        table.rows.append(
            [
                name,
                size,
                f"{length} s" if length else "whole",
                *cells,
                len(rows) - len(scored),
                equal,
                f"{equal.threshold:.3f}",
            ]
        )
    return table


def _shares(trials, band, is_genuine):
    bounds = ((band.accept, np.inf), (band.reject, band.accept), (-np.inf, band.reject))
    return [rate_of(trials.between(low, high, genuine=is_genuine)) for low, high in bounds]


def _candidates(trials):
    table = Table(
        "What other thresholds would do: genuine at or above / impostors at or above",
        ["channel", "enrolments", "test", *(f"{c:g}" for c in CANDIDATES)],
    )
    for (name, size, length), rows in trials.items():
        genuine = np.array([s for s, a, b in rows if s is not None and a == b])
        impostor = np.array([s for s, a, b in rows if s is not None and a != b])
        if len(genuine) and size == 1:
            cells = [
                f"{100 * (genuine >= c).mean():.1f} / {100 * (impostor >= c).mean():.2f} %"
                for c in CANDIDATES
            ]
            table.rows.append([name, size, f"{length} s" if length else "whole", *cells])
    return table


def _identification(rows):
    table = Table(
        "Utterances against a gallery of all voices, one enrolment each",
        ["channel", "test", "own voice", "utterances", *OUTCOMES],
    )
    groups = defaultdict(list)
    for channel, length, is_known, speaker, outcome in rows:
        groups[channel, length, is_known].append((speaker, outcome))
    for (channel, length, is_known), found in groups.items():
        speakers = [speaker for speaker, _ in found]
        cells = [speakers_rate([o == outcome for _, o in found], speakers) for outcome in OUTCOMES]
        where = "enrolled" if is_known else "not enrolled"
        table.rows.append(
            [channel, f"{length} s" if length else "whole", where, len(found), *cells]
        )
    return table
