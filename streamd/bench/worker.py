"""A process of the load: `python -m streamd.bench.worker`, orders on stdin, answers on stdout.

It ends when stdin is closed, and so with the bench.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import time
import traceback
from contextlib import suppress

import msgspec
import numpy as np
from websockets.uri import parse_uri

from streamd import __version__
from streamd.bench.messages import (
    HEAD_BYTES,
    READY,
    Answer,
    Play,
    Setup,
    Stop,
    framed,
    length,
    read_order,
)
from streamd.bench.mixing import Mixer
from streamd.bench.player import Player
from streamd.bench.tally import Tally
from streamd.bench.ticker import Ticker
from streamd.client.credentials import authorization
from streamd.observability import descriptors

LOOK_S = 0.1
"""Seconds between checks whether a step has failed."""
END_S = 15.0
"""Seconds that the server may take to end the streams of a step: it may be far behind."""


class Load:
    """The streams of one process."""

    def __init__(self, setup: Setup) -> None:
        if setup.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, setup.cores)
        clips = [np.frombuffer(clip, np.int16) for clip in setup.clips]
        self._mixer = Mixer(clips, setup.message_ms, setup.duty, setup.seed)
        self._uri = parse_uri(setup.url)
        self._headers = authorization(setup.key)
        self._ssl = ssl.create_default_context() if self._uri.secure else None
        self._message_s = setup.message_ms / 1000
        client = f"streamd-bench/{__version__}"
        self._hello = msgspec.json.encode(
            {"type": "hello", "client": client, "modules": setup.modules}
        )
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End the current step."""
        self._stop.set()

    async def play(self, order: Play) -> Answer:
        """Play one step."""
        self._stop.clear()
        tally = Tally(order.from_s, order.until_s)
        ticker = Ticker(self._message_s, tally)
        players: list[Player] = []
        opening = asyncio.create_task(self._open(order, tally, ticker, players))
        began = asyncio.create_task(self._cpu_at(order.from_s))
        is_cut = False
        while (now_s := time.monotonic()) < order.until_s and not is_cut:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK_S, order.until_s - now_s)):
                    await self._stop.wait()
            now_s = time.monotonic()
            lag_s = max((player.lag_s(now_s) for player in players), default=0.0)
            tally.acked(now_s, lag_s)
            if lag_s > order.give_up_s:
                tally.gave_up(lag_s)
            is_cut = self._stop.is_set() or tally.has_failed
        ticker.stop()
        if began.done():
            tally.cpu_s = time.process_time() - began.result()
        for task in (opening, began):
            task.cancel()
        for end in await asyncio.gather(opening, began, return_exceptions=True):
            if isinstance(end, Exception):
                raise end
        played = tally.played(max(now_s - order.from_s, 0.0))
        await self._end(players)
        return Answer(played=played, is_cut=is_cut)

    async def _cpu_at(self, at_s: float) -> float:
        await asyncio.sleep(at_s - time.monotonic())
        return time.process_time()

    async def _open(self, order: Play, tally: Tally, ticker: Ticker, players: list[Player]) -> None:
        def ready(player: Player) -> None:
            tally.ready += 1
            ticker.add(player)

        async with asyncio.TaskGroup() as tasks:
            for place, number in enumerate(order.streams):
                due_s = order.open_s + order.spread_s * place / len(order.streams)
                await asyncio.sleep(max(due_s - time.monotonic(), 0.0))
                messages, samples = self._mixer.stream(number), self._mixer.message_samples
                player = Player(
                    self._uri, self._headers, self._hello, messages, samples, tally, ready
                )
                players.append(player)
                tasks.create_task(self._connect(player, tally))

    async def _connect(self, player: Player, tally: Tally) -> None:
        uri, loop = self._uri, asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: player, uri.host, uri.port, ssl=self._ssl)
        except OSError as error:
            tally.refused(error.strerror or str(error))
            player.abort()

    async def _end(self, players: list[Player]) -> None:
        for player in players:
            player.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                for player in players:
                    await player.ended.wait()
        for player in players:
            if not player.is_over:
                player.abort()


async def serve() -> None:
    """Follow orders until stdin is closed."""
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(orders)
    pipe, _ = await loop.connect_read_pipe(lambda: protocol, sys.stdin.buffer)
    answers = sys.stdout.buffer
    load: Load | None = None
    task: asyncio.Task[Answer] | None = None

    def answer(done: asyncio.Task[Answer]) -> None:
        if done.cancelled():
            return
        if (fault := done.exception()) is not None:
            traceback.print_exception(fault)
            os._exit(1)  # the bench sees the pipe close, and shows what is on stderr
        answers.write(framed(done.result()))
        answers.flush()

    with suppress(asyncio.IncompleteReadError):
        while True:
            head = await orders.readexactly(HEAD_BYTES)
            order = read_order(await orders.readexactly(length(head)))
            match order:
                case Setup():
                    load = Load(order)
                    answers.write(READY)
                    answers.flush()
                case Play():
                    assert load is not None
                    task = asyncio.create_task(load.play(order))
                    task.add_done_callback(answer)
                case Stop():
                    assert load is not None
                    load.stop()
    pipe.close()
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def main() -> None:
    """Run the process."""
    descriptors.allow()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve())


def loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """Return the fastest event loop available; None for asyncio's own."""
    try:
        import uvloop
    except ImportError:  # not available on this platform
        return None
    return uvloop.Loop


if __name__ == "__main__":
    main()
