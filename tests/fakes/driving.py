"""Drives sessions without a loop, with an engine that answers whenever a test likes.

A `Stage` has the real passes' fakes (or the passes themselves), the real slots, and no policy: a
seeded schedule decides which jobs run together, when, and in which order their answers return.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from fakes.recogniser import fake_recogniser

from streamd.access.principal import ANYBODY
from streamd.compose import make_registry
from streamd.config import Config
from streamd.engine.passes.base import Pass
from streamd.engine.passes.fake import FakeSpeculative, FakeVad, FakeVoice, FakeWake, wake_tone
from streamd.engine.passes.heads import WordHeads
from streamd.engine.passes.transcript import TranscriptPass
from streamd.engine.steps import walk
from streamd.events import Event
from streamd.live.enrolling import Sender, request_of
from streamd.modules.gallery import Gallery
from streamd.modules.registry import Registry
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.observability.metrics import Metrics
from streamd.protocol import messages
from streamd.session.session import Session
from streamd.types import RATE_HZ, AudioFormat, Job, Samples, Slots

ALL_ON: dict[str, Any] = {
    "vad": {},
    "wake": {"words": ["alexa", "timer"]},
    "speaker": {},
    "emotion": {},
}
WORDS = ("alexa", "hey_jarvis", "timer")
SCORES = ("score", "speaker_score", "margin", "arousal", "confidence")

Item = bytes | tuple[str, Any]
"""What a client sends: audio, or ("flush", id), ("gap", ms), ("config", modules), or ("enrol", the
fields of the message)."""
SENDER = Sender(ANYBODY, None)


def fake_passes() -> list[Pass]:
    """Return the passes in place of the real ones; the last is speculative."""
    return [
        FakeVad(),
        FakeWake(WORDS),
        FakeVoice(),
        TranscriptPass(fake_recogniser()),
        FakeSpeculative(),
    ]


def fake_registry(*, text: bool = False, **sections: dict[str, Any]) -> Registry:
    """The registry that a server with the fake passes has; `vad={"on": 0.6}` sets its keys.

    `text` is whether it makes text, too.
    """
    sections = {"wake": {"load": WORDS}} | sections
    sections["speaker"] = {"model": "ge2e"} | sections.get(
        "speaker", {}
    )  # `fake_passes` has no other
    config = msgspec.convert(sections, Config)
    recogniser = fake_recogniser() if text else None
    return make_registry(config, FakeVad(), Metrics(), WordHeads(), recogniser=recogniser)


class Stage:
    """Passes and slots for a few sessions, and the jobs that are out."""

    def __init__(
        self,
        passes: Sequence[Pass] | None = None,
        seed: int | None = None,
        slow: str | None = None,
        capacity: int = 16,
    ) -> None:
        passes = fake_passes() if passes is None else passes
        self.passes = {p.name: p for p in passes}
        self.states = {p.name: p.backend.slots(p.state, capacity) for p in passes if p.state}
        self.random = None if seed is None else random.Random(seed)
        """None: every job is run at once, alone, in the order it came."""
        self.waiting: list[tuple[Player, Job]] = []
        self.answered: list[tuple[Player, Job, Any]] = []
        self.stored: list[Callable[[], None]] = []
        """Answers of a store that are due."""
        self._eagerness = {
            p.name: 1.0 if self.random is None else self.random.choice([0.001, 0.1, 1.0])
            for p in passes
        }
        """A pass may be so slow that another is ahead by all that the ring holds."""
        self._pace_of_store = 1.0 if self.random is None else self.random.choice([0.01, 0.3, 1.0])
        if slow is not None:
            self._eagerness |= dict.fromkeys(self.passes, 1.0) | {slow: 1e-12}

    def slots(self) -> dict[str, Slots]:
        return {n: Slots(s.acquire(), s.acquire()) for n, s in self.states.items()}

    @property
    def is_busy(self) -> bool:
        return bool(self.waiting or self.answered or self.stored)

    def step(self) -> None:
        """Run a batch, or give one answer back; nothing if nothing is out."""
        if not self.is_busy:
            return
        if self.stored and (
            self.random is None
            or not (self.waiting or self.answered)
            or self.random.random() < self._pace_of_store
        ):
            self.stored.pop(0)()
            return
        if self.random is None:
            self._answer(0) if self.answered else self._run([self.waiting[0]])
            return
        jobs = [job for _, job, _ in self.answered] + [job for _, job in self.waiting]
        weights = [self._eagerness[job.pass_name] for job in jobs]
        (index,) = self.random.choices(range(len(jobs)), weights)
        if index < len(self.answered):
            self._answer(index)
            return
        name = jobs[index].pass_name
        mates = [w for w in self.waiting if w[1].pass_name == name]
        self._run(self.random.sample(mates, self.random.randint(1, len(mates))))

    def _answer(self, index: int) -> None:
        player, job, output = self.answered.pop(index)
        player.session.complete(job, output)
        player.pump()

    def _run(self, chosen: list[tuple[Player, Job]]) -> None:
        name = chosen[0][1].pass_name
        self.waiting = [w for w in self.waiting if w not in chosen]
        samples = [player.session.cut(job) for player, job in chosen]
        jobs = [job for _, job in chosen]
        states = self.states.get(name)
        rows = states.gather([job.load for job in jobs]) if states else {}
        outputs, rows = walk(self.passes[name], jobs, samples, rows)
        if states:
            states.scatter([job.store for job in jobs], rows)
        self.answered += [(p, j, o) for (p, j), o in zip(chosen, outputs, strict=True)]


class Player:
    """One client, its session, and every event it was given."""

    def __init__(
        self,
        stage: Stage,
        registry: Registry | None = None,
        modules: dict[str, Any] | None = None,
        audio: AudioFormat | None = None,
        gallery: Callable[[], Gallery] = Gallery.empty,
        ring_s: int = 8,
        words: CustomWords = NO_WORDS,
    ) -> None:
        self.stage = stage
        self.registry = registry or fake_registry()
        chosen, _ = self.registry.resolve(ALL_ON if modules is None else modules, words=words)
        self.session = Session(
            self.registry,
            chosen,
            audio or AudioFormat(),
            stage.slots(),
            gallery,
            ring_s,
            lambda: words,
        )
        self.events: list[Event] = []

    def pump(self) -> None:
        self.stage.waiting += [(self, job) for job in self.session.jobs()]
        withdrawn = self.session.withdrawn()
        self.stage.waiting = [
            (player, job)
            for player, job in self.stage.waiting
            if player is not self or job.key not in withdrawn
        ]
        self.events += self.session.events()

    def send(self, item: Item) -> None:
        """Send one message; waits as a client does whose socket is read more slowly."""
        if isinstance(item, bytes):
            view = memoryview(item)
            while view:
                taken = self.session.receive_audio(view)
                assert taken <= len(view)
                view = view[taken:]
                self.pump()
                while view and not self.session.room:
                    assert self.stage.is_busy, "no room, and nothing to wait for"
                    self.stage.step()
        else:
            while not self.session.can_mark:
                assert self.stage.is_busy, "no mark can be taken, and nothing to wait for"
                self.stage.step()
            kind, argument = item
            if kind == "enrol":
                argument = request_of(messages.Enrol(**argument), SENDER)
            getattr(self.session, f"receive_{kind}")(argument)
            self.pump()
        if self.stage.random is None:
            self.settle()
        else:
            for _ in range(int(self.stage.random.expovariate(0.3))):
                self.stage.step()

    def play(self, items: Iterable[Item], *, end: bool = True) -> list[Event]:
        for item in items:
            self.send(item)
        if end:
            self.end()
        return self.events

    def end(self) -> list[Event]:
        self.session.receive_end()
        self.pump()
        self.settle()
        assert self.session.ended
        return self.events

    def settle(self) -> None:
        while self.stage.is_busy:
            self.stage.step()

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Events of one type, as they are on the wire."""
        return by_type(self.events).get(kind, [])


