"""An item's answer does not depend on what else is in its batch."""

import numpy as np
import pytest
from backend_under_test import CLOSE, IS_EXACT, assert_same, same
from pass_driver import items, rows

from streamd.engine.passes.fake import FakeVad, FakeVoice, FakeWake
from streamd.engine.passes.ge2e import Ge2eSpeculative, Ge2eVoice, raise_level
from streamd.engine.passes.heads import WordHead
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.silero import SileroVad
from streamd.engine.passes.voiceprint import Voiceprint
from streamd.engine.passes.warm import initial_rows
from streamd.engine.passes.webrtc import WebrtcVad
from streamd.types import WindowRequest

REAL = [
    pytest.param(SileroVad, marks=pytest.mark.models),
    pytest.param(OpenWakeWord, marks=pytest.mark.models),
]
FAKE = [FakeVad, FakeWake]
WORDS = [("alexa",), (), ("timer", "alexa"), ("hey_jarvis", "timer"), ("alexa", "hey_jarvis")]


GE2E_FILES = ["ge2e", "ge2e_int8"]
STEPS_CLOSE = 1e-6 if IS_EXACT else CLOSE


@pytest.fixture
def make(request):
    """A pass from its class."""

    def build(kind):
        if kind in (SileroVad, OpenWakeWord, Ge2eVoice):
            return kind(request.getfixturevalue("backend"), request.getfixturevalue("library"))
        return kind()

    return build


@pytest.mark.parametrize("kind", REAL + FAKE)
@pytest.mark.parametrize("batch", [2, 3, 8, 32])
def test_a_stream_in_a_batch_is_bit_equal_to_the_stream_alone(kind, batch, make, minutes):
    model = make(kind)
    streams = [minutes[16_000 * n :][:16_000] for n in range(batch)]
    options = [WORDS[n % len(WORDS)] for n in range(batch)]
    together = initial_rows(model, batch)
    alone = [initial_rows(model, 1) for _ in streams]
    for step in zip(*(items(model, s) for s in streams), strict=True):
        got, together = model.run(step, options, together)
        for n in range(batch):
            (want,), alone[n] = model.run([step[n]], [options[n]], alone[n])
            assert same(got[n], want)
            for name, array in alone[n].items():
                assert_same(np.asarray(together[name])[n], np.asarray(array)[0])


@pytest.mark.parametrize("kind", REAL + FAKE)
def test_the_order_in_a_batch_does_not_matter(kind, make, minutes):
    model = make(kind)
    order = [3, 0, 4, 1, 2]
    batch = [next(items(model, minutes[9000 * n :])) for n in range(5)]
    state = initial_rows(model, 5)
    got, new = model.run(batch, WORDS, state)
    shuffled, moved = model.run(
        [batch[n] for n in order], [WORDS[n] for n in order], rows(state, order)
    )
    assert all(same(shuffled[place], got[n]) for place, n in enumerate(order))
    for name, array in rows(new, order).items():
        assert_same(moved[name], array)


def test_webrtc_streams_keep_their_own_detectors(minutes):
    model = WebrtcVad(mode=2)
    streams = [minutes[24_000 * n :][:48_000] for n in range(4)]
    together = initial_rows(model, 4)
    alone = [initial_rows(model, 1) for _ in streams]
    answers = []
    for step in zip(*(items(model, s) for s in streams), strict=True):
        got, together = model.run(step, [None] * 4, together)
        for n in range(4):
            (want,), alone[n] = model.run([step[n]], [None], alone[n])
            assert got[n] == want
        answers += got
    assert 0.0 in answers
    assert 1.0 in answers


@pytest.mark.parametrize("kind", [pytest.param(Ge2eVoice, marks=pytest.mark.models), FakeVoice])
def test_a_window_among_longer_and_shorter_ones_is_bit_equal_to_the_window_alone(
    kind, make, minutes
):
    model = make(kind)
    lengths = [25_600, 6_400, 16_001, 6_559, 25_599, 12_800, 9_999, 20_000]
    batch = [minutes[30_000 * n :][:length] for n, length in enumerate(lengths)]
    got, _ = model.run(batch, [None] * 8, {})
    for item, voice in zip(batch, got, strict=True):
        (want,), _ = model.run([item], [None], {})
        assert same(voice, want)
    short, _ = model.run(batch[1:2] + batch[3:4], [None] * 2, {})
    assert same(short[0], got[1])


