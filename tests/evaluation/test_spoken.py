"""The evaluation scores voices as sessions do, with every voice model."""

import msgspec
import numpy as np
import pytest
import soundfile
from daemons import DATA, VOICES

from streamd.config import Config
from streamd.evaluation.manifest import Manifest, Row
from streamd.evaluation.report import Options
from streamd.evaluation.speaker import MODULES
from streamd.evaluation.spoken import Enrolment, make_gallery
from streamd.evaluation.streams import Stream
from streamd.evaluation.tasks import Beginning, Executor, Task
from streamd.evaluation.verification import Condition, TrialVoice, Verification
from streamd.evaluation.workers import do_here
from streamd.models.library import Library
from streamd.modules.gallery import CHANNELS, Spoken
from streamd.settings import Band, ChannelThresholds, NarrowBand, SpeakerSettings
from streamd.voices import SPEAKER_MODELS, voice_models

MODELS = ("ge2e", "campplus-int8")
"""One that has every window, and one that has another model beside it."""
LENGTHS_S = (1.3, 2.0, None)
OPEN = ChannelThresholds(
    wide=Band(accept=1.0, reject=0.0), narrow=NarrowBand(accept=1.0, reject=0.0)
)
"""Bounds between which every score lies."""


def config_of(model):
    return Config(speaker=SpeakerSettings(model=model, thresholds=OPEN, min_speech_ms=0))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Two recordings of each of five voices."""
    folder = tmp_path_factory.mktemp("voices")
    rows = []
    for voice in VOICES:
        samples = soundfile.read(DATA / f"speech_{voice}.flac", dtype="int16")[0]
        for part in np.array_split(samples, 2):
            name = f"{len(rows)}.flac"
            soundfile.write(folder / name, part, 16_000)
            rows.append(Row(line=len(rows) + 2, path=name, speaker=voice))
    return Manifest(path=folder / "m.csv", rows=tuple(rows))


@pytest.fixture(scope="module", params=MODELS)
def heard(request, manifest):
    """An executor, and what it hears of every recording on both channels, by how it is heard."""
    config = config_of(request.param)
    executor = Executor(config, Library(), manifest)
    beginnings = tuple(
        dict.fromkeys(
            beginning
            for channel in ("wide", "narrow")
            for seconds in LENGTHS_S
            for beginning in _beginnings(Condition(channel, seconds, 1), config)
        )
    )
    tasks = [Task(stream=Stream(rows=(row,)), beginnings=beginnings) for row in manifest.rows]
    voices = {
        (manifest.rows[number], beginning): TrialVoice.of(voice)
        for number, answer in do_here(executor, tasks)
        for beginning, voice in zip(beginnings, answer["voices"], strict=True)
    }
    return config, executor, voices


def _beginnings(condition, config):
    return condition.enrolled_by(), condition.tested_by(Options(config=config))


def said(executor, row, beginning, gallery):
    """The final decision of the speaker module on a recording."""
    task = Task(
        stream=Stream(rows=(row,)),
        modules=MODULES,
        keep=("speaker",),
        conditions=beginning.conditions,
        beginning_s=beginning.seconds,
        gallery=gallery,
    )
    ((_, answer),) = do_here(executor, [task])
    (event,) = answer["events"]
    return event


@pytest.mark.parametrize("seconds", LENGTHS_S)
@pytest.mark.parametrize("channel", ["wide", "narrow", "cross"])
def test_a_trial_scores_what_a_session_says(manifest, heard, channel, seconds):
    """The decision stays open, so that the session leaves no window out."""
    config, executor, voices = heard
    condition = Condition(channel, seconds, 2)
    test, *others = manifest.rows
    enrolled_by, tested_by = _beginnings(condition, config)
    enrolled = tuple(
        Enrolment.of("voice", condition.enrolled_channel, voices[row, enrolled_by].spoken)
        for row in others[:2]
    )
    event = said(executor, test, tested_by, enrolled)
    gallery = make_gallery(enrolled, voice_models(config))
    (score,) = gallery.scores(voices[test, tested_by].spoken, condition.test_channel)
    assert (event["decision"], event["speaker"]) == ("unsure", "voice")
    assert event["score"] == pytest.approx(float(score), abs=2e-4)


def test_more_of_a_recording_is_more_evidence_by_every_model(manifest, heard):
    config, _, voices = heard
    for row in manifest.rows:
        one, two, whole = (voices[row, Beginning(seconds)].spoken for seconds in LENGTHS_S)
        assert list(one) == list(two) == list(whole) == list(voice_models(config).ids)
        for model in whole:
            assert 0.4 <= one[model].seconds <= 1.5
            assert one[model].seconds <= two[model].seconds <= whole[model].seconds


def test_every_trial_is_that_of_its_voice_alone(manifest, heard):
    """All voices of a condition are in one gallery, which is fast, and none changes another."""
    config, _, voices = heard
    options, models = Options(config=config), voice_models(config)
    for channel in ("wide", "cross"):
        for seconds in (1.3, None):
            condition = Condition(channel, seconds, 1)
            found = Verification(condition, manifest.rows, voices, options, models)
            expected = []
            for one in manifest.rows:
                heard_of = voices[one, condition.enrolled_by()].spoken
                gallery = make_gallery(
                    [Enrolment.of("one", condition.enrolled_channel, heard_of)], models
                )
                for other in manifest.rows:
                    if other != one:
                        test = voices[other, condition.tested_by(options)].spoken
                        (match,) = gallery.find(test, condition.test_channel)
                        expected.append(match.score)
            assert found.trials.scores == pytest.approx(sorted(expected), abs=1e-5)
            assert found.trials.described == {"genuine": 10, "impostor": 80}


def test_the_decisions_are_counted_at_the_thresholds_of_the_test(manifest, heard):
    config, _, voices = heard
    options, models = Options(config=config), voice_models(config)
    thresholds = ChannelThresholds()
    for channel, band in (("wide", thresholds.wide), ("cross", thresholds.narrow)):
        condition = Condition(channel, None, 1)
        found = Verification(condition, manifest.rows, voices, options, models)
        described = found.described(thresholds)
        assert described["served"] == msgspec.structs.asdict(band)
        accepted = (found.trials.scores >= band.accept) & ~found.trials.genuine
        assert described["impostor_accept"]["value"] == pytest.approx(accepted.sum() / 80, abs=1e-6)


def test_voices_that_only_one_model_heard_are_compared_by_it():
    rng = np.random.default_rng(1)
    models = voice_models(config_of("campplus"))
    main, windows = (rng.normal(size=size).astype(np.float32) for size in (192, 256))
    both = {models.main: Spoken(main, 3.0), models.windows: Spoken(windows, 3.0)}
    old = {models.windows: both[models.windows]}
    gallery = make_gallery(
        [Enrolment.of("both", "wide", both), Enrolment.of("old", "wide", old)], models
    )
    assert gallery.names == ("both", "old")
    assert gallery.scores(both, "wide") == pytest.approx([1, 1], abs=1e-5)
    assert list(gallery.scores({models.main: both[models.main]}, "wide") > 0) == [True, False]


@pytest.mark.parametrize("model", ["ge2e", "campplus"])
def test_a_gallery_averages_enrolments_of_one_name(model):
    rng = np.random.default_rng(0)
    models = voice_models(config_of(model))
    size = 192 if models.main else 256
    a, b, c = (
        {models.deciding: Spoken(embedding / np.linalg.norm(embedding), 3.0)}
        for embedding in rng.normal(size=(3, size)).astype(np.float32)
    )
    enrolled = [
        Enrolment.of(name, "wide", one) for name, one in (("bob", c), ("ada", a), ("ada", b))
    ]
    gallery = make_gallery(enrolled, models)
    assert gallery.names == ("ada", "bob")
    both = models.scale.centered(a[models.deciding].embedding, "wide") + models.scale.centered(
        b[models.deciding].embedding, "wide"
    )
    assert gallery.models[models.deciding]._centroids[0] == pytest.approx(
        both / np.linalg.norm(both), abs=1e-6
    )
    assert gallery.find(a, "wide", 1)[0].name == "ada"


@pytest.mark.parametrize("model", SPEAKER_MODELS)
def test_an_empty_gallery_has_no_scores(model):
    assert len(make_gallery([], voice_models(config_of(model))).scores({}, CHANNELS[0])) == 0
