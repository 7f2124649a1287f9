"""Voices: verification, identification by the module, and labels of unknown voices."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from streamd.errors import BadConfig
from streamd.evaluation import diarization
from streamd.evaluation.diarization import COLLAR_MS, Errors, Turn
from streamd.evaluation.failures import Failure
from streamd.evaluation.manifest import (
    TOGETHER,
    Faults,
    Manifest,
    Row,
    check_halves,
    check_speakers,
)
from streamd.evaluation.report import Options, Report, Table, percent
from streamd.evaluation.running import Run
from streamd.evaluation.sessions import in_sessions
from streamd.evaluation.spoken import Enrolment
from streamd.evaluation.statistics import Doubles, Draws, Metric, none_for, ratio, share
from streamd.evaluation.streams import Stream
from streamd.evaluation.tasks import Beginning, Result, Task
from streamd.evaluation.verification import (
    Condition,
    TrialVoice,
    Verification,
    Voices,
    beginnings,
    conditions,
    decisions_table,
    enrolled_rows,
    tested_rows,
    thresholds_table,
)
from streamd.modules.gallery import Channel
from streamd.voices import voice_models

MODULES: dict[str, dict[str, Any]] = {"vad": {}, "speaker": {}}
MAX_GALLERY = 50
"""Most voices that a recording is compared with at once."""
OUTCOMES = ("right", "wrong", "unsure", "reject", "too_short")


def check(rows: Sequence[Row], faults: Faults) -> None:
    """Refuse rows without a speaker, and speakers in splits that must not share them."""
    check_speakers(rows, faults)
    check_halves(rows, faults, TOGETHER)


def evaluate(manifest: Manifest, options: Options, run: Run) -> Report:
    """Run every recording as an enrolment and as a test, then the sessions."""
    if options.conditions.mulaw:
        raise BadConfig("--mulaw: voices are tested on both channels; choose with --channel")
    rows = manifest.rows
    wanted = beginnings(options)
    tasks = [Task(stream=Stream(rows=(row,)), beginnings=wanted) for row in rows]
    answers = run("voices", tasks)
    models, thresholds = voice_models(options.config), options.config.speaker.thresholds
    voices: dict[tuple[Row, Beginning], TrialVoice] = {
        (row, beginning): TrialVoice.of(voice)
        for row, answer in zip(rows, answers, strict=True)
        for beginning, voice in zip(wanted, answer["voices"], strict=True)
    }
    verified = [
        Verification(condition, rows, voices, options, models) for condition in conditions(options)
    ]
    described = [(v.condition, v.described(thresholds)) for v in verified]
    # The first condition with trials: telephone recordings have no wide one.
    first = next((i for i, v in enumerate(verified) if v.trials.lack is None), 0)
    opening, figures = described[first]
    identified, table, failed = _identify(manifest, voices, options, opening, run)
    labelled, labels = _label(manifest, options, opening, run)
    shown = [v for v in verified if v.condition[::2] == (opening.channel, opening.enrolments)]
    one = {"channel": opening.channel, "length_s": opening.seconds, "enrolments": 1}
    return Report(
        {
            "eer": figures["eer"] | one,
            "min_dcf": figures["min_dcf"] | one,
            "der": labelled["der"],
            "thresholds": [one for _, one in described],
            "identification": identified,
            "labels": labelled,
            "curves": [v.curves() for v in shown],
            "bootstrap": Draws([row.cluster for row in rows], "speaker", options.seed).described(),
        },
        [thresholds_table(described), decisions_table(described), *table, *labels],
        tuple(sorted(failed, key=lambda one: one.row.line)),
    )


def _identify(
    manifest: Manifest, voices: Voices, options: Options, condition: Condition, run: Run
) -> tuple[dict[str, Any], list[Table], list[Failure]]:
    """Run every test through the whole module, against a gallery with its voice and one without."""
    enrolled_by = condition.enrolled_by()
    tested_by = Condition(condition.channel, None, 1).tested_by(options)
    wanted = condition.enrolled_channel
    prints = {
        row: voice
        for row in enrolled_rows(manifest.rows)
        if (voice := voices[row, enrolled_by]).spoken and voice.channel == wanted
    }
    trials: list[tuple[Row, bool]] = []
    tasks = []
    for row in tested_rows(manifest.rows):
        gallery = _gallery(row, prints, wanted)
        others = tuple(voice for voice in gallery if voice.name != row.speaker)
        for is_known, enrolled in ((True, gallery), (False, others)):
            if enrolled and (enrolled != others or not is_known):
                trials.append((row, is_known))
                tasks.append(
                    Task(
                        stream=Stream(rows=(row,)),
                        modules=MODULES,
                        keep=("speaker",),
                        conditions=tested_by.conditions,
                        gallery=enrolled,
                    )
                )
    answers = run("galleries", tasks)
    outcomes: dict[bool, list[tuple[str, str]]] = {True: [], False: []}
    failed: list[Failure] = []
    for (row, is_known), result in zip(trials, answers, strict=True):
        failed += failures(row, is_known, result)
        outcomes[is_known] += [(row.speaker, said) for said in _outcomes(result, row.speaker)]
    found: dict[str, Any] = {"channel": condition.channel}
    table = Table(
        f"Whole utterances against everybody enrolled ({condition.channel})",
        ("own voice", "utterances", *OUTCOMES),
        note="right and wrong are accepts; the final decision on each utterance",
    )
    for is_known, name in ((True, "enrolled"), (False, "not_enrolled")):
        own = outcomes[is_known]
        draws = Draws([speaker for speaker, _ in own], "speaker", options.seed)
        shares = {
            outcome: share([said == outcome for _, said in own], draws, "no such utterances")
            for outcome in OUTCOMES
        }
        found[name] = {outcome: metric.described() for outcome, metric in shares.items()}
        cells = [percent(metric) for metric in shares.values()]
        if own:
            table.rows.append((name.replace("_", " "), str(len(own)), *cells))
    return found, [table] if table.rows else [], failed


def failures(row: Row, is_enrolled: bool, result: Result) -> Iterator[Failure]:
    """Yield wrong decisions on a test, and unknown voices that were accepted."""
    if is_enrolled and not result["events"]:
        yield Failure(row, "no_decision")
    for event in result["events"]:
        detail = {"t0": event["t0"], "t1": event["t1"], "score": event["score"]}
        if event["decision"] == "accept":
            if not is_enrolled:
                yield Failure(row, "stranger_accepted", {"as": event["speaker"], **detail})
            elif event["speaker"] != row.speaker:
                yield Failure(row, "wrong_voice", {"as": event["speaker"], **detail})
        elif is_enrolled:
            yield Failure(row, event["decision"], detail)


def _gallery(
    test: Row, prints: Mapping[Row, TrialVoice], channel: Channel
) -> tuple[Enrolment, ...]:
    """Return one enrolment of every speaker, or of 50 of them; never the test itself."""
    rng = random.Random(f"{test.path} {test.start_ms}")
    by_speaker: dict[str, list[Row]] = {}
    for row in prints:
        if row != test:
            by_speaker.setdefault(row.speaker, []).append(row)
    names = sorted(by_speaker)
    if len(names) > MAX_GALLERY:
        others = [name for name in names if name != test.speaker]
        own = [test.speaker] if test.speaker in by_speaker else []
        names = own + rng.sample(others, MAX_GALLERY - len(own))
    return tuple(
        Enrolment.of(name, channel, prints[rng.choice(by_speaker[name])].spoken) for name in names
    )


def _outcomes(result: Result, speaker: str) -> list[str]:
    said = []
    for event in result["events"]:
        if event["decision"] == "accept":
            said.append("right" if event["speaker"] == speaker else "wrong")
        else:
            said.append(event["decision"])
    return said


def _label(
    manifest: Manifest, options: Options, condition: Condition, run: Run
) -> tuple[dict[str, Any], list[Table]]:
    """Run sessions in which nobody is enrolled, and score their labels."""
    streams = [
        _annotated(stream) for stream in in_sessions(row for row in manifest.rows if row.session)
    ]
    if not streams:
        return {"der": none_for("no row names a session").described()}, []
    tested_by = condition.tested_by(options)
    tasks = [
        Task(
            stream=stream,
            modules=MODULES,
            keep=("speaker", "speaker_change", "speech_end"),
            conditions=tested_by.conditions,
        )
        for stream in streams
    ]
    answers = run("sessions", tasks)
    scored, alone = (
        [
            _score(stream, result, overlaps=overlaps)
            for stream, result in zip(streams, answers, strict=True)
        ]
        for overlaps in (True, False)
    )
    names = [stream.name for stream in streams]
    draws = Draws(names, "session", options.seed)
    speech = np.array([errors.speech for errors in scored], np.float64)

    def part(values: Sequence[int]) -> Metric:
        return _of_speech(values, speech, draws)

    der = part([errors.wrong for errors in scored])
    speech_alone = np.array([errors.speech for errors in alone], np.float64)
    der_alone = _of_speech([errors.wrong for errors in alone], speech_alone, draws)
    as_many = share([errors.labels == errors.speakers for errors in scored], draws)
    differences = Counter(errors.labels - errors.speakers for errors in scored)
    found: dict[str, Any] = {
        "der": der.described(speech_ms=int(speech.sum()), collar_ms=COLLAR_MS),
        "der_without_overlap": der_alone.described(
            speech_ms=int(speech_alone.sum()), collar_ms=COLLAR_MS
        ),
        "missed": part([errors.missed for errors in scored]).described(),
        "false_alarm": part([errors.false for errors in scored]).described(),
        "confusion": part([errors.confused for errors in scored]).described(),
        "unlabelled": part([errors.unlabelled for errors in scored]).described(),
        "as_many_labels_as_speakers": as_many.described(),
        "labels_minus_speakers": {str(d): n for d, n in sorted(differences.items())},
        "sessions": [
            {"session": name, **errors._asdict()}
            for name, errors in zip(names, scored, strict=True)
        ],
    }
    table = Table(
        "Labels where nobody is enrolled",
        ("sessions", "DER", "without overlap", "missed", "of it given to nobody", "false",
         "confused", "as many labels as speakers"),
        [
            (
                str(len(scored)),
                percent(der),
                percent(der_alone),
                *(percent(found[k]) for k in ("missed", "unlabelled", "false_alarm", "confusion")),
                percent(as_many),
            )
        ],
        f"collar {COLLAR_MS} ms; overlaps count, except for the column without; in joined "
        "recordings, speech that the VAD detects is the speaker's of that recording",
    )  # fmt: skip
    return found, [table]


def _annotated(stream: Stream) -> Stream:
    """Return the whole file as a stream if all rows are parts of it: they annotate it."""
    one_file = len({row.path for row in stream.rows}) == 1
    if one_file and all(row.is_part for row in stream.rows):
        return msgspec.structs.replace(stream, is_whole=True)
    return stream


def _of_speech(values: Sequence[int], speech: Doubles, draws: Draws) -> Metric:
    """Return what the sessions' values are of their speech, ms."""
    if not speech.any():
        return none_for("no speech in any session")
    counted = np.array(values, np.float64)
    value = float(counted.sum() / speech.sum())
    return Metric(value, len(values), draws.interval(ratio(counted, speech), True))


def _score(stream: Stream, result: Result, *, overlaps: bool) -> Errors:
    ends = [e for e in result["events"] if e["type"] == "speech_end"]
    truth = []
    for row, (start, stop) in zip(stream.rows, result["spans"], strict=True):
        spoken = [(start, stop)]
        if not stream.is_whole:
            # Only what the VAD calls speech in a recording is its speaker's; pauses are nobody's.
            spoken = [(max(start, e["t0"]), min(stop, e["t1"])) for e in ends]
        truth += [Turn(a, b, row.speaker) for a, b in spoken if b > a]
    turns = diarization.reported_turns(result["events"])
    return diarization.score(truth, turns, result["duration_ms"], overlaps=overlaps)