@pytest.mark.models
@pytest.mark.parametrize("file", GE2E_FILES)
@pytest.mark.parametrize("batch", [2, 5, 8])
def test_a_voice_is_bit_equal_alone_and_with_any_mates(backend, library, file, batch, minutes):
    model = Ge2eVoice(backend, library, file)
    rng = np.random.default_rng(batch)
    window = minutes[40_000:][:17_000]
    (alone,), _ = model.run([window], [None], {})
    silence, square = np.zeros(25_600, np.int16), np.tile([32_767, -32_768], 12_800)
    for place in (0, batch // 2, batch - 1):
        spans = rng.integers((0, 6_400), (len(minutes) - 25_600, 25_601), (batch, 2))
        mates = [minutes[begin:][:length] for begin, length in spans]
        mates[place - 1] = square.astype(np.int16) if place else silence
        mates[place] = window
        got, _ = model.run(mates, [None] * batch, {})
        assert same(got[place], alone, int8=file.endswith("int8"))


@pytest.mark.models
@pytest.mark.parametrize("file", ["campplus", "campplus_int8"])
@pytest.mark.parametrize("batch", [1, 2, 5, 8])
def test_campplus_gives_a_voice_bit_equal_alone_and_with_any_mates(
    backend, library, file, batch, minutes
):
    model = Voiceprint(backend, library, file)
    rng = np.random.default_rng(batch)
    window = minutes[40_000:][:25_600]
    ((alone,), _) = model.run([window], [None], {})
    silence, square = np.zeros(25_600, np.int16), np.tile([32_767, -32_768], 12_800)
    for place in {0, batch // 2, batch - 1}:
        mates = [minutes[at:][:25_600] for at in rng.integers(0, len(minutes) - 25_600, batch)]
        mates[place - 1] = square.astype(np.int16) if place else silence
        mates[place] = window
        got, _ = model.run(mates, [None] * batch, {})
        assert same(got[place], alone, int8=file.endswith("int8"))


@pytest.mark.models
@pytest.mark.parametrize("file", GE2E_FILES)
def test_a_window_that_was_begun_early_is_bit_equal_to_one_that_was_not(
    backend, library, file, minutes
):
    model = Ge2eVoice(backend, library, file)
    beginning = Ge2eSpeculative(model)
    rng = np.random.default_rng(5)
    begun = 0
    for batch in (1, 2, 3, 6, 8):
        starts = rng.integers(0, len(minutes) - 25_600, batch)
        lengths = rng.choice([22_528, 23_040, 25_599, 25_600], batch)
        windows = [minutes[at:][:n] for at, n in zip(starts, lengths, strict=True)]
        beginnings, _ = beginning.run([w[: beginning.samples] for w in windows], [None] * batch, {})
        begun += sum(one is not None for one in beginnings)
        mates = [minutes[9_000:][:7_000], minutes[90_000:][:25_600]]
        requests = [WindowRequest(frozenset(), 0, one) for one in beginnings]
        got, _ = model.run([*mates, *windows], [None, None, *requests], {})
        for window, voice in zip(windows, got[2:], strict=True):
            (want,), _ = model.run([window], [None], {})
            assert same(voice, want, int8=file.endswith("int8"))
    assert begun > 10


@pytest.mark.models
@pytest.mark.parametrize("file", GE2E_FILES)
def test_a_window_that_was_computed_early_is_bit_equal_to_one_that_was_not(
    backend, library, file, minutes
):
    model = Ge2eVoice(backend, library, file)
    speculative, is_int8 = Ge2eSpeculative(model), file.endswith("int8")
    begin = minutes[70_000:][: speculative.samples]
    loud = [minutes[40_000:][:length] for length in (6_400, 17_000, 22_528, 22_529, 25_600)]
    windows = [*loud, *(window // 64 for window in loud)]  # these have to be raised
    rng = np.random.default_rng(6)
    for order in (rng.permutation(len(windows)) for _ in range(3)):
        shuffled = [windows[place] for place in order]
        request = WindowRequest(frozenset({"prosody"}), 4_000)
        items, options = [begin, *shuffled, begin // 64], [None, *[request] * len(windows), None]
        (row, *got, none), _ = speculative.run(items, options, {})
        assert none is None
        ((alone,), _) = speculative.run([begin], [None], {})
        assert same(row, alone, int8=is_int8)
        for window, voice in zip(shuffled, got, strict=True):
            (want,), _ = model.run([window], [request], {})
            assert same(voice, want, int8=is_int8)
            assert np.array_equal(voice.prosody, want.prosody)
    # Where the first call has run on the beginning, the second runs alone.
    window = minutes[70_000:][:25_600]
    ((want,), _) = model.run([window], [None], {})
    ((got,), _) = speculative.run([window], [WindowRequest(frozenset(), 0, row)], {})
    assert same(got, want, int8=is_int8)


@pytest.mark.models
def test_a_window_that_may_have_to_be_raised_is_not_begun(backend, library, minutes):
    beginning = Ge2eSpeculative(Ge2eVoice(backend, library))
    windows = [minutes[at:][: beginning.samples] for at in range(0, 400_000, 20_000)]
    loud = max(windows, key=lambda window: np.abs(window.astype(int)).sum())
    quiet = loud // 64
    (one, none, silence), _ = beginning.run([loud, quiet, loud * 0], [None] * 3, {})
    assert one is not None
    assert none is silence is None
    # Over the level by itself, but not if what follows is silence.
    level = int(32_768 * 10 ** (-29.8 / 20))
    edge = np.tile([level, -level], beginning.samples // 2).astype(np.int16)
    assert np.array_equal(raise_level(edge), edge / np.float32(32_768))
    ((found,), _) = beginning.run([edge], [None], {})
    assert found is None


@pytest.mark.models
def test_a_words_score_does_not_hang_on_which_other_words_are_asked_for(backend, library, minutes):
    model = OpenWakeWord(backend, library)
    state = initial_rows(model, 3)
    streams = [items(model, minutes[20_000 * n :][:32_000]) for n in range(3)]
    for step in zip(*streams, strict=True):
        everything, new = model.run(step, [model.words] * 3, state)
        for word in model.words:
            # By all, by one, and by one that names it twice.
            for options in ([(word,)] * 3, [(), (word,), ()], [(word, word), (), (word,)]):
                got, _ = model.run(step, options, state)
                for row, words in enumerate(options):
                    assert same(got[row], {w: everything[row][w] for w in words})
        state = new


@pytest.mark.models
def test_words_of_ones_own_share_a_batch_and_score_as_alone(backend, library, minutes):
    rng = np.random.default_rng(6)
    heads = [
        WordHead((rng.normal(size=(window, 96)) / 300).astype(np.float32), 0.1).pack()
        for window in (4, 16, 34)
    ]
    model = OpenWakeWord(backend, library, ("alexa",))
    registered = [model.heads.register(head) for head in heads]
    own = [head.id for head in registered]
    options = [(own[0],), ("alexa", *own), (), (own[2], "alexa"), tuple(own)]
    streams = [minutes[16_000 * n :][:48_000] for n in range(5)]
    together, alone = initial_rows(model, 5), [initial_rows(model, 1) for _ in streams]
    for step in zip(*(items(model, s) for s in streams), strict=True):
        got, together = model.run(step, options, together)
        for n, option in enumerate(options):
            (want,), alone[n] = model.run([step[n]], [option], alone[n])
            assert same(got[n], want)
            assert list(want) == list(option)


@pytest.mark.parametrize("kind", [REAL[1], FakeWake])
@pytest.mark.parametrize("streams", [1, 3])
def test_a_replay_in_one_call_is_bit_equal_to_step_by_step(kind, streams, make, minutes):
    model, steps = make(kind), 7
    length = model.context_samples + steps * 1280
    spans = [minutes[16_000 * n :][:length] for n in range(streams)]
    at_once = model.replay(spans, steps, initial_rows(model, streams))
    state = initial_rows(model, streams)
    for start in range(0, steps * 1280, 1280):
        step = [span[start : start + model.item_samples] for span in spans]
        _, state = model.run(step, [()] * streams, state)
    for name, array in state.items():
        assert_same(at_once[name], array)


@pytest.mark.models
@pytest.mark.parametrize("steps", [1, 4, 34])
@pytest.mark.parametrize("streams", [1, 3])
def test_several_steps_in_one_call_score_as_step_by_step(steps, streams, backend, library, minutes):
    model = OpenWakeWord(backend, library, ("alexa", "timer"))
    own = model.heads.register(
        WordHead((np.random.default_rng(6).normal(size=(34, 96)) / 300).astype(np.float32), 0.1)
        .pack()
    )  # fmt: skip
    length = model.context_samples + steps * 1280
    spans = [minutes[16_000 * n :][:length] for n in range(streams)]
    options = [("alexa", own.id), (own.id, "timer"), ("timer", "alexa")][:streams]
    at_once, after = model.run_steps(spans, steps, options, initial_rows(model, streams))
    state = initial_rows(model, streams)
    for number in range(steps):
        begin = number * 1280
        step = [span[begin : begin + model.item_samples] for span in spans]
        want, state = model.run(step, options, state)
        for got, scores in zip(at_once, want, strict=True):
            assert list(got[number]) == list(scores)
            for word, (score, name) in scores.items():
                assert got[number][word] == (pytest.approx(score, abs=STEPS_CLOSE), name)
    assert [len(scores) for scores in at_once] == [steps] * streams
    for name, array in state.items():
        assert_same(after[name], array)
