"""Clients that send garbage."""

import asyncio

import pytest
from daemons import assert_same_log, converse, cut, speech
from fakes.wire import Wire
from garbage import MESSAGES, check, conversations, send
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.faults

END = {"type": "end"}
COUNT = 10_000
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


async def test_garbage_is_answered_in_good_order_and_disturbs_no_other_stream(serve):
    running = serve()
    alone = await converse(running.url, cut(speech()), END)
    sent = 0

    @settings(
        max_examples=COUNT // MESSAGES,
        suppress_health_check=SLOW,
        database=None,
        phases=[Phase.generate],
    )
    @given(conversation=conversations)
    def flood(conversation: tuple[list[bytes], bytes]) -> None:
        nonlocal sent
        messages, last = conversation
        sent += len(messages) + 1
        check(send(running.url, messages, last))

    flooding = asyncio.create_task(asyncio.to_thread(flood))
    beside = 0
    while not flooding.done() or not beside:
        received = await converse(running.url, cut(speech()), END)
        assert received.code == 1000
        assert_same_log(alone.events, received.events)
        beside += 1
    await flooding
    assert sent >= COUNT
    await running.eventually(lambda: running.streams == 0)
    assert running.complaints() == []


def test_bytes_that_are_no_request_are_refused_or_dropped(serve):
    running = serve(server__request_timeout_s=0.5)

    @settings(max_examples=200, suppress_health_check=SLOW, database=None, phases=[Phase.generate])
    @given(data=st.binary(min_size=1, max_size=300), is_ended=st.booleans())
    def flood(data: bytes, is_ended: bool) -> None:
        with Wire(running.url) as wire:
            wire.socket.sendall(data + b"\r\n\r\n" * is_ended)
            answer = wire.rest()
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer

    flood()
    assert running.get("/health/ready")[0] == 200
    assert running.complaints() == []
