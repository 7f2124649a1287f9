"""How a client comes back to its stream, and what becomes of a stream whose client does not."""

import asyncio
import json
from typing import Any

import pytest
from fakes.driving import hum, pcm, silence, tone, word
from fakes.serving import Line, Server
from waiting import until

from streamd.live.held import MAX_ENDING

HELLO = json.dumps({"type": "hello", "modules": {"vad": {}, "wake": {"words": ["alexa"]}}})
AUDIO = pcm(silence(500), word(), silence(1500))
SPEECH = pcm(silence(500), word())
END = '{"type":"end"}'


def flush(number: int) -> str:
    return json.dumps({"type": "flush", "id": f"f{number}"})


def hello(token: str, last_seq: int = 0) -> str:
    return json.dumps({"type": "hello", "resume": {"token": token, "last_seq": last_seq}})


def token_of(line: Line) -> str:
    return line.of("ready")[-1]["resume"]["token"]


@pytest.fixture
async def start():
    servers: list[Server] = []

    def begin(**limits: int) -> Server:
        servers.append(Server(**limits))
        return servers[-1]

    yield begin
    for server in servers:
        await server.stop()


async def opened(server: Server, *messages: str | bytes) -> Line:
    """A client that has its `ready`, and whose messages the server has."""
    line = server.connect()
    line.put(HELLO, *messages, '{"type":"ping","t":"all"}')
    await until(lambda: line.of("pong"))
    return line


async def dropped(server: Server, *messages: str | bytes) -> Line:
    line = await opened(server, *messages)
    line.put(None)
    await line.code()
    return line


async def back(server: Server, token: str, last_seq: int = 0, **options: Any) -> Line:
    """A client that has come back, and has its answer."""
    line = server.connect(**options)
    line.put(hello(token, last_seq))
    await until(lambda: line.sent)
    return line


async def test_ready_says_what_the_server_has(start):
    server = start()
    first = await dropped(server, AUDIO, flush(1), AUDIO[:101], flush(2))
    line = await back(server, token_of(first))
    ready = line.sent[0]
    assert ready["session"] == first.sent[0]["session"]
    assert ready["epoch_ms"] == first.sent[0]["epoch_ms"]
    assert ready["resumed"] is True
    assert ready["have_samples"] == (len(AUDIO) + 101) // 2
    assert ready["have_controls"] == 2
    assert token_of(line) != token_of(first)
    line.put(END)
    assert await line.code() == 1000
    assert "partial_sample" not in [event.get("code") for event in line.sent]


async def test_events_after_the_last_one_come_again_and_only_they(start):
    server = start()
    first = await opened(server, AUDIO, flush(1), flush(2), flush(3))
    await until(lambda: len(first.of("flushed")) == 3)
    first.put(None)
    await first.code()
    log = [event for event in first.sent if "seq" in event]
    line = await back(server, token_of(first), log[1]["seq"])
    line.put(END)
    assert await line.code() == 1000
    again = [event for event in line.sent if "seq" in event]
    assert again[: len(log) - 2] == log[2:]
    assert [event["seq"] for event in again] == list(range(3, len(again) + 3))


async def test_other_fields_of_a_hello_that_resumes_are_ignored(start):
    server = start()
    first = await dropped(server)
    line = server.connect()
    resume = {"token": token_of(first), "last_seq": 0}
    line.put(json.dumps({"type": "hello", "audio": {"rate": 5}, "modules": 7, "resume": resume}))
    await until(lambda: line.sent)
    assert line.sent[0]["audio"]["rate"] == 16_000


async def test_the_token_before_stays_good_until_the_first_message(start):
    server = start()
    first = await dropped(server, AUDIO)
    for _ in range(3):  # a `ready` that is lost costs nothing, nor does the next one
        line = await back(server, token_of(first))
        assert line.sent[0]["resumed"] is True
    line.put('{"type":"ping"}')
    await until(lambda: line.of("pong"))
    late = await back(server, token_of(first))
    assert (late.sent[0]["code"], await late.code()) == ("resume_unknown", 4004)
    assert (await back(server, token_of(line))).sent[0]["resumed"] is True


async def test_the_older_socket_is_closed_4009_without_an_event(start):
    server = start()
    first = await opened(server, AUDIO)
    line = await back(server, token_of(first))
    events = len(first.sent)
    assert await first.code() == 4009
    assert first.socket.closed == (4009, "superseded")
    line.put(AUDIO, END)
    assert await line.code() == 1000
    assert len(first.sent) == events
    assert first.of("error") == line.of("error") == []
    assert server.engine.leases == 0


@pytest.mark.parametrize("token", ["r_1", "", "x" * 1000])
async def test_a_token_that_nobody_has_is_unknown(start, token):
    line = await back(start(), token)
    assert (line.sent[0]["code"], await line.code()) == ("resume_unknown", 4004)


