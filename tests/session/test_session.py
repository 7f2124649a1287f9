"""A whole session on the fake passes: its events, their times, and its bounds."""

import random
from typing import Any

import numpy as np
import pytest
from fakes.driving import (
    ALL_ON,
    WORDS,
    Player,
    Stage,
    assert_order,
    assert_same_events,
    by_type,
    enrolled,
    fake_registry,
    hum,
    pcm,
    pieces,
    script,
    silence,
    tone,
    word,
)
from fakes.main_voice import BOTH, CARD, GALLERY, MODELS, BothStage

from streamd.audio.ring import Overwritten, Ring
from streamd.engine.passes.fake import FakeSpeculative, FakeVad, FakeVoice, FakeWake
from streamd.errors import BadConfig
from streamd.modules.registry import Registry
from streamd.modules.speaker import SpeakerModule
from streamd.session.session import MAX_MARKS
from streamd.settings import SpeakerSettings
from streamd.types import AudioFormat

ANNA, BERT = tone(300, 2000), tone(2100, 2000)
TWO_TURNS = pcm(hum(500), ANNA, hum(700), BERT, hum(700))


def play(*items: Any, **options: Any) -> Player:
    player = Player(Stage(), **options)
    player.play(items)
    return player


# Events.


def test_speech_edges_lie_where_the_speech_is() -> None:
    player = play(TWO_TURNS)
    starts, ends = player.of("speech_start"), player.of("speech_end")
    assert [s["utterance"] for s in starts] == [e["utterance"] for e in ends] == ["u1", "u2"]
    for (begin, stop), start, end in zip([(500, 2500), (3200, 5200)], starts, ends, strict=True):
        assert start["t0"] == end["t0"]
        assert -40 <= begin - 200 - start["t0"] <= 40  # with the pre-roll
        assert 0 <= start["at"] - begin <= 64 + 32 + 32
        assert start["t1"] == start["at"]
        assert 0 <= end["t1"] - stop <= 96
        assert 384 <= end["at"] - end["t1"] <= 384 + 32
        assert end["cause"] == "silence"
        assert abs(end["speech_ms"] - 2000) < 100
    assert_order(player.events)


