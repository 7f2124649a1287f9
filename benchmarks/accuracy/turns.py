"""Voices that nobody enrolled: labels over turns, and changes without a pause.

Recall of changes and the false ones a minute belong together: who reports a change every second
misses none.
"""

import random
from collections import Counter, defaultdict
from functools import lru_cache
from itertools import pairwise

import numpy as np

from streamd.events import Speaker, SpeakerChange
from streamd.settings import VadSettings

from .sessions import FORMATS, events_of, speech
from .stats import Table, rate, spread

SEQUENCES = 40
JOINS = 50
PAUSE_MS = (600, 1500)
NEAR_MS = 1000
"""A change whose place is this near to the join is that of the join."""
BARE = VadSettings(pre_roll_ms=0)


def tasks(clips):
    voices = defaultdict(list)
    for clip in clips:
        if clip.category in ("speaker", "emotion"):
            voices[clip.category, clip.speaker].append(clip)
    read = {name: own for (kind, name), own in voices.items() if kind == "speaker"}
    acted = {name: own for (kind, name), own in voices.items() if kind == "emotion"}
    makers = [("turns", turns, read, range(SEQUENCES))]
    makers += [("join", join, read, range(JOINS)), ("same voice", same, read, range(JOINS))]
    makers += [("one voice", alone, read, sorted(read))]
    makers += [("one voice, emotional", alone, acted, sorted(acted))]
    return [
        (f"{kind} {seed}, {channel}", measure, (kind, channel, make(seed, own)))
        for kind, make, own, seeds in makers
        for channel in FORMATS
        for seed in seeds
    ]


def turns(seed, voices):
    """Eight to twelve turns of two to four speakers, with pauses."""
    rng = random.Random(f"turns {seed}")
    names = rng.sample(sorted(voices), 2 + seed % 3)
    order = list(names)
    while len(order) < 8 + seed % 5:
        order.append(rng.choice([name for name in names if name != order[-1]]))
    return [(rng.choice(voices[name]), rng.randint(*PAUSE_MS)) for name in order]


def join(seed, voices):
    rng = random.Random(f"join {seed}")
    return [(rng.choice(voices[name]), 0) for name in rng.sample(sorted(voices), 2)]


def same(seed, voices):
    rng = random.Random(f"same {seed}")
    return [(clip, 0) for clip in rng.sample(voices[rng.choice(sorted(voices))], 2)]


def alone(name, voices):
    return [(clip, 0) for clip in voices[name]]


@lru_cache
def trimmed(clip):
    """From the first frame of speech to the last."""
    samples = clip.samples()
    edges = speech(samples, vad=BARE)
    return samples[edges[0][0] * 16 : edges[-1][1] * 16]