async def test_a_token_is_unknown_to_another_tenant_and_stays_good_for_its_own(start):
    server = start()
    first = await dropped(server)
    other = await back(server, token_of(first), tenant="other")
    assert (other.sent[0]["code"], await other.code()) == ("resume_unknown", 4004)
    assert (await back(server, token_of(first))).sent[0]["resumed"] is True


async def test_a_last_seq_that_is_no_longer_kept_is_unknown(start):
    server = start(max_events=10)
    first = await opened(server, *(flush(n) for n in range(20)))
    await until(lambda: len(first.of("flushed")) == 20)
    first.put(None)
    await first.code()
    refused = await back(server, token_of(first), 5)
    assert (refused.sent[0]["code"], await refused.code()) == ("resume_unknown", 4004)
    assert (await back(server, token_of(first), 15)).sent[0]["resumed"] is True


async def test_what_the_client_lost_is_a_gap_of_cause_resume(start):
    server = start()
    first = await dropped(server, SPEECH)
    line = await back(server, token_of(first))
    line.put('{"type":"gap","samples":1600}', AUDIO, '{"type":"gap","samples":1600}', END)
    assert await line.code() == 1000
    assert [event["cause"] for event in line.of("gap")] == ["resume", "client"]
    assert line.of("gap")[0]["t1"] - line.of("gap")[0]["t0"] == 100
    assert line.of("bye")[0]["samples"] == (len(SPEECH) + len(AUDIO)) // 2


async def test_after_end_the_client_still_gets_its_last_events(start):
    server = start()
    first = await opened(server, SPEECH)
    first.put(END, None)
    await first.code()
    line = await back(server, token_of(first))
    assert await line.code() == 1000
    assert line.types()[-1] == "bye"
    assert line.sent[0]["have_samples"] == len(SPEECH) // 2
    assert line.sent[0]["have_controls"] == 1
    again = await back(server, token_of(line), line.of("bye")[0]["seq"])
    assert await again.code() == 1000
    assert again.types() == ["ready"]


async def test_an_idle_stream_is_held_without_a_flush(start):
    server = start(idle_s=0)
    first = server.connect()
    first.put(HELLO, SPEECH)
    assert await first.code() == 4010
    assert (first.types()[-1], first.of("speech_end")) == ("error", [])
    assert len(server.held) == 1


async def test_a_slow_consumer_comes_back_to_all_its_events(start):
    server = start(max_events_queued=20)
    first = server.connect()
    blocked = asyncio.Event()

    async def send(text: str) -> None:
        await blocked.wait()
        raise ConnectionResetError

    first.put(HELLO)
    await until(lambda: first.of("ready"))
    first.socket.send = send  # type: ignore[method-assign]
    first.socket.is_clear = False
    first.put(flush(0))
    await until(lambda: first.connection.is_sending)
    first.put(*(flush(n) for n in range(1, 40)))
    await until(lambda: server.metric("slow_consumer_closes_total"))
    blocked.set()
    assert await first.code() == 4008
    line = await back(server, token_of(first))
    line.put(*(flush(n) for n in range(line.sent[0]["have_controls"], 40)), END)
    assert await line.code() == 1000
    assert [event["id"] for event in line.of("flushed")] == [f"f{n}" for n in range(40)]


async def test_a_held_stream_ends_with_its_window_and_what_it_learned_is_kept(start):
    server = start(window_s=0)
    first = await dropped(server, SPEECH)
    await until(lambda: server.metric("streams_held_ended_total", reason="window") == 1)
    await until(lambda: server.engine.leases == 0)
    assert server.learned == [("default", {})]
    assert (await back(server, token_of(first))).sent[0]["code"] == "resume_unknown"


async def test_the_oldest_held_streams_end_first(start):
    server = start(max_held=2)
    lines = [await dropped(server) for _ in range(3)]
    assert server.metric("streams_held_ended_total", reason="count") == 1
    assert server.metric("streams_held", kind="dropped") == 2
    answers = [(await back(server, token_of(line))).types()[0] for line in lines]
    assert answers == ["error", "ready", "ready"]


async def test_held_streams_are_bounded_in_memory(start):
    server = start(max_bytes=1_000_000)
    for _ in range(4):
        await dropped(server)
    assert server.metric("streams_held_ended_total", reason="memory") == 2
    assert 0 < server.metric("streams_held_bytes") <= 1_000_000


async def test_where_no_stream_is_held_a_drop_ends_it(start):
    server = start(max_held=0)
    first = await dropped(server, SPEECH)
    assert first.sent[0]["resume"] is None
    await until(lambda: server.engine.leases == 0)
    assert server.learned == [("default", {})]


async def test_a_drain_ends_what_is_held(start):
    server = start()
    await dropped(server, SPEECH)
    server.held.drain()
    await server.held.drained()
    assert server.engine.leases == 0
    assert server.learned == [("default", {})]
    assert server.metric("streams_held_ended_total", reason="drain") == 1


