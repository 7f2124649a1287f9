"""Calibrated thresholds in the store: of one tenant and one model, sealed, seen by others."""

import io
from contextlib import closing

import numpy as np
import pytest
from databases import SqlitePlace

from streamd.errors import Unavailable, WrongUsage
from streamd.modules.voice_models import VoiceModels
from streamd.store import Enrolment
from streamd.store.archive import export_store, import_store, move_store
from streamd.store.calibrations import Calibrated


def chosen(model="m", threshold=0.7, target_far=0.01):
    return [
        Calibrated(model=model, channel=channel, target_far=target_far, threshold=threshold)
        for channel in ("narrow", "wide")
    ]


def enrolment(seed, model="m", channel="wide", others=()):
    random = np.random.default_rng(seed)
    return Enrolment(
        random.standard_normal(8).astype(np.float32),
        model,
        channel,
        1000 + seed,
        "x.wav",
        others={other: random.standard_normal(8).astype(np.float32) for other in others},
    )


def test_thresholds_come_back_and_hold_for_the_gallery_of_their_model(opened):
    opened().calibrate("m", chosen())
    store = opened()
    assert store.calibrations() == chosen()
    assert store.load_gallery("m").accept == {"wide": 0.7, "narrow": 0.7}
    assert store.load_gallery("other").accept == {}
    assert store.load_gallery(VoiceModels("m", "main")).accept == {}


def test_new_thresholds_take_the_place_of_all_of_that_model(opened):
    store = opened()
    store.calibrate("m", chosen())
    store.calibrate("other", chosen("other", 0.5))
    one = chosen(threshold=0.8, target_far=0.1)[:1]
    store.calibrate("m", one)
    assert store.calibrations() == [*one, *chosen("other", 0.5)]
    store.calibrate("m", ())
    assert store.calibrations() == chosen("other", 0.5)


def test_a_tenant_has_its_own_and_is_known_by_them(opened):
    store = opened()
    store.of("acme").calibrate("m", chosen())
    assert store.calibrations() == []
    assert store.of("acme").calibrations() == chosen()
    assert store.tenants() == ["acme"]


def test_other_processes_see_each_change(opened):
    here, there = opened(), opened()
    seen = {there.version()}
    for change in (chosen(), chosen(threshold=0.75), ()):
        here.calibrate("m", change)
        assert there.version() not in seen
        seen.add(there.version())
    here.calibrate("m", ())
    assert there.version() in seen, "nothing changed"


def test_a_threshold_that_was_tampered_with_is_not_used_and_can_be_removed(opened, place):
    store = opened()
    store.calibrate("m", chosen(threshold=0.2))
    store.of("acme").calibrate("m", chosen(threshold=0.9))
    place.sql(
        "UPDATE calibrations SET record = (SELECT record FROM calibrations"
        " WHERE tenant = 'default' AND channel = 'wide') WHERE tenant = 'acme' AND channel = 'wide'"
    )
    acme = store.of("acme")
    for look in (acme.calibrations, lambda: acme.load_gallery("m")):
        with pytest.raises(Unavailable, match="calibrate --remove --tenant acme"):
            look()
    assert store.calibrations() == chosen(threshold=0.2)
    acme.calibrate("m", ())
    assert acme.calibrations() == []


def test_an_export_has_them(store, place, tmp_path):
    store.calibrate("m", chosen())
    store.of("acme").calibrate("m", chosen(threshold=0.5))
    out = io.BytesIO()
    export_store(store, out, lambda done, total: None)
    other = tmp_path / "other"
    other.mkdir()
    target = SqlitePlace(other)
    (other / "key").write_bytes((place.folder / "key").read_bytes())
    (other / "key").chmod(0o600)
    import_store(
        out.getvalue().splitlines(True), "x", other / "key", target.open, lambda done, total: None
    )
    with closing(target.open()) as copy:
        assert copy.calibrations() == chosen()
        assert copy.of("acme").calibrations() == chosen(threshold=0.5)
    with pytest.raises(WrongUsage, match="and a calibration"):
        move_store(store, target.open, lambda done, total: None)


def test_the_recordings_of_voices_have_all_their_embeddings(opened):
    store = opened()
    models = VoiceModels("w", "m")
    first, second = enrolment(1, others=("w", "x")), enrolment(2, "w", "narrow")
    store.enrol("Bert", [first, second])
    store.enrol("Ada", [enrolment(3)])
    store.of("acme").enrol("Eve", [enrolment(4)])
    found = store.recordings(["Bert", "Ada", "Eve"], models)
    assert [(one.voice, one.channel, one.speech_ms, set(one.embeddings)) for one in found] == [
        ("Ada", "wide", 1003, {"m"}),
        ("Bert", "wide", 1001, {"m", "w"}),
        ("Bert", "narrow", 1002, {"w"}),
    ]
    unit = first.embedding / np.linalg.norm(first.embedding)
    assert np.allclose(found[1].embeddings["m"], unit, atol=1e-6)
    assert store.recordings(["Ada"], models)[0].voice == "Ada"
