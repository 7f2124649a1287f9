"""Wake words in the store: one of a name, sealed, of one tenant, and seen by other processes."""

import pytest
from fakes.own_words import word

from streamd.errors import BadName, NameTaken, Unavailable


def test_a_word_comes_back_as_it_was_with_the_time_it_was_made(opened):
    opened().add_word(word("hey_lantern"))
    (again,) = opened().load_words().values()
    assert again.head == word("hey_lantern").head
    assert again.info.created_ms > 1_700_000_000_000
    assert again.info.estimate == word("x").info.estimate


def test_a_name_is_one_word_unless_it_is_replaced(opened):
    store = opened()
    store.add_word(word("own"))
    with pytest.raises(NameTaken, match="--replace"):
        store.add_word(word("own", seed=1, clips=9))
    assert store.load_words()["own"].info.clips == 5
    store.add_word(word("own", seed=1, clips=9), replace=True)
    store.add_word(word("new"), replace=True)
    assert [w.info.clips for w in store.load_words().values()] == [5, 9]
    with pytest.raises(BadName):
        store.add_word(word("Own"))


def test_removing_says_whether_there_was_one(opened):
    store = opened()
    store.add_word(word("own"))
    assert store.remove_word("own")
    assert not store.remove_word("own")
    assert store.load_words() == {}


def test_every_change_is_seen_by_who_polls_the_version(opened):
    here, there = opened(), opened()
    seen = {there.version()}
    for change in (
        lambda: here.add_word(word("own")),
        lambda: here.add_word(word("own", seed=2), replace=True),
        lambda: here.remove_word("own"),
    ):
        change()
        assert there.version() not in seen
        seen.add(there.version())


def test_a_head_is_sealed_and_cannot_be_given_to_another_name(opened, place):
    store = opened()
    store.add_word(word("own"))
    store.add_word(word("other", seed=1))
    plain = word("own").head
    for file in place.files():
        assert plain[40:80] not in file.read_bytes()
    place.sql(
        "UPDATE words SET head = (SELECT head FROM words WHERE name = 'own') WHERE name = 'other'"
    )
    with pytest.raises(Unavailable, match="streamd words remove other"):
        store.load_words()
