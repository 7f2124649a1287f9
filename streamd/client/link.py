"""A stream's connection, replaced by a new one whenever it drops."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from streamd.client import recovery
from streamd.client.backoff import CAP_S, Backoff
from streamd.client.credentials import keeps_tls
from streamd.client.inbox import Inbox
from streamd.client.line import CLOSE_S, Address, Line, open_line
from streamd.client.recovery import Next
from streamd.client.refusal import ConnectionLost, Event, RefusedByServer
from streamd.client.replay import PING, Replay
from streamd.errors import CannotConnect, StreamdError

CONTROL_S = 0.02
"""Seconds between two control messages, to a server that had too many."""


class Link:
    """Sends what is in a replay buffer, and fills an inbox with the events.

    Args:
        address: Where the server is.
        hello: The first message of a new session.
        replay: Audio and control messages of the caller.
        inbox: Takes the events.
        reconnect_s: Seconds for which it tries to connect again after a drop; 0 to not try.
        silence_s: Seconds of silence after which a socket counts as broken.
        backoff: Computes the waits between attempts.
    """

    def __init__(
        self,
        address: Address,
        hello: dict[str, Any],
        replay: Replay,
        inbox: Inbox,
        *,
        reconnect_s: float,
        silence_s: float,
        backoff: Backoff | None = None,
    ) -> None:
        self._address = address
        self._hello = hello
        self._replay = replay
        self._inbox = inbox
        self._reconnect_s = reconnect_s
        self._silence_s = silence_s
        self._backoff = backoff or Backoff()
        self._line: Line | None = None
        """The open socket; None while there is none."""
        self._token: str | None = None
        self._last_seq = 0
        self._is_done = False
        """Whether `bye` was received."""
        self._faults = 0
        """Faults of the server since its last `ack`."""
        self._is_slowed = False
        """Whether the server closed a connection with too many messages, so that control messages
        are sent more slowly from now on."""
        self._now_s = asyncio.get_running_loop().time
        self._lost_s: float | None = None
        """When the connection was lost, on the loop's clock; None once a later one works."""
        self._to_send = asyncio.Event()
        self._is_reading = False
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.ready: Event = {}
        """The newest `ready`."""

    @property
    def is_online(self) -> bool:
        """Whether there is a connection."""
        return self._line is not None

    @property
    def offline_s(self) -> float:
        """Seconds since the connection was lost."""
        return 0.0 if self._lost_s is None else self._now_s() - self._lost_s

    async def open(self) -> None:
        """Connect for the first time, and begin.

        Raises:
            CannotConnect: No server answers, or one that is not streamd.
            RefusedByServer: The server refuses the stream.
        """
        line, ready = await self._greeted(self._hello)
        self._welcome(ready)
        self._line = line
        self._task = asyncio.create_task(self._run(line))

    def wake(self) -> None:
        """Send what was added to the replay buffer."""
        self._to_send.set()

    async def changed(self, timeout_s: float | None = None) -> None:
        """Wait until audio was acknowledged, or the connection was lost, regained or ended."""
        self._changed.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Send what waits, for `CLOSE_S` at most, and close the connection."""
        if self._line is not None and not self._inbox.is_over:
            await self._drained()
        line = self._line
        self.abort(drop=False)
        if line is not None:
            await line.close()
        if self._task is not None:
            (fault,) = await asyncio.gather(self._task, return_exceptions=True)
            if isinstance(fault, Exception):  # a fault of this client that no call has raised yet
                raise fault

    def abort(self, *, drop: bool = True) -> None:
        """End at once: the caller's next call fails.

        Args:
            drop: Whether to drop the socket, too, without a close handshake.
        """
        if drop and self._line is not None:
            self._line.abort()
        self._end(ConnectionLost("the stream was given up"))
        if self._task is not None:
            self._task.cancel()

    # Inside.

    async def _run(self, line: Line) -> None:
        try:
            while True:
                self._line = line
                self._pulse()
                ended = await self._serve(line)
                self._line = None
                if ended is None:
                    self._end(None)
                    return
                line = await self._come_back(line, ended)
        except StreamdError as error:
            self._end(error)
        finally:
            self._end(ConnectionLost("the client failed"))  # where nothing else ended it

    async def _serve(self, line: Line) -> StreamdError | None:
        """Send and receive until the connection ends, and return why, if it failed."""
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(self._write(line))
            watch = tasks.create_task(line.watch(self._silence_s, lambda: self._is_reading))
            try:
                await self._read(line)
            except StreamdError as error:
                return None if self._is_done else error
            finally:
                writer.cancel()
                watch.cancel()
        await line.close()
        return None

    async def _write(self, line: Line) -> None:
        while True:
            self._to_send.clear()
            while (message := self._replay.next()) is not None:
                await line.send(message)
                if self._is_slowed and isinstance(message, str):
                    await asyncio.sleep(CONTROL_S)
            self._pulse()
            await self._to_send.wait()

    async def _read(self, line: Line) -> None:
        while True:
            self._is_reading = False
            await self._inbox.room()
            self._is_reading = True
            event = await line.receive()
            if event is None:
                return
            if (seq := event.get("seq")) is not None:
                if seq <= self._last_seq:
                    continue
                self._last_seq = seq
                self._prove()
            if event["type"] == "ack":
                self._replay.acked(int(event.get("samples", 0)))
                self._faults = 0
                self._prove()
                self._pulse()
            elif event["type"] == "enrolled":
                self._replay.answered(event.get("id", ""))
            elif event["type"] == "error" and event.get("ref") is not None:
                self._replay.answered(event["ref"])
            elif event["type"] == "bye":
                self._is_done = True
            elif event["type"] == "pong" and event.get("t") == PING["t"]:
                continue  # the caller did not ask for it
            self._inbox.put(event)
            if self._inbox.is_full:  # a sender that waits and does not read raises
                self._pulse()

    def _prove(self) -> None:
        """Take note that the connection works: attempts after the next drop count from zero."""
        self._lost_s = None
        self._backoff.reset()

    async def _come_back(self, line: Line, error: StreamdError) -> Line:
        """Connect until it succeeds, and go on with the session or open a new one.

        Raises:
            ConnectionLost: It took too long.
            RefusedByServer: The server refuses the stream for good.
        """
        if self._now_s() - line.opened_s > CAP_S:
            self._prove()
        if self._lost_s is None:
            self._lost_s = self._now_s()
        self._pulse()
        is_reported = False
        while True:
            self._decide(error, line.fatal)
            if not is_reported:
                self._inbox.put({"type": "disconnected", "reason": str(error)})
                is_reported = True
            await asyncio.sleep(self._wait_s(error))
            try:
                line, ready = await self._greeted(self._greeting())
            except CannotConnect as failure:
                error = failure
            except RefusedByServer as refused:
                error = refused
            else:
                self._welcome(ready)
                return line

    def _decide(self, error: StreamdError, fatal: Event | None) -> None:
        """Prepare the next attempt.

        Raises:
            ConnectionLost: The time for attempts is over.
            RefusedByServer: The server refuses the stream for good.
        """
        if isinstance(error, RefusedByServer):
            self._faults += error.close_code == recovery.FAULT
            self._is_slowed |= error.close_code in recovery.TOO_FAST
            match recovery.after(error, self._faults):
                case Next.AFRESH:
                    self._token = None
                case Next.RESUME if error.url and keeps_tls(self._address.url, error.url):
                    self._address = replace(self._address, url=error.url)
                case Next.STOP:
                    self._raise(error, fatal)
        if self.offline_s >= self._reconnect_s:
            if isinstance(error, RefusedByServer):
                self._raise(error, fatal)
            tried = f", and {self._reconnect_s:g} s of attempts failed" if self._reconnect_s else ""
            raise ConnectionLost(
                f"the connection to {self._address.url} broke{tried}; stream again"
            )

    def _raise(self, error: StreamdError, fatal: Event | None) -> None:
        if fatal is not None:
            self._inbox.put(fatal)
        raise error

    def _wait_s(self, error: StreamdError) -> float:
        if not isinstance(error, RefusedByServer):
            return self._backoff.next_s()
        if error.close_code == recovery.UNKNOWN:
            return 0.0
        restarted = error.close_code in recovery.RESTARTS
        too_fast = (error.close_code or error.status) in recovery.TOO_FAST
        wait_s = self._backoff.next_s(error.retry_after_ms, restarted=restarted, too_fast=too_fast)
        return min(wait_s, max(self._reconnect_s - self.offline_s, 0.0))

    def _greeting(self) -> dict[str, Any]:
        if self._token is None:
            return self._hello
        return {**self._hello, "resume": {"token": self._token, "last_seq": self._last_seq}}

    async def _greeted(self, hello: dict[str, Any]) -> tuple[Line, Event]:
        line = await open_line(self._address)
        try:
            return line, await line.greet(hello)
        except BaseException:
            line.abort()
            raise

    def _welcome(self, ready: Event) -> None:
        """Take the `ready` of a new connection, and report to the caller what it means."""
        is_first = not self.ready
        self.ready = ready
        self._token = (ready.get("resume") or {}).get("token")
        if ready.get("resumed"):
            lost = self._replay.resume(ready["have_samples"], ready["have_controls"])
            self._inbox.put({"type": "reconnected", "resumed": True, "lost_samples": lost})
            return
        self._last_seq = 0
        if not is_first:
            dropped = self._replay.restart()
            first = self._replay.samples_kept_from
            again = {"type": "reconnected", "resumed": False, "first_sample": first}
            self._inbox.put({**again, "dropped_enrolments": dropped} if dropped else again)
        self._inbox.put(ready)

    async def _drained(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                while self._line is not None and self._replay.is_unsent:
                    await self.changed()
        except TimeoutError:
            return

    def _end(self, error: StreamdError | None) -> None:
        self._line = None
        self._inbox.end(error)
        self._pulse()

    def _pulse(self) -> None:
        self._changed.set()