def by_type(events: Iterable[Event]) -> dict[str, list[dict[str, Any]]]:
    """The log, as the wire has it, by type and without `seq`."""
    lists: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        fields = msgspec.to_builtins(event)
        fields.pop("seq", None)
        lists.setdefault(fields["type"], []).append(fields)
    return lists


def assert_same_events(a: Iterable[Event], b: Iterable[Event], tolerance: float = 1e-3) -> None:
    """The promise of the wire: per type equal lists, all exact but scores."""
    first, second = by_type(a), by_type(b)
    assert first.keys() == second.keys()
    for kind, events in first.items():
        assert [_exact(e) for e in events] == [_exact(e) for e in second[kind]]
        for one, other in zip(events, second[kind], strict=True):
            for name in SCORES:
                x, y = one.get(name), other.get(name)
                assert (x is None) == (y is None), (one, other)
                assert x is None or abs(x - y) <= tolerance, (one, other)
            assert one.get("scores", {}) == pytest.approx(other.get("scores", {}), abs=tolerance)


def assert_order(events: Iterable[Event]) -> None:
    """What the wire promises between types."""
    started: set[str] = set()
    ended: set[str] = set()
    for event in events:
        utterance = getattr(event, "utterance", None)
        if not isinstance(utterance, str) or event.__struct_config__.tag == "wake":
            continue
        assert utterance not in ended, event
        if event.__struct_config__.tag == "speech_start":
            assert utterance not in started
            started.add(utterance)
        assert utterance in started, event
        if event.__struct_config__.tag == "speech_end":
            ended.add(utterance)
    assert started == ended


