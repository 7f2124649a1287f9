"""What the daemon logs of itself and of each stream."""

import pytest
from daemons import DEFAULT, Daemon, converse, cut, dial, next_event, say, silence, speech
from waiting import wait_until

from streamd import __version__

END = {"type": "end"}
HELLO = {"type": "hello", "client": "test/1", "modules": {"vad": {}}}
ALLOWED = {"timestamp", "level", "logger", "message"}


def test_the_start_says_what_runs(serve):
    running = serve(
        engine__threads=1,
        wake__load='["alexa", "timer"]',
        server__trusted_proxies='["::1"]',
        server__fast_path="auto",
        **DEFAULT,
    )
    (started,) = running.records("started")
    assert started["version"] == __version__
    assert running.http_url.partition("://")[2] == started["address"]
    assert set(started["models"]) == {"vad", "wake", "speaker", "emotion"}
    assert started["words"] == ["alexa", "timer"]
    assert started["threads"] == 1
    assert started["config"] == "built-in defaults"
    changed = {k: v for k, v in started["changed"].items() if not k.startswith("server.tls_")}
    assert changed == {
        "server.port": 0,
        "server.trusted_proxies": ["::1"],
        "wake.load": ["alexa", "timer"],
        "engine.threads": 1,
    }


@pytest.mark.parametrize(
    ("wanted", "told", "active"),
    [("auto", "active", 1), ("off", "not active: server.fast_path is off", 0)],
)
def test_log_and_metrics_say_whether_the_fast_path_is_active(serve, wanted, told, active):
    running = serve(server__fast_path=wanted)
    (started,) = running.records("started")
    assert started["fast_path"] == told
    assert running.metric("streamd_fast_path_active") == active
    wait_until(lambda: running.metric("streamd_loop_lag_seconds_count") > 0)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory):
    """A daemon that believes a proxy on this machine."""
    home = tmp_path_factory.mktemp("behind")
    with Daemon(home, server__trusted_proxies='["127.0.0.1"]') as running:
        yield running
    assert running.complaints() == []


async def record(running: Daemon, message: str, session: str) -> dict:
    found: list[dict] = []

    def logged() -> bool:
        found[:] = [r for r in running.records(message) if r["session"] == session]
        return bool(found)

    await running.eventually(logged)
    (only,) = found
    return only


async def test_a_stream_is_opened_and_closed_with_its_totals(behind):
    received = await converse(behind.url, HELLO, cut(speech()), END)
    session = received.events[0]["session"]
    opened = await record(behind, "stream opened", session)
    assert opened.keys() - ALLOWED == {
        "session",
        "peer",
        "client",
        "codec",
        "rate_hz",
        "channels",
    }
    closed = await record(behind, "stream closed", session)
    assert closed.pop("duration_s") >= 0
    assert {key: closed[key] for key in closed.keys() - ALLOWED} == {
        "session": session,
        "peer": "127.0.0.1",
        "code": 1000,
        "reason": "done",
        "audio_s": round(len(speech()) / 32_000, 3),
        "utterances": received.last["utterances"],
    }


async def test_the_peer_is_whom_a_trusted_proxy_names(behind):
    headers = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}
    received = await converse(behind.url, silence(0.1), END, additional_headers=headers)
    closed = await record(behind, "stream closed", received.events[0]["session"])
    assert (closed["peer"], closed["audio_s"], closed["utterances"]) == ("198.51.100.7", 0.1, 0)


async def test_a_dropped_stream_is_held_and_closed_when_its_window_is_over(serve):
    running = serve(log__format="json", resume__window_s=1)
    async with dial(running.url) as socket:
        await say(socket, HELLO)
        session = (await next_event(socket, "ready"))["session"]
        socket.transport.abort()
    held = await record(running, "stream held", session)
    assert (held["code"], held["reason"]) == (1006, "dropped")
    closed = await record(running, "stream closed", session)
    assert (closed["code"], closed["reason"], closed["ended"]) == (1006, "dropped", "window")
