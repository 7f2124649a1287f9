"""Several files of one request: read at once where they are short, and told of as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from streamd.files.sessions import Progress
from streamd.transport.http.rest.bodies import File
from streamd.transport.http.rest.forms import Form


class TotalProgress:
    """Adds up how much of each file was read, so that what is reported never falls.

    Args:
        report: Takes the sum. The length of all files is not known before the last has come.
    """

    def __init__(self, report: Progress) -> None:
        self._report = report
        self._sum_ms = 0

    def of_one(self) -> Progress:
        """Return what takes the progress of one more file."""
        before_ms = 0

        async def progress(done_ms: int, total_ms: int | None) -> None:
            nonlocal before_ms
            self._sum_ms += done_ms - before_ms
            before_ms = done_ms
            await self._report(self._sum_ms, None)

        return progress


async def read_all(form: Form, at_once: int, read: Callable[[int, File], Awaitable[None]]) -> None:
    """Read every file of a request, several of them at once.

    A file that is in memory is read beside the others. A long one is read while it comes, before
    the next of the request is looked at. So at most `at_once` files are in work, and at most
    `at_once` times `HELD_BYTES` are kept beyond those that the form keeps.

    Args:
        form: Has the files.
        at_once: Most files in work.
        read: Reads one file, given its number from 0.

    Raises:
        Exception: What the first file raises of those that `read` cannot read. Files behind it are
            given up.
        BadInput: The body is malformed.
    """
    await _Reading(form, at_once, read).run()


class _Reading:
    """The files of one request that are in work."""

    def __init__(
        self, form: Form, at_once: int, read: Callable[[int, File], Awaitable[None]]
    ) -> None:
        self._form = form
        self._read = read
        self._slots = asyncio.Semaphore(at_once)
        self._tasks: list[asyncio.Task[None]] = []
        """One for each file; that of a long file is done at once."""
        self._failed: dict[int, Exception] = {}

    async def run(self) -> None:
        """Read every file. It raises as `read_all` does."""
        try:
            try:
                await self._start_all()
            except Exception as error:
                self._failed.setdefault(len(self._tasks), error)
            await self._finish()
        finally:
            await _cancel(self._tasks)
        if self._failed:
            raise self._failed[min(self._failed)]

    async def _start_all(self) -> None:
        async with aclosing(self._form.files()) as files:
            async for file in files:
                await self._slots.acquire()
                number = len(self._tasks)
                file.body = self._until_failure(number, file.body)
                is_held = await self._form.hold(file)
                task = asyncio.create_task(self._one(number, file))
                self._tasks.append(task)
                if not is_held:
                    await asyncio.wait([task])
                if self._failed:
                    return

    async def _until_failure(self, number: int, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the bytes of a file until one before it fails.

        Nothing is cancelled that waits for the client: the rest of the body can be read on.
        """
        async for piece in body:
            if any(failed < number for failed in self._failed):
                raise _GivenUp
            yield piece

    async def _one(self, number: int, file: File) -> None:
        try:
            await self._read(number, file)
        except _GivenUp:
            pass
        except Exception as error:
            self._failed[number] = error
        finally:
            self._form.release(file)
            self._slots.release()

    async def _finish(self) -> None:
        """Wait for every file; where one fails, for those before it, which may fail too."""
        for number, task in enumerate(self._tasks):
            if self._failed and number > min(self._failed):
                return
            await asyncio.wait([task])


class _GivenUp(Exception):
    """A file before this one has failed."""


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
