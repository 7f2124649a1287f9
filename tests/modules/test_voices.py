"""Who speaks, told from reader to reader."""

from streamd.modules.voices import Voices


def test_nobody_is_told_of_until_the_speaker_module_hears_an_utterance() -> None:
    voices = Voices()
    assert not voices.is_told
    voices.begin()
    assert voices.is_told
    assert voices.speaking is None


def test_who_leaves_is_remembered_only_if_that_was_sure() -> None:
    voices = Voices()
    for is_sure, left in ((True, "ann"), (False, None)):
        voices.begin()
        voices.heard("ann", is_sure=is_sure)
        voices.take_over(4000)
        assert (voices.left, voices.turn_start, voices.speaking) == (left, 4000, None)
    assert voices.turn == 2


def test_a_new_utterance_is_nobodys_at_first() -> None:
    voices = Voices()
    voices.begin()
    voices.heard("ann", is_sure=True)
    voices.begin()
    assert (voices.speaking, voices.is_sure) == (None, False)


def test_who_has_no_name_yet_is_likeliest_the_nearest_of_those_known() -> None:
    voices = Voices()
    voices.begin()
    voices.heard("S1", is_sure=True)
    voices.begin()
    voices.heard(None, is_sure=True, nearest="S1")
    assert (voices.speaking, voices.likeliest) == (None, "S1")
    voices.heard("S2", is_sure=True, nearest="S1")
    assert (voices.speaking, voices.likeliest) == ("S2", "S2")
    voices.heard("S2", is_sure=True, nearest="S2")
    assert voices.nearest == {"S1": None, "S2": "S1"}


def test_the_root_is_the_kins_kin_and_a_circle_ends() -> None:
    voices = Voices(nearest={"S1": None, "S2": "S1", "S3": "S2", "ann": "ann", "a": "b", "b": "a"})
    assert [voices.root(name) for name in ("S1", "S2", "S3", "ann", "x")] == [
        "S1",
        "S1",
        "S1",
        "ann",
        "x",
    ]
    assert voices.root("a") == "b"