async def test_on_a_full_server_a_held_stream_returns_and_a_new_one_is_refused(start):
    server = start()
    first = await dropped(server)
    line = await back(server, token_of(first), is_full=True)
    assert line.sent[0]["resumed"] is True
    new = server.connect(is_full=True)
    new.put(HELLO)
    assert await new.code() == 4013
    assert new.sent[0]["code"] == "overloaded"
    assert new.sent[0]["retry_after_ms"] > 0


async def test_a_stream_that_ends_with_its_older_socket_is_unknown_and_gives_back_what_it_held(
    start,
):
    server = start()
    first = await opened(server, SPEECH)
    blocked = asyncio.Event()
    first.socket.send = lambda text: blocked.wait()  # type: ignore[method-assign]
    first.socket.is_clear = False
    first.put(flush(1))
    await until(lambda: first.connection.is_sending)
    first.put(*["nonsense"] * 10)  # which is fatal, but its client does not read that
    await until(lambda: first.connection._close is not None)
    late = await back(server, token_of(first))
    assert (late.sent[0]["code"], await late.code()) == ("resume_unknown", 4004)
    blocked.set()
    assert await first.code() == 4000
    assert server.engine.leases == 0


async def test_a_refused_control_message_counts_and_is_not_refused_again(start):
    server = start()
    refused = [
        '{"type":"gap","ms":-1}',
        '{"type":"flush","id":7}',
        '{"type":"gap"}',
        '{"type":"enrol"}',
    ]
    first = await opened(server, *refused, "nonsense", '{"type":"audio","data":"?"}', flush(1))
    await until(lambda: first.of("flushed"))
    first.put(None)
    await first.code()
    assert len(first.of("error")) == 6
    line = await back(server, token_of(first))
    assert line.sent[0]["have_controls"] == 5


async def test_a_gap_of_the_clients_own_that_comes_again_behind_a_ping_is_its_own(start):
    server = start()
    first = await dropped(server, SPEECH)
    line = await back(server, token_of(first))
    line.put('{"type":"ping"}', '{"type":"gap","samples":1600}', END)
    assert await line.code() == 1000
    assert [event["cause"] for event in line.of("gap")] == ["client"]


async def test_a_final_event_supersedes_the_interim_ones_that_nobody_was_sent(start):
    server = start()
    modules = {"vad": {}, "speaker": {"hop_ms": 100}, "emotion": {"hop_ms": 100}}
    first = server.connect()
    first.put(json.dumps({"type": "hello", "modules": modules}))
    await until(lambda: first.of("ready"))
    # Dropped at once, so that nobody is sent what follows from this.
    first.put(pcm(hum(300), tone(300, 3000), silence(3000)), None)
    await first.code()
    (stream,) = server.held._dropped
    await until(lambda: stream._session.is_idle)
    line = await back(server, token_of(first))
    line.put(END)
    assert await line.code() == 1000
    finals = [event["final"] for event in (*line.of("speaker"), *line.of("emotion"))]
    assert finals == [True, True]


async def gone(text: str) -> None:
    raise ConnectionResetError


async def test_the_log_of_a_stream_that_nobody_can_come_back_to_is_not_kept(start):
    server = start(max_held=1)
    first = await opened(server, SPEECH)
    batcher = server.services.engine._batcher
    take, batcher.take = batcher.take, lambda *_, **__: None  # nothing is answered
    first.socket.is_clear = False
    first.socket.send = gone  # type: ignore[method-assign]
    first.put(SPEECH, END)
    await first.code()
    second = await dropped(server, SPEECH)  # there is no room for both
    assert server.metric("streams_held_ended_total", reason="count") == 1
    batcher.take = take
    line = await back(server, token_of(second))
    line.put(AUDIO)
    await until(lambda: server.engine.leases == 1)
    assert server.metric("streams_held", kind="ended") == 0


async def test_streams_that_are_ending_are_bounded_and_the_oldest_is_broken_off(start):
    server = start(max_held=0, max_streams=MAX_ENDING + 8)
    server.services.engine._batcher.take = lambda *_, **__: None  # no job is ever run
    for _ in range(MAX_ENDING + 4):
        await dropped(server, SPEECH)
    assert server.metric("streams_held", kind="ending") == MAX_ENDING
    assert server.metric("streams_held_broken_off_total") == 4
    assert server.engine.leases == MAX_ENDING
    server.held.abandon()
    await until(lambda: server.engine.leases == 0)


async def test_a_held_stream_whose_session_fails_is_let_go(start):
    server = start()
    first = await dropped(server, SPEECH)
    (stream,) = server.held._dropped
    stream.give_up(ValueError("for the test"))
    await until(lambda: server.engine.leases == 0)
    assert server.metric("streams_held_ended_total", reason="failed") == 1
    assert (await back(server, token_of(first))).sent[0]["code"] == "resume_unknown"
