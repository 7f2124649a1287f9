"""When speech begins and ends. A frame is 100 samples: `#` speech, `~` between the two thresholds,
`.` silence."""

import itertools
from dataclasses import replace

import pytest

from streamd.modules.base import Utterance
from streamd.session.segmenter import Closed, Opened, Segmenter, SegmenterConfig

FRAME = 100
PROBABILITY = {"#": 0.9, "~": 0.4, ".": 0.1}
CONFIG = SegmenterConfig(
    on=0.5, off=0.35, min_speech=200, hangover=300, pre_roll=150, max_length=10_000
)


def feed(segmenter: Segmenter, frames: str, start: int = 0) -> list[Opened | Closed]:
    changes: list[Opened | Closed] = []
    for index, frame in enumerate(frames):
        at = start + index * FRAME
        changes += segmenter.frame(at, at + FRAME, PROBABILITY[frame])
    return changes


def utterances(frames: str, config: SegmenterConfig = CONFIG) -> list[Utterance]:
    return [c.utterance for c in feed(Segmenter(config), frames) if isinstance(c, Opened)]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ("......", []),
        ("~~~~~~", []),  # never reached `on`
        (".#....", []),  # too short
        (".#.#.#.#.#....", []),  # too short each time: what is open is a run
        ("..##....", [(50, 200, 400, 400)]),
        ("..#~....", [(50, 200, 400, 400)]),  # held by `off`
        ("~~##....", [(50, 200, 400, 400)]),  # `off` alone does not begin it
        ("##......", [(0, 0, 200, 200)]),  # no pre-roll before the stream
        ("..##..##....", [(50, 200, 400, 800)]),  # a pause shorter than the hangover
        ("..##..~#....", [(50, 200, 400, 800)]),
        ("..##..~.....", [(50, 200, 400, 700)]),  # `off` holds the end too
        ("..##...##...", [(50, 200, 400, 400), (550, 700, 900, 900)]),
        ("..###########", [(50, 200, 400, None)]),
    ],
)
def test_speech_begins_and_ends_by_two_thresholds(
    frames: str, expected: list[tuple[int, int, int, int | None]]
) -> None:
    found = [(u.start, u.onset, u.opened_at, u.end) for u in utterances(frames)]
    assert found == expected


def test_an_utterance_counts_only_what_was_speech() -> None:
    (utterance,) = utterances("..##..~#....")
    assert utterance.speech == 400
    assert utterance.runs == [(200, 400), (600, 800)]
    assert utterance.voiced(0, 10_000) == 400
    assert utterance.voiced(350, 650) == 100
    assert utterance.closed_at == 1100
    assert utterance.cause == "silence"


def test_without_a_minimum_one_frame_is_an_utterance() -> None:
    found = utterances("..#....", replace(CONFIG, min_speech=0))
    assert [(u.onset, u.opened_at, u.end) for u in found] == [(200, 300, 300)]


@pytest.mark.parametrize("hangover", [100, 200, 300])
def test_pre_roll_never_reaches_into_the_utterance_before(hangover: int) -> None:
    first, second = utterances(
        "###" + "." * (hangover // 100) + "####", replace(CONFIG, hangover=hangover, pre_roll=1000)
    )
    assert second.start == first.end == 300


def test_pre_roll_never_reaches_before_a_barrier() -> None:
    segmenter = Segmenter(CONFIG)
    feed(segmenter, "....")
    segmenter.close_at(400, "flush")
    (opened,) = feed(segmenter, "###", 400)
    assert opened.utterance.start == 400


@pytest.mark.parametrize("max_length", [1000, 1049, 1050, 1099])
def test_no_utterance_is_longer_than_the_longest_and_speech_goes_on_in_another(
    max_length: int,
) -> None:
    config = replace(CONFIG, max_length=max_length)
    found = utterances(".." + "#" * 45 + "....", config)
    assert len(found) > 3
    for one, other in itertools.pairwise(found):
        assert one.end is not None
        assert one.cause == "max_length"
        assert max_length - 2 * FRAME < one.end - one.start <= max_length
        assert other.start == other.onset == one.end
    assert found[-1].cause == "silence"
    assert sum(u.speech for u in found) == 4500
    assert [u.id for u in found] == [f"u{n + 1}" for n in range(len(found))]


def test_the_longest_length_may_fall_into_a_pause() -> None:
    (utterance,) = utterances("##########..", replace(CONFIG, hangover=500, max_length=1150))
    assert (utterance.end, utterance.closed_at, utterance.cause) == (1000, 1100, "max_length")


def test_a_barrier_ends_the_speech_at_its_last_frame() -> None:
    segmenter = Segmenter(CONFIG)
    feed(segmenter, "..###.")
    (closed,) = segmenter.close_at(630, "flush")
    assert isinstance(closed, Closed)
    assert (closed.utterance.end, closed.utterance.closed_at) == (500, 630)
    assert closed.utterance.cause == "flush"
    assert segmenter.open is None
    assert segmenter.watermark == 630


def test_a_barrier_in_silence_changes_nothing_and_too_short_speech_is_forgotten() -> None:
    segmenter = Segmenter(CONFIG)
    feed(segmenter, "..#")
    assert segmenter.close_at(300, "flush") == []
    assert feed(segmenter, "#", 300) == []
    (opened,) = feed(segmenter, "#", 400)
    assert (opened.utterance.onset, opened.utterance.opened_at) == (300, 500)


def test_frames_that_the_copy_of_a_barrier_counted_do_not_count_again() -> None:
    segmenter = Segmenter(CONFIG)
    feed(segmenter, "###")
    segmenter.frame(300, 350, 0.9)  # on the copy, up to the barrier
    segmenter.close_at(350, "flush")
    # The live frame begins before the barrier: only its rest may belong to a new utterance.
    assert feed(segmenter, "#", 300) == []
    assert feed(segmenter, "#", 400) == []
    (opened,) = feed(segmenter, "#", 500)
    assert (opened.utterance.start, opened.utterance.onset) == (350, 350)
    assert opened.utterance.runs == [(350, 600)]
    assert opened.utterance.speech == 250


def test_a_live_frame_that_ends_before_the_barrier_counts_for_nothing() -> None:
    segmenter = Segmenter(replace(CONFIG, min_speech=0))
    segmenter.close_at(1000, "flush")
    assert feed(segmenter, "########", 200) == []
    (opened,) = feed(segmenter, "#", 1000)
    assert opened.utterance.onset == 1000


def test_the_watermark_waits_for_what_is_undecided_and_never_goes_back() -> None:
    segmenter = Segmenter(CONFIG)
    marks = []
    for index, frame in enumerate(".#.##..#...."):
        feed(segmenter, frame, index * FRAME)
        marks.append(segmenter.watermark)
    # silence | too short yet | silence | too short yet | open | may go on | speech | … | over
    assert marks == [100, 100, 300, 300, 500, 500, 500, 800, 800, 800, 1100, 1200]
    assert marks == sorted(marks)
    segmenter.close_at(1150, "flush")
    assert segmenter.watermark == 1200


def test_new_thresholds_hold_from_the_next_frame_on() -> None:
    segmenter = Segmenter(CONFIG)
    feed(segmenter, "####")
    segmenter.config = replace(CONFIG, hangover=100)
    (closed,) = feed(segmenter, ".", 400)
    assert closed.utterance.end == 400
