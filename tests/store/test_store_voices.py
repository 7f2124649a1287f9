"""What the store promises about voices, on real files and between real processes."""

import os
import subprocess
import sys
import threading
import unicodedata
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from databases import Place

import streamd
from streamd.errors import BadName, NameTaken
from streamd.modules.gallery import Spoken
from streamd.modules.voice_models import VoiceModels
from streamd.store import Enrolment, SqlStore
from streamd.types import Floats

MODEL = "ge2e-1"


def voice(seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(256).astype(np.float32)


def enrol(
    store: SqlStore, name: str, seed: int = 0, channel: str = "wide", model: str = MODEL
) -> None:
    store.enrol(name, [Enrolment(voice(seed), model, channel, 2500, f"{name}.wav")])  # type: ignore[arg-type]


def in_another_process(place: Place, code: str) -> str:
    """Run statements about `store` in a fresh interpreter; its stdout."""
    opening = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from streamd.store import Enrolment, open_store, postgres\n"
        "folder = Path(sys.argv[1])\n"
        f"store = {place.opening}\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{opening}{code}\nstore.close()", str(place.folder)],
        env={**os.environ, "PYTHONPATH": str(Path(streamd.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def last_sealed(place: Place) -> bytes:
    """The newest enrolment as it is in the database."""
    ((sealed,),) = place.sql("SELECT embedding FROM enrolments ORDER BY id DESC LIMIT 1")
    return bytes(sealed)


def test_speakers_are_listed_by_name_with_what_was_enrolled(store: SqlStore) -> None:
    enrol(store, "zoë")
    enrol(store, "Ann", 1, "narrow")
    enrol(store, "Ann", 2, "wide")
    enrol(store, "Ann", 3, "wide", "other")
    ann, zoe = store.speakers()
    assert (ann.name, ann.enrolments, ann.channels) == ("Ann", 3, ("wide", "narrow"))
    assert (ann.models, ann.speech_ms) == ((MODEL, "other"), 7500)
    assert (zoe.name, zoe.enrolments, zoe.channels, zoe.models) == ("zoë", 1, ("wide",), (MODEL,))
    assert 0 <= zoe.created_ms - 1_700_000_000_000 <= 10**13
    assert ann.created_ms >= zoe.created_ms


def test_each_enrolment_has_an_id_and_its_quality(store: SqlStore) -> None:
    first = Enrolment(voice(1), MODEL, "wide", 2500, "a.wav", '{"verdict":"good"}')
    second = Enrolment(voice(2), "other", "narrow", 900, "b.wav")
    store.enrol("Ann", [first])
    store.enrol("Ann", [second])
    found = store.enrolments("Ann")
    assert [(e.id, e.models, e.channel, e.speech_ms, e.quality) for e in found] == [
        (first.id, (MODEL,), "wide", 2500, '{"verdict":"good"}'),
        (second.id, ("other",), "narrow", 900, ""),
    ]
    assert first.id.startswith("e_")
    assert first.id != second.id
    assert all(e.created_ms > 0 for e in found)
    assert store.of("acme").enrolments("Ann") == []
    store.rename("Ann", "Bea")
    assert store.enrolments("Bea") == found
    store.delete("Bea")
    assert store.enrolments("Bea") == store.enrolments("") == []


def test_a_recording_that_several_models_heard_is_one_enrolment(store: SqlStore) -> None:
    for seed in (1, 2):
        heard = {"other": voice(10 + seed)[:192]}
        store.enrol("Ann", [Enrolment(voice(seed), MODEL, "wide", 2500, "a.wav", others=heard)])
    enrol(store, "Zoe", 3, model="other-only")
    first, second = store.enrolments("Ann")
    assert first.models == second.models == (MODEL, "other")
    ann, _ = store.speakers()
    assert (ann.enrolments, ann.speech_ms, ann.models) == (2, 5000, (MODEL, "other"))
    assert len(store.embeddings("Ann", "other")) == 2
    store.rename("Ann", "Zz")
    gallery = store.load_gallery(VoiceModels("other-only", MODEL))
    assert gallery.names == ("Zoe", "Zz")
    spoken = {MODEL: Spoken(voice(1), 3.0), "other-only": Spoken(voice(3), 3.0)}
    assert {match.name for match in gallery.find(spoken, "wide")} == {"Zoe", "Zz"}
    assert gallery.find(spoken, "wide")[0].name == "Zoe"
    assert store.delete("Zz")
    assert store.embeddings("Zz", MODEL) == store.embeddings("Zz", "other") == []


def test_a_voice_comes_back_as_the_gallerys_best_match(store: SqlStore) -> None:
    for seed, name in enumerate(("a", "b", "c")):
        enrol(store, name, seed)
    enrol(store, "other model", 5, model="other")
    gallery = store.load_gallery(MODEL)
    assert gallery.names == ("a", "b", "c")
    best, second = gallery.search(voice(1) * 3, "wide")
    assert best == ("b", pytest.approx(1, abs=1e-6))
    assert second.score < 0.5
    assert len(store.load_gallery("nobody's model")) == 0


def test_voices_survive_a_restart(place: Place, store: SqlStore) -> None:
    enrol(store, "a", 3)
    store.close()
    again = place.open()
    assert again.load_gallery(MODEL).search(voice(3), "wide")[0].name == "a"
    again.close()


def test_delete_takes_the_enrolments_along(store: SqlStore) -> None:
    enrol(store, "a", 1)
    enrol(store, "a", 2)
    enrol(store, "b", 3)
    assert store.delete("a")
    assert not store.delete("a")
    assert not store.delete("S1")
    assert [info.name for info in store.speakers()] == ["b"]
    assert store.load_gallery(MODEL).names == ("b",)


def test_nothing_of_a_deleted_voice_stays_in_any_file(place: Place, store: SqlStore) -> None:
    enrol(store, "keep", 1)
    enrol(store, "Wilhelmina", 2)
    sealed = last_sealed(place)

    def holding(what: bytes) -> list[str]:
        return [file.name for file in place.tables() if what in file.read_bytes()]

    assert holding(sealed)
    store.delete("Wilhelmina")
    assert holding(sealed) == holding(sealed[40:80]) == holding(b"Wilhelmina") == []


def test_embeddings_are_not_in_the_files_as_they_are(place: Place, store: SqlStore) -> None:
    enrol(store, "a", 1)
    unit = voice(1) / np.linalg.norm(voice(1))
    for file in place.files():
        content = file.read_bytes()
        assert unit.tobytes()[:16] not in content
        assert voice(1).tobytes()[:16] not in content


def test_rename_keeps_the_voice(store: SqlStore) -> None:
    enrol(store, "a", 1)
    enrol(store, "a", 2, "narrow")
    enrol(store, "b", 3)
    assert store.rename("a", "Ann")
    assert store.rename("Ann", "Ann")
    assert not store.rename("a", "x")
    with pytest.raises(NameTaken):
        store.rename("Ann", "b")
    with pytest.raises(BadName):
        store.rename("Ann", "S7")
    gallery = store.load_gallery(MODEL)
    assert gallery.names == ("Ann", "b")
    assert gallery.search(voice(2), "narrow")[0] == ("Ann", pytest.approx(1, abs=1e-6))


BAD_NAMES = [
    "",
    "x" * 65,
    "S1",
    "S007",
    ".",
    "..",
    " a",
    "a ",
    "\u2003a",
    "a\nb",
    "a\0",
    "\udc80",
    "\x1b[1m",
    # Invisible: zero width space, word joiner, byte order mark, soft hyphen.
    "\u200b",
    "ای\u2060لی",
    "\ufeffa",
    "a\u00adb",
    # Overrides and isolates of the direction of writing.
    "ann\u202eeve",
    "علی\u2067رضا",
    "\u200fعلی",
    # Joiners that join nothing: alone, at an end, beside a space, twice, between Latin letters.
    "\u200d",
    "\u200c\u200d",
    "\u200cعلی",
    "علی\u200c",
    "علی\u200c رضا",
    "علی\u200c\u200cرضا",
    "An\u200dn",
    "S1\u200d",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_bad_name_is_refused_and_never_found(store: SqlStore, name: str) -> None:
    with pytest.raises(BadName):
        enrol(store, name)
    assert not store.delete(name)
    assert not store.rename(name, "x")
    assert store.speakers() == []


@pytest.mark.parametrize(
    "name",
    [
        "x" * 64,
        "S",
        "S1a",
        "s1",
        "Anna-Lena O'Hara",
        "王小云",
        "a/b",
        "%",
        "علی\u200cرضا",
        "ශ්\u200dරීමා",
        "👩\u200d🚀",
        "🏳️\u200d🌈 Kim",
        "❤️\u200d🔥",
    ],
)
def test_other_names_are_fine(store: SqlStore, name: str) -> None:
    enrol(store, name)
    assert name in store.load_gallery(MODEL)
    assert store.delete(name)


def test_one_spelling_is_one_voice(store: SqlStore) -> None:
    enrol(store, unicodedata.normalize("NFD", "Zoë"), 1)
    enrol(store, unicodedata.normalize("NFC", "Zoë"), 1)
    (zoe,) = store.speakers()
    assert zoe.enrolments == 2
    assert store.delete(unicodedata.normalize("NFD", "Zoë"))


BAD_EMBEDDINGS = [np.zeros(256), np.full(256, np.nan), np.full(256, np.inf), np.ones((1, 256))]


@pytest.mark.parametrize("embedding", BAD_EMBEDDINGS, ids=["zero", "nan", "inf", "2-d"])
def test_what_is_no_embedding_is_refused(store: SqlStore, embedding: Floats) -> None:
    with pytest.raises(ValueError, match="not an embedding"):
        store.enrol("a", [Enrolment(embedding, MODEL, "wide", 1, "a.wav")])
    assert store.speakers() == []


def test_embeddings_of_one_model_have_one_size(store: SqlStore) -> None:
    enrol(store, "a")
    with pytest.raises(ValueError, match="another size"):
        store.enrol("b", [Enrolment(np.ones(192, np.float32), MODEL, "wide", 1, "b.wav")])
    with pytest.raises(ValueError, match="channel"):
        enrol(store, "b", channel="dvd")
    assert [info.name for info in store.speakers()] == ["a"]


def test_the_version_grows_with_changes_only(store: SqlStore) -> None:
    versions = [store.version()]
    for change in (
        lambda: enrol(store, "a", 1),
        lambda: enrol(store, "a", 2),
        lambda: store.rename("a", "b"),
        lambda: store.delete("b"),
    ):
        change()
        store.speakers()
        versions += [store.version(), store.version()]
        assert store.load_gallery(MODEL).revision == versions[-1]
    assert versions[1::2] == versions[2::2]
    assert sorted(set(versions)) == versions[::2]


def test_a_poller_sees_what_another_process_did(place: Place, store: SqlStore) -> None:
    before = store.version()
    in_another_process(
        place,
        f"store.enrol('a', [Enrolment(np.ones(256), {MODEL!r}, 'narrow', 900, 'a.wav')])\n"
        f"store.enrol('b', [Enrolment(-np.ones(256), {MODEL!r}, 'wide', 900, 'b.wav')])",
    )
    enrolled = store.version()
    assert enrolled > before
    gallery = store.load_gallery(MODEL)
    assert gallery.names == ("a", "b")
    assert gallery.revision == enrolled == store.version()

    assert in_another_process(place, "print(store.delete('a'))") == "True\n"
    assert store.version() > enrolled
    assert store.load_gallery(MODEL).names == ("b",)
    enrol(store, "c", 4)
    assert in_another_process(place, "print(*(s.name for s in store.speakers()))") == "b c\n"


def test_many_may_open_and_write_at_once(place: Place) -> None:
    together, failures = threading.Barrier(8), []

    def work(number: int) -> None:
        try:
            together.wait()
            mine = place.open()
            for seed in range(5):
                enrol(mine, f"voice {seed}", number)
            mine.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store = place.open()
    assert [info.enrolments for info in store.speakers()] == [8] * 5
    store.close()


def test_a_baseline_is_kept_with_its_voice_and_goes_with_it(store: SqlStore) -> None:
    enrol(store, "ann")
    enrol(store, "bob", 1)
    store.keep_baselines("mood-1", {"ann": b"calm", "nobody": b"?"})
    store.keep_baselines("mood-1", {"ann": b"calmer", "bob": b"loud"})
    assert store.load_gallery(MODEL, "mood-1").baselines == {"ann": b"calmer", "bob": b"loud"}
    assert store.load_gallery(MODEL, "mood-2").baselines == {}
    assert store.rename("ann", "anna")
    assert store.load_gallery(MODEL, "mood-1").baselines == {"anna": b"calmer", "bob": b"loud"}
    store.delete("anna")
    enrol(store, "anna", 2)
    assert store.load_gallery(MODEL, "mood-1").baselines == {"bob": b"loud"}


def test_a_baseline_is_sealed(store: SqlStore, place: Place) -> None:
    enrol(store, "ann")
    store.keep_baselines("mood-1", {"ann": b"a very particular baseline"})
    store.close()
    written = b"".join(path.read_bytes() for path in place.files())
    assert b"particular" not in written


def test_keeping_a_baseline_makes_nobody_look_again_but_other_processes(
    store: SqlStore, place: Place
) -> None:
    enrol(store, "ann")
    with closing(place.open()) as other:
        own, others = store.version(), other.version()
        store.keep_baselines("mood-1", {"ann": b"calm"})
        assert store.version() == own
        assert other.version() != others
    enrol(store, "bob", 1)
    assert store.version() != own
