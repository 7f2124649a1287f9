"""The front end of one session: what comes in comes out at its place."""

import numpy as np
import pytest
from fakes.driving import Player, Stage, fake_registry
from needs import front_end

from streamd.audio.ring import Ring
from streamd.engine.passes.frontend import FrontEndPass
from streamd.engine.slots import HostSlots
from streamd.front_ends import FRAME, PASS, FrontEnds, Kind
from streamd.session.front_end import CONTEXT, LONGEST_JOB, RING, FrontEnd
from streamd.session.track import Mark
from streamd.types import RATE_HZ, AudioFormat, Job, Lane, Samples, Slots

front_end("webrtc", "echo")

NOTHING = np.zeros(0, np.int16)


class Rig:
    """Marks as a track takes them, and the front end with its pass."""

    def __init__(self, *parts: str) -> None:
        self.marks: list[Mark] = []
        self.clean = Ring(30 * RATE_HZ)
        self.kind = Kind(parts)
        self.voices = Ring(30 * RATE_HZ) if self.kind.suppresses else self.clean
        self.front = FrontEnd(7, self.kind, self.clean, self.voices, Slots(0, 1))
        self.model = FrontEndPass(PASS, max_batch=4)
        self.states = HostSlots(self.model.state, 2)
        self.jobs = []

    def run(self) -> None:
        while (job := self.front.advance()) is not None:
            self.jobs.append(job)
            assert self.front.advance() is None  # one at a time
            rows = self.states.gather([job.load])
            (output,), rows = self.model.run([job.samples], [job.options], rows)
            self.states.scatter([job.store], rows)
            self.front.complete(job, output)

    def write(self, samples: Samples) -> None:
        for begin in range(0, len(samples), RATE_HZ):
            self.front.write(samples[begin : begin + RATE_HZ])
            self.run()

    def flush(self, place: int, tail: Samples = NOTHING) -> Mark:
        mark = Mark(place + len(tail), place, "flush", NOTHING)
        self.front.at_place(mark, [self], tail)
        self.run()
        return mark

    def out(self) -> Samples:
        return self.clean.read(0, self.clean.head)


