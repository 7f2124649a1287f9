"""`/v1/calibration` on a real daemon: what it says, whom it concerns, and who sees it when."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from daemons import Daemon, converse, cut, dial, keys, next_event, silence, speech
from fakes.keys import store_of
from uploading import SPEECH, Answered, ask, post
from waiting import HANG_S

from streamd.access.audit.check import check
from streamd.store import Enrolment
from streamd.store.calibrations import Calibrated

HELLO = {"type": "hello", "modules": {"vad": {}, "speaker": {}}}
END = {"type": "end"}
CHANNELS = ("wide", "narrow")


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("calibration"), limits__max_lag_ms=0) as daemon:
        yield daemon


def put(daemon: Daemon, body: Any, **headers: str) -> Answered:
    sent = json.dumps(body).encode()
    return ask(daemon, "PUT", "/v1/calibration", sent, "application/json", **headers)


def get(daemon: Daemon, query: str = "", **headers: str) -> Answered:
    return ask(daemon, "GET", f"/v1/calibration{query}", **headers)


def numbers(count: int, enrolments: int, model: str, dim: int) -> list[tuple[str, list[Enrolment]]]:
    """Voices made of numbers."""
    random = np.random.default_rng(0)
    voices = []
    for number in range(count):
        voice = random.standard_normal(dim)
        rows = voice + 0.3 * random.standard_normal((enrolments, dim))
        voices.append(
            (
                f"voice {number}",
                [Enrolment(row.astype(np.float32), model, "wide", 5000, "x") for row in rows],
            )
        )
    return voices


def thresholds(ready: dict[str, Any]) -> dict[str, float]:
    said = ready["modules"]["speaker"]["thresholds"]
    return {channel: said[channel]["accept"] for channel in CHANNELS}


async def ready_of(daemon: Daemon, **options: Any) -> dict[str, Any]:
    received = await converse(daemon.url, HELLO, END, **options)
    return received.of("ready")[0]


def test_without_voices_it_says_what_the_cohort_says(serving: Daemon) -> None:
    answer = get(serving)
    assert answer.status == 200
    said = answer.json
    assert set(said) == {"processing_time_ms", "model", "voices", "own", "channels"}
    assert (said["voices"], said["own"], set(said["channels"])) == (0, False, set(CHANNELS))
    for one in said["channels"].values():
        assert set(one) == {"target_far", "threshold", "far", "frr", "applied", "own"}
        assert (one["target_far"], one["applied"], one["own"]) == (0.01, False, False)
        for share, low, high in (one["far"], one["frr"]):
            assert 0 <= low <= share <= high <= 1
        assert one["far"][0] <= 0.01
    looser = get(serving, "?target_far=0.1").json["channels"]
    assert all(looser[c]["threshold"] < said["channels"][c]["threshold"] for c in CHANNELS)


@pytest.mark.parametrize(
    ("body", "status", "code", "told"),
    [
        ({"target_far": 0}, 422, "out_of_range", "0.001"),
        ({"target_far": 0.5}, 422, "out_of_range", "0.2"),
        ({"target_far": "much"}, 400, "bad_input", "target_far"),
        ({}, 400, "bad_input", "target_far"),
        ([], 400, "bad_input", ""),
    ],
)
def test_another_share_is_refused_and_nothing_changes(
    serving: Daemon, body: Any, status: int, code: str, told: str
) -> None:
    refused = put(serving, body)
    assert (refused.status, refused.error["code"]) == (status, code)
    assert told in refused.error["message"]
    assert not any(one["applied"] for one in get(serving).json["channels"].values())


async def test_what_is_put_is_in_force_until_it_is_removed(serving: Daemon) -> None:
    before = thresholds(await ready_of(serving))
    said = put(serving, {"target_far": 0.2}).json
    applied = {channel: one["threshold"] for channel, one in said["channels"].items()}
    assert all(one["applied"] for one in said["channels"].values())
    assert applied != before
    assert thresholds(await ready_of(serving)) == applied
    again = get(serving).json["channels"]
    assert {channel: one["threshold"] for channel, one in again.items()} == applied
    assert {(one["target_far"], one["applied"]) for one in again.values()} == {(0.2, True)}
    info = ask(serving, "GET", "/v1/info").json
    assert thresholds(info) == applied
    compared = post(serving, "/v1/verify-speaker", ("reference", SPEECH), ("test", SPEECH)).json
    assert compared["threshold"] == applied["wide"]
    # A session's own threshold goes before it.
    own = {"type": "hello", "modules": {"speaker": {"threshold": 0.5}}}
    ready = (await converse(serving.url, own, END)).of("ready")[0]
    assert thresholds(ready) == dict.fromkeys(CHANNELS, 0.5)

    removed = put(serving, {"target_far": None}).json
    assert not any(one["applied"] for one in removed["channels"].values())
    assert thresholds(await ready_of(serving)) == before
    assert serving.complaints() == []


async def test_two_tenants_have_two_calibrations(tmp_path: Path) -> None:
    key = {
        tenant: keys(
            tmp_path, "create", tenant, "--tenant", tenant, "--scope", "stream,enrol,admin"
        )
        for tenant in ("acme", "zeta")
    }
    weak = keys(tmp_path, "create", "weak", "--scope", "stream,enrol")
    with Daemon(tmp_path, access__keys="always") as daemon:
        assert put(daemon, {"target_far": 0.1}, X_API_Key=weak).status == 403
        assert get(daemon, X_API_Key=weak).status == 200
        targets = {"acme": 0.2, "zeta": 0.002}
        found = {
            tenant: put(daemon, {"target_far": target}, X_API_Key=key[tenant]).json["channels"]
            for tenant, target in targets.items()
        }
        for tenant, channels in found.items():
            accept = {channel: one["threshold"] for channel, one in channels.items()}
            headers = {"Authorization": f"Bearer {key[tenant]}"}
            assert thresholds(await ready_of(daemon, additional_headers=headers)) == accept
            compared = post(
                daemon,
                "/v1/verify-speaker",
                ("reference", SPEECH),
                ("test", SPEECH),
                X_API_Key=key[tenant],
            ).json
            assert compared["threshold"] == accept["wide"]
        assert found["acme"]["wide"]["threshold"] < found["zeta"]["wide"]["threshold"]
        assert not any(
            one["applied"] for one in get(daemon, X_API_Key=weak).json["channels"].values()
        )
    log = tmp_path / "audit.jsonl"
    check(log)
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    written = [entry for entry in entries if entry["action"] == "calibrated"]
    assert [(entry["tenant"], entry["target_far"]) for entry in written] == [
        ("acme", 0.2),
        ("zeta", 0.002),
    ]
    assert written[0]["thresholds"] == {
        channel: one["threshold"] for channel, one in found["acme"].items()
    }


async def test_a_running_session_sees_what_another_process_applies(tmp_path: Path) -> None:
    with Daemon(tmp_path, limits__max_lag_ms=0) as daemon:
        enrolled = await asyncio.to_thread(post, daemon, "/v1/speakers/Ada", ("audio", SPEECH))
        assert enrolled.status == 201
        model = get(daemon).json["model"]
        async with dial(daemon.url) as socket, asyncio.timeout(HANG_S):
            await socket.send(json.dumps(HELLO))

            async def heard() -> tuple[str, str | None]:
                for piece in cut(speech("slt", 4.0) + silence(1.0)):
                    await socket.send(piece)
                while not (event := await next_event(socket, "speaker"))["final"]:
                    pass
                return event["decision"], event["speaker"]

            assert await heard() == ("accept", "Ada")
            with closing(store_of(tmp_path)) as store:
                store.calibrate(
                    model,
                    [
                        Calibrated(model=model, channel="wide", target_far=0.001, threshold=0.999),
                    ],
                )
            while (said := await heard()) == ("accept", "Ada"):
                pass
            assert said == ("unsure", "Ada")
        assert thresholds(await ready_of(daemon))["wide"] == 0.999
        assert daemon.complaints() == []


def test_own_voices_are_compared_and_another_model_is_not_used(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        enrolled = post(daemon, "/v1/speakers/Ada", ("audio", SPEECH))
        assert enrolled.status == 201
        model = get(daemon).json["model"]
        with closing(store_of(tmp_path)) as store:
            dim = len(store.embeddings("Ada", model)[0])
            for name, enrolments in numbers(4, 3, model, dim):
                store.enrol(name, enrolments)
            other = Calibrated(model="before", channel="wide", target_far=0.01, threshold=0.2)
            store.calibrate("before", [other])

        said = get(daemon).json
        assert (said["voices"], said["own"]) == (5, True)
        assert (said["channels"]["wide"]["own"], said["channels"]["narrow"]["own"]) == (True, False)
        (warning,) = said["warnings"]
        assert warning["code"] == "other_model"
        assert "before" in warning["message"]
        assert daemon.metric("streamd_queue_length", queue="calibrations") == 0
