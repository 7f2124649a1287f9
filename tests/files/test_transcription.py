"""Every utterance of a file is transcribed once, from what the session heard at its times."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.audio.files import Gap
from streamd.audio.ring import Overwritten
from streamd.events import Event, SpeechEnd, SpeechStart
from streamd.files.transcription import CHUNK_MS, MAX_PAUSE_MS, Heard, transcribed
from streamd.settings import VadSettings
from streamd.types import AudioFormat, Recognition, TextSegment

MONO = AudioFormat()


def ramp(samples: int, start: int = 0) -> np.ndarray:
    """Samples that differ from place to place, without an offset for the session to take out."""
    at = np.arange(start, start + samples)
    return ((at // 2 % 15_000) * (1 - at % 2 * 2)).astype(np.int16)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 9000), min_size=1, max_size=12), st.data())
def test_any_blocks_give_the_audio_between_two_times(sizes, data):
    heard, whole = Heard(MONO, 10), ramp(sum(sizes))
    at = 0
    for size in sizes:
        heard.add(whole[at : at + size].tobytes())
        at += size
    end = len(whole) // 16
    t0 = data.draw(st.integers(0, end))
    t1 = data.draw(st.integers(t0, end))
    np.testing.assert_allclose(heard.between(t0, t1), whole[t0 * 16 : t1 * 16], atol=1)


def test_times_go_on_after_a_gap_and_no_utterance_reaches_over_one():
    heard = Heard(MONO, 10)
    heard.add(ramp(16_000).tobytes())
    heard.add(Gap(2500))
    heard.add(ramp(16_000, 16_000).tobytes())
    np.testing.assert_allclose(heard.between(3600, 3700), ramp(1600, 17_600), atol=1)
    np.testing.assert_allclose(heard.between(900, 1000), ramp(1600, 14_400), atol=1)
    assert len(heard.between(900, 1900)) == 1600


def test_gaps_in_a_row_are_one():
    heard = Heard(MONO, 10)
    heard.add(Gap(1000))
    heard.add(Gap(1000))
    heard.add(ramp(16_000).tobytes())
    np.testing.assert_allclose(heard.between(2000, 2500), ramp(8000), atol=1)


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 48_000])
def test_the_end_of_a_file_is_there_although_the_resampler_holds_it_back(rate):
    heard = Heard(AudioFormat(rate=rate), 10)
    t = np.arange(rate) / rate
    heard.add((9000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16).tobytes())
    samples = heard.between(0, 1000)
    assert len(samples) == 16_000
    expected = 9000 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert np.abs(samples[800:-800] - expected[800:-800]).max() < 400
    assert np.abs(samples[-400:]).max() > 4000


def test_what_is_longer_ago_than_is_kept_is_never_other_audio():
    heard = Heard(MONO, 2)
    for start in range(0, 160_000, 8000):
        heard.add(ramp(8000, start).tobytes())
        heard.add(Gap(100))
    heard.between(10_900, 11_300)
    with pytest.raises(Overwritten):
        heard.between(7000, 7100)


class Reading:
    """A file whose utterances are known; each part of it is half a second.

    Args:
        utterances: Start and end of each, milliseconds.
        offset_ms: How much later the times of events are than those of the audio.
        gaps: Milliseconds that are missing before a part, by its number.
    """

    format = MONO

    def __init__(
        self,
        utterances: list[tuple[int, int]],
        offset_ms: int = 0,
        gaps: dict[int, int] | None = None,
    ) -> None:
        self.offset_ms = offset_ms
        self._utterances = utterances
        self._gaps = gaps or {}

    async def events(self, progress: Any, seen: Any) -> Any:
        """Yield the events as soon as their audio was seen."""
        todo: list[tuple[int, Event]] = []
        for number, (t0, t1) in enumerate(self._utterances):
            times = {"t0": t0 + self.offset_ms, "t1": t1 + self.offset_ms, "at": t1}
            name = f"u{number}"
            todo.append((t0, SpeechStart(utterance=name, **times | {"t1": times["t0"]})))
            end = SpeechEnd(utterance=name, speech_ms=1, cause="silence", **times)
            todo.append((t1, end))
        heard_ms = number = 0
        while todo:
            if number in self._gaps:
                seen(Gap(self._gaps[number]))
                heard_ms += self._gaps[number]
            seen(bytes(16_000))
            heard_ms += 500
            number += 1
            while todo and todo[0][0] <= heard_ms:
                yield todo.pop(0)[1]


async def no_progress(done_ms: int, total_ms: int | None) -> None:
    """Tell nobody."""


async def chunks_of(reading: Reading) -> tuple[list[int], list[TextSegment]]:
    """The lengths of the chunks in milliseconds, and the segments, one for each chunk."""
    lengths: list[int] = []

    async def transcribe(samples: np.ndarray, options: Any) -> Recognition:
        lengths.append(len(samples) // 16)
        text = f"{len(lengths)}"
        return Recognition(text, "en", (TextSegment(0, lengths[-1] + 500, text),))

    lane: Any = SimpleNamespace(transcribe=transcribe, language=lambda options: "en")
    source: Any = reading
    events, found = await transcribed(source, lane, VadSettings(), 8, no_progress)
    assert len(events) == 2 * len(reading._utterances)
    assert found.text.split() == [segment.text for segment in found.segments]
    return lengths, list(found.segments)


async def test_utterances_share_a_chunk_until_it_is_full() -> None:
    reading = Reading([(100, 9000), (10_000, 19_000), (20_000, 29_000), (30_000, 39_000)])
    lengths, segments = await chunks_of(reading)
    assert lengths == [28_900, 9000]
    assert [(s.t0, s.t1) for s in segments] == [(100, 29_000), (30_000, 39_000)]


async def test_a_long_pause_and_a_gap_end_a_chunk() -> None:
    assert (await chunks_of(Reading([(0, 1000), (3001, 4000)])))[0] == [1000, 999]
    assert (await chunks_of(Reading([(0, 1000), (3000, 4000)])))[0] == [4000]
    cut = Reading([(0, 1000), (2500, 3500)], gaps={2: 1000})
    assert (await chunks_of(cut))[0] == [1000, 1000]


async def test_speech_before_minutes_of_silence_is_not_lost() -> None:
    reading = Reading([(1000, 2000), (400_000, 401_000), (900_000, 901_000)])
    assert (await chunks_of(reading))[0] == [1000, 1000, 1000]


async def test_times_are_those_of_a_file_whose_audio_starts_late() -> None:
    _, segments = await chunks_of(Reading([(1000, 2000)], offset_ms=700))
    assert segments == [TextSegment(1700, 2700, "1")]


async def test_a_file_without_speech_costs_nothing() -> None:
    assert await chunks_of(Reading([])) == ([], [])


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(384, 4000), st.integers(100, 30_200)), max_size=12))
async def test_all_speech_is_in_one_chunk_and_no_chunk_is_too_long(
    spans: list[tuple[int, int]],
) -> None:
    utterances, now = [], 0
    for pause, length in spans:
        utterances.append((now + pause, now + pause + length))
        now += pause + length
    lengths, segments = await chunks_of(Reading(utterances))
    covered = [(s.t0, s.t1) for s in segments]
    for t0, t1 in utterances:
        assert sum(start <= t0 and t1 <= stop for start, stop in covered) == 1
    longest = max((t1 - t0 for t0, t1 in utterances), default=0)
    assert all(length <= max(CHUNK_MS, longest) for length in lengths)
    assert sum(lengths) <= sum(t1 - t0 for t0, t1 in utterances) + MAX_PAUSE_MS * len(utterances)