def test_times_are_the_floor_of_what_the_clock_of_the_input_says() -> None:
    for rate in (8000, 11_025, 22_050, 44_100, 48_000):
        data = pcm(silence(300, rate), tone(300, 900, rate=rate))
        player = play(data, audio=AudioFormat(rate=rate))
        (end,) = player.of("speech_end")
        assert end["at"] == 1000 * (len(data) // 2) // rate
        player.session.bye()
        (bye,) = player.session.events()
        assert bye.duration_ms == 1000 * (len(data) // 2) // rate


def test_voices_get_their_names_and_labels() -> None:
    player = play(TWO_TURNS, gallery=lambda: enrolled(anna=300))
    finals = [s for s in player.of("speaker") if s["final"]]
    assert [(f["decision"], f["speaker"]) for f in finals] == [("accept", "anna"), ("reject", "S1")]
    assert len(player.of("speaker")) > len(finals)


def test_a_wake_word_says_who_spoke_if_that_is_known_and_never_waits_for_it() -> None:
    player = play(pcm(hum(500), tone(300, 3000), word(), hum(900)), gallery=lambda: enrolled(a=300))
    wakes = player.of("wake")
    assert {w["word"] for w in wakes} == {"alexa", "timer"}
    for wake in wakes:
        assert wake["utterance"] == "u1"
        assert wake["speaker"] == "a"
        assert wake["speaker_score"] > 0.9
        assert wake.get("class") == ("5_minute_timer" if wake["word"] == "timer" else None)
        known = [s for s in player.of("speaker") if s["at"] <= wake["at"] - 1000]
        assert known[-1]["score"] == wake["speaker_score"]
    alone = play(pcm(silence(900), word(), silence(900)), gallery=lambda: enrolled(a=300))
    assert all("speaker" not in w for w in alone.of("wake"))


def test_with_vad_off_no_edges_are_reported_and_the_rest_is_the_same() -> None:
    with_it = by_type(play(TWO_TURNS).events)
    without = by_type(play(TWO_TURNS, modules={"speaker": {}, "wake": {}}).events)
    assert "speech_start" not in without
    assert "speech_end" not in without
    assert without["speaker"] == with_it["speaker"]


def test_no_utterance_is_longer_than_max_utterance_ms() -> None:
    player = play(pcm(tone(300, 9000)), modules={"vad": {"max_utterance_ms": 1500}})
    ends = player.of("speech_end")
    assert [e["cause"] for e in ends] == ["max_length"] * (len(ends) - 1) + ["end"]
    assert len(ends) == 7
    assert all(e["t1"] - e["t0"] <= 1500 for e in ends)


# Barriers.


def test_flush_ends_the_open_utterance_at_its_place() -> None:
    data = pcm(hum(500), ANNA)
    at = 2 * 16 * 1537
    player = play(data[:at], ("flush", "f1"), data[at:])
    first, second = player.of("speech_end")
    assert (first["cause"], first["t1"], first["at"]) == ("flush", 1537, 1537)
    assert second["t0"] == 1537
    kinds = [e.__struct_config__.tag for e in player.events]
    flushed = kinds.index("flushed")
    assert kinds[flushed - 3 : flushed] == ["speaker", "emotion", "speech_end"]
    caused = [e for e in player.events[flushed + 1 :] if getattr(e, "at", 10**9) <= 1537]
    assert caused == []


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100, 48_000])
def test_a_flush_reaches_into_what_the_resampler_still_holds(rate: int) -> None:
    data = pcm(silence(200, rate), tone(300, 1700, rate=rate))
    player = play(data, ("flush", "f1"), audio=AudioFormat(rate=rate))
    (end,) = player.of("speech_end")
    at = 1000 * (len(data) // 2) // rate
    assert (end["cause"], end["at"]) == ("flush", at)
    assert at - 32 <= end["t1"] <= at
    (final,) = [s for s in player.of("speaker") if s["final"]]
    assert final["t1"] == end["t1"]


def test_a_flush_where_nothing_is_open_changes_nothing_that_follows() -> None:
    first, second = pcm(hum(400), ANNA, hum(1003)), pcm(hum(417), word(), hum(300), BERT, hum(600))
    whole = by_type(play(first + second).events)
    player = play(first, ("flush", "f1"), ("flush", "f2"), second)
    flushed = by_type(player.events)
    assert [f["id"] for f in flushed.pop("flushed")] == ["f1", "f2"]
    assert flushed == whole


def test_every_flush_is_answered_in_order_even_before_any_audio() -> None:
    player = play(*[("flush", str(n)) for n in range(200)])
    assert [f["id"] for f in player.of("flushed")] == [str(n) for n in range(200)]


def test_a_wake_word_that_a_copy_gave_is_not_given_again() -> None:
    data = pcm(silence(960), word(), silence(1500))
    for refractory_ms in (0, 2000):
        modules = {"vad": {}, "wake": {"refractory_ms": refractory_ms}}
        assert len(play(data, modules=modules).of("wake")) == 1
        ends = 2 * 16 * (960 + 320)
        for at in range(ends - 4000, ends + 6000, 500):
            player = play(data[:at], ("flush", "f"), data[at:], modules=modules)
            assert len(player.of("wake")) == 1, at


def test_a_gap_moves_the_clock_resets_everything_and_ends_the_utterance() -> None:
    data = pcm(hum(500), ANNA)
    at = 2 * 16 * 1500
    player = play(data[:at], ("gap", 10_000), data[at:])
    first, second = player.of("speech_end")
    assert (first["cause"], first["t1"], first["at"]) == ("gap", 1500, 1500)
    assert (second["t0"], second["at"]) == (11_500, 12_500)
    (gap,) = player.of("gap")
    assert gap == {"type": "gap", "cause": "client", "t0": 1500, "t1": 11_500, "at": 11_500}
    order = [e.__struct_config__.tag for e in player.events]
    starts = [i for i, kind in enumerate(order) if kind == "speech_start"]
    assert order.index("speech_end") < order.index("gap") < starts[1]
    for event in player.of("speaker") + player.of("speech_end"):
        assert not event["t0"] < 11_500 < event["t1"]
        assert not 1500 < event["t1"] < 11_500


def test_what_follows_a_gap_is_what_a_new_stream_would_say_but_later() -> None:
    first, second = pcm(hum(300), BERT, hum(431)), pcm(hum(200), word(), silence(300), ANNA)
    alone = by_type(play(second).events)
    joined = by_type(play(first, ("gap", 777), second).events)
    offset = 300 + 2000 + 431 + 777
    for kind in ("speech_start", "speech_end", "wake"):
        later = joined[kind][-len(alone[kind]) :]
        assert [e["t0"] for e in later] == [e["t0"] + offset for e in alone[kind]]
        assert [e["at"] for e in later] == [e["at"] + offset for e in alone[kind]]


def test_a_phrase_behind_a_gap_does_not_begin_before_it() -> None:
    loud = tone(300, 480)
    player = play(pcm(ANNA), ("gap", 5000), pcm(loud, word(), silence(500)))
    for wake in player.of("wake"):
        assert wake["t0"] >= 7000


def test_a_gap_without_audio_and_of_no_length_is_a_gap() -> None:
    player = play(("gap", 0), ("gap", 5), ("gap", 7), pcm(hum(100)))
    assert [(g["t0"], g["t1"]) for g in player.of("gap")] == [(0, 0), (0, 5), (5, 12)]


def test_the_refractory_runs_on_the_clock_across_a_gap() -> None:
    phrase = pcm(silence(480), word(), silence(400))
    assert len(play(phrase, ("gap", 300), phrase).of("wake")) == 2  # of two words
    assert len(play(phrase, ("gap", 3000), phrase).of("wake")) == 4


# Configuration.


def test_a_configuration_takes_effect_at_its_place() -> None:
    one, other = pcm(hum(400), ANNA, hum(500)), pcm(word(), silence(500))
    everything = play(one + other)
    player = play(one, ("config", {"wake": False, "speaker": False}), other)
    assert player.of("wake") == []
    assert [s["utterance"] for s in player.of("speaker")] == ["u1"] * len(player.of("speaker"))
    assert player.of("speech_end") == everything.of("speech_end")
    player = play(one, ("config", {"vad": False}), other)
    assert [e["utterance"] for e in player.of("speech_end")] == ["u1"]


def test_an_open_utterance_keeps_its_modules_and_its_windows() -> None:
    data = pcm(hum(400), tone(300, 4000), hum(600))
    at = 2 * 16 * 2000
    changed = play(data[:at], ("config", {"speaker": {"hop_ms": 100}}), data[at:], data)
    plain = play(data, data)
    first = [s for s in plain.of("speaker") if s["utterance"] == "u1"]
    assert [s for s in changed.of("speaker") if s["utterance"] == "u1"] == first
    second = [s for s in changed.of("speaker") if s["utterance"] == "u2"]
    assert len(second) > 3 * len(first)
    assert {s["speaker"] for s in second} == {"S1"}  # labels go on


def test_labels_outlive_a_speaker_module_that_was_off_for_a_while() -> None:
    turns = [pcm(hum(500), ANNA, hum(700)), pcm(BERT, hum(700)), pcm(ANNA, hum(700))]
    player = play(
        turns[0], ("config", {"speaker": False}), turns[1], ("config", {"speaker": {}}), turns[2]
    )
    finals = [s for s in player.of("speaker") if s["final"]]
    assert [(s["utterance"], s["speaker"]) for s in finals] == [("u1", "S1"), ("u3", "S1")]


def test_a_wrong_configuration_changes_nothing() -> None:
    player = Player(Stage())
    player.send(pcm(hum(300)))
    with pytest.raises(BadConfig):
        player.session.receive_config({"wake": False, "vad": {"hangover_ms": "long"}})
    player.play([TWO_TURNS])
    assert_same_events(player.events, play(pcm(hum(300)) + TWO_TURNS).events)


def test_a_configuration_warns_of_what_it_does_not_know() -> None:
    player = play(("config", {"speaker": {"hopp": 1}, "nose": {}, "transcript": {}}), pcm(hum(100)))
    codes = [w["code"] for w in player.of("warning")]
    assert codes == ["unknown_option", "unknown_module", "module_unavailable"]


# Input.


def test_half_a_sample_at_the_end_is_warned_of() -> None:
    assert [w["code"] for w in play(pcm(hum(100)) + b"\1").of("warning")] == ["partial_sample"]
    assert play(pcm(hum(100))).of("warning") == []


@pytest.mark.parametrize("size", [1, 3, 11, 12, 4000])
def test_a_wav_header_is_warned_of_once_and_counts_as_audio(size: int) -> None:
    data = b"RIFF\x24\x08\x00\x00WAVEfmt " + pcm(hum(100))
    player = play(*pieces(data, size), *pieces(data, size))
    assert [w["code"] for w in player.of("warning")] == ["looks_like_wav"]
    assert player.session.audio.frames == len(data)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("webm", b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81"),
        ("ogg", b"OggS\0\2\0\0\0\0\0\0\0\0"),
        ("flac", b"fLaC\0\0\0\x22\x10\0\x10\0"),
        ("mp3", b"ID3\4\0\0\0\0\0\x23TSSE"),
        ("mp4", b"\0\0\0\x1cftypM4A "),
        ("json", b'{"type":"audio","data":""}'),
    ],
)
@pytest.mark.parametrize("size", [1, 5000])
def test_other_formats_sent_as_samples_are_warned_of_once(
    name: str, start: bytes, size: int
) -> None:
    data = start + pcm(hum(100))
    player = play(*pieces(data, size), *pieces(data, size))
    (warning,) = player.of("warning")
    assert warning["code"] == f"looks_like_{name}"
    assert "send samples only" in warning["message"]
    assert player.session.audio.frames == len(data)


