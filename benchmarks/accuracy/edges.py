"""Wake words and speech edges: one clip at a time."""

from collections import defaultdict

import numpy as np

from streamd.evaluation.vad import Edge, compared
from streamd.events import Wake
from streamd.settings import VadSettings

from .sessions import CONFIG, annotations, events_of, speech
from .stats import Table, rate, spread

FRAME_MS = 32
UNGATED = VadSettings(gate=False)
BARE = {"on": 0.5, "off": 0.5, "min_speech_ms": 0, "hangover_ms": FRAME_MS, "pre_roll_ms": 0}
"""Settings with which an utterance is a run of frames that silero gives 0.5 or more."""


def tasks(clips):
    return [(f"{clip.category} {clip.path.stem}"[:40], measure, clip) for clip in clips]


def measure(clip):
    samples = clip.samples()
    words = list(CONFIG.wake.load)
    wakes = [e for e in events_of(samples, {"wake": {"words": words}}) if isinstance(e, Wake)]
    gated = frames(samples, VadSettings(**BARE))
    ungated = frames(samples, VadSettings(**BARE, gate=False))
    edges, edges_ungated = speech(samples), speech(samples, vad=UNGATED)
    found = {
        "clip": clip,
        "ms": len(samples) // 16,
        "wakes": [(e.word, e.at) for e in wakes],
        "frames": len(gated),
        "speech_frames": int(ungated.sum()),
        "flips": int((gated != ungated).sum()),
        "edges": edges,
        "edges_moved": edges != edges_ungated,
        "late": [],
    }
    # The last speech frame of the phrase is that of the utterance that began before the event.
    for _, at in found["wakes"]:
        ends = [t1 for t0, t1, _ in edges_ungated if t0 < at]
        found["late"].append(at - ends[-1] if ends else None)
    return found


def frames(samples, vad):
    """Silero's decision about each frame."""
    decided = np.zeros(-(-len(samples) // (FRAME_MS * 16)), bool)
    for t0, t1, _ in speech(samples, vad=vad):
        decided[t0 // FRAME_MS : t1 // FRAME_MS] = True
    return decided


def tables(results, fixtures):
    groups = defaultdict(list)
    for found in results:
        clip = found["clip"]
        groups[clip.label if clip.category == "wake" else clip.category].append(found)
    yield _hits(groups)
    yield _lateness(groups["alexa"])
    yield _false_accepts(groups)
    yield _gate(results)
    yield _meetings(groups["conversation"], fixtures)
    yield _noise(groups)


def _hits(groups):
    table = Table(
        "Wake words, clips of the word",
        ["word", "clips", "exactly one event", "none", "several", "another word fired"],
    )
    for word in CONFIG.wake.load:
        own = [[w for w, _ in f["wakes"]] for f in groups.get(word, [])]
        counts = [words_found.count(word) for words_found in own]
        if counts:
            other = sum(any(w != word for w in words_found) for words_found in own)
            one = rate(counts.count(1), len(counts))
            several = sum(c > 1 for c in counts)
            table.rows.append([word, len(counts), one, counts.count(0), several, other])
    return table


def _lateness(clips):
    late = [
        ms
        for found in clips
        for (word, _), ms in zip(found["wakes"], found["late"], strict=True)
        if word == "alexa" and ms is not None
    ]
    return Table(
        "Wake word: `at` minus the end of silero's last speech frame of the phrase, ms",
        ["word", "events", "p50 / p95 / max"],
        [["alexa", len(late), spread(late)]],
    )


def _false_accepts(groups):
    table = Table(
        "Wake words, recordings without the word",
        ["recordings", "clips", "minutes", "alexa events", "clips with one", "of other words"],
    )
    words = set(CONFIG.wake.load)
    others = [f for label, found in groups.items() if label in OTHER_PHRASES for f in found]
    named = {"other wake phrases": others}
    named |= {c: groups[c] for c in ("negative", "noise", "speaker", "conversation", "emotion")}
    for name, found in named.items():
        words_found = [[w for w, _ in f["wakes"]] for f in found]
        hits = rate(sum("alexa" in h for h in words_found), len(words_found))
        minutes = sum(f["ms"] for f in found) / 60_000
        alexa = sum(h.count("alexa") for h in words_found)
        rest = [w for h in words_found for w in h if w != "alexa"]
        counted = ", ".join(f"{w} {rest.count(w)}" for w in sorted(words) if w in rest) or "0"
        table.rows.append([name, len(found), f"{minutes:.1f}", alexa, hits, counted])
    return table


OTHER_PHRASES = (
    "amelia",
    "athena",
    "computer",
    "hey_chatterbox",
    "hey_rhasspy",
    "jarvis",
    "okay_nabu",
    "okay_rhasspy",
)


def _gate(results):
    total = sum(f["frames"] for f in results)
    flips = sum(f["flips"] for f in results)
    moved = sum(f["edges_moved"] for f in results)
    return Table(
        "Level gate against silero alone, all recordings",
        ["frames", "of them speech", "changed", "share of frames", "clips with other edges"],
        [
            [
                total,
                sum(f["speech_frames"] for f in results),
                flips,
                f"{100 * flips / total:.3f} %",
                f"{moved} of {len(results)}",
            ]
        ],
    )


def _meetings(results, fixtures):
    table = Table(
        "Speech edges on meetings, against the labels",
        ["recording", "speech", "missed", "false", "F1", "onsets", "delay p50 / p95 / max, ms"],
    )
    files = []
    for found in sorted(results, key=lambda f: f["clip"].path):
        name = found["clip"].path.stem
        labelled = [(start, stop) for _, start, stop in annotations(fixtures, name)]
        edges = [Edge(*edge) for edge in found["edges"]]
        files.append(compared(name, labelled, edges, found["ms"]))
    groups = [*((file.name, [file]) for file in files), ("all", files)]
    for name, own in groups:
        counts = np.array([file.counts for file in own])
        speech, both, rest, false = counts.sum(axis=0)
        missed = speech - both
        late = [delay for file in own for delay in file.onsets]
        table.rows.append(
            [
                name,
                f"{100 * speech / (speech + rest):.0f} %",
                f"{100 * missed / speech:.1f} % of speech",
                f"{100 * false / rest:.1f} % of the rest",
                f"{200 * both / (2 * both + false + missed):.1f}",
                len(late),
                spread(late),
            ]
        )
    return table


def _noise(groups):
    table = Table(
        "Speech found where there is none",
        ["recordings", "clips", "clips with speech", "minutes", "minutes called speech"],
    )
    found = groups["noise"]
    total, false = (
        sum(f["ms"] for f in found) / 60_000,
        sum(t1 - t0 for f in found for t0, t1, _ in f["edges"]) / 60_000,
    )
    clips = rate(sum(bool(f["edges"]) for f in found), len(found))
    table.rows.append(["noise", len(found), clips, f"{total:.1f}", f"{false:.2f}"])
    return table
