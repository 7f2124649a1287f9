"""Who speaks, as the readers of a session share it."""

from streamd.modules.speaker_state import SpeakerState


def test_no_speaker_is_tracked_before_the_first_utterance() -> None:
    state = SpeakerState()
    assert not state.is_tracked
    state.begin()
    assert state.is_tracked
    assert state.speaking is None


def test_the_speaker_before_is_remembered_only_if_the_decision_was_sure() -> None:
    state = SpeakerState()
    for is_sure, left in ((True, "ann"), (False, None)):
        state.begin()
        state.update("ann", is_sure=is_sure)
        state.take_over(4000)
        assert (state.left, state.turn_start, state.speaking) == (left, 4000, None)
    assert state.turn == 2


def test_a_new_utterance_begins_without_a_speaker() -> None:
    state = SpeakerState()
    state.begin()
    state.update("ann", is_sure=True)
    state.begin()
    assert (state.speaking, state.is_sure) == (None, False)


def test_the_likeliest_of_a_speaker_without_a_name_is_the_nearest_known_name() -> None:
    state = SpeakerState()
    state.begin()
    state.update("S1", is_sure=True)
    state.begin()
    state.update(None, is_sure=True, nearest="S1")
    assert (state.speaking, state.likeliest) == (None, "S1")
    state.update("S2", is_sure=True, nearest="S1")
    assert (state.speaking, state.likeliest) == ("S2", "S2")
    state.update("S2", is_sure=True, nearest="S2")
    assert state.nearest == {"S1": None, "S2": "S1"}


def test_the_root_follows_nearest_names_and_a_circle_ends() -> None:
    state = SpeakerState(
        nearest={"S1": None, "S2": "S1", "S3": "S2", "ann": "ann", "a": "b", "b": "a"}
    )
    assert [state.root(name) for name in ("S1", "S2", "S3", "ann", "x")] == [
        "S1",
        "S1",
        "S1",
        "ann",
        "x",
    ]
    assert state.root("a") == "b"
