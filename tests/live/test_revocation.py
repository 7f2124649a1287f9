"""A key that is revoked: its streams close 4001, its held ones end, and nobody else's do."""

import dataclasses
import json
from contextlib import AsyncExitStack

import pytest
from fakes.serving import Line, Server
from waiting import until

from streamd.access.keys import Keyring, new_key
from streamd.access.presence import Presence, Visit
from streamd.access.principal import SCOPES, Principal
from streamd.engine.base import Lease
from streamd.errors import RateExceeded
from streamd.live import admission
from streamd.live.admission import admit
from streamd.live.revocation import Revocation

HELLO = '{"type":"hello"}'


@pytest.fixture
async def server():
    made = Server(max_streams=8, max_held=8, max_per_key=2)
    yield made
    await made.stop()


@pytest.fixture
def records():
    made = [new_key(name, "default", ["stream"], 0)[1] for name in ("one", "other")]
    return {record.name: record for record in made}


async def opened(server: Server, key: str | None) -> Line:
    line = server.connect(key=key)
    line.put(HELLO)
    await until(lambda: line.of("ready"))
    return line


async def dropped(server: Server, key: str | None) -> Line:
    line = await opened(server, key)
    line.put(None)
    await line.code()
    return line


def resume(line: Line) -> str:
    token = line.of("ready")[-1]["resume"]["token"]
    return json.dumps({"type": "hello", "resume": {"token": token, "last_seq": 0}})


async def answer(server: Server, line: Line, key: str | None, **options: str) -> dict:
    """What a client gets that resumes a stream."""
    back = server.connect(key=key, **options)
    back.put(resume(line))
    await until(lambda: back.sent)
    return back.sent[0]


async def test_streams_of_a_revoked_key_close_4001_with_an_error_before_it(server, records):
    keyring, presence = Keyring(), Presence(0)
    keyring.replace(records.values())
    revocation = Revocation(keyring, presence, server.held)
    one, other = records["one"].id, records["other"].id
    mine, theirs, nobodys = [await opened(server, key) for key in (one, other, None)]
    held = await dropped(server, one)
    held_by_other = await dropped(server, other)
    visits = AsyncExitStack()
    for line in (mine, theirs, nobodys):
        visit = await visits.enter_async_context(presence.enter(line.connection.principal))
        visit.on_end(line.connection.revoke)
    revocation.look()
    keyring.replace([dataclasses.replace(records["one"], revoked_ms=1), records["other"]])
    revocation.look()
    assert await mine.code() == 4001
    assert (mine.sent[-1]["type"], mine.sent[-1]["code"]) == ("error", "unauthenticated")
    assert mine.sent[-1]["fatal"] is True
    assert server.metric("streams_revoked_total") == 1
    assert server.metric("streams_held_ended_total", reason="revoked") == 1
    assert (await answer(server, held, other))["code"] == "resume_unknown"
    assert (await answer(server, held_by_other, other))["resumed"] is True
    for line in (theirs, nobodys):
        line.put('{"type":"ping"}')
        await until(lambda line=line: line.of("pong"))
    await visits.aclose()


async def test_a_stream_belongs_to_the_key_that_resumed_it_last(server, records):
    keyring = Keyring()
    keyring.replace([records["other"]])  # `one` is revoked
    one, other = records["one"].id, records["other"].id
    first = await dropped(server, one)
    back = server.connect(key=other)
    back.put(resume(first))
    await until(lambda: back.sent)
    back.put(None)
    await back.code()
    Revocation(keyring, Presence(0), server.held).look()
    assert (await answer(server, back, other))["resumed"] is True


async def test_a_token_of_another_tenant_is_as_unknown_as_no_token_at_all(server):
    held = await dropped(server, "one")
    foreign = await answer(server, held, "one", tenant="acme")
    made_up = server.connect(key="one")
    made_up.put(json.dumps({"type": "hello", "resume": {"token": "r_none", "last_seq": 0}}))
    await until(lambda: made_up.sent)
    assert foreign == made_up.sent[0]
    assert foreign["code"] == "resume_unknown"
    assert (await answer(server, held, "one"))["resumed"] is True


async def test_a_key_that_holds_too_many_streams_loses_its_own_oldest(server):
    theirs = await dropped(server, "other")
    first, second, third = [await dropped(server, "one") for _ in range(3)]
    assert server.metric("streams_held_ended_total", reason="key") == 1
    assert (await answer(server, first, "one"))["code"] == "resume_unknown"
    for line, key in ((second, "one"), (third, "one"), (theirs, "other")):
        assert (await answer(server, line, key))["resumed"] is True


async def ask(server: Server, presence: Presence, key: str) -> Lease | None:
    running = [line.connection for line in server.lines if not line.running.done()]
    async with presence.enter(Principal("default", frozenset(SCOPES), key)) as visit:
        return admit(server.services, running, visit)


async def test_a_key_with_all_its_streams_gets_429_and_another_key_a_place(server):
    presence = Presence(1)
    line = await opened(server, "one")
    async with presence.enter(line.connection.principal):
        with pytest.raises(RateExceeded) as refused:
            await ask(server, presence, "one")
        assert (refused.value.status, refused.value.retry_after_ms) == (429, 5000)
        assert server.metric("streams_refused_total", reason="key") == 1
        lease = await ask(server, presence, "other")
        assert lease is not None
        server.engine.close(lease)


async def test_a_key_with_all_its_streams_may_resume_one_that_is_held_or_silent(
    server, monkeypatch
):
    presence = Presence(1)
    await dropped(server, "one")
    line = await opened(server, "one")
    async with presence.enter(line.connection.principal):
        assert await ask(server, presence, "one") is None  # for the one that is held
        returning = server.connect(is_full=True, key="one")
        with pytest.raises(RateExceeded):
            await ask(server, presence, "one")
        monkeypatch.setattr(admission, "SILENCE_S", 0.0)
        assert await ask(server, presence, "one") is None  # for the one that may be dead
        returning.put(None)
        await returning.code()


async def test_a_socket_let_in_to_resume_that_begins_a_stream_is_told_of_the_keys_bound(server):
    """The socket is open already, so that it is 4012 instead of HTTP 429."""
    await dropped(server, "one")
    visit = Visit("one", 1)
    visit.is_beyond = True
    assert admit(server.services, [], visit) is None
    returning = server.connect(is_full=True, key="one", refusal=visit.refusal)
    returning.put(HELLO)
    assert await returning.code() == 4012
    (error,) = returning.sent
    assert (error["code"], error["fatal"], error["retryable"]) == ("rate_exceeded", True, True)
    assert error["retry_after_ms"] == 5000
    assert "limits.streams_per_key" in error["message"]
    assert server.metric("streams_refused_total", reason="key") == 1
