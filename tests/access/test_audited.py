"""Every change to a voice, a word or a key is written down, and nothing that it must not tell."""

import numpy as np
import pytest
from fakes.own_words import word as own_word

from streamd.access.audit.entry import Actor, Entry
from streamd.access.audit.writer import Nowhere
from streamd.access.audited import Audited
from streamd.access.keys import new_key
from streamd.errors import BadName, NameTaken, NotErased
from streamd.store import Enrolment
from streamd.store.access import AccessStore
from streamd.store.base import Store


class Kept:
    """Keeps the entries."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def record(self, entry: Entry) -> str:
        self.entries.append(entry)
        return entry.id


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def audited(store, kept) -> Audited:
    return Audited(store, "default", kept, Actor("command line", uid=7))


def enrolment() -> Enrolment:
    return Enrolment(np.eye(4)[0], "m", "wide", 1000, "secret upload.wav")


def test_it_is_a_store(audited):
    store: Store = audited
    access: AccessStore = audited.access
    assert store.of("acme").speakers() == []
    assert access.keys() == []


def test_changes_to_voices_are_written_down_under_a_pseudonym(audited, kept):
    audited.enrol("Ada", [enrolment(), enrolment()])
    assert audited.rename("Ada", "Grace")
    assert audited.delete("Grace")
    enrolled, renamed, deleted = kept.entries
    assert [one.action for one in kept.entries] == [
        "voice_enrolled",
        "voice_renamed",
        "voice_deleted",
    ]
    assert (enrolled.tenant, enrolled.by, enrolled.uid, enrolled.count) == (
        "default",
        "command line",
        7,
        2,
    )
    assert enrolled.voice == renamed.voice
    assert renamed.renamed_to == deleted.voice
    assert all(one.is_change for one in kept.entries)
    text = repr(kept.entries)
    for name in ("Ada", "Grace", "upload"):
        assert name not in text


def test_a_deletion_gives_the_id_of_its_entry(audited, kept):
    audited.enrol("Ada", [enrolment()])
    assert audited.delete_voice("Ada") == kept.entries[-1].id
    assert audited.delete_voice("Ada") is None


def test_without_an_audit_log_there_is_no_id(store):
    audited = Audited(store, "default", Nowhere(), Actor("server"))
    audited.enrol("Ada", [enrolment()])
    assert audited.delete_voice("Ada") == ""


def test_one_spelling_is_one_pseudonym(audited, kept):
    audited.enrol("Zoe\u0301", [enrolment()])
    assert audited.delete("Zo\u00e9")
    assert kept.entries[0].voice == kept.entries[1].voice


def test_what_changed_nothing_is_not_written_down(audited, kept):
    assert not audited.delete("Ada")
    assert not audited.rename("Ada", "Grace")
    assert not audited.remove_word("lantern")
    assert audited.access.revoke_key("home", 1) is None
    with pytest.raises(BadName):
        audited.enrol("", [enrolment()])
    audited.keep_baselines("m", {})
    assert kept.entries == []


def test_a_deletion_that_left_remains_is_written_down_as_such(audited, kept, store, monkeypatch):
    audited.enrol("Ada", [enrolment()])

    def delete(name: str) -> bool:
        raise NotErased("remains")

    monkeypatch.setattr(store, "delete", delete)
    with pytest.raises(NotErased):
        audited.delete("Ada")
    assert (kept.entries[-1].action, kept.entries[-1].outcome) == ("voice_deleted", "NotErased")


def test_words_and_keys_are_written_down_with_their_tenant(audited, kept):
    audited.of("acme").add_word(own_word("lantern"))
    assert audited.of("acme").remove_word("lantern")
    text, record = new_key("home", "acme", ["stream"], 1, 2)
    audited.access.add_key(record)
    with pytest.raises(NameTaken):
        audited.access.add_key(new_key("home", "acme", ["stream"], 1)[1])
    assert audited.access.revoke_key("home", 2) is not None
    assert [(one.action, one.tenant) for one in kept.entries] == [
        ("word_added", "acme"),
        ("word_removed", "acme"),
        ("key_created", "acme"),
        ("key_revoked", "acme"),
    ]
    created = kept.entries[2]
    assert (created.subject_key, created.subject_name, created.scopes, created.expires_ms) == (
        record.id,
        "home",
        ("stream",),
        2,
    )
    assert text not in repr(kept.entries)
    assert text[-43:] not in repr(kept.entries)


def test_a_server_writes_down_who_asked_it(audited, kept):
    other = Kept()
    audited.changed_by(Actor("server", "k1", "home", "192.0.2.1"), other).enrol(
        "Ada", [enrolment()]
    )
    assert (other.entries[0].key, other.entries[0].peer) == ("k1", "192.0.2.1")
    assert kept.entries == []