def _exact(event: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in event.items() if k not in (*SCORES, "scores")}


# Sound.


def silence(ms: int, rate: int = RATE_HZ) -> Samples:
    return np.zeros(ms * rate // 1000, np.int16)


def tone(hz: float, ms: int, level: float = 8000.0, rate: int = RATE_HZ) -> Samples:
    time = np.arange(ms * rate // 1000) / rate
    return np.round(level * np.sin(2 * np.pi * hz * time)).astype(np.int16)


def hum(ms: int, rate: int = RATE_HZ) -> Samples:
    """Loud enough for the gate, too faint to be speech."""
    return tone(120, ms, 60.0, rate)


def word(rate: int = RATE_HZ) -> Samples:
    """The fake wake word: whatever the grid, two of three steps of 80 ms lie in it."""
    return wake_tone(4) if rate == RATE_HZ else tone(1000, 320, 16000.0, rate)


def enrolled(**voices: float) -> Gallery:
    """A gallery of tones: `enrolled(anna=300)`."""
    items = [tone(hz, 1600) for hz in voices.values()]
    embeddings = np.array([v.embedding for v in FakeVoice().run(items, [None] * len(items), {})[0]])
    owners = np.arange(len(voices))
    return Gallery.build(tuple(voices), embeddings, owners, np.zeros_like(owners))


def pcm(*parts: Samples) -> bytes:
    return np.concatenate(parts).astype("<i2").tobytes()


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def script(
    data: bytes, places: Sequence[tuple[int, Item]] = (), cuts: Iterable[int] = ()
) -> list[Item]:
    """Audio with messages at fixed byte places, cut up at `cuts` besides."""
    items: list[Item] = []
    at = 0
    ordered = sorted(places, key=lambda p: p[0])
    for place in sorted({*cuts, *(p for p, _ in ordered), len(data)}):
        place = min(place, len(data))
        if place > at:
            items.append(data[at:place])
            at = place
        items += [item for p, item in ordered if p == place]
    return items
