"""Sockets that drop."""

import asyncio

import pytest
from daemons import assert_same_log, converse, cut, speech
from drops import drops

pytestmark = pytest.mark.faults

END = {"type": "end"}
COUNT = 100


async def test_drops_at_random_bytes_leave_nothing_behind_and_touch_no_other_stream(serve):
    running = serve()
    alone = await converse(running.url, cut(speech()), END)
    dropping = asyncio.create_task(drops(running.url, COUNT))
    beside = 0
    while not dropping.done() or not beside:
        received = await converse(running.url, cut(speech()), END)
        assert received.code == 1000
        assert_same_log(alone.events, received.events)
        beside += 1
    await dropping
    await running.eventually(lambda: running.streams == 0)
    await running.eventually(lambda: running.metric("streamd_streams_open") == 0)
    assert running.complaints() == []
