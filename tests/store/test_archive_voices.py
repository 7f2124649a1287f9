"""Voices go from one tenant or store to another as one file: all of them, or none."""

import base64
import hashlib
import io
import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from databases import Place

from streamd.errors import ConfigError, NameTaken, NoSuchSpeaker, Unavailable, WrongUsage
from streamd.store import Enrolment, SqlStore, open_store
from streamd.store.archive import export_store
from streamd.store.archive.voices import Imported, export_voices, import_voices
from streamd.types import Floats


def voice(seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(16).astype(np.float32)


def fill(store: SqlStore) -> None:
    heard = {"n": voice(9)}
    first = Enrolment(voice(1), "m", "wide", 1000, "a.wav", '{"verdict":"good"}', heard)
    store.enrol("Ada", [first, Enrolment(voice(2), "m", "narrow", 900, "b.wav")], {"mood": b"calm"})
    store.enrol("Bob", [Enrolment(voice(3), "m", "wide", 800, "c.wav")])
    store.of("acme").enrol("Eve", [Enrolment(voice(4), "m", "wide", 700, "d.wav")])


def content(store: SqlStore, name: str) -> object:
    """All that is known of a voice."""
    gallery = store.load_gallery("m", "mood")
    return (
        store.enrolments(name),
        [s for s in store.speakers() if s.name == name],
        [e.tolist() for e in store.embeddings(name, "m")],
        gallery.baselines.get(name),
    )


def exported(store: SqlStore, *names: str) -> bytes:
    out = io.BytesIO()
    export_voices(store, names, out)
    return out.getvalue()


def imported(store: SqlStore, place: Place, export: bytes) -> list[Imported]:
    return import_voices(store, io.BytesIO(export), "voices.jsonl", place.folder / "key")


def test_a_voice_comes_back_after_its_deletion_as_it_was(store: SqlStore, place: Place) -> None:
    fill(store)
    before, others = content(store, "Ada"), content(store, "Bob")
    export = exported(store, "Ada")
    store.delete("Ada")
    version = store.version()
    assert imported(store, place, export) == [("Ada", 2)]
    assert store.version() > version
    assert (content(store, "Ada"), content(store, "Bob")) == (before, others)


def test_all_voices_of_the_tenant_go_to_another_one(store: SqlStore, place: Place) -> None:
    fill(store)
    acme = store.of("acme")
    assert imported(acme, place, exported(store)) == [("Ada", 2), ("Bob", 1)]
    assert [s.name for s in acme.speakers()] == ["Ada", "Bob", "Eve"]
    for name in ("Ada", "Bob"):
        assert [e.tolist() for e in acme.embeddings(name, "m")] == [
            e.tolist() for e in store.embeddings(name, "m")
        ]
        ours, theirs = store.enrolments(name), acme.enrolments(name)
        assert [(e.quality, e.speech_ms) for e in ours] == [
            (e.quality, e.speech_ms) for e in theirs
        ]
        # Both are there now, so that they are two enrolments.
        assert not {e.id for e in ours} & {e.id for e in theirs}
    assert acme.load_gallery("m", "mood").baselines == {"Ada": b"calm"}
    store.delete("Ada")
    assert len(acme.enrolments("Ada")) == 2


def test_a_name_that_is_taken_leaves_everything_as_it_was(store: SqlStore, place: Place) -> None:
    fill(store)
    export = exported(store)
    store.delete("Ada")
    before = (store.version(), content(store, "Bob"))
    with pytest.raises(NameTaken, match=r"'Bob' already exists.*Nothing was imported"):
        imported(store, place, export)
    assert (store.version(), content(store, "Bob")) == before
    assert store.enrolments("Ada") == []


def test_who_is_not_there_cannot_be_exported(store: SqlStore) -> None:
    fill(store)
    for name in ("Zoe", "Eve"):
        with pytest.raises(NoSuchSpeaker, match=name):
            exported(store, "Ada", name)


def test_an_export_of_a_whole_store_is_another_thing(store: SqlStore, place: Place) -> None:
    fill(store)
    store.access.secret("tickets")
    out = io.BytesIO()
    export_store(store, out, lambda done, total: None)
    for name in ("Ada", "Bob"):
        store.delete(name)
    store.of("acme").delete("Eve")
    with pytest.raises(WrongUsage, match="streamd store import"):
        imported(store, place, out.getvalue())
    assert store.speakers() == []


def test_a_store_of_another_key_cannot_read_it(store: SqlStore, tmp_path: Path) -> None:
    fill(store)
    export, other = exported(store), tmp_path / "other"
    other.mkdir()
    with closing(open_store(other / "v.db", other / "key")) as stranger:
        with pytest.raises(ConfigError, match="not the key of the store"):
            import_voices(stranger, io.BytesIO(export), "voices.jsonl", other / "key")
        assert stranger.speakers() == []
    shutil.rmtree(other)


def test_a_cut_or_changed_export_is_refused_whole(store: SqlStore, place: Place) -> None:
    fill(store)
    export = exported(store)
    for name in ("Ada", "Bob"):
        store.delete(name)
    lines = export.splitlines(keepends=True)
    for damaged in (b"".join(lines[:-1]), export[:-1], b"".join([*lines[:2], *lines[3:]])):
        with pytest.raises(WrongUsage):
            imported(store, place, damaged)
    assert store.speakers() == []


def test_records_cannot_be_given_another_name(store: SqlStore, place: Place) -> None:
    """Whoever can write the file, but has not the key, makes nobody somebody else."""
    fill(store)
    lines = exported(store, "Ada").splitlines(keepends=True)
    record = json.loads(lines[1])
    assert base64.b64decode(record["enrolments"][0]["embedding"])
    record["name"] = "Mallory"
    lines[1] = json.dumps(record).encode() + b"\n"
    end = json.loads(lines[2])
    end["sha256"] = hashlib.sha256(b"".join(lines[:2])).hexdigest()
    lines[2] = json.dumps(end).encode() + b"\n"
    with pytest.raises(Unavailable, match="'Mallory' is damaged or was tampered with"):
        imported(store, place, b"".join(lines))
    assert store.enrolments("Mallory") == []