def sound(count: int, seed: int = 3) -> Samples:
    noise = np.random.default_rng(seed).standard_normal(count) * 800
    voice = 4000 * np.sin(np.arange(count) / 9) * (np.arange(count) // 4000 % 2)
    return (noise + voice).astype(np.int16)


def test_what_comes_out_depends_on_how_much_came_in_alone() -> None:
    audio = sound(3 * RATE_HZ + 77)
    lane = Rig("webrtc")
    lane.write(audio)
    assert lane.clean.head == len(audio) // FRAME * FRAME - lane.kind.delay
    odd = Rig("webrtc")
    for begin in range(0, len(audio), 511):
        odd.front.write(audio[begin : begin + 511])
        odd.run()
    np.testing.assert_array_equal(odd.out(), lane.out())


@pytest.mark.parametrize("place", [0, 1, 95, 161, 4000, 33_333, 50_000])
def test_a_flush_gives_all_that_came_in_and_changes_nothing_that_follows(place: int) -> None:
    audio = sound(60_000)
    plain = Rig("webrtc")
    plain.write(audio)
    lane = Rig("webrtc")
    lane.write(audio[:place])
    mark = lane.flush(place)
    assert lane.marks == [mark]
    assert mark.head == lane.clean.head
    assert mark.head + len(mark.tail) == mark.place == place
    lane.write(audio[place:])
    np.testing.assert_array_equal(lane.out(), plain.out())
    if place > CONTEXT:  # a noise estimate over 2 s is not that of the whole stream, but near it
        error = mark.tail.astype(float) - lane.out()[mark.head : place]
        assert np.sqrt((error**2).mean()) < 0.5 * audio[:place].std()


def test_a_flush_within_the_first_seconds_computes_what_the_stream_would_have() -> None:
    audio = sound(20_000)
    lane = Rig("webrtc")
    lane.write(audio[:16_000])
    mark = lane.flush(16_000)
    lane.write(audio[16_000:])
    known = len(mark.tail) - lane.kind.delay  # what does not depend on the zeros that follow
    expected = lane.out()[mark.head : mark.head + known]
    np.testing.assert_array_equal(mark.tail[:known], expected)


def test_the_resamplers_tail_goes_through_the_front_end_too() -> None:
    lane = Rig("webrtc")
    lane.write(sound(9000))
    mark = lane.flush(9000, sound(400, seed=4))
    assert mark.head + len(mark.tail) == mark.place == 9400
    assert mark.tail.any()


def test_a_gap_brings_all_out_and_begins_anew() -> None:
    first, second = sound(10_050), sound(20_000, seed=5)
    lane = Rig("webrtc")
    lane.write(first)
    gap = Mark(len(first), len(first), "gap", NOTHING, resets=True)
    lane.front.at_place(gap, [lane], NOTHING)
    lane.run()
    assert (lane.clean.head, gap.head) == (len(first), len(first))
    lane.write(second)
    alone = Rig("webrtc")
    alone.write(second)
    np.testing.assert_array_equal(lane.out()[len(first) :], alone.out())


def test_a_change_waits_for_the_audio_before_it() -> None:
    lane = Rig("webrtc")
    lane.front.write(sound(3 * LONGEST_JOB))
    change = Mark(3 * LONGEST_JOB, 3 * LONGEST_JOB, payload={"vad": None})
    lane.front.at_place(change, [lane], None)
    assert lane.front.advance() is not None
    assert (lane.marks, lane.front.waiting) == ([], 1)
    lane = Rig("webrtc")
    lane.front.write(sound(3 * LONGEST_JOB))
    lane.front.at_place(change, [lane], None)
    lane.front.write(sound(3 * LONGEST_JOB))
    lane.run()
    assert lane.marks == [change]
    assert change.head == 3 * LONGEST_JOB - lane.kind.delay
    assert max(len(job.samples) for job in lane.jobs) == LONGEST_JOB


@pytest.mark.parametrize(("enhance", "heard"), [("off", 3), ("webrtc", 5), ("deep", 3)])
def test_windows_of_speech_are_cut_from_the_sound_that_helps(enhance: str, heard: int) -> None:
    registry = fake_registry()
    registry.front_ends = FrontEnds(frozenset({"webrtc", "deep"}))
    session = Player(Stage(), registry, audio=AudioFormat(enhance=enhance)).session
    session._ring.write(np.full(100, 3, np.int16))
    if session._voices is not session._ring:
        session._voices.write(np.full(100, 5, np.int16))
    window = Job("voice", Lane.FINAL, 999, 0, 50)
    assert set(session.cut(window)) == {heard}
    assert session._tracks[0].ring is session._voices  # the VAD


def test_the_memory_of_the_front_end_counts() -> None:
    sizes = {}
    for enhance in ("off", "webrtc", "deep"):
        registry = fake_registry()
        registry.front_ends = FrontEnds(frozenset({"webrtc", "deep"}))
        player = Player(Stage(), registry, audio=AudioFormat(enhance=enhance))
        sizes[enhance] = player.session.ring_bytes
    assert sizes["off"] == 8 * RATE_HZ * 2
    assert sizes["webrtc"] > sizes["off"] + 2 * 8 * RATE_HZ
    assert sizes["deep"] > sizes["webrtc"] + 10_000_000


def test_the_far_end_goes_beside_the_microphone() -> None:
    near, far = sound(40_000), sound(40_000, seed=6)
    lane = Rig("echo")
    lane.write(np.stack((near, far), axis=1))
    assert all(job.samples.shape[1] == 2 for job in lane.jobs)
    mark = lane.flush(40_000, np.zeros((0, 2), np.int16))
    assert mark.head + len(mark.tail) == 40_000
    assert lane.front.ring_samples == 2 * RING


@pytest.mark.parametrize("parts", [("webrtc",), ("echo", "webrtc")])
def test_voices_are_as_they_came_but_for_the_echo(parts: tuple[str, ...]) -> None:
    audio = sound(50_000)
    given = audio if parts == ("webrtc",) else np.stack((audio, np.zeros_like(audio)), axis=1)
    lane = Rig(*parts)
    lane.write(given[:44_444])
    tail = given[44_444:44_900]
    mark = lane.flush(44_444, tail)
    assert lane.voices.head == lane.clean.head == mark.head
    heard = np.concatenate([lane.voices.read(0, mark.head), mark.voices_tail])
    if parts == ("webrtc",):
        np.testing.assert_array_equal(heard, audio[:44_900])
    else:
        only = Rig("echo")
        only.write(given[:44_444])
        np.testing.assert_array_equal(heard[: mark.head], only.out()[: mark.head])
    np.testing.assert_array_equal(
        mark.read_voices(lane.voices, 44_000, 44_800), heard[44_000:44_800]
    )
    assert not np.array_equal(lane.out(), heard[: mark.head])
