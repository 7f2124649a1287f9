"""Streams by their recipes: sound that the fake passes know, and messages at fixed places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from fakes.driving import (
    ALL_ON,
    Item,
    Player,
    Stage,
    enrolled,
    fake_registry,
    hum,
    pcm,
    silence,
    tone,
    word,
)
from hypothesis import strategies as st

from streamd.audio.decode import Decoder
from streamd.types import AudioFormat, Samples

RATES = (8000, 16000, 44100, 48000)

REGISTRY = fake_registry(text=True)
GALLERY = enrolled(anna=300)

_PARTS: dict[str, Callable[[int, int], Samples]] = {
    "silence": silence,
    "hum": hum,
    "anna": lambda ms, rate: tone(300, ms, 8000.0, rate),
    "bert": lambda ms, rate: tone(2100, ms, 6000.0, rate),
    "carl": lambda ms, rate: tone(2400, ms, 6000.0, rate),
    "breath": lambda ms, rate: tone(300, ms // 10, 3000.0, rate),
    "word": lambda ms, rate: word(rate),
    "anna with a word": lambda ms, rate: np.concatenate([_PARTS["anna"](ms, rate), word(rate)]),
}
_LENGTHS = {"silence": (20, 900), "hum": (20, 900)}


@dataclass(frozen=True)
class Stream:
    """A stream by its recipe, so that a failing example can be read."""

    rate: int
    codec: str
    parts: tuple[tuple[str, int], ...]
    hop_ms: int
    messages: tuple[tuple[int, Item], ...]

    @property
    def audio(self) -> AudioFormat:
        if self.codec == "stereo":
            return AudioFormat(rate=self.rate, channels=2, use=(1,))
        return AudioFormat(rate=self.rate, codec="pcm_f32le" if self.codec == "f32" else self.codec)

    @cached_property
    def data(self) -> bytes:
        sound = np.concatenate([_PARTS[name](ms, self.rate) for name, ms in self.parts])
        if self.codec == "f32":
            return (sound / 32768.0).astype("<f4").tobytes()
        if self.codec == "mulaw":
            return _mulaw(sound)
        return pcm(
            np.stack([sound[::-1], sound], axis=1).ravel() if self.audio.channels == 2 else sound
        )

    @property
    def places(self) -> list[tuple[int, Item]]:
        """The messages, placed by sample frames, at byte places."""
        return [(at * self.audio.frame_bytes, message) for at, message in self.messages]

    def player(self, stage: Stage, ring_s: int = 8) -> Player:
        """A client of its own for it."""
        modules = ALL_ON | {"speaker": {"hop_ms": self.hop_ms}, "transcript": {}}
        return Player(stage, REGISTRY, modules, self.audio, lambda: GALLERY, ring_s)


def _mulaw(sound: Samples) -> bytes:
    table = Decoder(AudioFormat(codec="mulaw")).push(bytes(range(256))) * 32768
    order = np.argsort(table)
    at = np.searchsorted(table[order], sound).clip(0, 255)
    return order[at].astype(np.uint8).tobytes()


_CONFIGS: list[dict[str, object]] = [
    {"speaker": {"hop_ms": 100}},
    {"speaker": {"hop_ms": 1700}},
    {"speaker": False},
    {"wake": False},
    {"wake": {"words": ["timer"], "refractory_ms": 0}},
    {"wake": {"patience": 2}},
    {"vad": {"hangover_ms": 32, "min_speech_ms": 0}},
    {"vad": {"max_utterance_ms": 1000, "pre_roll_ms": 0}},
    {"vad": False},
    {"transcript": False},
    {"transcript": {"language": "de", "hop_ms": 100}},
]


def messages() -> st.SearchStrategy[Item]:
    return st.one_of(
        st.builds(lambda n: ("flush", f"f{n}"), st.integers(0, 99)),
        st.builds(lambda ms: ("gap", ms), st.integers(0, 3000)),
        st.builds(lambda m: ("config", m), st.sampled_from(_CONFIGS)),
    )


@st.composite
def streams(draw: st.DrawFn, rates: Sequence[int] = RATES, most_messages: int = 4) -> Stream:
    rate = draw(st.sampled_from(rates))
    names = draw(st.lists(st.sampled_from(sorted(_PARTS)), min_size=2, max_size=8))
    parts = tuple((name, draw(st.integers(*_LENGTHS.get(name, (40, 2600))))) for name in names)
    frames = sum(ms * rate // 1000 for _, ms in parts)
    on_the_grid = st.integers(0, frames // 256).map(lambda n: n * 256)
    places = st.one_of(st.integers(0, frames), on_the_grid)
    said = draw(st.lists(st.tuples(places, messages()), max_size=most_messages))
    codec = draw(st.sampled_from(["pcm_s16le", "f32", "stereo", "mulaw"]))
    hop_ms = draw(st.sampled_from([100, 500, 1700]))
    return Stream(rate, codec, parts, hop_ms, tuple(said))


@st.composite
def conversations(draw: st.DrawFn) -> Stream:
    """Draw a stream of turns that are long enough for an enrolment, and with enrolments in it.

    Most name utterances that are over by then; some do not, or have a name that no voice may have.
    """
    rate = draw(st.sampled_from(RATES))
    speakers = st.sampled_from(["bert", "anna", "carl", "anna with a word"])
    parts: list[tuple[str, int]] = []
    ends: list[int] = []
    for _ in range(draw(st.integers(2, 5))):
        parts.append((draw(speakers), draw(st.sampled_from([2000, 3500, 1700, 1000]))))
        parts.append((draw(st.sampled_from(["silence", "hum"])), draw(st.sampled_from([600, 300]))))
        ends.append(sum(len(_PARTS[name](ms, rate)) for name, ms in parts))
    said: list[tuple[int, Item]] = []
    for number in range(draw(st.integers(1, 4))):
        turn = draw(st.integers(1, len(ends)))
        place = ends[turn - 1] + draw(st.integers(-400, 1500)) * rate // 1000
        named = st.lists(st.integers(1, turn), min_size=1, max_size=2)
        fields = {
            "id": f"e{number}",
            "speaker": draw(st.sampled_from(["ada", "zoe", "ada", "anna", "S1"])),
            "utterances": [f"u{n}" for n in draw(named)],
        }
        said.append((min(place, ends[-1]), ("enrol", fields)))
    others = st.lists(st.tuples(st.integers(0, ends[-1]), messages()), max_size=2)
    codec = draw(st.sampled_from(["pcm_s16le", "f32", "stereo", "mulaw"]))
    hop_ms = draw(st.sampled_from([500, 100, 1700]))
    return Stream(rate, codec, tuple(parts), hop_ms, (*said, *draw(others)))