def test_channels_that_cancel_are_warned_of_once() -> None:
    left = np.frombuffer(pcm(tone(3000, 8000)), "<i2")
    frames = np.stack([left, -left], axis=1).astype("<i2").tobytes()
    for size in (640, 100_000):
        player = play(*pieces(frames, size), audio=AudioFormat(channels=2))
        (warning,) = player.of("warning")
        assert warning["code"] == "channels_cancel"
        assert "audio.use" in warning["message"]
    assert play(*pieces(frames, 640), audio=AudioFormat(channels=2, use=(0,))).of("warning") == []


def test_floats_that_are_not_finite_are_warned_of_once() -> None:
    data = np.array([0, np.nan, np.inf, 0.5] * 500, "<f4").tobytes()
    player = play(*pieces(data, 100), audio=AudioFormat(codec="pcm_f32le"))
    assert [w["code"] for w in player.of("warning")] == ["non_finite"]


def test_bye_has_the_totals() -> None:
    player = play(TWO_TURNS, ("gap", 100), ("flush", "f"))
    player.session.bye()
    (bye,) = player.session.events()
    assert (bye.samples, bye.duration_ms) == (len(TWO_TURNS) // 2, 6000)
    assert bye.utterances == 2
    assert bye.speech_ms == sum(e["speech_ms"] for e in player.of("speech_end"))
    assert bye.events == len(player.events)


# Bounds.

WIDEST = AudioFormat(codec="pcm_f32le", rate=48_000, channels=8)
FORMATS = [
    AudioFormat(),
    AudioFormat(rate=8000, codec="mulaw"),
    AudioFormat(rate=8001),
    AudioFormat(rate=44_100, channels=2),
    AudioFormat(rate=47_999),
    WIDEST,
]


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f"{f.codec}-{f.rate}-{f.channels}")
@pytest.mark.parametrize(
    "vad",
    [
        {},
        {"hangover_ms": 5000},
        {"min_speech_ms": 2000, "pre_roll_ms": 1000, "max_utterance_ms": 600_000},
        {"hangover_ms": 32, "min_speech_ms": 0, "max_utterance_ms": 1000, "pre_roll_ms": 0},
    ],
    ids=["default", "long-hangover", "long-minimum", "shortest"],
)
def test_there_is_always_progress_with_the_smallest_ring(
    fmt: AudioFormat, vad: dict[str, Any]
) -> None:
    rate = fmt.rate
    sound = np.concatenate(
        [hum(700, rate), tone(300, 2600, rate=rate), hum(5500, rate), tone(2100, 900, rate=rate)]
        + [hum(20, rate), tone(300, 100, rate=rate)] * 8
    )
    mono = {
        "pcm_s16le": lambda: sound,
        "pcm_f32le": lambda: (sound / 32768).astype("<f4"),
        "mulaw": lambda: np.where(np.abs(sound) > 500, 0x90, 0xFF).astype(np.uint8),
    }[fmt.codec]()
    data = np.repeat(mono[:, None], fmt.channels, axis=1).tobytes()
    modules = {"vad": vad, "wake": {}, "speaker": {"hop_ms": 10_000}}
    player = Player(Stage(seed=1), modules=modules, audio=fmt, ring_s=2)
    player.send(data)  # as one message
    player.end()
    assert player.session.audio.frames == len(sound)
    large = Player(Stage(), modules=modules, audio=fmt, ring_s=30)
    large.play(pieces(data, len(data) // 7))
    assert_same_events(player.events, large.events)


def test_options_that_hold_more_audio_make_the_ring_longer_in_mid_stream() -> None:
    player = Player(Stage(seed=3), ring_s=2)
    player.send(TWO_TURNS)
    player.send(("config", {"vad": {"hangover_ms": 5000}}))
    player.send(TWO_TURNS + pcm(hum(6000)) + TWO_TURNS)
    player.end()
    assert [e["cause"] for e in player.of("speech_end")] == ["silence"] * 2 + ["silence", "end"]


def test_the_windows_that_a_reader_may_leave_out_have_room_in_the_smallest_ring_too() -> None:
    # Those of the main model are longer than the others here.
    settings = SpeakerSettings(window_ms=400, hop_ms=400)
    registry = Registry(
        BOTH.vad, [], [SpeakerModule(settings, CARD, MODELS)], BOTH.defaults, BOTH.speculative
    )
    modules: dict[str, Any] = {"vad": {"hangover_ms": 5000}, "speaker": {}}
    player = Player(BothStage(), registry, modules, gallery=lambda: GALLERY, ring_s=2)
    player.play([pcm(tone(300, 3000), hum(7000), tone(300, 1000))])
    assert [e["speaker"] for e in player.of("speaker") if e["final"]] == ["anna", "anna"]


def test_no_more_audio_is_taken_than_there_is_room_for_while_the_engine_stands_still() -> None:
    player = Player(Stage(), ring_s=2)
    taken = 0
    for size in (1, 7, 10_000, 10**6, 10**6):
        room = player.session.room
        now = player.session.receive_audio(bytes(size))
        assert now == min(size, room)
        taken += now
        player.stage.waiting += [(player, job) for job in player.session.jobs()]
    assert player.session.room == 0
    assert taken <= 2 * player.session._ring.capacity
    assert len(player.stage.waiting) <= 2


def test_a_flood_of_messages_has_to_wait_while_the_engine_stands_still() -> None:
    player = Player(Stage())
    stage = player.stage
    held = []

    def run_all_but_voices() -> None:
        player.pump()
        while stage.is_busy:
            held.extend(w for w in stage.waiting if w[1].pass_name == "voice")
            stage.waiting = [w for w in stage.waiting if w[1].pass_name != "voice"]
            if stage.is_busy:
                stage.step()

    player.session.receive_audio(pcm(hum(100), ANNA, hum(900)))
    run_all_but_voices()
    assert held
    marks = 0
    while player.session.can_mark:
        player.session.receive_flush(str(marks))
        run_all_but_voices()
        marks += 1
        assert marks <= MAX_MARKS
    stage.waiting = held
    player.settle()
    assert player.session.can_mark
    assert len(player.of("flushed")) == marks


def _state_size(player: Player) -> int:
    session = player.session
    return (
        len(session.audio.clock._pieces)
        + len(session._history._runs)
        + len(session._history._utterances)
        + len(session._history._speakers)
        + sum(len(lane.queue) for reports in session._reports for lane in reports._lanes)
        + len(session._planner.queue)
        + sum(len(t.marks) for t in session._tracks)
    )


def test_hours_with_many_barriers_need_no_more_memory_than_minutes() -> None:
    """Two hours of stream time, with a barrier or a change several times a second."""
    rng = random.Random(5)
    player = Player(Stage(seed=5), gallery=lambda: enrolled(anna=300))
    parts = [pcm(hum(40)), pcm(tone(300, 200)), pcm(silence(700)), pcm(word(), silence(80))]
    sizes: list[int] = []
    for _ in range(1000):
        player.send(rng.choice(parts))
        kind = rng.random()
        if kind < 0.4:
            player.send(("flush", "f"))
        elif kind < 0.8:
            player.send(("gap", rng.choice([0, 20, 60_000])))
        elif kind < 0.85:
            player.send(("config", {"speaker": {"hop_ms": rng.choice([100, 500])}}))
        player.events.clear()
        sizes.append(_state_size(player))
    player.end()
    assert player.session.audio.now_ms > 2 * 3600 * 1000
    assert max(sizes[300:]) <= max(sizes[:300]) + 20


def test_a_long_stream_without_any_barrier_needs_no_more_memory_either() -> None:
    player = Player(Stage(), modules=ALL_ON | {"vad": {"max_utterance_ms": 600_000}})
    chatter = pcm(tone(300, 150), hum(250)) * 10
    sizes = []
    for _ in range(100):
        player.send(chatter)
        player.events.clear()
        sizes.append(_state_size(player))
    assert max(sizes[20:]) <= max(sizes[:20]) + 5
    assert player.session.audio.now_ms == 400_000
    player.end()


def test_two_sessions_share_nothing() -> None:
    stage = Stage(seed=9)
    registry = fake_registry()
    one, other = Player(stage, registry), Player(stage, registry)
    halves = script(TWO_TURNS, cuts=range(0, len(TWO_TURNS), 9001))
    for item in halves:
        one.send(item)
        other.send(pcm(silence(30)))
    one.end()
    other.end()
    assert_same_events(one.events, play(TWO_TURNS).events)
    assert other.events == []


# One track ahead of another.

SPOKEN_TO = pcm(hum(400), tone(300, 3200), word(), tone(300, 1100), hum(300), word(), hum(600))
"""The first word ends at 3920 ms, with a step; the second is in an utterance of its own or none."""
AROUND_THE_FIRST = [*range(61_440, 65_000, 320)]


@pytest.mark.parametrize("at", [*AROUND_THE_FIRST, 69_376, 71_424, 80_000])
@pytest.mark.parametrize("kind", ["flush", "gap"])
def test_it_does_not_matter_which_model_is_slow(kind: str, at: int) -> None:
    modules = ALL_ON | {"speaker": {"hop_ms": 100}, "vad": {"min_speech_ms": 0}}
    items = script(SPOKEN_TO, [(2 * at, (kind, "f" if kind == "flush" else 700))])
    expected = Player(Stage(), modules=modules, gallery=lambda: enrolled(a=300)).play(items)
    for slow in ("vad", "wake", "voice"):
        player = Player(Stage(seed=1, slow=slow), modules=modules, gallery=lambda: enrolled(a=300))
        assert_same_events(player.play(items), expected)


@pytest.mark.parametrize("slow", ["vad", "wake", "voice"])
def test_a_speaker_event_exactly_one_second_before_a_wake_word_is_always_known(
    slow: str,
) -> None:
    """A gap can put the grid between the milliseconds; then a sample earlier is the same one."""
    sound = pcm(hum(1344), tone(300, 2256), word(), hum(900))
    first_verdict = 512 * 92
    flush = (2 * (first_verdict + 16_000 - 3), ("flush", "f"))
    player = Player(Stage(seed=1, slow=slow), gallery=lambda: enrolled(a=300))
    player.play([pcm(hum(1)[:5]), ("gap", 0), *script(sound, [flush])])
    speaker = player.of("speaker")[0]
    wake = player.of("wake")[0]
    assert wake["at"] - speaker["at"] == 1000
    assert wake["speaker"] == "a"


class WakeOnAPeak(FakeWake):
    """Any word is a peak at the very end of a step, so no copy recognises it."""

    def run(self, items: Any, options: Any, state: Any) -> Any:
        scores = [0.9 if item[-1] > 20_000 else 0.0 for item in items]
        return [dict.fromkeys(o, (s, None)) for o, s in zip(options, scores, strict=True)], state


@pytest.mark.parametrize("slow", ["vad", "wake", "voice"])
def test_a_wake_word_right_behind_a_flush_is_in_no_utterance_that_the_flush_ended(
    slow: str,
) -> None:
    sound = tone(300, 6000)
    stop = 49 * 1280  # in the middle of a frame of the VAD
    sound[stop - 1] = 30_000
    items = script(pcm(sound), [(2 * (stop - 100), ("flush", "f"))])
    passes = [FakeVad(), WakeOnAPeak(), FakeVoice(), FakeSpeculative()]
    player = Player(Stage(passes, seed=2, slow=slow), modules={"vad": {}, "wake": {}})
    player.play(items)
    (wake,) = player.of("wake")
    assert wake["at"] == 3920
    assert "utterance" not in wake


@pytest.mark.parametrize("kind", ["flush", "gap"])
def test_an_utterance_that_began_only_on_the_copy_is_in_no_live_wake_event(kind: str) -> None:
    stop = 49 * 1280
    sound = np.concatenate([hum(5000)[: stop - 256], tone(300, 2000)])
    sound[stop - 1] = 30_000
    items = script(pcm(sound), [(2 * stop, (kind, "f" if kind == "flush" else 9))])
    for slow in ("vad", "wake"):
        passes = [FakeVad(), WakeOnAPeak(), FakeVoice(), FakeSpeculative()]
        modules = {"vad": {"min_speech_ms": 0}, "wake": {}}
        awake = fake_registry(wake={"gate": False})  # the audio before is no speech
        player = Player(Stage(passes, seed=2, slow=slow), awake, modules=modules)
        player.play(items)
        assert player.of("speech_start")[0]["at"] == 3920
        (wake,) = player.of("wake")
        assert "utterance" not in wake


def test_a_phrase_is_whole_even_if_the_vad_decides_long_after_the_wake_word() -> None:
    sound = pcm(tone(300, 1280), word(), hum(9000))
    for slow in ("vad", "wake"):
        player = Player(Stage(seed=3, slow=slow))
        player.play([sound[:3200], ("flush", "f"), sound[3200:]])
        (timer,) = [w for w in player.of("wake") if w["word"] == "timer"]
        assert (timer["t0"], timer["at"]) == (0, 1680)


def test_a_window_that_is_due_exactly_at_a_flush_is_reported() -> None:
    """However late the flush is passed, and however late the window is answered."""
    at = 2 * 512 * 74  # where a frame ends, and a window too
    data = pcm(tone(300, 3000))
    modules = {"vad": {"min_speech_ms": 0}, "speaker": {"hop_ms": 128}}
    items = script(data, [(at, ("flush", "f"))])
    expected = Player(Stage(), modules=modules).play(items)
    interims = [s for s in by_type(expected)["speaker"] if not s["final"]]
    assert at // 32 in [s["at"] for s in interims]
    for seed in range(5):
        player = Player(Stage(seed=seed, slow="voice"), modules=modules)
        assert_same_events(player.play(items), expected)


def test_a_ring_that_grows_keeps_what_it_held_and_claims_no_more() -> None:
    ring = Ring(10)
    ring.write(np.arange(25, dtype=np.int16))
    ring.grow(5)
    assert ring.capacity == 10
    ring.grow(20)
    assert (ring.tail, ring.head, ring.capacity) == (15, 25, 20)
    assert ring.read(15, 25).tolist() == list(range(15, 25))
    with pytest.raises(Overwritten):
        ring.read(14, 20)
    ring.write(np.arange(25, 50, dtype=np.int16))
    assert ring.read(30, 50).tolist() == list(range(30, 50))
    assert ring.tail == 30


def test_a_session_is_idle_where_nobody_has_spoken_for_a_while() -> None:
    player = Player(Stage())
    loud = np.tile([9000, -9000], 4000).astype("<i2").tobytes()
    player.send(bytes(32_000))
    assert player.session.is_idle
    player.send(loud)
    assert not player.session.is_idle
    player.send(bytes(9_600))
    assert not player.session.is_idle
    player.send(bytes(32_000))
    assert player.session.is_idle
    awake = Player(Stage(), fake_registry(wake={"load": WORDS, "gate": False}))
    awake.send(bytes(32_000))
    assert not awake.session.is_idle