def measure(task):
    kind, channel, script = task
    pieces, truth, position = [], [], 0
    for clip, pause_ms in script:
        said = trimmed(clip)
        truth.append((position // 16, (position + len(said)) // 16, clip.speaker))
        pieces += [said, np.zeros(pause_ms * 16, np.int16)]
        position += len(said) + pause_ms * 16
    samples = np.concatenate([*pieces, np.zeros(16_000, np.int16)])
    events = events_of(samples, {"speaker": {}}, channel)
    finals = [e for e in events if isinstance(e, Speaker) and e.final]
    return {
        "kind": kind,
        "channel": channel,
        "truth": truth,
        "finals": [(_speaker_at(truth, (e.t0 + e.t1) // 2), _said(e), e.speech_ms) for e in finals],
        "changes": [(e.t0, e.at) for e in events if isinstance(e, SpeakerChange)],
    }


def _speaker_at(truth, ms):
    return min(truth, key=lambda turn: max(turn[0] - ms, ms - turn[1], 0))[2]


def _said(event):
    if event.decision == "reject":
        return event.speaker or "none"
    return event.decision


def tables(results, fixtures):
    groups = defaultdict(list)
    for found in results:
        groups[found["kind"], found["channel"]].append(found)
    yield _labels(groups)
    yield _joins(groups)
    yield _false_changes(groups)


def _labels(groups):
    table = Table(
        "Labels over 8 to 12 turns of 2 to 4 voices, shares of speech",
        [
            "channel",
            "sequences",
            "utterances",
            "labelled",
            "unsure",
            "no label yet",
            "too short",
            "purity",
            "one label a voice",
            "labels found − voices",
            "as many as voices",
        ],
    )
    for channel in FORMATS:
        found = groups["turns", channel]
        said = Counter()
        pure = whole = 0
        differences = []
        for sequence in found:
            by_label, by_voice = defaultdict(Counter), defaultdict(Counter)
            for voice, label, speech_ms in sequence["finals"]:
                said[label if label in ("unsure", "none", "too_short") else "label"] += speech_ms
                if label.startswith("S"):
                    by_label[label][voice] += speech_ms
                    by_voice[voice][label] += speech_ms
            pure += sum(max(c.values()) for c in by_label.values())
            whole += sum(max(c.values()) for c in by_voice.values())
            differences.append(len(by_label) - len({name for *_, name in sequence["truth"]}))
        total = said.total()
        shares = [said[k] / total for k in ("label", "unsure", "none", "too_short")]
        counted = sorted(Counter(differences).items())
        table.rows.append(
            [
                channel,
                len(found),
                sum(len(sequence["finals"]) for sequence in found),
                *(f"{100 * s:.1f} %" for s in (*shares, pure / said["label"])),
                f"{100 * whole / said['label']:.1f} %",
                ", ".join(f"{d:+d}: {n}" if d else f"0: {n}" for d, n in counted),
                rate(differences.count(0), len(differences)),
            ]
        )
    return table


def _joins(groups):
    table = Table(
        "Two voices joined without a pause",
        [
            "channel",
            "joins",
            f"change within {NEAR_MS / 1000:g} s",
            "missed",
            "false changes",
            "minutes",
            "false a minute",
            "delay p50 / p95 / max, ms",
            "place off by, p50 / p95 / max, ms",
        ],
    )
    for channel in FORMATS:
        found = groups["join", channel]
        delays, places, others = [], [], 0
        for one in found:
            place = one["truth"][1][0]
            near = [(t0, at) for t0, at in one["changes"] if abs(t0 - place) <= NEAR_MS]
            others += len(one["changes"]) - bool(near)
            delays += [at - place for _, at in near[:1]]
            places += [abs(t0 - place) for t0, _ in near[:1]]
        reported = rate(len(delays), len(found))
        minutes = sum(one["truth"][-1][1] for one in found) / 60_000
        false = [others, f"{minutes:.1f}", f"{others / minutes:.2f}"]
        row = [channel, len(found), reported, len(found) - len(delays), *false]
        table.rows.append([*row, spread(delays), spread(places)])
    return table


def _false_changes(groups):
    table = Table(
        "One voice throughout: changes reported all the same",
        [
            "recordings",
            "channel",
            "n",
            "minutes",
            "joins of clips",
            "false changes",
            "a minute",
            "n with one",
        ],
    )
    names = {
        "same voice": "two clips of a voice, joined",
        "one voice": "all clips of a voice, joined",
        "one voice, emotional": "all clips of a voice in changing emotions, joined",
    }
    for kind, name in names.items():
        for channel in FORMATS:
            found = groups[kind, channel]
            if not found:
                continue
            minutes = sum(f["truth"][-1][1] for f in found) / 60_000
            joins = sum(sum(1 for _ in pairwise(f["truth"])) for f in found)
            false = [len(f["changes"]) for f in found]
            with_one = rate(sum(map(bool, false)), len(false))
            table.rows.append(
                [
                    name,
                    channel,
                    len(found),
                    f"{minutes:.1f}",
                    joins,
                    sum(false),
                    f"{sum(false) / minutes:.2f}",
                    with_one,
                ]
            )
    return table
