"""The keyword pass gives FunASR's posteriors of whole files, in any steps, batches and replays."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import xiaoyun
from fakes.spelling import keyword_pass
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.engine.passes.keyword import FsmnKeywords
from streamd.engine.passes.warm import initial_rows
from streamd.modules.keyword_stepper import CONTEXT, FRAMES, STEP, KeywordStepper

TOLERANCE = 5e-5
"""Of posteriors: the features and the network are float32 here and float64 in the definition."""
DATA = Path(__file__).parents[2] / "data"
TAIL_STEPS = 3


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return soundfile.read(DATA / "speech_slt.flac", dtype="int16")[0][:40_000]


def stream(model: FsmnKeywords, audio: np.ndarray, groups: Sequence[int] = (1,)):
    """Scores and tokens of a whole file, step by step, or so many steps together, in turn."""
    whole, outputs, at = len(audio) // STEP, [], 0
    padded = np.concatenate([np.zeros(CONTEXT, np.int16), audio])
    state = initial_rows(model, 1)
    for group in itertools.cycle(groups):
        steps = min(group, whole - at)
        if not steps:
            break
        span = padded[at * STEP : (at + steps) * STEP + CONTEXT]
        found, state = model.run_steps([span], steps, [None], state)
        outputs += found[0]
        at += steps
    left = len(audio) - whole * STEP
    steps = -(-left // STEP) + TAIL_STEPS
    tail = np.zeros(CONTEXT + steps * STEP, np.int16)
    tail[: CONTEXT + left] = padded[whole * STEP :]
    for number in range(steps):
        item = tail[number * STEP : (number + 1) * STEP + CONTEXT]
        found, state = model.run([item], [(left - number * STEP,)], state)
        outputs += found
    first = 1 + model.info.delay
    scores = np.concatenate([one.scores for one in outputs])[first:]
    return scores, np.concatenate([one.tokens for one in outputs])[first:]


def expected(audio: np.ndarray, sizes: xiaoyun.Sizes = xiaoyun.SMALL) -> np.ndarray:
    return xiaoyun.posteriors(xiaoyun.weights(sizes), sizes, xiaoyun.features(audio))


@pytest.mark.parametrize(
    "length", [0, 399, 400, 560, 719, 720, 879, 880, 1439, 1440, 1441, 2881, 5000, 15_999, 40_000]
)
def test_a_stream_gives_the_posteriors_of_the_whole_file(length, speech):
    scores, tokens = stream(keyword_pass(), speech[:length])
    rows = expected(speech[:length])
    frames = len(rows)
    assert frames == -(-max(0, (length - 240) // 160) // 3)
    np.testing.assert_allclose(scores[:frames], -np.sort(-rows, axis=1)[:, :3], atol=TOLERANCE)
    at_tokens = np.take_along_axis(rows, tokens[:frames], axis=1)
    np.testing.assert_allclose(scores[:frames], at_tokens, atol=TOLERANCE)
    assert not scores[frames:].any()


def test_the_model_of_the_tests_says_more_than_one_thing(speech):
    rows = expected(speech)
    assert len(set(rows.argmax(1).tolist())) > 5
    assert 0.2 < np.median(rows.max(1)) < 0.9


@settings(deadline=None, max_examples=25)
@given(groups=st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_steps_that_run_together_are_bit_equal(groups, speech):
    one, together = (stream(keyword_pass(), speech[:15_000], g) for g in ((1,), groups))
    for first, second in zip(one, together, strict=True):
        assert first.tobytes() == second.tobytes()


def test_the_network_as_published_gives_bit_equal_frames_too(speech):
    model = keyword_pass(xiaoyun.PUBLISHED)
    one, together = (stream(model, speech, g) for g in ((1,), (2, 1, 8)))
    for first, second in zip(one, together, strict=True):
        assert first.tobytes() == second.tobytes()
    rows = -np.sort(-expected(speech, xiaoyun.PUBLISHED), axis=1)[:, :3]
    np.testing.assert_allclose(one[0][: len(rows)], rows, atol=TOLERANCE)


@pytest.mark.parametrize("sizes", [xiaoyun.SMALL, xiaoyun.PUBLISHED], ids=["small", "published"])
def test_a_stream_is_to_the_bit_the_same_in_every_batch(sizes, speech):
    model = keyword_pass(sizes)
    items = [speech[at : at + CONTEXT + STEP] for at in range(0, 31 * 1000, 1000)]
    options = [None if number % 3 else (900,) for number in range(len(items))]
    state = initial_rows(model, len(items))
    state["fresh"][::2] = 0
    for name in ("mel", "memory"):
        state[name][:] = np.random.default_rng(1).normal(0, 1, state[name].shape)
    together, after = model.run(items, options, state)
    for row, item in enumerate(items):
        mine = {name: rows[row : row + 1] for name, rows in state.items()}
        (alone,), alone_after = model.run([item], [options[row]], mine)
        assert alone.scores.tobytes() == together[row].scores.tobytes()
        assert alone.tokens.tobytes() == together[row].tokens.tobytes()
        for name, rows in after.items():
            assert alone_after[name][0].tobytes() == rows[row].tobytes()


@pytest.mark.parametrize("sizes", [xiaoyun.SMALL, xiaoyun.PUBLISHED], ids=["small", "published"])
def test_a_replay_restores_the_state_to_the_bit(sizes, speech):
    model = keyword_pass(sizes)
    padded = np.concatenate([np.zeros(CONTEXT, np.int16), speech])
    state, states = initial_rows(model, 1), []
    for number in range(24):
        _, state = model.run([padded[number * STEP :][: CONTEXT + STEP]], [None], state)
        states.append(state)
    replayed = model.replay_steps - 1
    for stop in (replayed + 1, 22):
        for stale in (initial_rows(model, 1), states[0]):
            span = padded[(stop - replayed) * STEP : stop * STEP + CONTEXT]
            state = model.replay([span], replayed, stale)
            item = padded[stop * STEP :][: CONTEXT + STEP]
            (now,), _ = model.run([item], [None], state)
            (want,), _ = model.run([item], [None], states[stop - 1])
            assert now.scores.tobytes() == want.scores.tobytes()
            assert now.tokens.tobytes() == want.tokens.tobytes()


def test_fewer_replayed_steps_would_not_do(speech):
    model = keyword_pass()
    padded = np.concatenate([np.zeros(CONTEXT, np.int16), speech])
    state = initial_rows(model, 1)
    for number in range(20):
        before = state
        _, state = model.run([padded[number * STEP :][: CONTEXT + STEP]], [None], state)
    replayed = model.replay_steps - 2
    stale = model.replay(
        [padded[(19 - replayed) * STEP : 19 * STEP + CONTEXT]], replayed, initial_rows(model, 1)
    )
    item = padded[19 * STEP :][: CONTEXT + STEP]
    (now,), (want,) = (model.run([item], [None], rows)[0] for rows in (stale, before))
    assert now.scores.tobytes() != want.scores.tobytes()


def test_the_tail_that_a_session_adds_is_long_enough():
    for delay in range(2, 12):
        steps = -(-(delay + 1) // FRAMES)
        for length in range(400, 4 * STEP):
            frames = (length - 400) // 480 + 1
            last_step = -(-length // STEP) + steps - 1
            assert FRAMES * last_step + 1 - delay >= frames - 1
    assert KeywordStepper.step == STEP
